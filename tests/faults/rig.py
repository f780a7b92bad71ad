"""Drives an owner from outside, kills what it likes, and compares the process table with what the record says."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hettui.adapters.processes.local import MARK
from hettui.adapters.processes.proc import marked_processes, start_time
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.cluster.run_state import RunState
from tests.patience import patience

HANG_S = 60.0
"""Longer than anything may take: then it hangs."""
LAYERS = (16, 10, 5)


class Hang(AssertionError):
    """Something did not answer in time."""


class Rig:
    """One runtime folder, and the hettui that owns it at the moment."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.runs = RunFolder(folder)
        self._model = model
        self._owner: subprocess.Popen[str] | None = None

    # -- the owner -----------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        return self._owner is not None

    @property
    def owner_pid(self) -> int:
        assert self._owner is not None
        return self._owner.pid

    def reopen(self) -> dict[str, Any]:
        """The next hettui starts and takes over what there is."""
        command = [sys.executable, "-m", "tests.faults.owner", str(self.folder), str(self._model)]
        self._owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        opened = self._answer()
        assert opened == {"state": "OPEN"}, opened
        return self.ask("take over")

    def ask(self, command: str, **more: object) -> dict[str, Any]:
        """One command and its answer."""
        assert self._owner is not None
        assert self._owner.stdin is not None
        self._owner.stdin.write(json.dumps({"do": command, **more}) + "\n")
        self._owner.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._owner is not None
        assert self._owner.stdout is not None
        readable, _, _ = select.select([self._owner.stdout], [], [], patience(HANG_S))
        if not readable:
            raise Hang(f"no answer within {HANG_S:.0f} s")
        line = self._owner.stdout.readline()
        assert line, f"the owner ended with {self._owner.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def until(self, condition: Callable[[dict[str, Any]], bool], within_s: float = HANG_S) -> dict[str, Any]:
        """Looks at the state until the condition holds."""
        deadline = time.monotonic() + patience(within_s)
        while not condition(report := self.ask("look")):
            if time.monotonic() > deadline:
                raise Hang(f"not within {within_s:.1f} s: {report}")
            time.sleep(0.01)
        return report

    def close(self, how: str) -> None:
        """`leave`, `quit`, or `kill` for SIGKILL."""
        owner, self._owner = self._owner, None
        if owner is None:
            return
        assert owner.stdin is not None
        assert owner.stdout is not None
        if how == "kill":
            owner.kill()
        else:
            owner.stdin.write(json.dumps({"do": how}) + "\n")
            owner.stdin.flush()
        try:
            owner.wait(patience(HANG_S))
        except subprocess.TimeoutExpired:
            owner.kill()
            owner.wait()
            raise Hang(f"{how} did not end within {HANG_S:.0f} s") from None
        finally:
            owner.stdin.close()
            owner.stdout.close()

    # -- the world -----------------------------------------------------------------------------------------

    def table(self) -> dict[int, int]:
        """Every living process of this cluster, recorded or not: start times by pid."""
        return {p.pid: p.started for p in marked_processes(MARK, self.runs.mark)}

    def record(self) -> RunState | None:
        return self.runs.load()

    def check(self) -> None:
        """The process table holds exactly what the record says, once the owner has said it."""
        if self.open:
            self.ask("settle")
        record = self.record()
        said = {p.pid: p.started for p in record.processes if p.pid is not None} if record else {}
        assert self.table() == said, f"running: {self.table()}, recorded: {said}"

    def kill(self, pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(pid, number)
        deadline = time.monotonic() + patience(HANG_S)
        while number is signal.SIGKILL and start_time(pid) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def clear(self) -> None:
        """Whatever happened: nothing of this cluster lives on."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.kill()
            owner.communicate()
        for pid in self.table():
            # It may be on its way out by itself.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + patience(HANG_S)
        while self.table():
            assert time.monotonic() < deadline
            time.sleep(0.01)
