"""One session of ssh that goes on: a script on its stdin, then words; marked lines and a raw log come back.

stdout carries the log as it is, behind one marked line; stderr carries marked lines, and what ssh and the login say.
The one other place than `processes/said.py` where a program is read through pipes: in blocks, each line up to a length.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from hettui.domain.hosts.far_side import marked
from hettui.domain.text import LineSplitter

_BLOCK_BYTES = 64 * 1024
_NOISE_LINES = 40
_LEFT_S = 0.5
"""For what an ssh that has ended left in its pipes."""


def split_log(held: bytes, data: bytes, mark: bytes) -> tuple[bytes, bytes, list[str] | None]:
    """What of a log can be passed on, what is held back because it may become a marked line, and that line's words.

    Behind a marked line nothing comes any more.
    """
    text = held + data
    place = text.find(mark)
    if place >= 0:
        line, newline, _ = text[place + len(mark) :].partition(b"\n")
        if newline:
            return text[:place], b"", line.decode("utf-8", "replace").split()
        return text[:place], text[place:], None
    keep = next((n for n in range(min(len(mark) - 1, len(text)), 0, -1) if mark.startswith(text[-n:])), 0)
    return text[: len(text) - keep], text[len(text) - keep :], None


class Session:
    """Blocks for as long as it is asked to. Not for several threads."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], script: bytes, mark: str, run_mark: str) -> None:
        """`mark` stands before lines of this session, `run_mark` before the last line of the worker's log.

        Raises OSError when ssh cannot be started.
        """
        self._process = subprocess.Popen(
            list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(env),
            # What was not taken yet must not be waited for when it is closed.
            bufsize=0,
            # A signal to our group is not meant for it.
            start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin is not None  # noqa: S101 - pipes were asked for
        assert self._process.stdout is not None  # noqa: S101
        assert self._process.stderr is not None  # noqa: S101
        self._stdin, self._out, self._err = self._process.stdin, self._process.stdout, self._process.stderr
        self._mark, self._run_mark = mark, run_mark.encode()
        self._words: deque[list[str]] = deque()
        self._lines = LineSplitter()
        self._before = LineSplitter()
        """What stdout says before the log begins."""
        self._in_log = False
        self._held = b""
        self.noise: deque[str] = deque(maxlen=_NOISE_LINES)
        """What ssh and the login said that means nothing to us."""
        self._received_bytes = 0
        self.log = b""
        """What of it nobody has taken yet."""
        self.end: list[str] | None = None
        """The words of the log's last line: how the worker ended."""
        self._selector = selectors.DefaultSelector()
        self._reading = 2
        """Streams that have not ended."""
        self._ended_s = 0.0
        """When it was seen that ssh has ended; 0: not yet."""
        for stream in (self._out, self._err):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ)
        self.write(script)

    @property
    def over(self) -> bool:
        """ssh has ended, and all that it said was read."""
        if self._reading and self._process.poll() is not None:
            # Its pipes may be held open by what it left behind.
            now_s = time.monotonic()
            self._ended_s = self._ended_s or now_s
            return now_s - self._ended_s > _LEFT_S
        return not self._reading

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def write(self, data: bytes) -> None:
        """Nothing where nobody reads it any more. A line that stands still takes a pipe's worth without waiting."""
        with contextlib.suppress(OSError, ValueError):
            while data:
                data = data[self._stdin.write(data) or 0 :]

    def end_input(self) -> None:
        """Nothing follows on its stdin."""
        with contextlib.suppress(OSError, ValueError):
            self._stdin.close()

    def watch(self, descriptor: int) -> None:
        """`wait` returns as well when this can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ)

    def unwatch(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(descriptor)

    def wait(self, seconds: float) -> None:
        """Reads what comes, for as long at most; returns when something came."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            if key.fileobj not in (self._out, self._err):
                continue
            try:
                data = os.read(key.fd, _BLOCK_BYTES)
            except BlockingIOError:
                continue
            if not data:
                self._selector.unregister(key.fileobj)
                self._reading -= 1
            elif key.fileobj is self._out:
                self._take_out(data)
            else:
                self._take_lines(self._lines.feed(data))

    def _take_out(self, data: bytes) -> None:
        if not self._in_log:
            head, mark, rest = data.partition(f"{self._mark} log\n".encode())
            lines = self._before.feed(head if mark else data)
            self.noise.extend(line for line in lines if line.strip())
            if not mark:
                return
            self._in_log, data = True, rest
        if self.end is None:
            self._received_bytes += len(data)
            out, self._held, self.end = split_log(self._held, data, self._run_mark)
            self.log += out

    def _take_lines(self, lines: Sequence[str]) -> None:
        for line in lines:
            found = marked([line], self._mark)
            if found:
                self._words.extend(found)
            elif line.strip():
                self.noise.append(line)

    @property
    def log_bytes(self) -> int:
        """Of the log, received so far; without what may be the beginning of a marked line."""
        return self._received_bytes - len(self._held)

    def take_log(self) -> bytes:
        taken, self.log = self.log, b""
        return taken

    @property
    def not_heard(self) -> tuple[list[str], ...]:
        """The marked lines that `said` has not given yet."""
        return tuple(self._words)

    def said(self) -> list[str] | None:
        """The next marked line's words."""
        return self._words.popleft() if self._words else None

    def until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Reads until it is so, the time is over, or ssh has ended. Whether it is so."""
        deadline = time.monotonic() + seconds
        while not done():
            left_s = deadline - time.monotonic()
            if left_s <= 0 or self.over:
                return done()
            self.wait(left_s)
        return True

    def close(self) -> int | None:
        """Ends ssh, after a moment for what it still has to say. Its exit code."""
        with contextlib.suppress(OSError, ValueError):
            self._stdin.close()
        try:
            self._process.wait(_LEFT_S)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            try:
                self._process.wait(_LEFT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._selector.close()
        self._reading = 0
        for stream in (self._out, self._err):
            stream.close()
        return self._process.returncode
