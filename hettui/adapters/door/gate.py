"""Whether requests are passed on now, where to, and who waits until they are."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from hettui.domain.door.words import DoorState

_LOOK_S = 0.25
_LOOK_TIMEOUT_S = 2.0
_READY = b"HTTP/1.1 200"
LOOPBACK = "127.0.0.1"


class Gate:
    """The master's port, and what is known of it. Used on one loop."""

    def __init__(self, hold_s: float, limit: int, prefix: str, say: Callable[[str], None]) -> None:
        self.hold_s = hold_s
        self.limit = limit
        self._prefix = prefix
        self._say = say
        self._port: int | None = None
        self._answers = False
        """The master has said that it is ready, and was not lost since."""
        self._holders: set[object] = set()
        """Lines over which somebody asked that requests wait."""
        self._waiting: set[asyncio.Future[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self.running = 0
        """Requests at the master."""
        self.ending = False
        self.away_since_s: float | None = time.monotonic()
        """Since when nothing answers; None while something does."""

    @property
    def port(self) -> int | None:
        """Where to pass a request on to now; None: it waits."""
        return self._port if self._answers and not self._holders and not self.ending else None

    @property
    def full(self) -> bool:
        return len(self._waiting) >= self.limit

    @property
    def state(self) -> DoorState:
        return DoorState(self.running, len(self._waiting))

    # -- what the cluster's owner says ---------------------------------------------------------------------

    def hold(self, holder: object) -> None:
        """Nothing is passed on for as long as this holder stands by it."""
        if not self._holders:
            self._say("requests wait")
        self._holders.add(holder)

    def aim(self, port: int) -> None:
        """The master will be there; it is not ready yet."""
        self._port = port
        self._lost()

    def go(self, holder: object, port: int) -> None:
        """The master is there and ready."""
        self._port, self._answers, self.away_since_s = port, True, None
        self._holders.discard(holder)
        self._open()

    def let_go(self, holder: object) -> None:
        """Whoever held it is gone, perhaps without a word."""
        if holder in self._holders:
            self._holders.discard(holder)
            self._open()

    # -- what requests find out ----------------------------------------------------------------------------

    def lost(self, port: int) -> None:
        """The master there did not take a request, or dropped one: it is looked at before the next."""
        if port == self._port and self._answers:
            self._lost()

    async def until_open(self, timeout_s: float) -> bool:
        """True when requests are passed on again, or the end has come; False: not within so many seconds."""
        if self.port is not None or self.ending:
            return True
        waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waits)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(waits, timeout_s)
        finally:
            self._waiting.discard(waits)
        return waits.done() and not waits.cancelled()

    def end(self) -> None:
        """Whoever waits is told."""
        self.ending = True
        if self._looking is not None:
            self._looking.cancel()
        self._wake()

    # -- inside --------------------------------------------------------------------------------------------

    def _lost(self) -> None:
        self._answers = False
        if self.away_since_s is None:
            self.away_since_s = time.monotonic()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    def _open(self) -> None:
        if self.port is not None:
            self._say(f"requests are passed on to port {self.port}; {len(self._waiting)} waited")
            self._wake()
        elif self._port is not None and not self._answers:
            self._lost()

    def _wake(self) -> None:
        for waits in self._waiting:
            if not waits.done():
                waits.set_result(None)

    async def _look(self) -> None:
        """Until the master is ready. Where somebody stands at the door who watches it himself, he says so."""
        while not self._answers:
            port = self._port
            found = port is not None and not self._holders and await _healthy(port, self._prefix)
            # Meanwhile it may have been told, or led elsewhere.
            if found and port == self._port and not self._answers:
                self._answers, self.away_since_s = True, None
                self._open()
                return
            await asyncio.sleep(_LOOK_S)


async def _healthy(port: int, prefix: str) -> bool:
    """/health is answered with 200."""
    writer = None
    try:
        async with asyncio.timeout(_LOOK_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.write(f"GET {prefix}/health HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\n\r\n".encode())
            begin = await reader.readexactly(len(_READY))
    except (OSError, EOFError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()
    return begin == _READY
