"""Follows llama-server's log: which requests run, what became of them, and what every slot holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from hettui.domain.records import dataclass
from hettui.domain.slots.request import Cause, Choice, Reason, Request
from hettui.domain.slots.reread import Lost, Reading, Traits, judge
from hettui.domain.slots.server_log import Line, read_line
from hettui.domain.text import clean_line

MOST_REQUESTS = 400
_MOST_LOST = 32
_MOST_SLOTS = 512
_CHOICES: Mapping[str, Choice] = {"LCP": "same beginning", "LRU": "longest unused", "id": "asked for"}


@dataclass(slots=True)
class _Slot:
    held: int = 0
    """Tokens in its cache now."""
    shifted: bool = False
    choice: Choice = ""
    shared: int | None = None
    erased: bool = False
    forced: bool = False
    gone: bool = False
    """Checkpoints of what it holds were erased, to make room or by an earlier request."""
    judged: bool = False
    order: int = 0
    swapped: bool = False
    restored: int = 0
    """Tokens that were read back and not asked for yet."""


class RequestLog:
    """Of one llama-server after the other: `restart` says that another one answers now."""

    def __init__(self, traits: Traits = Traits()) -> None:  # noqa: B008 - frozen
        self.traits = traits
        self.past: deque[Request] = deque(maxlen=MOST_REQUESTS)
        self._ended_at: deque[int] = deque(maxlen=MOST_REQUESTS)
        self._live: dict[int, Request] = {}
        """By slot."""
        self._slots: dict[int, _Slot] = {}
        self._lost: deque[Lost] = deque(maxlen=_MOST_LOST)
        self._chosen: int | None = None
        self._order = 0
        self.version = 0
        """Another one after every change."""

    # -- what is known -------------------------------------------------------------------------------------

    @property
    def live(self) -> tuple[Request, ...]:
        return tuple(self._live.values())

    @property
    def busy(self) -> bool:
        return bool(self._live)

    @property
    def all(self) -> tuple[Request, ...]:
        """The oldest first; those that run last."""
        return (*self.past, *self.live)

    def since(self, version: int) -> tuple[Request, ...]:
        """Those that have ended since the log had this version."""
        return tuple(request for ended, request in zip(self._ended_at, self.past, strict=True) if ended > version)

    def held(self) -> dict[int, tuple[int, int]]:
        """By slot: tokens, and how late it was used (the larger, the later)."""
        return {n: (slot.held, slot.order) for n, slot in self._slots.items() if slot.held > 0}

    # -- what happens beside the log -----------------------------------------------------------------------

    def restart(self) -> None:
        """Another llama-server: what the slots held is gone, and what ran has been cut off."""
        for slot, request in tuple(self._live.items()):
            if request.reused_tokens is not None:
                self._live[slot] = replace(request, used_tokens=request.prompt_tokens)
            self._end(slot, refused="cut off: llama-server ended")
        # With the process also what it had put aside in the host's memory.
        self._lost.extend([Lost(one.tokens, "restart") for one in self._lost if one.how != "restart"])
        gone = [one for one in self._lost if one.how == "restart"]
        self._lost.clear()
        self._lost.extend(gone)
        self._lost.extend(Lost(one.held, "restart") for one in self._slots.values() if one.held)
        self._slots.clear()
        self._chosen = None
        self.version += 1

    def forget(self) -> None:
        """Another model: what was held of the last one is nobody's loss."""
        self._slots.clear()
        self._lost.clear()

    def restored(self, slot: int, tokens: int) -> None:
        """A slot was read back: it is not lost any more."""
        self._order += 1
        self._slots[slot] = _Slot(held=tokens, order=self._order, restored=tokens)
        near = min(
            (one for one in self._lost if one.how == "restart"), key=lambda o: abs(o.tokens - tokens), default=None
        )
        if near is not None:
            self._lost.remove(near)
        self.version += 1

    def seen(self, slots: Mapping[int, tuple[int | None, int | None]]) -> None:
        """What `/slots` says of those that are at work: the task, and the tokens that it has generated."""
        for number, (task, generated) in slots.items():
            request = self._live.get(number)
            if request is not None and request.number == task and generated != request.generated_tokens:
                self._live[number] = replace(request, generated_tokens=generated)
                self.version += 1

    # -- the log -------------------------------------------------------------------------------------------

    def feed(self, text: str) -> None:
        """One complete line."""
        line = read_line(text)
        if line is None or line.slot >= _MOST_SLOTS:
            return
        if line.slot >= 0:
            self._feed_slot(line, self._slots.setdefault(line.slot, _Slot()))
        else:
            self._feed_server(line)

    def _feed_server(self, line: Line) -> None:
        chosen = self._slots.get(self._chosen) if self._chosen is not None else None
        if line.what == "looked" and chosen is not None and chosen.shared is None:
            # Of what the slot holds so much is the same; for one that was chosen for its age.
            chosen.shared = round(max(0.0, min(1.0, line.numbers[0])) * chosen.held)
        elif line.what == "found" and chosen is not None:
            # A prompt that was put aside in the host's memory comes back into the slot.
            chosen.shared, chosen.choice, chosen.swapped = None, "same beginning", True
        elif line.what == "purged":
            slot = self._slots.get(int(line.numbers[0]))
            if slot is not None and slot.held:
                self._lost.append(Lost(slot.held, "purged"))
                slot.held = 0
        elif line.what == "refused":
            for number, request in tuple(self._live.items()):
                if request.number == int(line.numbers[0]):
                    self._live[number] = replace(request, refused=clean_line(line.word, 200))
        self.version += 1

    def _feed_slot(self, line: Line, slot: _Slot) -> None:
        match line.what:
            case "cleared" if line.slot != self._chosen and slot.held:
                # Put aside in the host's memory: with kv-unified a slot that rests is cleared for another one.
                self._lost.append(Lost(slot.held, "taken"))
                slot.held = 0
            case "chosen":
                self._chosen = line.slot
                slot.swapped = False
                slot.choice, slot.shared = _CHOICES[line.word], None
                if line.word == "LCP":
                    slot.shared = round(max(0.0, min(1.0, line.numbers[1])) * slot.held)
            case "launched":
                slot.forced = slot.erased = slot.judged = False
                self._live[line.slot] = Request(line.task, line.slot, restored_tokens=slot.restored)
            case "forced":
                slot.forced = True
            case "erased":
                slot.erased = True
            case "evicted":
                slot.gone = True
            case "shifted":
                slot.shifted = True
            case _:
                self._feed_request(line, slot)
        self.version += 1

    def _feed_request(self, line: Line, slot: _Slot) -> None:
        request = self._live.get(line.slot)
        if request is None or request.number != line.task:
            return
        numbers = line.numbers
        match line.what:
            case "prompt":
                request = replace(request, slot_tokens=int(numbers[0]), prompt_tokens=int(numbers[2]))
            case "cached" if not slot.judged:
                request = replace(request, reused_tokens=int(numbers[0]))
                request = self._judged(request, slot)
            case "read":
                prompt, read = request.prompt_tokens, int(numbers[1])
                reused = request.reused_tokens
                if reused is None and prompt is not None:
                    reused = max(0, prompt - read)
                request = replace(request, read_s=numbers[0] / 1000, read_tokens=read, reused_tokens=reused)
                request = self._judged(request, slot)
            case "generated":
                request = replace(request, generated_s=numbers[0] / 1000, generated_tokens=int(numbers[1]))
            case "full":
                request = replace(request, reason=request.reason or _full(request))
            case "stopped":
                self._live[line.slot] = replace(request, used_tokens=int(numbers[0]))
                slot.shifted = slot.shifted or bool(numbers[1])
                self._end(line.slot)
                return
        self._live[line.slot] = request

    def _judged(self, request: Request, slot: _Slot) -> Request:
        """What it re-read, once for each request, when it is known what could be reused."""
        if slot.judged or request.prompt_tokens is None or request.reused_tokens is None:
            return request
        slot.judged = True
        elsewhere = tuple(one.held for n, one in self._slots.items() if n != request.slot and one.held)
        reading = Reading(
            request.prompt_tokens, request.reused_tokens, slot.held, slot.choice, slot.shared, slot.forced, slot.gone,
            slot.shifted, elsewhere, slot.swapped,
        )  # fmt: skip
        found = judge(reading, self._lost, self.traits)
        if found.came_back is not None:
            self._lost.remove(found.came_back)
        if found.displaces:
            self._lost.append(Lost(slot.held, "taken"))
            slot.gone = False
        slot.shifted = False
        # What this prompt made useless the next one may miss.
        slot.gone = slot.gone or slot.erased
        return replace(request, reason=found.reason)

    def _end(self, number: int, refused: str = "") -> None:
        request, slot = self._live.pop(number), self._slots.setdefault(number, _Slot())
        self._order += 1
        slot.order, slot.choice, slot.shared, slot.restored = self._order, "", None, 0
        if request.used_tokens is not None:
            slot.held = request.used_tokens
        prompt, limit = request.prompt_tokens, request.slot_tokens
        reason = request.reason
        if reason is None and request.read_tokens is None and prompt and limit and prompt >= limit:
            reason = _full(request)
        self._ended_at.append(self.version + 1)
        self.past.append(replace(request, ended=True, refused=request.refused or refused, reason=reason))


def _full(request: Request) -> Reason:
    of = f" of {request.slot_tokens:,} tokens" if request.slot_tokens else ""
    return Reason(
        Cause.OVERFLOW, f"the slot's context{of} is full", "a larger ctx-size, or fewer slots: parallel in [serving]"
    )
