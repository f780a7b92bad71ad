"""The runtime folder: one owner, whole records, and processes that are what they were."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hettui.adapters.files import paths
from hettui.adapters.processes import proc
from hettui.adapters.processes.local import LocalRunner
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.run_state import ProcessRecord, RunState
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.errors import HettuiError
from hettui.domain.llama.params import Serving
from hettui.domain.plan.split import Split
from hettui.domain.text import safe_identifier
from tests.fakes import cluster, workers
from tests.patience import patience

DEADLINE_S = 10


def state() -> RunState:
    spec = ProcessSpec("worker d0", "worker", ("/opt/x", "-p", "1"), {"A": "b"}, device="d0", address=("127.0.0.1", 5))
    devices = workers(100, None)
    return RunState(
        "boot", 1, ClusterState.READY, cluster(devices, serving=Serving(api_key_file="/k")), Split((20, 11), 31),
        (ProcessRecord(spec, 12, 34, "/l", 5, ready=True),), {"RPC0": "d0"}, 7, "/c.toml", demo=True,
    )  # fmt: skip


def test_a_record_is_private_whole_and_removed(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    assert runs.load() is None
    runs.save(state())
    assert runs.load() == state()
    assert runs.path.stat().st_mode & 0o777 == 0o600
    runs.save(None)
    runs.save(None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_cut_at_every_byte_is_damaged_and_says_so(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    runs.save(state())
    whole = runs.path.read_bytes()
    for length in range(len(whole) - 1):
        # A file that is cut and written again is brought to the disk at once: ten milliseconds each.
        runs.path.unlink()
        runs.path.write_bytes(whole[:length])
        with pytest.raises(HettuiError, match="is damaged"):
            runs.load()
    for nonsense in (b"\xff\xfe\x00", b"[" * 100_000, b"x" * (5 << 20), b"null"):
        runs.path.write_bytes(nonsense)
        with pytest.raises(HettuiError, match="is damaged|is larger than 4 MiB"):
            runs.load()


def test_a_folder_that_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HettuiError, match="cannot be written: Not a directory"):
        RunFolder(tmp_path / "file").save(state())
    with pytest.raises(HettuiError, match="cannot be made"):
        RunFolder(tmp_path / "gone").acquire()


def test_a_folder_that_is_removed_while_we_run_is_made_again_with_its_lock(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    runs = RunFolder(folder)
    assert runs.acquire()
    shutil.rmtree(folder)
    runs.save(state())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    other = RunFolder(folder)
    assert other.load() == state()
    assert not other.acquire()
    runs.release()


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """A folder that stays and one that logout takes."""
    folders = tmp_path / "state", tmp_path / "run"
    for folder in folders:
        folder.mkdir(mode=0o700)
    return folders


def test_either_folder_is_enough_for_the_record_and_the_lock(two: tuple[Path, Path]) -> None:
    for gone in two:
        runs = RunFolder(two[0], copies=two[1:])
        runs.save(state())
        assert runs.acquire()
        shutil.rmtree(gone)
        gone.mkdir(mode=0o700)
        after = RunFolder(two[0], copies=two[1:])
        assert after.load() == state()
        assert not after.acquire()
        assert after.owner() == os.getpid()
        runs.save(None)
        assert after.load() is None
        runs.release()


def test_the_newest_record_counts_and_a_damaged_one_does_not_hide_it(two: tuple[Path, Path]) -> None:
    runs = RunFolder(two[0], copies=two[1:])
    runs.save(state())
    newer = replace(state(), owner_pid=2)
    RunFolder(two[1]).save(newer)
    os.utime(two[0] / "cluster.json", ns=(1, 1))
    assert runs.load() == newer
    (two[1] / "cluster.json").write_text("damaged")
    assert runs.load() == state()


def test_a_record_that_cannot_be_removed_is_not_believed_any_more(two: tuple[Path, Path]) -> None:
    runs = RunFolder(two[0], copies=two[1:])
    runs.save(state())
    os.utime(two[0] / "cluster.json", ns=(1, 1))
    unlink = Path.unlink

    def kept(path: Path, missing_ok: bool = False) -> None:
        if path.parent == two[0]:
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path, missing_ok=missing_ok)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "unlink", kept)
        runs.save(None)
    assert (two[0] / "cluster.json").exists()
    assert runs.load() is None


def test_the_record_of_another_login_is_found_by_the_mark(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir(mode=0o700)
    before = RunFolder(there, mark=str(tmp_path))
    before.save(state())
    runner = LocalRunner(before.mark, before.folders)
    child = runner.start(ProcessSpec("c", "worker", ("/bin/sleep", "60")), tmp_path / "c.log")
    try:
        after = RunFolder(here, mark=str(tmp_path))
        assert after.load() is None
        after.look_around()
        assert after.load() == state()
        assert [found.pid for found in after.marked()] == [child.pid]
        after.save(None)
        assert not list(there.glob("*.json"))
    finally:
        child.kill()
        asyncio.run(asyncio.wait_for(child.wait(), patience(DEADLINE_S)))


def test_there_is_one_owner_and_the_lock_dies_with_it(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom hettui.adapters.processes.run_folder import RunFolder\n"
        "runs = RunFolder(Path(sys.argv[1])); print(runs.acquire(), flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"
    mine = RunFolder(tmp_path)
    assert not mine.acquire()
    assert mine.owner() == other.pid
    other.kill()
    other.wait()
    other.stdout.close()
    assert mine.owner() is None
    assert mine.acquire()
    assert mine.acquire()
    assert mine.owner() == os.getpid()
    mine.release()
    assert mine.owner() is None


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    runs = RunFolder(tmp_path)
    assert runs.acquire()
    child = LocalRunner().start(ProcessSpec("c", "worker", ("/bin/sleep", "60")), tmp_path / "c.log")
    runs.release()
    assert RunFolder(tmp_path).owner() is None
    child.kill()
    asyncio.run(asyncio.wait_for(child.wait(), patience(DEADLINE_S)))


async def test_a_process_is_found_by_its_mark_and_adopted_by_its_start_time(tmp_path: Path) -> None:
    runner, stranger = LocalRunner("mine"), LocalRunner("other")
    child = runner.start(ProcessSpec("c", "worker", ("/bin/sleep", "60")), tmp_path / "c.log")
    assert [(f.pid, f.argv) for f in runner.marked()] == [(child.pid, ("/bin/sleep", "60"))]
    assert stranger.marked() == []
    assert LocalRunner().marked() == []
    assert child.started is not None
    assert runner.adopt(child.pid, child.started + 1) is None
    assert runner.adopt(child.pid, None) is None
    assert runner.adopt(2**22 + 1, 1) is None
    adopted = runner.adopt(child.pid, child.started)
    assert adopted is not None
    assert not adopted.frozen
    os.kill(child.pid, signal.SIGSTOP)
    async with asyncio.timeout(patience(DEADLINE_S)):
        while not adopted.frozen:
            await asyncio.sleep(0.01)
    assert adopted.activity is not None
    adopted.terminate()
    adopted.kill()
    async with asyncio.timeout(patience(DEADLINE_S)):
        # Its parent may have been quicker: then nobody knows any more.
        assert await adopted.wait() in (-signal.SIGKILL, None)
        assert await child.wait() in (-signal.SIGKILL, 0)
    assert runner.marked() == []
    adopted.kill()


def test_a_process_is_found_in_the_moment_of_its_start() -> None:
    """Two of three show no environment yet when Popen returns (Linux 5 and 6)."""
    for _ in range(100):
        with subprocess.Popen(["/bin/sleep", "60"], env={"A": "b"}, start_new_session=True) as child:
            found = proc.marked_processes("A", "b")
            child.kill()
        assert child.pid in [one.pid for one in found]


def test_what_proc_does_not_know_is_none() -> None:
    nobody = 2**22 + 1
    assert proc.start_time(nobody) is None
    assert proc.activity(nobody) is None
    assert proc.is_frozen(nobody) is False
    assert proc.kernel_lines(nobody) == []
    assert proc.start_time(os.getpid()) is not None
    assert proc.boot_id()


# -- folders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    for name in ("run", "tmp"):
        (tmp_path / name).mkdir(mode=0o700)
    return tmp_path


def blocked(path: Path) -> None:
    """As good as a folder that cannot be written, for root as well."""
    if path.is_dir():
        path.rmdir()
    path.write_text("in the way")


def in_state(home: Path) -> Path:
    return home / "state" / "hettui" / "run" / safe_identifier(os.uname().nodename, "host")


def test_the_record_lies_where_logout_deletes_nothing_and_where_it_does(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert paths.run_dirs() == (in_state(home), home / "run" / "hettui")
    assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in paths.run_dirs())
    mark = paths.run_mark()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "nowhere"))
    assert paths.run_dirs()[0] == in_state(home)
    assert paths.run_mark() == mark
    if not Path(f"/run/user/{os.getuid()}").exists():
        assert paths.run_dirs() == (in_state(home),)
        shutil.rmtree(home / "state")
        blocked(home / "state")
        assert paths.run_dirs() == (home / "tmp" / f"hettui-{os.getuid()}" / "run",)
        assert paths.run_mark() == mark


def test_a_state_folder_that_cannot_be_used_leaves_the_runtime_folder(home: Path) -> None:
    blocked(home / "state")
    assert paths.run_dirs() == (home / "run" / "hettui",)


def test_a_runtime_folder_of_somebody_else_is_not_used(home: Path) -> None:
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (home / "run").rmdir()
    (home / "run").symlink_to(elsewhere)
    assert home / "run" / "hettui" not in paths.run_dirs()
    assert list(elsewhere.iterdir()) == []


def test_logs_go_to_a_private_temporary_folder_when_the_home_cannot_be_written(home: Path) -> None:
    assert paths.log_dir() == home / "state" / "hettui" / "logs"
    (home / "state" / "hettui" / "logs").rmdir()
    (home / "state" / "hettui").rmdir()
    blocked(home / "state")
    assert paths.log_dir() == home / "tmp" / f"hettui-{os.getuid()}" / "logs"
    assert paths.last_config() is None
    paths.remember_config(home / "c.toml")
