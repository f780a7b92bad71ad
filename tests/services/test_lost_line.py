"""Workers on other machines: a line that is lost and comes back, holders that are gone, on a fake world."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.devices.device import Host
from hettui.domain.hosts.worker import way_of
from hettui.services.cluster.controller import ClusterController
from hettui.services.cluster.world import Request
from tests.services.test_cluster import Bench, request, until

LOST = "hettui: the line to attic was lost: Timeout; it is being reached again"
BACK = "hettui: attic is there again"
CRASHED = "/x/ggml-rpc.cpp:612: Remote RPC server crashed or returned malformed response"


def far_request() -> Request:
    """The last of three workers is in the attic."""
    asked = request()
    cluster = asked.cluster
    devices = (*cluster.devices[:-1], replace(cluster.devices[-1], host="attic"))
    return replace(asked, cluster=replace(cluster, devices=devices, hosts=(Host("attic", "me@attic"),)))


@pytest.fixture
async def bench() -> Bench:
    """A cluster that runs. Its workers serve its master, so they answer nobody else."""
    bench = Bench()
    await bench.controller.start(far_request())
    return bench


async def read(bench: Bench) -> None:
    bench.controller.read_logs()


async def test_a_master_that_died_of_a_lost_line_is_started_again_when_it_is_back(bench: Bench) -> None:
    there = bench.world.children["worker d2"]
    bench.world.log["worker d2"].append(LOST)
    bench.world.log["master"].append(CRASHED)
    bench.world.children["master"].end(-6)
    await until(lambda: bench.controller.snapshot.waiting is not None)
    assert "worker d2 says why: the line to attic was lost" in str(bench.controller.snapshot.waiting)
    assert bench.state is not ClusterState.READY
    await read(bench)
    assert [spec.name for spec in bench.world.starts].count("master") == 1
    bench.world.log["worker d2"].append(BACK)
    bench.controller.read_logs()
    await until(lambda: bench.state is ClusterState.READY)
    assert bench.world.children["worker d2"] is there
    assert there.alive
    await until(lambda: bench.controller.snapshot.post_mortem is None)


async def test_a_worker_that_ended_while_the_line_was_lost_ends_the_cluster(bench: Bench) -> None:
    bench.world.log["worker d2"].append(LOST)
    bench.world.log["master"].append(CRASHED)
    bench.world.children["master"].end(-6)
    await until(lambda: bench.controller.snapshot.waiting is not None)
    bench.world.log["worker d2"].append("hettui: attic was not reached for 120 s: its worker has ended; start again")
    bench.world.children["worker d2"].end(69)
    await until(lambda: "attic was not reached for 120 s" in (bench.controller.snapshot.problem or ""))
    await until(lambda: not bench.controller.snapshot.processes)
    assert bench.state is ClusterState.FAILED
    assert bench.alive == set()


async def test_an_idle_master_is_started_anew_once_the_line_is_back(bench: Bench) -> None:
    first = bench.world.children["master"]
    bench.world.log["worker d2"].append(LOST)
    bench.controller.read_logs()
    assert bench.state is ClusterState.READY
    bench.world.log["worker d2"].append(BACK)
    bench.controller.read_logs()
    await until(lambda: bench.state is ClusterState.READY and bench.world.children["master"] is not first)
    assert any("the line to attic was lost and is there again" in text for text in bench.notices())
    for _ in range(3):
        bench.controller.read_logs()
    assert [spec.name for spec in bench.world.starts].count("master") == 2


async def test_a_silent_line_is_told_within_seconds_and_taken_back(bench: Bench) -> None:
    def card() -> str:
        bench.controller.read_logs()
        return next(p.detail for p in bench.controller.snapshot.processes if p.name == "worker d2")

    assert card() == ""
    bench.world.log["worker d2"].append("hettui: attic has said nothing for 8 s")
    assert card() == "attic has said nothing for 8 s"
    assert "worker d2: attic has said nothing for 8 s" in bench.notices()
    bench.world.log["worker d2"].append(BACK)
    assert card() == ""
    bench.world.log["worker d2"].append("hettui: the worker on attic is stopped by a signal there")
    assert card() == "the worker on attic is stopped by a signal there"
    bench.world.log["worker d2"].append("hettui: the worker on attic goes on")
    assert card() == ""
    assert bench.state is ClusterState.READY
    assert len(bench.world.starts) == 4


async def successor(bench: Bench) -> Bench:
    following = Bench()
    following.world = bench.world
    following.controller = ClusterController(bench.world.world(), following.events.append)
    await following.controller.take_over(bench.world.runs.load())
    return following


async def test_a_takeover_sees_that_the_master_has_lost_its_worker(bench: Bench) -> None:
    bench.world.silent_workers = {p.spec.address[1] for p in bench.controller._running.workers.values()}
    await bench.controller.leave()
    attached = await successor(bench)
    assert attached.state is ClusterState.READY
    assert [spec.name for spec in bench.world.starts].count("master") == 1
    await attached.controller.leave()
    # It answers: nobody is connected to it.
    bench.world.silent_workers.clear()
    lost = await successor(bench)
    await until(lambda: lost.state is ClusterState.READY and len(bench.world.starts) == 5)
    assert any("the master has lost its worker on attic" in text for text in lost.notices())


async def test_a_stop_ends_workers_there_whose_holders_are_gone(bench: Bench) -> None:
    await bench.controller.leave()
    for child in bench.world.children.values():
        child.end(-9)
    following = await successor(bench)
    await following.controller.stop()
    assert bench.world.ended_there == ["worker d2"]
    assert any("What was left of the cluster's workers on attic is ended" in text for text in following.notices())


async def test_one_that_cannot_be_asked_is_told(bench: Bench) -> None:
    bench.world.unreachable["attic"] = "worker d2: attic does not answer: it ends there by itself within 120 s"
    bench.world.children["worker d2"].end(-9)
    await until(lambda: bench.state is ClusterState.FAILED and not bench.controller.snapshot.processes)
    assert "ends there by itself within 120 s" in (bench.controller.snapshot.problem or "")


def test_a_card_behind_a_line_that_is_lost_or_silent_is_not_called_up() -> None:
    assert way_of("the line to attic was lost: Timeout") == "lost"
    assert way_of("attic has said nothing for 8 s") == "silent"
    assert way_of("the worker on attic is stopped by a signal there") == way_of("") == ""


async def test_a_worker_elsewhere_is_started_anew_for_another_model_whose_weights_it_may_keep(bench: Bench) -> None:
    before = dict(bench.world.children)
    asked = far_request()
    await bench.controller.start(replace(asked, cluster=replace(asked.cluster, large_tensors=(11 << 20,))))
    assert bench.state is ClusterState.READY
    now = bench.world.children
    assert now["worker d0"] is before["worker d0"]
    assert now["worker d2"] is not before["worker d2"]
    assert not before["worker d2"].alive
