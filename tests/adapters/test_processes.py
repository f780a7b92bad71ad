"""Real children: signals, log files, and an environment without surprises."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from hettui.adapters.processes.local import LocalProcess, LocalRunner
from hettui.adapters.processes.log_files import FileTail, LogFolder
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.errors import LaunchError
from tests.patience import patience

DEADLINE_S = 10


def spec(code: str, **env: str) -> ProcessSpec:
    return ProcessSpec("child", "worker", (sys.executable, "-u", "-c", code), env)


async def lines(tail: FileTail, wanted: int) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(patience(DEADLINE_S)):
        while len(found) < wanted:
            found += tail.read()[0]
            await asyncio.sleep(0.01)
    return found


async def run(tmp_path: Path, code: str, **env: str) -> tuple[int, str]:
    log = tmp_path / "c.log"
    async with asyncio.timeout(patience(DEADLINE_S)):
        returncode = await LocalRunner().start(spec(code, **env), log).wait()
    return returncode, log.read_text()


async def test_both_outputs_go_to_the_log_and_the_exit_code_comes_back(tmp_path: Path) -> None:
    returncode, said = await run(tmp_path, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert returncode == 3
    assert sorted(said.split()) == ["err", "out"]
    assert (tmp_path / "c.log").stat().st_mode & 0o777 == 0o600


async def test_stdin_is_closed_and_the_child_leads_its_own_session(tmp_path: Path) -> None:
    _, said = await run(tmp_path, "import os, sys; print(sys.stdin.read() == '', os.getsid(0) == os.getpid())")
    assert said.split() == ["True", "True"]


async def test_sigpipe_is_ignored_in_the_child(tmp_path: Path) -> None:
    # The child's own interpreter would ignore it anyway: the kernel's mask of the exec'd process is what counts.
    _, said = await run(tmp_path, "print(open('/proc/self/status').read().split('SigIgn:')[1].split()[0])")
    assert int(said, 16) & 1 << (signal.SIGPIPE - 1)


async def test_llama_arg_variables_do_not_reach_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "1")
    monkeypatch.setenv("LLAMA_API_KEY", "secret")
    code = "import os; print(sorted(k for k in os.environ if k.startswith(('LLAMA', 'GGML', 'OWN'))))"
    _, said = await run(tmp_path, code, OWN="1")
    assert said.strip() == "['GGML_NO_BACKTRACE', 'OWN']"


async def test_terminate_and_kill_reach_the_whole_group(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, signal\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(child.pid, flush=True)\n"
        "child.wait(); print('grandchild gone', flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    log = tmp_path / "c.log"
    tail = FileTail(log)
    child = LocalRunner().start(spec(code), log)
    grandchild = int((await lines(tail, 1))[0])
    child.terminate()
    assert await lines(tail, 1) == ["grandchild gone"]
    with pytest.raises(ProcessLookupError):
        os.kill(grandchild, 0)
    child.kill()
    assert await child.wait() == -signal.SIGKILL
    child.terminate()
    child.kill()


async def test_a_cancelled_wait_leaves_the_process_alone(tmp_path: Path) -> None:
    child = LocalRunner().start(spec("import time; time.sleep(60)"), tmp_path / "c.log")
    waiting = asyncio.create_task(child.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    os.kill(child.pid, 0)
    child.kill()
    assert await child.wait() == -signal.SIGKILL


async def test_without_pidfd_the_end_is_noticed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    returncode, _ = await run(tmp_path, "raise SystemExit(7)")
    assert returncode == 7


async def test_what_cannot_be_started_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    for program, says in ((tmp_path / "none", "No such file"), (tmp_path / "text", "Permission denied")):
        with pytest.raises(LaunchError, match=f"child: {program} cannot be started: {says}"):
            LocalRunner().start(ProcessSpec("child", "worker", (str(program),)), tmp_path / "c.log")


async def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="cannot be written"):
        LocalRunner().start(spec(""), tmp_path / "none" / "c.log")


def test_a_signal_to_a_process_that_was_waited_for_goes_nowhere() -> None:
    import subprocess

    popen = subprocess.Popen([sys.executable, "-c", ""])
    popen.wait()
    LocalProcess(popen).kill()


# -- log files ---------------------------------------------------------------------------------------------------


def test_a_tail_starts_at_the_end_and_follows(tmp_path: Path) -> None:
    path = LogFolder(tmp_path / "logs").path("worker RTX [5080]")
    path.write_bytes(b"old\n")
    tail = FileTail(path)
    with path.open("ab") as log:
        log.write(b"one\ntw")
        log.flush()
        assert tail.read() == (["one"], "tw")
        log.write(b"o\n\x1b[31mred\n")
        log.flush()
        assert tail.read() == (["two", "red"], "")
        assert tail.read() == ([], "")


def test_a_flood_is_skipped_and_said(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    tail = FileTail(path)
    path.write_bytes(b"flood\n" * 2_000_000)
    found, _ = tail.read()
    assert "bytes skipped" in found[0]
    assert len(found) < 100_000
    assert tail.read() == ([], "")


def test_rotation_keeps_the_newest_and_the_writer_goes_on(tmp_path: Path) -> None:
    folder = LogFolder(tmp_path, limit_bytes=1000)
    path = folder.path("master")
    tail = folder.tail("master")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for n in range(300):
        os.write(descriptor, b"line %05d\n" % n)
    tail.read()
    tail.rotate()
    assert path.stat().st_size == 0
    assert Path(f"{path}.1").read_text().endswith("line 00299\n")
    assert Path(f"{path}.1").stat().st_mode & 0o777 == 0o600
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert tail.read() == (["after"], "")
    tail.rotate()
    assert path.read_text() == "after\n"


@pytest.mark.parametrize("from_the_start", [True, False])
def test_what_is_written_between_reading_and_rotating_is_read(tmp_path: Path, from_the_start: bool) -> None:
    """From the start there is more to read than fits one look."""
    folder = LogFolder(tmp_path, limit_bytes=1_000_000)
    path = folder.path("master")
    path.touch()
    tail = folder.tail("master", 0 if from_the_start else None)
    said, found = [f"line {n:06}" for n in range(150_000)], []
    with path.open("a") as log:
        for begin in range(0, 150_000, 30_000 if from_the_start else 15_000):
            lines = said[begin : begin + (30_000 if from_the_start else 15_000)]
            log.write("".join(f"{line}\n" for line in lines))
            log.flush()
            found += tail.read()[0]
            log.write("meanwhile\n")
            log.flush()
            tail.rotate()
    while lines := tail.read()[0]:
        found += lines
    assert path.stat().st_size < 1_000_000
    assert [line for line in found if line != "meanwhile"] == said
    assert found.count("meanwhile") == (5 if from_the_start else 10)
