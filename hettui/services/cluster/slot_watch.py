"""Follows the running master's slots: requests by its log, how far they are by `/slots`; snapshots while they rest.

While nothing happens nothing is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from hettui.domain.errors import HettuiError
from hettui.domain.slots.keeping import Held
from hettui.domain.slots.request_log import RequestLog
from hettui.domain.slots.reread import Traits
from hettui.ports import LlamaClient
from hettui.services.cluster.context_keeper import ContextKeeper
from hettui.services.cluster.world import Request, World
from hettui.services.events import Event, Notice, SlotsChanged

LOOK_S = 1.0
MOST_SHOWN = 200


class SlotWatch:
    """Runs on the engine's loop."""

    def __init__(self, world: World, emit: Callable[[Event], None]) -> None:
        self._clock = world.clock
        self._emit = emit
        self.log = RequestLog()
        self.contexts = ContextKeeper(world.contexts, world.clock, emit, self.log)
        self._request: Request | None = None
        self._told: tuple[object, ...] = ()
        self._rests_since_s = world.clock.monotonic()

    def begin(self, request: Request) -> None:
        """Another master begins: what the slots of the last one held is gone with it."""
        before, after = self._request.terms if self._request else None, request.terms
        if before is None or after is None or before.fingerprint != after.fingerprint:
            self.log.forget()
        self.log.restart()
        self.go_on(request)

    def go_on(self, request: Request) -> None:
        """The same master, or the one that an earlier hettui started, whose log is read from its beginning."""
        self._request, terms = request, request.terms
        self.log.traits = Traits(bool(terms and terms.windows and not terms.swa_full), bool(terms and terms.recurrent))

    def feed(self, lines: Sequence[str]) -> None:
        """New lines of the master's log."""
        before = self.log.version
        for line in lines:
            self.log.feed(line)
        if self.log.version != before:
            self._rests_since_s = self._clock.monotonic()
            for request in self.log.since(before):
                self.contexts.check(request)
        self.tell()

    def tell(self) -> None:
        """What has changed since the last time."""
        contexts = self.contexts
        now = (self.log.version, contexts.saved, contexts.free_bytes, self._request)
        if now == self._told:
            return
        self._told = now
        held = tuple(Held(slot, *tokens) for slot, tokens in sorted(self.log.held().items()))
        terms = self._request.terms if self._request else None
        saved = tuple(one.held for one in contexts.saved)
        requests = self.log.all[-MOST_SHOWN:]
        self._emit(SlotsChanged(requests, held, saved, terms, contexts.free_bytes, contexts.rate))

    async def watch(self, ready_client: Callable[[], LlamaClient | None]) -> None:
        """Never ends. `ready_client`: of a master that is ready, and that nobody is about to end."""
        while True:
            await asyncio.sleep(LOOK_S)
            client, request = ready_client(), self._request
            if client is None or request is None:
                continue
            try:
                if self.log.busy:
                    await self._look(client)
                else:
                    rested_s = self._clock.monotonic() - self._rests_since_s
                    await self.contexts.snapshot(client, request, rested_s)
            except HettuiError as error:
                self._emit(Notice(f"no snapshot of the context: {error}", "warning"))
            self.tell()

    async def _look(self, client: LlamaClient) -> None:
        slots = await client.slots()
        if slots is not None:
            known = ((place if s.number is None else s.number, s) for place, s in enumerate(slots) if s.busy)
            self.log.seen({number: (slot.task, slot.generated_tokens) for number, slot in known})
