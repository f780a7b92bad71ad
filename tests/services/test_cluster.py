"""The cluster on a fake world: order, faults, and that the newest command wins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.run_report import RunReport
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.errors import HettuiError, LaunchError
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.plan.split import Split
from hettui.ports import RpcServerInfo
from hettui.services.cluster.controller import ClusterController
from hettui.services.cluster.viewer import Viewer
from hettui.services.cluster.world import Request, Supervision
from hettui.services.events import ClusterChanged, Event, LogLines, Notice
from tests.fakes import FakeWorld, cluster, workers
from tests.patience import patience


class Bench:
    """A controller on a fake world, with everything it said."""

    def __init__(self) -> None:
        self.world = FakeWorld()
        self.events: list[Event] = []
        self.controller = ClusterController(self.world.world(), self.events.append)

    @property
    def state(self) -> ClusterState:
        return self.controller.snapshot.state

    @property
    def alive(self) -> set[str]:
        return {name for name, child in self.world.children.items() if child.alive}

    def states(self) -> list[ClusterState]:
        """The states in order, repetitions left out."""
        seen: list[ClusterState] = []
        for event in self.events:
            if isinstance(event, ClusterChanged) and (not seen or seen[-1] is not event.snapshot.state):
                seen.append(event.snapshot.state)
        return seen

    def notices(self) -> list[str]:
        return [e.text for e in self.events if isinstance(e, Notice)]


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def request(*layers: int, port: int = 8080, count: int = 3) -> Request:
    devices = workers(*[None] * count)
    return Request(cluster(devices, serving=Serving(port=port)), Split(layers or (16, 10, 5), 31), 1000)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(patience(5)):
        while not condition():
            await asyncio.sleep(0.001)


async def test_workers_start_before_the_master_and_stop_after_it(bench: Bench) -> None:
    await bench.controller.start(request())
    assert [s.name for s in bench.world.starts] == ["worker d0", "worker d1", "worker d2", "master"]
    assert bench.states()[-1] is ClusterState.READY
    assert bench.controller.snapshot.api == "http://127.0.0.1:8080"
    order: list[str] = []
    for name, child in bench.world.children.items():
        original = child.terminate
        child.terminate = lambda name=name, original=original: (order.append(name), original())  # type: ignore
    await bench.controller.stop()
    assert order[0] == "master"
    assert set(order[1:]) == {"worker d0", "worker d1", "worker d2"}
    assert bench.state is ClusterState.DOWN
    assert bench.alive == set()


async def test_a_new_split_restarts_the_master_only(bench: Bench) -> None:
    await bench.controller.start(request())
    pids = {name: child.pid for name, child in bench.world.children.items()}
    await bench.controller.start(request(20, 0, 8))
    after = {name: child.pid for name, child in bench.world.children.items()}
    changed = {name for name in after if after[name] != pids[name]}
    assert changed == {"master"}
    master = bench.world.starts[-1].argv
    assert master[master.index("-ts") + 1] == "20,8"
    assert bench.controller.snapshot.applied is not None
    assert bench.controller.snapshot.applied.split.layers == (20, 0, 8)


async def test_a_device_that_joins_gets_a_worker_and_one_that_leaves_loses_it(bench: Bench) -> None:
    await bench.controller.start(request(31, count=1))
    await bench.controller.start(request(16, 10, 5))
    assert bench.alive == {"worker d0", "worker d1", "worker d2", "master"}
    await bench.controller.start(request(31, count=1))
    assert bench.alive == {"worker d0", "master"}


async def test_a_worker_that_cannot_start_fails_the_start_and_leaves_nothing(bench: Bench) -> None:
    bench.world.unstartable = {"worker d1"}
    with pytest.raises(LaunchError, match="worker d1.*cannot be started"):
        await bench.controller.start(request())
    assert bench.state is ClusterState.FAILED
    assert bench.alive == set()


async def test_a_silent_worker_is_given_up_in_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hettui.services.cluster.bringing_up.WORKER_READY_S", 0.05)
    bench.world.silent_workers = {50053}
    with pytest.raises(LaunchError, match="worker d1 did not answer"):
        await bench.controller.start(request())
    assert bench.alive == set()


async def test_a_worker_that_lends_several_devices_is_refused(bench: Bench) -> None:
    bench.world.lent_devices = 2
    with pytest.raises(LaunchError, match="lends 2 devices"):
        await bench.controller.start(request())
    assert bench.alive == set()


async def test_a_master_that_dies_while_loading_is_explained(bench: Bench) -> None:
    bench.world.dies_loading = lambda spec: (1, "invalid magic characters: 'x'") if spec.role == "master" else None
    with pytest.raises(LaunchError, match="no GGUF"):
        await bench.controller.start(request())
    assert bench.state is ClusterState.FAILED
    assert "no GGUF" in (bench.controller.snapshot.problem or "")
    assert bench.alive == set()


async def test_a_split_that_does_not_come_up_gives_way_to_the_one_before(bench: Bench) -> None:
    await bench.controller.start(request())

    def fate(spec: ProcessSpec) -> tuple[int, str] | None:
        return (1, "failed to allocate buffer for kv cache") if "20,8" in spec.argv else None

    bench.world.dies_loading = fate
    with pytest.raises(LaunchError, match="KV cache"):
        await bench.controller.start(request(20, 0, 8))
    assert bench.state is ClusterState.READY
    assert bench.controller.snapshot.applied is not None
    assert bench.controller.snapshot.applied.split.layers == (16, 10, 5)
    assert any("Going back" in text for text in bench.notices())


async def test_another_model_that_does_not_come_up_gives_way_to_the_one_before(bench: Bench) -> None:
    await bench.controller.start(request())
    other = replace(request(), cluster=replace(request().cluster, model_path="/models/other.gguf"))
    bench.world.dies_loading = lambda spec: (
        (1, "invalid magic characters: 'x'") if "/models/other.gguf" in spec.argv else None
    )
    with pytest.raises(LaunchError, match="no GGUF"):
        await bench.controller.start(other)
    assert bench.state is ClusterState.READY
    assert bench.controller.model_path == "/models/smol.gguf"
    assert any("Going back" in text for text in bench.notices())


async def test_a_start_that_is_refused_before_it_begins_touches_nothing(bench: Bench) -> None:
    await bench.controller.start(request())
    pids = {name: child.pid for name, child in bench.world.children.items()}
    bench.world.used_ports = {9090}
    with pytest.raises(LaunchError, match="port 9090 on 127.0.0.1 is in use"):
        await bench.controller.start(request(20, 0, 11, port=9090))
    joined = (*workers(None, None, None), replace(workers(None)[0], name="d3", port=9090))
    more = Request(cluster(joined, serving=Serving(port=8080)), Split((16, 10, 4, 1), 31))
    with pytest.raises(LaunchError, match='port 9090 of device "d3" is in use'):
        await bench.controller.start(more)
    assert {name: child.pid for name, child in bench.world.children.items()} == pids
    assert all(child.signals == [] for child in bench.world.children.values())
    assert bench.state is ClusterState.READY
    assert bench.controller.snapshot.applied is not None
    assert bench.controller.snapshot.applied.split.layers == (16, 10, 5)
    assert bench.controller.snapshot.problem is None
    assert sum("was not touched" in text for text in bench.notices()) == 2


async def test_a_dead_worker_takes_everything_down_and_is_named(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.world.log["worker d1"].append("Failed to allocate input buffer of size 99")
    bench.world.children["worker d1"].end(-9)
    await until(lambda: bench.state is ClusterState.FAILED)
    assert "worker d1" in (bench.controller.snapshot.problem or "")
    await until(lambda: bench.controller.snapshot.processes == ())
    assert bench.state is ClusterState.FAILED
    assert bench.alive == set()
    found = bench.controller.snapshot.post_mortem
    assert found is not None
    assert (found.device, found.what) == ("d1", "out of memory while receiving weights")
    assert "master is stopped with it" in found.consequences[0]
    await bench.controller.start(request())
    assert bench.states()[-1] is ClusterState.READY


async def test_a_worker_that_dies_while_the_master_loads_is_the_cause(bench: Bench) -> None:
    bench.world.healthy = False
    starting = asyncio.create_task(bench.controller.start(request()))
    await until(lambda: bench.state is ClusterState.LOADING)
    bench.world.children["worker d2"].end(-9)
    await until(lambda: bench.controller.snapshot.processes[2].state.value == "failed")
    bench.world.children["master"].end(-6)
    with pytest.raises(LaunchError, match="worker d2"):
        await starting
    assert bench.alive == set()


async def test_stop_ends_a_start_in_progress(bench: Bench) -> None:
    bench.world.healthy = False
    starting = asyncio.create_task(bench.controller.start(request()))
    await until(lambda: bench.state is ClusterState.LOADING)
    await bench.controller.stop()
    assert bench.state is ClusterState.DOWN
    assert bench.alive == set()
    with pytest.raises(LaunchError, match="newer command"):
        await starting


async def test_of_many_commands_the_last_one_counts(bench: Bench) -> None:
    commands = [asyncio.create_task(bench.controller.start(request(31 - n, n, 0))) for n in range(6)]
    results = await asyncio.gather(*commands, return_exceptions=True)
    assert [r for r in results[:-1] if not isinstance(r, HettuiError)] == []
    assert results[-1] is None
    assert bench.controller.snapshot.applied is not None
    assert bench.controller.snapshot.applied.split.layers == (26, 5, 0)
    assert bench.alive == {"worker d0", "worker d1", "worker d2", "master"}


async def test_a_child_that_ignores_sigterm_is_killed(bench: Bench) -> None:
    bench.world.stubborn = {"master"}
    await bench.controller.start(replace(request(), supervision=Supervision(stop_grace_s=0.01)))
    master = bench.world.children["master"]
    await bench.controller.stop()
    assert master.signals == ["TERM", "KILL"]
    assert bench.alive == set()


async def test_the_http_client_is_closed_before_the_master_is_stopped(bench: Bench) -> None:
    await bench.controller.start(request())
    closed_at_term: list[int] = []
    child = bench.world.children["master"]
    original = child.terminate
    child.terminate = lambda: (closed_at_term.append(bench.world.clients_closed), original())  # type: ignore
    await bench.controller.stop()
    assert closed_at_term == [1]


async def test_a_taken_api_port_is_refused_before_anything_starts(bench: Bench) -> None:
    bench.world.used_ports = {8080}
    with pytest.raises(LaunchError, match="port 8080 on 127.0.0.1 is in use"):
        await bench.controller.start(request())
    assert bench.world.starts == []


@pytest.mark.parametrize(
    ("host", "api"),
    [("10.9.9.1", "http://10.9.9.1:8080"), ("::", "http://[::1]:8080"), ("::1", "http://[::1]:8080")],
)
async def test_the_api_is_asked_where_the_master_listens(bench: Bench, host: str, api: str) -> None:
    """By the one who starts it, by one who takes it over, by one who only watches, and by `hettui status`."""
    devices = workers(None)
    await bench.controller.start(Request(cluster(devices, serving=Serving(host)), Split((31,), 31)))
    assert bench.controller.snapshot.api == api
    record = bench.world.runs.load()
    assert record is not None
    second = ClusterController(bench.world.world(), bench.events.append)
    await second.take_over(record)
    assert second.snapshot.api == api
    viewer = Viewer(bench.world.world(), bench.events.append, "only shown")
    await viewer.take_over(record)
    assert viewer.snapshot.api == api
    assert RunReport(record, {p.spec.name: True for p in record.processes}, None).api == api
    assert bench.world.asked == [api] * 3


async def test_status_names_the_projector_of_what_runs(bench: Bench) -> None:
    sees = RuntimeParams(mmproj="/models/mmproj-F16.gguf", mmproj_device="host")
    devices = workers(None)
    await bench.controller.start(Request(cluster(devices, params=sees), Split((31,), 31)))
    record = bench.world.runs.load()
    report = RunReport(record, {}, None)
    assert report.as_json()["projector"] == {"path": "/models/mmproj-F16.gguf", "device": "host"}
    assert "Projector: /models/mmproj-F16.gguf on host" in report.as_text().splitlines()
    assert bench.controller.snapshot.sees_pictures
    assert record is not None
    plain = RunReport(replace(record, cluster=cluster(devices)), {}, None)
    assert plain.as_json()["projector"] is None
    assert "Projector" not in plain.as_text()


async def test_what_is_said_to_be_ready_can_be_asked(bench: Bench) -> None:
    """Also in the moment of a takeover: the screen offered the chat, and the engine refused it."""
    await bench.controller.start(request())
    record = bench.world.runs.load()
    assert record is not None
    asked: list[bool] = []

    def hear(event: Event) -> None:
        if isinstance(event, ClusterChanged) and event.snapshot.state is ClusterState.READY:
            asked.append(second.client is not None)

    second = ClusterController(bench.world.world(), hear)
    await second.take_over(record)
    assert asked
    assert all(asked)


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("203.0.113.1", "203.0.113.1 is no address of this machine"),
        ("10.9.9.1", "port 8080 on 10.9.9.1 may not be opened by this user"),
        ("/run/x.sock", "is a socket"),
        ("127.0.0.1,203.0.113.1", "takes one address"),
    ],
)
async def test_a_host_that_cannot_serve_is_refused_before_anything_starts(bench: Bench, host: str, says: str) -> None:
    bench.world.obstacles = {"203.0.113.1": "not here", "10.9.9.1": "not allowed"}
    with pytest.raises(HettuiError, match=says):
        await bench.controller.start(Request(cluster(workers(None), serving=Serving(host)), Split((31,), 31)))
    assert bench.world.starts == []


async def test_a_workers_port_that_is_roots_alone_is_told_from_a_taken_one(bench: Bench) -> None:
    bench.world.obstacles = {"127.0.0.1": "not allowed"}
    (device,) = workers(None)
    with pytest.raises(LaunchError, match='port 80 of device "d0" may not be opened'):
        await bench.controller.start(
            Request(cluster((replace(device, port=80),), serving=Serving("10.9.9.1")), Split((31,), 31))
        )
    assert bench.world.starts == []


async def test_taken_worker_ports_are_passed_over(bench: Bench) -> None:
    bench.world.used_ports = {50052, 50054}
    await bench.controller.start(request())
    assert [s.address[1] for s in bench.world.starts[:3]] == [50053, 50055, 50056]


async def test_a_port_that_was_taken_from_a_master_which_says_nothing_is_chosen_anew(bench: Bench) -> None:
    """llama-server's last lines may be lost: the port itself is asked."""

    def taken(spec: ProcessSpec) -> tuple[int, str] | None:
        if spec.role != "master" or bench.world.used_ports:
            return None
        bench.world.used_ports = {spec.address[1]}
        return 1, ""

    bench.world.dies_loading = taken
    await bench.controller.start(request(port=0))
    assert any("its port is in use, and it printed nothing; another one is taken" in n for n in bench.notices())
    assert bench.world.starts[-1].address[1] not in bench.world.used_ports


