"""A slow line: delay each way, a cap on throughput, and buffers on the way. For terminals and for TCP.

    python -m tests.bench.line --delay 0.25 --rate 960 -- hettui demo      in any terminal
    python -m tests.bench.line --delay 0.05 --tcp 2222:22                  in front of a server on this machine

What is sent leaves a buffer of `--buffer` bytes at the line's rate and arrives `--delay` seconds later. When the buffer
is full nothing is taken from the sender any more, as with TCP and a slow reader: an SSH connection holds some ten to
some hundred KiB that way, a serial line the kernel's 4 KiB.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import pty
import signal
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

_PIECE_S = 0.02
"""A slow line delivers in pieces of about that time."""


@dataclass
class Way:
    """One direction. `send` what came in; `arrive` is called with what comes out."""

    arrive: Callable[[bytes], None]
    delay_s: float = 0.0
    bytes_per_s: float | None = None
    buffer_bytes: int = 65536
    waiting: bytearray = field(default_factory=bytearray)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)
    carried_bytes: int = 0
    _flying: deque[tuple[float, bytes]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.room.set()

    def send(self, data: bytes) -> None:
        self.waiting += data
        self.changed.set()
        if len(self.waiting) >= self.buffer_bytes:
            self.room.clear()

    async def run(self) -> None:
        """Until cancelled."""
        landing = asyncio.ensure_future(self._land())
        try:
            while True:
                await self.changed.wait()
                self.changed.clear()
                while self.waiting:
                    size = len(self.waiting) if self.bytes_per_s is None else max(1, int(self.bytes_per_s * _PIECE_S))
                    piece = bytes(self.waiting[:size])
                    del self.waiting[:size]
                    if len(self.waiting) < self.buffer_bytes:
                        self.room.set()
                    if self.bytes_per_s is not None:
                        await asyncio.sleep(len(piece) / self.bytes_per_s)
                    self.carried_bytes += len(piece)
                    self._flying.append((time.monotonic() + self.delay_s, piece))
        finally:
            landing.cancel()

    async def _land(self) -> None:
        while True:
            if not self._flying:
                await asyncio.sleep(0.002)
                continue
            at_s, piece = self._flying.popleft()
            await asyncio.sleep(max(0.0, at_s - time.monotonic()))
            self.arrive(piece)


def _write_all(fd: int) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        while data:
            data = data[os.write(fd, data) :]

    return write


async def in_terminal(argv: Sequence[str], delay_s: float, rate: float | None, buffer_bytes: int) -> int:
    """Runs a program on a terminal of its own, this one at the line's other end. Returns its pid."""
    pid, inner = pty.fork()
    if pid == 0:
        try:
            os.execvp(argv[0], list(argv))  # noqa: S606 - there is no shell, and none is wanted
        finally:
            os._exit(127)
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(0)
    tty.setraw(0)
    down = Way(_write_all(1), delay_s, rate, buffer_bytes)
    up = Way(_write_all(inner), delay_s, rate, buffer_bytes)

    def resized() -> None:
        size = fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(inner, termios.TIOCSWINSZ, size)

    resized()
    loop.add_signal_handler(signal.SIGWINCH, resized)
    loop.add_reader(0, lambda: up.send(os.read(0, 4096)))
    over = asyncio.Event()

    readable = asyncio.Event()

    async def take() -> None:
        while True:
            await down.room.wait()
            readable.clear()
            loop.add_reader(inner, readable.set)
            await readable.wait()
            loop.remove_reader(inner)
            try:
                down.send(os.read(inner, 4096))
            except OSError:  # it has ended
                over.set()
                return

    tasks = [asyncio.ensure_future(work) for work in (down.run(), up.run(), take())]
    await over.wait()
    while down.waiting or down._flying:
        await asyncio.sleep(0.01)
    await asyncio.sleep(delay_s)
    for task in tasks:
        task.cancel()
    termios.tcsetattr(0, termios.TCSANOW, before)
    return pid


async def before_server(listen: int, port: int, delay_s: float, rate: float | None, buffer_bytes: int) -> None:
    """Listens on loopback and passes every connection on, until cancelled."""

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        up = Way(there_writer.write, delay_s, rate, buffer_bytes)
        down = Way(writer.write, delay_s, rate, buffer_bytes)

        async def pump(source: asyncio.StreamReader, way: Way) -> None:
            while data := await source.read(4096):
                await way.room.wait()
                way.send(data)

        runs = [asyncio.ensure_future(way.run()) for way in (up, down)]
        pumps = [asyncio.ensure_future(pump(reader, up)), asyncio.ensure_future(pump(there_reader, down))]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(2 * delay_s + 0.1)
        for task in (*runs, *pumps):
            task.cancel()
        for end in (writer, there_writer):
            end.close()

    server = await asyncio.start_server(passed, "127.0.0.1", listen)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds each way")
    parser.add_argument("--rate", type=float, help="bytes per second each way; without it as fast as it goes")
    parser.add_argument("--buffer", type=int, default=65536, help="bytes that lie on the way")
    parser.add_argument("--tcp", help="LISTEN:PORT, both on loopback")
    parser.add_argument("argv", nargs="*", help="the program, after --")
    options = parser.parse_args()
    if options.tcp:
        listen, _, port = options.tcp.partition(":")
        with suppress(KeyboardInterrupt):
            asyncio.run(before_server(int(listen), int(port), options.delay, options.rate, options.buffer))
    else:
        pid = asyncio.run(in_terminal(options.argv, options.delay, options.rate, options.buffer))
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
