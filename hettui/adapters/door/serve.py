"""`python -m hettui.adapters.door.serve --host … --port … --control …`: the front door as a process.

It ends at SIGTERM; and by itself, when there was no master for as long as a request may wait and nobody stands by it.
What it has to say stands in its log, as lines that begin with `hettui`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence

from hettui.adapters.door.client import ClientLink
from hettui.adapters.door.control import ControlServer
from hettui.adapters.door.gate import Gate
from hettui.domain.cluster.address import endpoint
from hettui.domain.door.words import DoorWords
from hettui.domain.text import clean_line

_MOST_LINKS = 1024
_LINGER_S = 1.0
"""For what was written last to reach its clients."""
_CHECK_S = 1.0
_STDOUT = 1
CANNOT_OPEN = 69
"""Exit code (EX_UNAVAILABLE)."""


def say(text: str) -> None:
    """A line of ours. Where no room is left it is lost."""
    with contextlib.suppress(OSError):
        os.write(_STDOUT, f"hettui: {clean_line(text, 300)}\n".encode())


class Door:
    """Everything that one process of it has."""

    def __init__(self, words: DoorWords) -> None:
        self._words = words
        self.gate = Gate(words.hold_s, words.limit, words.prefix, say)
        self.kept_bytes = 0
        self._links: set[ClientLink] = set()
        self._control = ControlServer(self.gate)
        self._over = asyncio.Event()
        self._left = asyncio.Event()
        """Every client is gone."""

    def admit(self, link: ClientLink) -> bool:
        self._links.add(link)
        return len(self._links) <= _MOST_LINKS

    def forget(self, link: ClientLink) -> None:
        self._links.discard(link)
        if not self._links:
            self._left.set()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._over.set)
        servers: list[asyncio.Server] = []
        for host in self._words.hosts:
            try:
                servers.append(await loop.create_server(lambda: ClientLink(self), host, self._words.port, backlog=512))
            except OSError as error:
                say(f"{endpoint(host, self._words.port)} cannot be opened: {error.strerror or error}")
                return CANNOT_OPEN
        servers.append(await self._control.listen(self._words.control))
        say(f"the front door is open at {', '.join(endpoint(host, self._words.port) for host in self._words.hosts)}")
        await self._until_over()
        for server in servers:
            server.close()
        await self._empty()
        return 0

    async def _until_over(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), _CHECK_S)
            since_s = self.gate.away_since_s
            if since_s is not None and not self._control.lines and time.monotonic() - since_s > self._words.hold_s:
                say(f"there was no master for {self._words.hold_s} s, and nobody brings one: the door closes")
                return

    async def _empty(self) -> None:
        """Who waits is told, who is being answered is cut off: the master ends."""
        self.gate.end()
        # Those that waited say what they were woken for.
        await asyncio.sleep(0)
        await asyncio.gather(*(link.end() for link in list(self._links)))
        if not self._links:
            return
        self._left.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._left.wait(), _LINGER_S)


def main(words: Sequence[str]) -> int:
    try:
        told = DoorWords.of(words)
    except ValueError as error:
        say(f"{error}")
        return 2
    return asyncio.run(_run(told))


async def _run(words: DoorWords) -> int:
    return await Door(words).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