async def test_an_automatic_api_port_stays_the_same_across_a_new_split(bench: Bench) -> None:
    await bench.controller.start(request(port=0))
    first = bench.controller.snapshot.api
    await bench.controller.start(request(20, 0, 8, port=0))
    assert bench.controller.snapshot.api == first


async def test_the_load_bar_counts_what_the_kernel_sent(bench: Bench) -> None:
    bench.world.healthy = False
    starting = asyncio.create_task(bench.controller.start(request()))
    await until(lambda: bench.state is ClusterState.LOADING)
    bench.world.sent = {50052: 300, 50053: 200}
    bench.controller.read_logs()
    load = bench.controller.snapshot.load
    assert load is not None
    assert (load.fraction, load.done_bytes) == (0.5, 500)
    bench.world.healthy = True
    await starting
    assert bench.controller.snapshot.load is None


async def test_what_llama_cpp_reports_late_is_still_measured(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.world.log["master"].append("0.1.2.3 I load_tensors: RPC0[127.0.0.1:50052] model buffer size = 42.00 MiB")
    bench.controller.read_logs()
    assert bench.controller.snapshot.applied is not None
    assert bench.controller.snapshot.applied.measured["d0"].weights_bytes == 42 * 1024 * 1024


async def test_states_go_in_order(bench: Bench) -> None:
    await bench.controller.start(request())
    await bench.controller.stop()
    assert bench.states() == [
        ClusterState.STARTING,
        ClusterState.LOADING,
        ClusterState.READY,
        ClusterState.STOPPING,
        ClusterState.DOWN,
    ]


async def test_a_probe_that_loses_its_cancellation_does_not_hold_up_the_failure(bench: Bench) -> None:
    """Python's wait_for() did so in 3.11 for a refused connection: the cluster stayed at "starting" for ever."""
    lost = 0

    async def stubborn(host: str, port: int, timeout_s: float) -> RpcServerInfo:
        nonlocal lost
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if lost == 0:
                lost += 1
                raise OSError("refused, and the cancellation forgotten") from None
            raise
        raise AssertionError("nobody waits that long")

    bench.world.probe = stubborn  # type: ignore[method-assign]
    starting = asyncio.create_task(bench.controller.start(request()))
    await until(lambda: "worker d1" in bench.world.children)
    bench.world.children["worker d1"].end(255)
    async with asyncio.timeout(patience(5)):
        with pytest.raises(LaunchError, match="worker d1 ended"):
            await starting
    assert lost == 1
    assert bench.states()[-1] is ClusterState.FAILED
    assert bench.alive == set()


async def test_the_last_words_of_a_process_reach_the_log_pane(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.world.log["master"].append("these are my last words")
    bench.world.children["master"].end(1)
    await until(lambda: bench.controller.snapshot.processes == ())
    said = [line for e in bench.events if isinstance(e, LogLines) for line in e.lines]
    assert said.count("these are my last words") == 1
