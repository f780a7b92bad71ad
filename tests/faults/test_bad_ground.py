"""Full disks, taken ports, cut files, floods, hangs and missing folders."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from hettui.adapters.llama.binaries import find_engine
from hettui.adapters.processes.local import LocalRunner
from hettui.adapters.processes.run_folder import RunFolder
from hettui.adapters.processes.tcp_ports import LocalPorts
from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.cluster.supervision import Supervision
from hettui.domain.devices.device import Device
from hettui.domain.errors import HettuiError, LaunchError
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.plan.split import Split
from hettui.services.cluster.world import Request
from hettui.services.engine import Engine
from hettui.services.events import Event, LogLines, Notice
from hettui.wiring.engine import build_engine
from tests import fake_engine
from tests.faults.rig import LAYERS, Rig
from tests.patience import patience, until

pytestmark = pytest.mark.engine

DEADLINE_S = 30.0
DEVICES = tuple(Device(name, via="worker", threads=1) for name in ("one", "two"))


class Bench:
    """An engine over the fake programs, with what it said."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine
        self.events: list[Event] = []
        engine.subscribe(self.events.append)

    def request(self, **supervision: float) -> Request:
        programs = find_engine(str(self.folder / "bin"), {})
        cluster = Cluster("/models/none.gguf", RuntimeParams(), Serving(port=0), DEVICES, programs)
        return Request(cluster, Split((20, 11), 31), supervision=Supervision(**supervision))  # type: ignore[arg-type]

    def until(self, condition: Callable[[], bool]) -> None:
        until(condition, DEADLINE_S)

    @property
    def lines(self) -> list[str]:
        return [line for e in self.events if isinstance(e, LogLines) for line in e.lines]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    fake_engine.install(tmp_path / "bin")
    runs = RunFolder(tmp_path)
    with build_engine(tmp_path / "logs", runs) as engine:
        yield Bench(tmp_path, engine)
    assert LocalRunner(runs.mark).marked() == []


def faults(monkeypatch: pytest.MonkeyPatch, **what: object) -> None:
    monkeypatch.setenv("FAKE_ENGINE", json.dumps(what))


# -- children that misbehave -----------------------------------------------------------------------------------------


def test_a_flood_of_100_mb_a_second_stops_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    faults(monkeypatch, flood=100_000_000)
    bench.engine.start(bench.request()).result(patience(DEADLINE_S))
    bench.until(lambda: any("bytes skipped" in line for line in bench.lines))
    log = bench.folder / "logs" / "log-master.log"
    for _ in range(10):
        begun_s = time.monotonic()
        bench.engine.busy().result(patience(DEADLINE_S))
        assert time.monotonic() - begun_s < patience(2)
        # Ten looks a second at what ten times 10 MB may be, and the limit.
        assert log.stat().st_size < 200_000_000
    bench.engine.stop().result(patience(DEADLINE_S))
    assert bench.engine.snapshot.state is ClusterState.DOWN


def test_a_line_of_10_mb_is_cut_and_the_next_one_is_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    faults(monkeypatch, long_line=10_000_000)
    bench.engine.start(bench.request()).result(patience(DEADLINE_S))
    bench.until(lambda: "after the long line" in bench.lines)
    assert max(map(len, bench.lines)) <= 4096


def test_a_child_that_never_becomes_ready_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    faults(monkeypatch, never_ready=True)
    # The probes themselves keep the fake busy: what it does for them is no progress.
    starting = bench.engine.start(bench.request(load_timeout_s=1.0))
    bench.until(lambda: bench.engine.snapshot.load is not None)
    with pytest.raises(LaunchError, match="did not make any progress within 1 s"):
        starting.result(patience(DEADLINE_S))
    assert bench.engine.snapshot.state is ClusterState.FAILED


def test_a_child_that_ignores_sigterm_is_killed_in_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    faults(monkeypatch, ignore_term=True, worker_ignores_term=True)
    bench.engine.start(bench.request(stop_grace_s=1.0)).result(patience(DEADLINE_S))
    begun_s = time.monotonic()
    stopping = bench.engine.stop()
    bench.until(lambda: bench.engine.snapshot.waiting is not None)
    waiting = bench.engine.snapshot.waiting
    assert waiting is None or "then it is killed" in waiting.text
    stopping.result(patience(DEADLINE_S))
    assert 2.0 <= time.monotonic() - begun_s < patience(10)


