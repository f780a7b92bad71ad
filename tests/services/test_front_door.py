"""The front door beside the cluster, on a fake world: when it is there, what it is told, and who outlives whom."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.run_report import RunReport
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.door.words import DoorWords
from hettui.domain.errors import LaunchError
from hettui.domain.llama.params import Serving
from hettui.domain.plan.split import Split
from hettui.services.cluster import front_door
from hettui.services.cluster.controller import ClusterController
from hettui.services.cluster.viewer import Viewer
from hettui.services.cluster.world import Request
from tests.fakes import cluster, workers
from tests.services.test_cluster import Bench, until

DOOR, MASTER = "front door", "master"


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def request(*layers: int, port: int = 8080, hold: bool = True, host: str = "127.0.0.1", **more: object) -> Request:
    serving = Serving(host, port, hold_requests=hold, **more)  # type: ignore[arg-type]
    return Request(cluster(workers(None, None), serving=serving), Split(layers or (16, 15), 31), 1000)


def started(bench: Bench) -> list[str]:
    return [spec.name for spec in bench.world.starts]


def spec(bench: Bench, name: str) -> ProcessSpec:
    return [one for one in bench.world.starts if one.name == name][-1]


async def test_the_door_is_there_first_and_the_master_behind_it(bench: Bench) -> None:
    await bench.controller.start(request(extra_args=("--api-prefix", "/lab"), host="0.0.0.0"))  # noqa: S104
    assert started(bench) == [DOOR, "worker d0", "worker d1", MASTER]
    told = DoorWords.of(spec(bench, DOOR).argv)
    assert (told.hosts, told.port, told.prefix) == (("0.0.0.0",), 8080, "/lab")  # noqa: S104
    inner = spec(bench, MASTER).address
    assert inner == ("127.0.0.1", 17080)
    assert bench.controller.snapshot.api == "http://127.0.0.1:8080/lab"
    assert bench.world.asked[-1] == "http://127.0.0.1:17080/lab", "hettui itself asks the master"
    assert bench.world.door_calls == ["aim 17080", "go 17080"]
    assert bench.world.runs.saved[-1] is not None
    assert bench.world.runs.saved[-1].api == bench.controller.snapshot.api
    order: list[str] = []
    for name, child in bench.world.children.items():
        original = child.terminate
        child.terminate = lambda name=name, original=original: (order.append(name), original())  # type: ignore
    await bench.controller.stop()
    assert order[:2] == [DOOR, MASTER]
    assert bench.alive == set()


async def test_without_being_asked_for_there_is_none(bench: Bench) -> None:
    await bench.controller.start(request(hold=False))
    assert DOOR not in started(bench)
    assert spec(bench, MASTER).address == ("127.0.0.1", 8080)
    assert bench.world.door_calls == []


async def test_a_new_split_holds_requests_and_keeps_the_door(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.world.door_calls.clear()
    bench.world.door_running = [2, 1, 0]
    await bench.controller.start(request(10, 21))
    assert started(bench).count(DOOR) == 1
    assert started(bench).count(MASTER) == 2
    assert bench.world.door_calls == ["hold", "aim 17080", "go 17080"]
    assert bench.world.door_running == [0], "what was being answered was waited for"


async def test_answers_without_an_end_do_not_hold_up_a_restart_for_ever(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.world.door_running = [1]
    clock, begun_s = bench.world.clock, bench.world.clock.monotonic()

    applying = asyncio.create_task(bench.controller.start(request(10, 21)))
    while not applying.done():
        clock.now += 0.5
        await asyncio.sleep(0.001)
    await applying
    assert clock.monotonic() - begun_s >= front_door.DRAIN_S
    assert bench.state is ClusterState.READY


@pytest.mark.parametrize("change", [{"hold_seconds": 7}, {"port": 8081}, {"extra_args": ("--api-prefix", "/x")}])
async def test_a_door_that_is_told_otherwise_is_another_one(bench: Bench, change: dict[str, object]) -> None:
    await bench.controller.start(request())
    await bench.controller.start(request(**change))  # type: ignore[arg-type]
    assert started(bench).count(DOOR) == 2
    assert bench.state is ClusterState.READY


async def test_a_door_that_is_not_wanted_any_more_goes(bench: Bench) -> None:
    await bench.controller.start(request())
    await bench.controller.start(request(hold=False))
    assert DOOR not in bench.alive
    assert spec(bench, MASTER).address == ("127.0.0.1", 8080)
    await bench.controller.start(request())
    assert DOOR in bench.alive


async def test_a_taken_port_is_refused_as_without_a_door(bench: Bench) -> None:
    bench.world.used_ports = {8080}
    with pytest.raises(LaunchError, match="port 8080 on 127.0.0.1 is in use"):
        await bench.controller.start(request())
    assert started(bench) == []


async def test_an_automatic_port_and_the_masters_own_are_passed_over_when_taken(bench: Bench) -> None:
    bench.world.used_ports = {17080}
    await bench.controller.start(request(port=0))
    assert spec(bench, MASTER).address == ("127.0.0.1", 17081)
    port = spec(bench, DOOR).address[1]
    await bench.controller.start(request(10, 21, port=0))
    assert started(bench).count(DOOR) == 1
    assert bench.controller.snapshot.api == f"http://127.0.0.1:{port}"


async def test_the_door_outlives_a_failure_and_not_a_stop(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.world.children["worker d1"].end(-9)
    await until(lambda: bench.state is ClusterState.FAILED and bench.alive == {DOOR})
    await bench.controller.start(request())
    assert started(bench).count(DOOR) == 1
    assert bench.state is ClusterState.READY
    bench.world.children["worker d1"].end(-9)
    await until(lambda: bench.state is ClusterState.FAILED and bench.alive == {DOOR})
    await bench.controller.stop()
    assert bench.alive == set()
    assert bench.controller.snapshot.processes == ()


async def test_whoever_leaves_a_failed_cluster_leaves_no_door(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.world.children["worker d1"].end(-9)
    await until(lambda: bench.state is ClusterState.FAILED and bench.alive == {DOOR})
    await bench.controller.leave()
    assert bench.alive == set()


async def test_whoever_leaves_a_cluster_lets_go_of_what_waits(bench: Bench) -> None:
    await bench.controller.start(request())
    await bench.controller.leave()
    assert DOOR in bench.alive
    assert bench.world.door_calls[-1] == "close"


async def test_a_door_that_ends_is_opened_again_and_the_cluster_works_on(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.world.door_calls.clear()
    for count in range(2, front_door._TRIES + 2):
        bench.world.children[DOOR].end(-9)
        await until(lambda count=count: started(bench).count(DOOR) == count)  # type: ignore[misc]
        await until(lambda: bench.world.door_calls[-1:] == ["go 17080"] and bench.controller.snapshot.processes != ())
        await bench.controller.settled()
        bench.world.door_calls.clear()
        assert bench.state is ClusterState.READY
    bench.world.children[DOOR].end(-9)
    await until(lambda: any("stays closed" in text for text in bench.notices()))
    assert bench.state is ClusterState.READY
    assert started(bench).count(MASTER) == 1
    await bench.controller.start(request(10, 21))
    assert DOOR in bench.alive


async def test_a_door_that_ends_while_the_master_loads_is_there_when_it_is_ready(bench: Bench) -> None:
    def ends() -> None:
        bench.world.health_asked = lambda: None
        bench.world.children[DOOR].end(1)

    bench.world.health_asked = ends
    await bench.controller.start(request())
    assert bench.state is ClusterState.READY
    assert started(bench).count(DOOR) == 2
    assert bench.world.door_calls[-1] == "go 17080"


async def test_a_door_that_does_not_answer_fails_the_first_start_and_no_later_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_door, "READY_S", 0.01)
    bench.world.door_silent = True
    with pytest.raises(LaunchError, match="front door did not answer"):
        await bench.controller.start(request())
    assert bench.states()[-1] is ClusterState.FAILED
    bench.world.door_silent = False
    await bench.controller.start(request())
    bench.world.door_silent = True
    await bench.controller.start(request(10, 21))
    assert bench.states()[-1] is ClusterState.READY
    assert any("front door does not answer" in text for text in bench.notices())


async def test_a_start_that_was_given_up_leaves_a_door_for_the_next(bench: Bench) -> None:
    bench.world.door_silent = True
    first = asyncio.create_task(bench.controller.start(request()))
    await until(lambda: started(bench) == [DOOR])
    second = asyncio.create_task(bench.controller.start(request(10, 21)))
    with pytest.raises(LaunchError, match="newer command"):
        await first
    bench.world.door_silent = False
    await second
    assert started(bench).count(DOOR) == 1
    assert bench.state is ClusterState.READY
    assert bench.world.door_calls[-1] == "go 17080"


@pytest.mark.parametrize("lost", [False, True])
async def test_the_next_hettui_takes_the_door_over_or_opens_it_again(bench: Bench, lost: bool) -> None:
    await bench.controller.start(request())
    record = bench.world.runs.saved[-1]
    assert record is not None
    await bench.controller.leave()
    if lost:
        bench.world.children[DOOR].end(-9)
    bench.world.door_calls.clear()
    later = Bench()
    later.world = bench.world
    later.controller = ClusterController(later.world.world(), later.events.append)
    await later.controller.take_over(record)
    await later.controller.settled()
    assert later.state is ClusterState.READY
    assert started(later).count(DOOR) == 1 + lost
    assert later.world.door_calls == ["go 17080"]
    assert later.controller.snapshot.api == "http://127.0.0.1:8080"
    assert later.world.asked[-1] == "http://127.0.0.1:17080"
    await later.controller.stop()
    assert later.alive == set()


async def test_a_second_hettui_and_the_report_name_the_door(bench: Bench) -> None:
    await bench.controller.start(request())
    record = bench.world.runs.saved[-1]
    assert record is not None
    report = RunReport(record, {entry.spec.name: True for entry in record.processes}, 1)
    assert report.api == "http://127.0.0.1:8080"
    assert "front door" in report.as_text()
    viewer = Viewer(bench.world.world(), bench.events.append, "read only")
    viewer.read_logs()
    assert viewer.snapshot.api == "http://127.0.0.1:8080"
    assert bench.world.asked[-1] == "http://127.0.0.1:17080"
    later = replace(record, processes=tuple(entry for entry in record.processes if entry.spec.role != "door"))
    assert later.api == "http://127.0.0.1:17080"
