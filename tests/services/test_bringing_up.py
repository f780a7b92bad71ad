"""Bringing up, alone: it works on what runs and leaves the decisions to whoever called it."""

from __future__ import annotations

import pytest

from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.errors import LaunchError
from hettui.domain.llama.params import Serving
from hettui.domain.plan.split import Split
from hettui.services.cluster.bringing_up import BringingUp
from hettui.services.cluster.ends import Ends
from hettui.services.cluster.front_door import FrontDoor
from hettui.services.cluster.running import Running
from hettui.services.cluster.supervisor import Supervised
from hettui.services.cluster.world import Request
from tests.fakes import FakeWorld, cluster, workers


class Parts:
    """What a controller holds, without one."""

    def __init__(self) -> None:
        self.world = FakeWorld()
        self.running = Running(self.world.world(), lambda event: None, self._ended)
        self.ends = Ends(self.running)
        door = FrontDoor(self.running, lambda event: None)
        self.bringing_up = BringingUp(self.running, self.ends, door, lambda event: None)

    def _ended(self, process: Supervised) -> None:
        self.ends.add(process)


@pytest.fixture
async def parts() -> Parts:
    return Parts()


def request(*layers: int, port: int = 0) -> Request:
    return Request(cluster(workers(None, None), serving=Serving(port=port)), Split(layers or (20, 11), 31))


async def test_it_gives_the_request_back_with_its_real_ports(parts: Parts) -> None:
    runs = await parts.bringing_up.start(request())
    assert runs.cluster.serving.port == 40000
    assert parts.running.request is runs
    assert parts.running.snapshot.state is ClusterState.READY
    await parts.running.end_everything(None, None)


async def test_what_came_up_stays_for_whoever_decides(parts: Parts) -> None:
    def fate(spec: ProcessSpec) -> tuple[int, str] | None:
        return (1, "invalid magic characters: 'x'") if spec.role == "master" else None

    parts.world.dies_loading = fate
    with pytest.raises(LaunchError):
        await parts.bringing_up.start(request())
    assert {name for name, child in parts.world.children.items() if child.alive} == {"worker d0", "worker d1"}
    found = parts.ends.examined()
    assert found is not None
    assert "no GGUF" in found.sentence
    assert not parts.ends.may_restart
    await parts.running.end_everything(None, None)


async def test_a_new_launch_forgets_the_ends_of_the_last_one(parts: Parts) -> None:
    parts.world.unstartable = {"worker d1"}
    with pytest.raises(LaunchError, match="cannot be started"):
        await parts.bringing_up.start(request())
    parts.world.unstartable = set()
    await parts.bringing_up.start(request())
    assert not parts.ends
    await parts.running.end_everything(None, None)
    assert parts.running.processes == ()
