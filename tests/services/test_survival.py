"""Restarts, takeovers and stops on a fake world: what lives on, what is brought back, what is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from hettui.domain.cluster.process import ProcessState, RestartPolicy
from hettui.domain.cluster.run_state import from_text, to_text
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.cluster.supervision import Supervision
from hettui.domain.errors import HettuiError, LaunchError
from hettui.ports import FoundProcess, RpcServerInfo
from hettui.services.cluster import supervisor
from hettui.services.cluster.controller import ClusterController
from hettui.services.cluster.viewer import Viewer
from hettui.services.cluster.world import Request
from hettui.services.events import ClusterChanged, Event, Notice, OwnerLeft
from tests.fakes import FakeChild
from tests.patience import patience
from tests.services.test_cluster import Bench, request, until

NAMES = {"worker d0", "worker d1", "worker d2", "master"}


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def stubborn(limit: int, **more: float) -> Request:
    """A request whose processes are started again."""
    policy = RestartPolicy(limit, window_s=100, first_pause_s=1)
    return replace(request(), supervision=Supervision(policy, **more))


async def successor(bench: Bench) -> Bench:
    """The next hettui on the same world, after it has taken over."""
    following = Bench()
    following.world = bench.world
    following.controller = ClusterController(bench.world.world(), following.events.append)
    await following.controller.take_over(bench.world.runs.load())
    return following


# -- restarts ------------------------------------------------------------------------------------------------------


async def test_a_dead_worker_is_brought_back_in_order(bench: Bench) -> None:
    await bench.controller.start(stubborn(2))
    others = {name: child.pid for name, child in bench.world.children.items()}
    bench.world.children["worker d1"].end(-9)
    await until(lambda: bench.controller.snapshot.waiting is not None)
    assert bench.state is ClusterState.STARTING
    assert "worker d1 ended" in str(bench.controller.snapshot.waiting)
    assert bench.alive == {"worker d0", "worker d2"}
    bench.world.clock.now += 1.1
    await until(lambda: bench.state is ClusterState.READY)
    assert bench.alive == NAMES
    changed = {name for name, child in bench.world.children.items() if child.pid != others[name]}
    assert changed == {"worker d1", "master"}
    assert [s.name for s in bench.world.starts[-2:]] == ["worker d1", "master"]
    await until(lambda: any("started again" in text for text in bench.notices()))
    assert bench.controller.snapshot.post_mortem is None
    seen = [
        e.snapshot for e in bench.events if isinstance(e, ClusterChanged) and e.snapshot.state is ClusterState.READY
    ]
    # Never ready with the story of its end beside it, nor ready at no address.
    assert {(s.post_mortem, s.api is None, s.load, s.waiting) for s in seen} == {(None, False, None, None)}


async def test_an_end_in_the_moment_of_readiness_is_not_overlooked(bench: Bench) -> None:
    first: list[bool] = []

    def heard(event: Event) -> None:
        bench.events.append(event)
        if isinstance(event, ClusterChanged) and event.snapshot.state is ClusterState.READY and not first:
            first.append(True)
            bench.world.children["master"].end(-11)

    bench.controller = ClusterController(bench.world.world(), heard)
    with pytest.raises(LaunchError, match="SIGSEGV"):
        await bench.controller.start(request())
    assert bench.state is ClusterState.FAILED
    assert bench.alive == set()


async def test_a_crash_loop_ends_with_its_reason(bench: Bench) -> None:
    await bench.controller.start(stubborn(2))
    for _ in range(2):
        bench.world.children["master"].end(-11)
        await until(lambda: bench.controller.snapshot.waiting is not None)
        bench.world.clock.now += 5
        await until(lambda: bench.state is ClusterState.READY)
    bench.world.children["master"].end(-11)
    await until(lambda: bench.controller.snapshot.processes == ())
    assert bench.state is ClusterState.FAILED
    assert bench.alive == set()
    assert "SIGSEGV" in (bench.controller.snapshot.problem or "")


async def test_what_a_restart_cannot_cure_is_not_restarted(bench: Bench) -> None:
    await bench.controller.start(stubborn(5))
    bench.world.log["worker d0"].append("Failed to allocate input buffer of size 99")
    bench.world.children["worker d0"].end(1)
    await until(lambda: bench.controller.snapshot.processes == ())
    assert bench.state is ClusterState.FAILED
    assert len(bench.world.starts) == 4


async def test_what_a_living_worker_says_is_heard_and_a_known_fault_is_not_started_again(bench: Bench) -> None:
    await bench.controller.start(stubborn(5))
    bench.world.log["worker d1"].append("[create_node] invalid data ptr[graph_compute] failed to create graph node 9")
    bench.world.log["master"].append("Remote RPC server crashed or returned malformed response")
    bench.world.children["master"].end(-6)
    await until(lambda: bench.controller.snapshot.processes == ())
    assert bench.state is ClusterState.FAILED
    assert len(bench.world.starts) == 4
    found = bench.controller.snapshot.post_mortem
    assert found is not None
    assert found.what.startswith("worker d1 says why: this llama.cpp build sends a worker addresses")
    assert "b11434" in found.remedy


async def test_a_restart_that_fails_counts_as_an_end(bench: Bench) -> None:
    await bench.controller.start(stubborn(3))
    bench.world.dies_loading = lambda spec: (-6, "boom") if spec.role == "master" else None
    bench.world.children["master"].end(-6)
    for _ in range(3):
        await until(lambda: bench.controller.snapshot.waiting is not None)
        bench.world.clock.now += 5
        starts = len(bench.world.starts)
        await until(lambda starts=starts: len(bench.world.starts) > starts)  # type: ignore[misc]
    await until(lambda: bench.controller.snapshot.processes == ())
    assert bench.state is ClusterState.FAILED
    assert [s.name for s in bench.world.starts].count("master") == 4


async def test_stop_during_the_pause_is_stop(bench: Bench) -> None:
    await bench.controller.start(stubborn(2))
    bench.world.children["worker d1"].end(-9)
    await until(lambda: bench.controller.snapshot.waiting is not None)
    await bench.controller.stop()
    assert bench.state is ClusterState.DOWN
    assert bench.alive == set()
    assert bench.world.runs.load() is None


# -- the record ----------------------------------------------------------------------------------------------------


async def test_what_runs_is_recorded_before_it_is_started_and_until_it_is_gone(bench: Bench) -> None:
    await bench.controller.start(request())
    records = [r for r in bench.world.runs.saved if r is not None]
    assert [p.pid for p in records[0].processes] == [None, None, None]
    last = records[-1]
    assert last.state is ClusterState.READY
    assert {p.spec.name: p.pid for p in last.processes} == {n: c.pid for n, c in bench.world.children.items()}
    assert all(p.ready for p in last.processes)
    await bench.controller.stop()
    assert bench.world.runs.load() is None


async def test_a_record_comes_back_from_its_text_as_it_was(bench: Bench) -> None:
    await bench.controller.start(replace(request(), api_key="sk-secret", config_path="/etc/c.toml", demo=True))
    record = bench.world.runs.load()
    assert record is not None
    text = to_text(record)
    assert "sk-secret" not in text
    assert from_text(text) == record


async def test_a_record_that_was_cut_anywhere_is_told_from_a_whole_one(bench: Bench) -> None:
    await bench.controller.start(request())
    record = bench.world.runs.load()
    assert record is not None
    text = to_text(record)
    for length in range(len(text) - 1):
        with pytest.raises(ValueError, match=r".+"):
            from_text(text[:length])
    with pytest.raises(ValueError, match="checksum"):
        from_text(text.replace('"pid": 1001', '"pid": 1'))


async def test_a_record_that_cannot_be_written_is_told_once(bench: Bench) -> None:
    bench.world.runs.problem = HettuiError("the state file cannot be written: No space left on device")
    await bench.controller.start(request())
    assert bench.state is ClusterState.READY
    assert len([t for t in bench.notices() if "No space left" in t]) == 1


# -- taking over ---------------------------------------------------------------------------------------------------


async def test_the_next_one_takes_over_and_stops_in_order(bench: Bench) -> None:
    bench.world.log["master"] = ["before this run"]
    await bench.controller.start(request())
    bench.world.log["master"].append("load_tensors: RPC0[127.0.0.1:50052] model buffer size = 42.00 MiB")
    await bench.controller.leave()
    assert bench.alive == NAMES
    assert all(child.released for child in bench.world.children.values())
    following = await successor(bench)
    snapshot = following.controller.snapshot
    assert snapshot.state is ClusterState.READY
    assert snapshot.api == "http://127.0.0.1:8080"
    assert snapshot.applied is not None
    assert snapshot.applied.split.layers == (16, 10, 5)
    following.controller.read_logs()
    assert following.controller.snapshot.applied is not None
    assert following.controller.snapshot.applied.measured["d0"].weights_bytes == 42 * 1024 * 1024
    assert len(bench.world.starts) == 4
    await following.controller.start(request(20, 0, 11))
    assert [s.name for s in bench.world.starts[4:]] == ["master"]
    await following.controller.stop()
    assert following.alive == set()


async def test_a_cluster_that_loads_is_taken_over_and_waited_for(bench: Bench) -> None:
    bench.world.healthy = False
    starting = asyncio.create_task(bench.controller.start(request()))
    await until(lambda: bench.state is ClusterState.LOADING)
    await bench.controller.leave()
    with pytest.raises(LaunchError):
        await starting
    following = await successor(bench)
    assert following.state is ClusterState.LOADING
    bench.world.healthy = True
    await until(lambda: following.state is ClusterState.READY)
    assert following.alive == NAMES


async def test_reused_pids_and_other_boots_are_nobody_of_ours(bench: Bench) -> None:
    await bench.controller.start(request())
    await bench.controller.leave()
    for child in bench.world.children.values():
        child.started = 7
    following = await successor(bench)
    assert following.controller.snapshot.processes == ()
    assert following.state is ClusterState.FAILED
    assert "ended meanwhile" in (following.controller.snapshot.problem or "")
    assert bench.world.runs.load() is None
    assert all(child.signals == [] for child in bench.world.children.values())


async def test_after_a_reboot_nothing_is_taken_over_and_nothing_is_blamed(bench: Bench) -> None:
    await bench.controller.start(request())
    await bench.controller.leave()
    bench.world.runs.boot_id = "another"
    following = await successor(bench)
    assert following.state is ClusterState.DOWN
    assert all(child.signals == [] for child in bench.world.children.values())


async def test_what_is_half_dead_is_told_and_can_be_cleaned_or_started_anew(bench: Bench) -> None:
    await bench.controller.start(request())
    await bench.controller.leave()
    bench.world.log["worker d1"].append("Failed to allocate input buffer of size 99")
    bench.world.children["worker d1"].end(1)
    following = await successor(bench)
    snapshot = following.controller.snapshot
    assert snapshot.state is ClusterState.FAILED
    assert snapshot.post_mortem is not None
    assert snapshot.post_mortem.device == "d1"
    assert "while no hettui was watching" in snapshot.post_mortem.sentence
    assert "Stop ends them" in (snapshot.problem or "")
    assert following.alive == NAMES - {"worker d1"}
    bench.world.children["master"].end(-9)
    await until(lambda: len(following.controller.snapshot.processes) == 2)
    assert following.state is ClusterState.FAILED
    await following.controller.start(request())
    assert following.states()[-1] is ClusterState.READY
    assert [s.name for s in bench.world.starts[4:]] == ["worker d1", "master"]
    await following.controller.stop()
    assert following.alive == set()


async def test_what_was_started_and_never_recorded_is_found_and_ended(bench: Bench) -> None:
    await bench.controller.start(request())
    await bench.controller.leave()
    record = bench.world.runs.load()
    assert record is not None
    # As if hettui had been killed between starting the master and writing down its pid; and a stranger with our mark.
    master = record.processes[-1]
    lost = replace(record, processes=(*record.processes[:-1], replace(master, pid=None, started=None)))
    bench.world.runs.save(lost)
    child = bench.world.children["master"]
    stranger = FakeChild(4711)
    bench.world.pids[4711] = stranger
    bench.world.strangers = [
        FoundProcess(child.pid, child.started or 0, master.spec.argv),
        FoundProcess(4711, stranger.started or 0, ("ggml-rpc-server",)),
    ]
    following = await successor(bench)
    assert following.state is ClusterState.READY
    assert not stranger.alive
    assert following.controller.snapshot.processes[-1].pid == child.pid


async def test_without_a_readable_record_marked_processes_are_offered_for_cleaning(bench: Bench) -> None:
    stranger = FakeChild(4711)
    bench.world.pids[4711] = stranger
    bench.world.strangers = [FoundProcess(4711, stranger.started or 0, ("llama-server",))]
    following = await successor(bench)
    assert following.state is ClusterState.FAILED
    assert "4711" in (following.controller.snapshot.problem or "")
    await following.controller.stop()
    assert not stranger.alive
    assert following.controller.snapshot.state is ClusterState.DOWN


def marked(bench: Bench, name: str) -> FoundProcess:
    """A process of this bench, as its mark finds it."""
    child = bench.world.children[name]
    return FoundProcess(child.pid, child.started or 0, next(s.argv for s in bench.world.starts if s.name == name))


async def test_on_another_boot_id_the_mark_counts(bench: Bench) -> None:
    await bench.controller.start(request())
    await bench.controller.leave()
    bench.world.runs.boot_id = "told otherwise"
    bench.world.strangers = [marked(bench, name) for name in bench.world.children]
    following = await successor(bench)
    assert following.state is ClusterState.READY
    assert following.alive == NAMES
    assert len(following.controller.snapshot.processes) == 4
    await following.controller.stop()
    assert following.alive == set()


async def test_a_record_that_could_not_be_replaced_any_more_is_completed_by_the_mark(bench: Bench) -> None:
    await bench.controller.start(request())
    await bench.controller.leave()
    record = bench.world.runs.load()
    assert record is not None
    older = tuple(replace(p, pid=None, started=None, ready=False) for p in record.processes)
    bench.world.runs.save(replace(record, state=ClusterState.STARTING, processes=older))
    bench.world.strangers = [marked(bench, name) for name in bench.world.children]
    following = await successor(bench)
    await until(lambda: following.state is ClusterState.READY)
    assert following.alive == NAMES


@pytest.mark.parametrize("recorded", [[], ["worker d0", "worker d1", "worker d2"]], ids=["nothing", "workers only"])
async def test_nothing_is_started_over_a_cluster_that_no_record_tells(bench: Bench, recorded: list[str]) -> None:
    await bench.controller.start(request())
    await bench.controller.leave()
    record = bench.world.runs.load()
    assert record is not None
    kept = tuple(p for p in record.processes if p.spec.name in recorded)
    bench.world.runs.save(replace(record, processes=kept) if kept else None)
    bench.world.strangers = [marked(bench, name) for name in NAMES - set(recorded)]
    following = await successor(bench)
    pid = bench.world.children["master"].pid
    assert f"llama-server (pid {pid}) with smol.gguf at port 8080" in (following.controller.snapshot.problem or "")
    for _ in range(2):
        with pytest.raises(LaunchError, match=f"pid {pid}.*hettui down"):
            await following.controller.start(request())
    assert following.alive == NAMES
    assert all(child.signals == [] for child in bench.world.children.values())
    # Asked for, they end, and then a start is one.
    await following.controller.stop()
    assert following.alive == set()
    await following.controller.start(request())
    assert following.state is ClusterState.READY


async def test_a_server_beside_a_recorded_cluster_is_told_and_left_alone(bench: Bench) -> None:
    await bench.controller.start(request())
    await bench.controller.leave()
    other = FakeChild(4711)
    bench.world.pids[4711] = other
    bench.world.strangers = [FoundProcess(4711, other.started or 0, ("/opt/llama-server", "-m", "/m/other.gguf"))]
    following = await successor(bench)
    assert following.state is ClusterState.READY
    assert any("other.gguf" in text for text in following.notices())
    assert other.alive
    assert other.signals == []


async def test_a_takeover_is_told_and_recorded_as_a_whole(bench: Bench) -> None:
    await bench.controller.start(request())
    await bench.controller.leave()
    saved = len(bench.world.runs.saved)
    following = await successor(bench)
    assert following.states() == [ClusterState.READY]
    records = [r for r in bench.world.runs.saved[saved - 1 :] if r is not None]
    assert all(len(record.processes) == 4 and record.state is ClusterState.READY for record in records)


async def test_a_taken_over_process_that_ends_is_noticed(bench: Bench) -> None:
    await bench.controller.start(request())
    await bench.controller.leave()
    following = await successor(bench)
    bench.world.children["worker d0"].end(-9)
    await until(lambda: following.controller.snapshot.processes == ())
    assert following.state is ClusterState.FAILED
    assert following.alive == set()


@pytest.mark.parametrize("recorded", [True, False])
async def test_before_a_takeover_nobody_says_that_nothing_runs(bench: Bench, recorded: bool) -> None:
    if recorded:
        await bench.controller.start(request())
        await bench.controller.leave()
    following, seen = Bench(), list[object]()
    following.controller = ClusterController(bench.world.world(), following.events.append)
    viewer = Viewer(bench.world.world(), seen.append, "read only")
    for one in (following.controller, viewer):
        one.expect_takeover()
        assert one.snapshot.state is ClusterState.LOOKING
        await one.take_over(bench.world.runs.load())
    after = ClusterState.READY if recorded else ClusterState.DOWN
    assert following.states() == [after]
    assert [e.snapshot.state for e in seen if isinstance(e, ClusterChanged)] == [after]


async def test_a_second_one_only_looks(bench: Bench) -> None:
    await bench.controller.start(request())
    events: list[object] = []
    viewer = Viewer(bench.world.world(), events.append, "another hettui (pid 1) owns the cluster")
    await viewer.take_over(None)
    assert viewer.snapshot.state is ClusterState.READY
    assert {p.name for p in viewer.snapshot.processes} == NAMES
    for refused in (viewer.start(request()), viewer.stop()):
        with pytest.raises(HettuiError, match="pid 1"):
            await refused
    await viewer.leave()
    assert bench.alive == NAMES
    await bench.controller.stop()
    viewer.read_logs()
    assert viewer.snapshot.processes == ()


async def test_a_second_one_is_told_once_when_the_owner_leaves(bench: Bench) -> None:
    await bench.controller.start(request())
    seen: list[object] = []
    viewer = Viewer(bench.world.world(), seen.append, "another hettui (pid 1) owns the cluster")
    viewer.expect_takeover()
    viewer.read_logs()
    assert seen == [], "nobody hears it yet"
    await viewer.take_over(None)
    assert any(isinstance(e, ClusterChanged) for e in seen)
    bench.world.runs.owned_by = None
    for _ in range(30):
        bench.world.clock.now += 0.25
        viewer.read_logs()
    assert [e.runs for e in seen if isinstance(e, OwnerLeft)] == [True]


# -- stopping ------------------------------------------------------------------------------------------------------


async def test_what_not_even_sigkill_ends_is_named_and_not_waited_for_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "KILL_GRACE_S", 0.05)
    bench.world.stubborn = bench.world.immortal = {"worker d1"}
    await bench.controller.start(stubborn(0, stop_grace_s=0.02))
    await bench.controller.stop()
    snapshot = bench.controller.snapshot
    assert snapshot.state is ClusterState.FAILED
    assert "worker d1 (pid 1002) does not end even after SIGKILL" in (snapshot.problem or "")
    assert [p.name for p in snapshot.processes] == ["worker d1"]
    record = bench.world.runs.load()
    assert record is not None
    assert [p.pid for p in record.processes] == [1002]


async def test_an_escalation_counts_down_visibly(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hettui.services.cluster.stopping._TELL_S", 0.01)
    monkeypatch.setattr("hettui.services.cluster.stopping._QUICK_S", -1)
    bench.world.stubborn = {"master"}
    await bench.controller.start(stubborn(0, stop_grace_s=0.2))
    stopping = asyncio.create_task(bench.controller.stop())
    await until(lambda: bench.controller.snapshot.waiting is not None)
    waiting = bench.controller.snapshot.waiting
    assert waiting is not None
    assert "master may end by itself" in waiting.text
    assert waiting.left_s == pytest.approx(0.2)
    await stopping
    assert bench.controller.snapshot.waiting is None


async def test_a_stop_waits_for_answers_when_asked_and_a_second_one_cuts(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.world.busy_slots = 2
    first = asyncio.create_task(bench.controller.stop(patience_s=30))
    await until(lambda: bench.controller.snapshot.waiting is not None)
    waiting = bench.controller.snapshot.waiting
    assert waiting is not None
    assert "2 answers may end" in waiting.text
    assert bench.alive == NAMES
    await bench.controller.stop()
    assert bench.alive == set()
    with pytest.raises(LaunchError, match="newer command"):
        await first


async def test_answers_that_end_let_the_stop_go_on(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.world.busy_slots = 1
    stopping = asyncio.create_task(bench.controller.stop(patience_s=30))
    await until(lambda: bench.controller.snapshot.waiting is not None)
    bench.world.busy_slots = None  # a server that does not say counts as idle
    await stopping
    assert bench.alive == set()


async def test_answers_that_never_end_are_not_waited_for_for_ever(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.world.busy_slots = 1
    stopping = asyncio.create_task(bench.controller.stop(patience_s=30))
    await until(lambda: bench.controller.snapshot.waiting is not None)
    bench.world.clock.now += 31
    await stopping
    assert bench.alive == set()


# -- hangs ---------------------------------------------------------------------------------------------------------


async def test_a_load_without_progress_is_given_up_and_one_with_progress_is_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_LOOK_S", 0.01)
    bench.world.healthy = False
    limit_s = patience(0.1)
    starting = asyncio.create_task(bench.controller.start(stubborn(0, load_timeout_s=limit_s)))
    await until(lambda: bench.state is ClusterState.LOADING)
    master = bench.world.children["master"]
    for _ in range(20):
        master.activity = (master.activity or 0) + 100
        await asyncio.sleep(limit_s / 5)
    assert not starting.done()
    with pytest.raises(LaunchError, match="did not make any progress"):
        await starting
    assert bench.alive == set()


@pytest.mark.parametrize(("complaint", "work"), [("", 1), ("/health is answered with 404: File Not Found", 10_000)])
async def test_what_our_own_asking_causes_is_no_progress(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, complaint: str, work: int
) -> None:
    """A server that never becomes ready answers each look at it, and logs it; one that answers otherwise loads no
    more, whatever it does."""
    monkeypatch.setattr(supervisor, "_LOOK_S", 0.01)
    world = bench.world
    world.healthy, world.complaint = False, complaint

    def asked() -> None:
        child = world.children["master"]
        child.activity = (child.activity or 0) + work
        world.log["master"].append(f"srv  log_server_r: done request: GET /health 127.0.0.1 {len(world.log['master'])}")
        world.log["master"].append(f"0.01.{len(world.log['master'])} W srv: still waiting")
        bench.controller.read_logs()

    world.health_asked = asked
    with pytest.raises(LaunchError, match="did not make any progress") as caught:
        await bench.controller.start(stubborn(0, load_timeout_s=0.5))
    assert str(caught.value).endswith(complaint)
    assert bench.alive == set()


async def test_a_frozen_worker_is_told_and_forgotten_when_it_goes_on(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.world.children["worker d1"].frozen = True
    bench.controller.read_logs()
    (process,) = [p for p in bench.controller.snapshot.processes if p.frozen]
    assert process.name == "worker d1"
    assert "kill -CONT 1002" in process.detail
    assert any("kill -CONT" in e.text for e in bench.events if isinstance(e, Notice))
    assert bench.state is ClusterState.READY
    bench.world.children["worker d1"].frozen = False
    bench.controller.read_logs()
    assert not any(p.frozen or p.detail for p in bench.controller.snapshot.processes)


async def test_a_worker_lost_while_loading_ends_the_load_although_the_master_hangs(bench: Bench) -> None:
    bench.world.healthy = False
    starting = asyncio.create_task(bench.controller.start(request()))
    await until(lambda: bench.state is ClusterState.LOADING)
    bench.world.children["worker d2"].end(-9)
    with pytest.raises(LaunchError, match="worker d2 ended while the model was loading"):
        await starting
    assert bench.alive == set()
    states = {p.state for p in bench.controller.snapshot.processes}
    assert states <= {ProcessState.STOPPED}


def test_records_of_other_versions_are_refused() -> None:
    for text in ("{}", "[]", '{"version": 99}', '{"version": 1, "sha256": "x", "run": null}', "nonsense"):
        with pytest.raises(ValueError, match=r".+"):
            from_text(text)


async def test_a_worker_that_hangs_is_replaced_before_a_master_waits_for_it(bench: Bench) -> None:
    await bench.controller.start(request())
    before = {name: child.pid for name, child in bench.world.children.items()}
    asked = bench.world.probe

    async def probe(host: str, port: int, timeout_s: float) -> RpcServerInfo:
        if port == 50053 and bench.world.children["worker d1"].pid == before["worker d1"]:
            raise OSError("no answer")
        return await asked(host, port, timeout_s)

    bench.world.probe = probe  # type: ignore[method-assign]
    await bench.controller.start(request(20, 5, 6))
    changed = {name for name, child in bench.world.children.items() if child.pid != before[name]}
    assert changed == {"worker d1", "master"}
    assert bench.alive == NAMES
    assert any("worker d1 does not answer any more" in text for text in bench.notices())


async def test_a_worker_that_an_unfinished_stop_left_frozen_is_replaced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hettui.services.cluster.bringing_up.WORKER_READY_S", 0.05)
    await bench.controller.start(request())
    await bench.controller.leave()
    record = bench.world.runs.load()
    assert record is not None
    # Its hettui was killed while it stopped: the others have ended, and this one is not ready any more.
    left = tuple(replace(p, ready=False) for p in record.processes if p.spec.name == "worker d1")
    bench.world.runs.save(replace(record, state=ClusterState.STOPPING, processes=left))
    for name in NAMES - {"worker d1"}:
        bench.world.children.pop(name).end(0)
    frozen, asked = bench.world.children["worker d1"].pid, bench.world.probe

    async def probe(host: str, port: int, timeout_s: float) -> RpcServerInfo:
        if port == 50053 and bench.world.children["worker d1"].pid == frozen:
            raise OSError("no answer")
        return await asked(host, port, timeout_s)

    bench.world.probe = probe  # type: ignore[method-assign]
    following = await successor(bench)
    assert following.state is ClusterState.FAILED
    await following.controller.start(request())
    await until(lambda: following.state is ClusterState.READY)
    assert following.alive == NAMES
    assert following.world.children["worker d1"].pid != frozen
    assert any("worker d1 did not answer within 0 s: see its log; it is started anew" in t for t in following.notices())
