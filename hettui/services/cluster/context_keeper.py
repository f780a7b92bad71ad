"""Keeps what slots hold over a restart: saved before, read back after, and saved now and then while they rest.

None of it is worth a cluster: whatever goes wrong, or takes too long, is a sentence, and the restart goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Literal, TypeVar

from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.snapshot import Waiting
from hettui.domain.devices.device import LOCAL
from hettui.domain.errors import ConnectionLost, HettuiError
from hettui.domain.slots.keeping import Came, Held, KeepPlan, plan_keeping, rate_of
from hettui.domain.slots.policy import LEAST_TOKENS
from hettui.domain.slots.request import Request as Asked
from hettui.domain.slots.request_log import RequestLog
from hettui.domain.slots.saved import Saved, of_model, with_new
from hettui.domain.slots.terms import Terms
from hettui.domain.units import format_bytes
from hettui.ports import Clock, ContextFolder, ContextFolders, LlamaClient
from hettui.services.cluster.world import Request
from hettui.services.events import Event, Notice

T = TypeVar("T")

_LEAST_S, _PATIENCE = 10.0, 8.0
"""How long one saving may take: so much longer than expected, and never less than this."""
BUSY_S = 3.0
"""How long a slot that answers somebody is waited for before a restart."""
_DISK_S = 20.0
"""For a look at the disk: a network folder may hang."""
_OF_USE = 0.9
_OPTION = "--slot-save-path"


class ContextKeeper:
    """Of one cluster after the other. All methods run on the engine's loop; the disk is asked on a thread."""

    def __init__(self, folders: ContextFolders, clock: Clock, emit: Callable[[Event], None], log: RequestLog) -> None:
        self._folders = folders
        self._clock = clock
        self._emit = emit
        self._log = log
        self._folder: ContextFolder | None = None
        self._saved: tuple[Saved, ...] = ()
        self._state_saved: dict[int, tuple[int, int]] = {}
        """By slot: tokens, and which use of the slot it was, when it was saved last."""
        self._saved_at_s: dict[int, float] = {}
        """By slot: when it was saved last, or found to hold something that is not saved yet."""
        self._order = 0
        self._told: set[str] = set()
        self._at_work: frozenset[int] = frozenset()
        """Slots that answered somebody when it was looked last."""
        self._busy = asyncio.Lock()
        self._looks = 0
        self.rate: float | None = None
        """Bytes a second, as measured last."""
        self.free_bytes: int | None = None
        self.bringing_back = False

    @property
    def folder(self) -> ContextFolder | None:
        """Where the running master saves its slots; None where it does not."""
        return self._folder

    @property
    def saved(self) -> tuple[Saved, ...]:
        return self._saved

    @property
    def pulse(self) -> int:
        """Differs from one look to the next while contexts are read back: the load goes on meanwhile."""
        self._looks += self.bringing_back
        return self._looks

    # -- the folder ----------------------------------------------------------------------------------------

    async def prepared(self, cluster: Cluster, request: Request) -> Cluster:
        """The cluster with the folder in which its slots can be saved; without one where that cannot be."""
        folder: ContextFolder | None = None
        options, keeping = cluster.engine.options, request.keeping
        wanted = keeping.on and request.terms is not None
        if not keeping.on and request.terms is not None:
            # It was switched off: what was kept before is not wanted any more.
            with contextlib.suppress(HettuiError):
                await self._on_disk(partial(self._folders.clear, keeping.folder))
        if wanted and options and _OPTION not in options:
            self._say_once(f"this build of llama.cpp keeps no contexts: it has no {_OPTION}")
        elif wanted:
            try:
                folder = await self._on_disk(partial(self._folders.open, keeping.folder))
                await self._look(folder)
            except HettuiError as error:
                folder = None
                self._say_once(f"contexts are not kept over restarts: {error}", "warning")
        self._folder = folder
        path = folder.path if folder else None
        return replace(cluster, serving=replace(cluster.serving, slot_save_path=path))

    async def adopted(self, request: Request) -> None:
        """A cluster was taken over: what an earlier hettui kept of it, where it keeps anything."""
        path = request.cluster.serving.slot_save_path
        if path is None or not request.keeping.on:
            return
        with contextlib.suppress(HettuiError):
            folder = await self._on_disk(partial(self._folders.open, request.keeping.folder))
            if folder.path == path:
                await self._look(folder)
                self._folder = folder

    async def _look(self, folder: ContextFolder) -> None:
        self._saved = await self._on_disk(folder.load)
        self.free_bytes = await self._on_disk(folder.free_bytes)
        self._order = max((one.order for one in self._saved), default=self._order)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        """Raises HettuiError for what the disk refuses, and for one that does not answer."""
        try:
            return await asyncio.wait_for(asyncio.to_thread(work), _DISK_S)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise HettuiError(f"{where}{error.strerror or error}") from error
        except TimeoutError:
            raise HettuiError(f"the disk does not answer within {_DISK_S:.0f} s") from None

    def _say_once(self, text: str, severity: str = "information") -> None:
        if text not in self._told:
            self._told.add(text)
            self._emit(Notice(text, "warning" if severity == "warning" else "information"))

    # -- saving --------------------------------------------------------------------------------------------

    async def held(self, client: LlamaClient, terms: Terms) -> list[tuple[Held, bool]]:
        """What every slot holds, and whether it is at work: by the server, else by its log; 0 tokens: not known."""
        known = self._log.held()
        slots = await client.slots()
        if slots is None:
            live = {request.slot for request in self._log.live}
            return [(Held(n, *known.get(n, (0, 0))), n in live) for n in range(terms.slots)]
        found = []
        for place, slot in enumerate(slots):
            number = place if slot.number is None else slot.number
            tokens, order = known.get(number, (0, 0))
            # Of one that was read back, and not asked for yet, the server says nothing.
            if slot.task is not None and slot.held_tokens is not None:
                tokens = slot.held_tokens
            found.append((Held(number, tokens, order), slot.busy))
        return found

    async def save(
        self, client: LlamaClient, before: Request, after: Terms | None, tell: Callable[[Waiting | None], None]
    ) -> KeepPlan:
        """Before a restart: everything that will be of use after it. Never raises HettuiError."""
        folder, terms = self._folder, before.terms
        if folder is None or terms is None or after is None:
            return KeepPlan()
        async with self._busy:
            try:
                return await self._save_all(client, before, terms, after, folder, tell)
            except HettuiError as error:
                self._emit(Notice(f"the context was not saved: {error}", "warning"))
                return KeepPlan()
            finally:
                tell(None)

    async def _save_all(
        self, client: LlamaClient, before: Request, terms: Terms, after: Terms, folder: ContextFolder,
        tell: Callable[[Waiting | None], None],
    ) -> KeepPlan:  # fmt: skip
        slots = await self.held(client, terms)
        self.free_bytes = await self._on_disk(folder.free_bytes)
        kept = plan_keeping(
            [(held, terms) for held, _ in slots if held.tokens >= LEAST_TOKENS], after, before.keeping, self.free_bytes,
            self._rate(before),
        )  # fmt: skip
        at_work = self._at_work = frozenset(held.slot for held, busy in slots if busy)
        for number, one in enumerate(kept.kept, 1):
            tell(Waiting(f"saving the context: slot {number} of {len(kept.kept)}, {format_bytes(one.size_bytes)}"))
            if self._is_fresh(terms, one.held) and one.held.slot not in at_work:
                continue
            limit_s = BUSY_S if one.held.slot in at_work else self._limit_s(one.size_bytes, before)
            if await self._save_or_say(client, before, terms, one.held.slot, folder, limit_s) == "silent":
                # Nor would it answer for the others, and somebody waits.
                break
        if kept.left:
            self._emit(Notice(f"not kept: {kept.words}" if not kept.kept else kept.words, "warning"))
        return kept

    async def _save_or_say(
        self, client: LlamaClient, request: Request, terms: Terms, slot: int, folder: ContextFolder, limit_s: float
    ) -> Literal["saved", "not saved", "silent"]:
        try:
            await self._save_slot(client, request, terms, slot, folder, limit_s)
        except HettuiError as error:
            earlier = self._of_slot(terms, slot)
            instead = f"; what was saved of it before is used, {earlier.tokens:,} tokens" if earlier else ""
            self._emit(Notice(f"the context of slot {slot} was not saved: {error}{instead}", "warning"))
            return "silent" if isinstance(error, ConnectionLost) and slot not in self._at_work else "not saved"
        return "saved"

    async def _save_slot(
        self, client: LlamaClient, request: Request, terms: Terms, slot: int, folder: ContextFolder, limit_s: float
    ) -> None:
        """One file more, and the one before gone. Raises HettuiError; then what was there is there."""
        file, begun_s = folder.new_name(slot), self._clock.monotonic()
        state = self._log.held().get(slot, (0, 0))
        try:
            tokens, written = await client.save_slot(slot, file, limit_s)
            took_s = self._clock.monotonic() - begun_s
            size, check = await self._written(folder, file, written)
            mark = await self._on_disk(partial(folder.model_mark, terms.model))
            if tokens < LEAST_TOKENS:
                await self._on_disk(partial(folder.keep, self._saved))
                return
            self._order += 1
            new = Saved(file, slot, tokens, size, terms, self._order, mark, check)
            saved = with_new(self._saved, new, request.keeping.limit_bytes)
            await self._on_disk(partial(folder.keep, saved))
        except BaseException:
            # What it has written of it is in nobody's list, and goes with the next one that is kept.
            with contextlib.suppress(HettuiError):
                await self._on_disk(partial(folder.keep, self._saved))
            raise
        self._saved = saved
        self._saved_at_s[slot] = self._clock.monotonic()
        self._state_saved[slot] = state
        if took_s > 0 and size > 1 << 20:
            self.rate = size / took_s

    async def _written(self, folder: ContextFolder, file: str, written_bytes: int) -> tuple[int, str]:
        """Size and sum of the file. Raises HettuiError where it is not all there: llama-server does not notice."""
        size, check = await self._on_disk(partial(folder.written, file))
        if size != written_bytes:
            raise HettuiError(f"of its file {size:,} bytes are there and {written_bytes:,} written: is the disk full?")
        return size, check

    def _is_fresh(self, terms: Terms, held: Held) -> bool:
        """What is on disk is what the slot holds."""
        state = (held.tokens, held.order)
        return (
            held.order > 0 and self._of_slot(terms, held.slot) is not None and self._state_saved.get(held.slot) == state
        )

    def _of_slot(self, terms: Terms, slot: int) -> Saved | None:
        return next((one for one in self._saved if (one.terms, one.slot) == (terms, slot)), None)

    def _rate(self, request: Request) -> float:
        return self.rate or rate_of([device.host for device in request.cluster.devices], LOCAL)

    def _limit_s(self, size_bytes: int, request: Request) -> float:
        return max(_LEAST_S, _PATIENCE * size_bytes / self._rate(request))

    # -- reading back --------------------------------------------------------------------------------------

    async def restore(
        self, client: LlamaClient, request: Request, tell: Callable[[Waiting | None], None]
    ) -> Came | None:
        """After a start: everything that is of use now. None when there was nothing. Never raises HettuiError."""
        folder, terms = self._folder, request.terms
        if folder is None or terms is None or request.cluster.serving.slot_save_path is None or not self._saved:
            return None
        self.bringing_back = True
        try:
            async with self._busy:
                return await self._restore_all(client, request, terms, folder, tell)
        except HettuiError as error:
            self._emit(Notice(f"the context was not read back: {error}", "warning"))
            return None
        finally:
            self.bringing_back = False
            tell(None)

    async def _restore_all(
        self, client: LlamaClient, request: Request, terms: Terms, folder: ContextFolder,
        tell: Callable[[Waiting | None], None],
    ) -> Came | None:  # fmt: skip
        if request.keeping.at_stop == "delete":
            # What another model kept ended with it.
            self._saved = of_model(self._saved, terms.model)
        mine = {one.order: one for one in of_model(self._saved, terms.model)}
        plan = plan_keeping([(one.held, one.terms) for one in mine.values()], terms, request.keeping)
        mark = await self._on_disk(partial(folder.model_mark, terms.model))
        used = {slot.number for slot in await client.slots() or () if slot.task is not None}
        begun_s, tokens, came = self._clock.monotonic(), 0, 0
        for number, one in enumerate(plan.kept, 1):
            saved = mine[one.held.order]
            size = format_bytes(one.size_bytes)
            tell(Waiting(f"reading the context back: slot {number} of {len(plan.kept)}, {size}"))
            try:
                await self._check(folder, saved, mark, taken=one.to_slot in used)
                limit_s = self._limit_s(one.size_bytes, request)
                back = await client.restore_slot(one.to_slot, saved.file, limit_s)
            except HettuiError as error:
                what = f"the context of slot {saved.slot} ({saved.tokens:,} tokens)"
                self._emit(Notice(f"{what} was not read back: {error}", "warning"))
                if isinstance(error, ConnectionLost):
                    break
                continue
            self._log.restored(one.to_slot, back)
            self._state_saved[one.to_slot] = self._log.held().get(one.to_slot, (0, 0))
            self._saved_at_s[one.to_slot] = self._clock.monotonic()
            mine[one.held.order] = replace(saved, slot=one.to_slot, terms=terms)
            tokens, came = tokens + back, came + 1
        await self._note(mine, folder)
        return Came(tokens, came, self._clock.monotonic() - begun_s) if came else None

    async def _check(self, folder: ContextFolder, saved: Saved, model_mark: str, *, taken: bool) -> None:
        """Raises HettuiError for what is not to be read back, and forgets what never can be."""
        if taken:
            raise HettuiError("somebody was quicker: the slot is in use already")
        reason = "the model's file was replaced meanwhile" if saved.model_mark != model_mark else None
        if reason is None and (damage := await self._on_disk(partial(folder.damage, saved))):
            reason = f"its file {saved.file}: {damage}"
        if reason is not None:
            self._saved = tuple(one for one in self._saved if one.order != saved.order)
            raise HettuiError(reason)

    async def _note(self, mine: Mapping[int, Saved], folder: ContextFolder) -> None:
        """Writes down what came back into which slot, and what was damaged no more."""
        self._saved = tuple(mine.get(one.order, one) for one in self._saved)
        await self._on_disk(partial(folder.keep, self._saved))

    # -- while all runs ------------------------------------------------------------------------------------

    async def snapshot(self, client: LlamaClient, request: Request, rested_s: float) -> None:
        """Saves what is due of slots that rest, while nobody is answered; `rested_s`: since when that is so."""
        folder, terms, keeping = self._folder, request.terms, request.keeping
        if folder is None or terms is None or not keeping.snapshots or self._busy.locked():
            return
        now_s = self._clock.monotonic()
        for slot, (tokens, _) in self._log.held().items():
            before = self._of_slot(terms, slot)
            since_s = now_s - self._saved_at_s.setdefault(slot, now_s)
            size = terms.saved_bytes(tokens)
            new = tokens if before is None else abs(tokens - before.tokens)
            wanted = tokens >= LEAST_TOKENS and slot < terms.slots and keeping.due(new, since_s)
            if not wanted or size > keeping.limit_bytes or rested_s < size / self._rate(request):
                continue
            self.free_bytes = await self._on_disk(folder.free_bytes)
            if self.free_bytes is not None and size > self.free_bytes:
                self._say_once(
                    f"no snapshots: the disk has {format_bytes(self.free_bytes)} left for {folder.path}", "warning"
                )
                continue
            async with self._busy:
                if self._log.busy:
                    return
                # Tried again when there is something new, not at every look.
                self._saved_at_s[slot] = now_s
                await self._save_or_say(client, request, terms, slot, folder, self._limit_s(size, request))

    def check(self, asked: Asked) -> None:
        """The first request after a context was read back says whether that was of any use."""
        back, reused = asked.restored_tokens, asked.reused_tokens
        if not back or reused is None or asked.prompt_tokens is None:
            return
        if reused >= _OF_USE * min(back, asked.prompt_tokens):
            self._emit(
                Notice(f"slot {asked.slot}: the first request reused {reused:,} of {back:,} tokens that were kept")
            )
        elif asked.reason is not None:
            why = asked.reason
            self._emit(
                Notice(f"slot {asked.slot}: the context came back, and {why.words} ({why.cause.value})", "warning")
            )

    # -- the end -------------------------------------------------------------------------------------------

    async def forget(self) -> None:
        """The cluster was stopped, and nothing of it is wanted again."""
        folder = self._folder
        if folder is None:
            return
        # A snapshot that was at work ends with its connection; what it wrote goes too.
        async with self._busy:
            self._saved = ()
            try:
                await self._on_disk(partial(folder.keep, ()))
            except HettuiError as error:
                self._emit(Notice(f"the files of kept contexts could not be removed: {error}", "warning"))
