"""Another llama.cpp on another machine: allowed with a word for the same protocol, else no master is started."""

from __future__ import annotations

import pytest

from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.errors import LaunchError
from tests.services.test_cluster import Bench
from tests.services.test_lost_line import far_request

OTHER = "hettui: the worker on attic is of build 77.8"
SAME = "hettui: the worker on attic is of build 1.2"


@pytest.mark.parametrize(("line", "told"), [(OTHER, 1), (SAME, 0), ("something", 0)])
async def test_the_same_protocol_of_another_build_is_allowed_with_a_word(line: str, told: int) -> None:
    bench = Bench()
    bench.world.log["worker d2"] = ["an old line"]

    def says_its_build(spec: ProcessSpec) -> None:
        bench.world.log.setdefault(spec.name, []).append(line)

    bench.world.dies_loading = says_its_build
    await bench.controller.start(far_request())
    assert bench.state is ClusterState.READY
    assert sum("attic has another llama.cpp build" in text for text in bench.notices()) == told
    await bench.controller.stop()
    await bench.controller.start(far_request())
    assert sum("attic has another llama.cpp build" in text for text in bench.notices()) == told


async def test_another_protocol_is_refused_before_a_master_is_started_and_both_are_named() -> None:
    bench = Bench()
    bench.world.spoken = (5, 0, 0)
    with pytest.raises(LaunchError) as refused:
        await bench.controller.start(far_request())
    said = str(refused.value)
    assert 'device "d2": llama.cpp on attic speaks RPC 5.0.0' in said
    assert "that of this machine RPC 4.0.3" in said
    assert said.endswith("hettui hosts push --host attic")
    assert "master" not in [spec.name for spec in bench.world.starts]
    assert bench.alive == set()


async def test_where_nobody_knows_the_own_protocol_the_master_decides() -> None:
    bench = Bench()
    bench.world.spoken, bench.world.own_protocol = (5, 0, 0), None
    await bench.controller.start(far_request())
    assert bench.state is ClusterState.READY
