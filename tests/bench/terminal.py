"""A program in a terminal of its own: what it costs and what it writes, seen from outside."""

from __future__ import annotations

import compileall
import fcntl
import os
import platform
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_WHERE = b"\x1b[6n"
"""The question for the cursor's place, which every terminal answers."""
_SEQUENCES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()][0-9A-B]|\x1b[=>]")
_TICK = os.sysconf("SC_CLK_TCK")


@cache
def _compile() -> None:
    """As an installed program is: where Python may write no bytecode, a checkout would be compiled at every start, and
    that takes longer than half of the start itself."""
    for folder in ("hettui", "tests"):
        compileall.compile_dir(Path(__file__).parents[2] / folder, quiet=2)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process over a time."""

    seconds: float
    cpu_s: float
    main_thread_cpu_s: float
    """Of that the main thread's, which is hettui's UI."""
    written_bytes: int
    """To the terminal."""
    resident_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.cpu_s / self.seconds:6.2%} of a core, {self.written_bytes / self.seconds:7.0f} bytes/s, "
            f"{self.resident_bytes / 2**20:5.0f} MiB"
        )


class Terminal:
    """Runs `argv` on a pseudo-terminal: reads what it writes and says where the cursor is, as a terminal would."""

    def __init__(self, argv: Sequence[str], size: tuple[int, int], env: Mapping[str, str] | None = None) -> None:
        columns, lines = size
        _compile()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            said = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
            try:
                os.execvpe(  # noqa: S606 - there is no shell, and none is wanted
                    argv[0], list(argv), {**os.environ, **said, **(env or {})}
                )
            finally:
                os._exit(127)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._ended = False
        self.answers = getattr(self, "answers", True)
        """It says where its cursor is when it is asked."""
        self.written_bytes = 0
        self.tail = b""
        """The last of what was written."""

    def read(self, timeout_s: float) -> int:
        """Reads what comes within that time, at most one chunk; its size, 0 when nothing came."""
        if not select.select([self._fd], [], [], max(0.0, timeout_s))[0]:
            return 0
        try:
            chunk = os.read(self._fd, 1 << 16)
        except OSError:  # the program has ended
            return 0
        self.written_bytes += len(chunk)
        for _ in range(chunk.count(_WHERE) if self.answers else 0):
            os.write(self._fd, b"\x1b[1;1R")
        self.tail = (self.tail + chunk)[-(1 << 16) :]
        return len(chunk)

    def wait_for(self, text: bytes, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.tail:
            if time.monotonic() > deadline or not self.alive:
                raise RuntimeError(f"{text!r} did not appear; the last was {self.tail[-500:]!r}")
            self.read(0.1)

    def spend(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.read(left)

    def send(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def answer_s(self, keys: bytes, timeout_s: float = 5.0) -> float:
        """From a key to the first byte that the program writes then. What was on its way before is read first."""
        while self.read(0.02):
            pass
        start = time.perf_counter()
        self.send(keys)
        return time.perf_counter() - start if self.read(timeout_s) else timeout_s

    def measure(self, seconds: float) -> Cost:
        cpu_s, main_s, written = self.cpu_s, self.main_thread_cpu_s, self.written_bytes
        start = time.monotonic()
        self.spend(seconds)
        took, written = time.monotonic() - start, self.written_bytes - written
        return Cost(took, self.cpu_s - cpu_s, self.main_thread_cpu_s - main_s, written, self.resident_bytes)

    @property
    def cpu_s(self) -> float:
        """Of the process with all its threads, ended ones too; its children are not counted."""
        # clock_getcpuclockid(3), of which Python has the threads' alone: /proc counts in hundredths of a second.
        return time.clock_gettime((~self.pid << 3) | 2)

    @property
    def main_thread_cpu_s(self) -> float:
        return _cpu_s(Path(f"/proc/{self.pid}/task/{self.pid}/stat"))

    @property
    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @property
    def proportional_bytes(self) -> int:
        """PSS: what is shared with other processes is divided among them."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))

    @property
    def alive(self) -> bool:
        self._ended = self._ended or os.waitpid(self.pid, os.WNOHANG)[0] != 0
        return not self._ended

    def close(self, keys: bytes) -> None:
        """Asks it to end by these keys, and makes it end when it does not."""
        if self.alive:
            self.send(keys)
        deadline = time.monotonic() + 10
        while self.alive and time.monotonic() < deadline:
            self.read(0.05)
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


def plain(written: bytes) -> bytes:
    """The text in what was written, without what moves the cursor and changes colours."""
    return _SEQUENCES.sub(b"", written)


def parse_size(text: str) -> tuple[int, int]:
    """`120x40`: columns and lines."""
    columns, _, lines = text.partition("x")
    return int(columns), int(lines)


def load_now() -> str:
    """Of the machine: others may use it as well."""
    one, five, _ = os.getloadavg()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"{machine}; load {one:.1f} now, {five:.1f} over five minutes\n"


def _cpu_s(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