def test_a_key_reaches_neither_argv_nor_log_nor_record(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_API_KEY", "sk-very-secret")
    bench.engine.start(replace(bench.request(), api_key="sk-very-secret")).result(patience(DEADLINE_S))
    for process in bench.engine.snapshot.processes:
        assert "sk-very-secret" not in Path(f"/proc/{process.pid}/cmdline").read_text()
        environment = Path(f"/proc/{process.pid}/environ").read_text()
        assert ("sk-very-secret" in environment) == (process.role == "master")
    files = [path for path in bench.folder.rglob("*") if path.is_file() and path.parent.name != "bin"]
    assert {path.name for path in files} >= {"cluster.json", "log-master.log"}
    for path in files:
        assert b"sk-very-secret" not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0, path


# -- ports -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("role", ["worker", "master"])
def test_a_port_that_is_taken_between_check_and_bind(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, role: str, held: ExitStack
) -> None:
    taken: list[socket.socket] = []
    free = LocalPorts.free

    def taking(self: LocalPorts, host: str, start: int, taken_ports: frozenset[int]) -> int:
        port = free(self, host, start, taken_ports)
        while (start == 0) == (role == "master") and not taken:
            # Another test may be faster still.
            with suppress(OSError):
                taken.append(held.enter_context(socket.create_server((host, port))))
                return port
            port = free(self, host, start, taken_ports)
        return port

    monkeypatch.setattr(LocalPorts, "free", taking)
    runs = RunFolder(tmp_path)
    devices = tuple(Device(n, via="worker", threads=1) for n in ("big", "middle", "small"))
    programs = find_engine(None, {"PATH": "/nowhere"})
    cluster = Cluster(str(model), RuntimeParams(ctx_size=512), Serving(port=0), devices, programs)
    request = Request(cluster, Split(LAYERS, 31))
    with build_engine(tmp_path / "logs", runs) as engine:
        notices: list[Event] = []
        engine.subscribe(notices.append)
        # Where hettui chooses it looks again, and finds others.
        engine.start(request).result(patience(DEADLINE_S))
        assert engine.snapshot.state is ClusterState.READY
        assert any(isinstance(e, Notice) and "is in use; another one is taken" in e.text for e in notices)
        addresses = {p.address for p in engine.snapshot.processes}
        assert f"127.0.0.1:{taken[0].getsockname()[1]}" not in addresses
        engine.stop().result(patience(DEADLINE_S))
        # Where the configuration names it, it is told.
        monkeypatch.setattr(LocalPorts, "is_free", lambda self, host, port: True)
        port = taken[0].getsockname()[1]
        if role == "worker":
            fixed = replace(cluster, devices=(replace(devices[0], port=port), *devices[1:]))
        else:
            fixed = replace(cluster, serving=Serving(port=port))
        with pytest.raises(LaunchError, match="port.* is in use.*or stop what holds it"):
            engine.start(replace(request, cluster=fixed)).result(patience(DEADLINE_S))
        assert engine.snapshot.processes == ()
    held.close()
    assert LocalRunner(runs.mark).marked() == []


# -- files -----------------------------------------------------------------------------------------------------------


def test_a_model_that_was_cut_between_two_starts(tmp_path: Path, model: Path) -> None:
    copy = tmp_path / "model.gguf"
    shutil.copyfile(model, copy)
    rig = Rig(tmp_path, copy)
    try:
        rig.reopen()
        assert "error" not in rig.ask("start", layers=LAYERS)
        rig.ask("stop")
        os.truncate(copy, 60_000_000)
        error = rig.ask("start", layers=LAYERS)["error"]
        if "its log says more" in error:
            # llama-server logs from a thread, and now and then ends before its last line is written.
            error = rig.ask("start", layers=LAYERS)["error"]
        assert "the model file is incomplete" in error
        report = rig.ask("look")
        assert (report["state"], report["pids"]) == ("FAILED", {})
        rig.close("quit")
    finally:
        rig.clear()


@pytest.mark.parametrize("limit_bytes", [16_384, 512])
def test_a_full_disk_under_logs_and_record(tmp_path: Path, model: Path, limit_bytes: int) -> None:
    """RLIMIT_FSIZE of hettui and its children stands for it: writes fail, reads and programs go on."""
    rig = Rig(tmp_path, model)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        rig.reopen()
        resource.prlimit(rig.owner_pid, resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
        assert "error" not in rig.ask("start", layers=LAYERS)
        report = rig.ask("look")
        assert report["state"] == "READY"
        told = [text for text in report["notices"] if "could not take this cluster over" in text]
        assert len(told) == (1 if limit_bytes < 1000 else 0)
        assert all(path.stat().st_size <= limit_bytes for path in (tmp_path / "logs").iterdir())
        rig.ask("chat")
        rig.until(lambda r: r["tokens"] > 3)
        rig.ask("stop")
        assert rig.table() == {}
        rig.close("quit")
    finally:
        rig.clear()


def test_few_file_descriptors_are_a_sentence_and_no_hang(tmp_path: Path, model: Path) -> None:
    rig = Rig(tmp_path, model)
    try:
        rig.reopen()
        used = len(list(Path(f"/proc/{rig.owner_pid}/fd").iterdir()))
        resource.prlimit(rig.owner_pid, resource.RLIMIT_NOFILE, (used + 1, 4096))
        error = rig.ask("start", layers=LAYERS)["error"]
        assert "cannot be" in error or "did not answer" in error or "no free port" in error, error
        resource.prlimit(rig.owner_pid, resource.RLIMIT_NOFILE, (1024, 4096))
        rig.until(lambda r: r["state"] == "FAILED" and not r["pids"])
        assert rig.table() == {}
        assert "error" not in rig.ask("start", layers=LAYERS)
        rig.close("quit")
    finally:
        rig.clear()


def test_a_fork_that_fails_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refused)
    with pytest.raises(LaunchError, match="child: /bin/true cannot be started: Resource temporarily unavailable"):
        LocalRunner().start(ProcessSpec("child", "worker", ("/bin/true",)), tmp_path / "c.log")


def test_a_log_folder_that_cannot_be_made_fails_the_start_with_its_name(tmp_path: Path) -> None:
    fake_engine.install(tmp_path / "bin")
    (tmp_path / "logs").write_text("in the way")
    with build_engine(tmp_path / "logs", RunFolder(tmp_path)) as engine:
        bench = Bench(tmp_path, engine)
        with pytest.raises(HettuiError, match=r"the log folder .*/logs cannot be made"):
            engine.start(bench.request()).result(patience(DEADLINE_S))
        assert engine.snapshot.state is ClusterState.FAILED
        assert not any(isinstance(e, Notice) and "Traceback" in e.text for e in bench.events)


def test_a_clock_that_jumps_concerns_nobody(rig: Rig) -> None:
    """Nothing that is waited for, compared or recorded is a time of day."""
    # Only what people read bears a date: recordings, conversations and kept measurements.
    dated = {
        "hettui/wiring/replay.py", "hettui/wiring/bench.py", "hettui/wiring/building.py",
        "hettui/ui/presenting/talk.py",
    }  # fmt: skip
    # What was measured of devices and hosts loses weight over weeks: a clock that jumps makes it older or newer.
    aged = {
        "hettui/wiring/speeds.py", "hettui/wiring/hosts.py", "hettui/cli/plan.py",
        "hettui/adapters/files/learned_file.py",
    }  # fmt: skip
    # The clocks themselves are the question.
    compared = {"hettui/adapters/hosts/prober.py"}
    # Files that were left long ago, by their own times.
    compared |= {"hettui/adapters/engines/shelf.py"}
    for path in Path("hettui").rglob("*.py"):
        source = path.read_text()
        assert "time.time()" not in source or str(path) in aged | compared
        assert "datetime" not in source or str(path) in dated
    assert rig.runs.load() is None


def test_engines_that_come_and_go_leave_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    for _ in range(20):
        with build_engine(tmp_path / "logs", RunFolder(tmp_path)) as engine:
            engine.take_over().result(patience(DEADLINE_S))
    # The last one may still be ending.
    until(lambda: threading.active_count() == before)
