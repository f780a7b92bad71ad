"""Finds model files, reads their headers and judges them, while somebody looks at the list.

Every place has a daemon thread of its own: a network file system that hangs holds up nobody else, and not the end of
the program. Nothing is pushed: whoever looks is told that something changed and takes what is new when it suits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from hettui.domain.errors import ModelFileError
from hettui.domain.library.fit import Outlook, Surroundings, judge, largest_context
from hettui.domain.library.found import FoundModel, Kind, ModelEntry, ModelFacts
from hettui.domain.library.places import Completion, ModelPlace
from hettui.domain.model.shape import ModelShape
from hettui.domain.planner.learned import Learned
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line
from hettui.ports import ModelFinder

MAX_MODELS = 20_000
_POLL_S = 0.2
_TURN_S = 1.0
"""How long one waits for another thread's arithmetic; whoever takes longer hangs."""
_KEPT = 40_000
"""Headers and outlooks that are remembered."""

FileKey = tuple[str, int, float]


@dataclass(frozen=True, slots=True)
class Searched:
    """How far a search has come."""

    looking: tuple[str, ...] = ()
    """Places that are not done: one that stays here does not answer."""
    left_out: tuple[Kind, ...] = ()
    """What was found and is no model."""
    notes: tuple[str, ...] = ()
    """What could not be searched, in sentences."""
    places: tuple[str, ...] = ()
    """All of them, in words."""


class ModelCatalogue:
    """What is known of this machine's model files, from one search to the next; by path, size and time of change."""

    def __init__(self, finder: ModelFinder) -> None:
        self.finder = finder
        self._facts: dict[FileKey, ModelFacts] = {}
        self._outlooks: dict[tuple[FileKey, Surroundings], Outlook] = {}
        self._contexts: dict[tuple[FileKey, Surroundings], int | None] = {}
        self._turns: dict[ModelPlace, threading.Lock] = {}
        self._thinking = threading.Lock()

    def search(
        self,
        folders: Sequence[str],
        current: str | None,
        around: Surroundings,
        learned: Learned,
        changed: Callable[[], None],
    ) -> ModelSearch:
        """Begins one and returns at once. `changed` is called on other threads, once until `take` was called."""
        places = self.finder.places(folders, current)
        for place in places:
            self._turns.setdefault(place, threading.Lock())
        return ModelSearch(self, places, around, learned, changed)

    def turn(self, place: ModelPlace) -> threading.Lock:
        """Held by whoever searches the place: one that hangs is not searched a second time."""
        return self._turns[place]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread computes at a time, so that keys find the interpreter free; unless one hangs in reading."""
        held = self._thinking.acquire(timeout=_TURN_S)
        try:
            yield
        finally:
            if held:
                self._thinking.release()

    def entry(self, model: FoundModel, around: Surroundings, learned: Learned) -> ModelEntry:
        """With header and outlook. Blocks."""
        key = model.key
        facts, outlook = self._facts.get(key), self._outlooks.get((key, around))
        if facts is None or (outlook is None and not facts.problem and facts.kind is Kind.MODEL):
            with self._alone():
                facts, outlook = self._read(model, around, learned)
            self._facts[key] = facts
            if outlook is not None:
                self._outlooks[key, around] = outlook
            self._forget_oldest()
        asked = (key, around) in self._contexts
        return ModelEntry(model, facts, outlook, self._contexts.get((key, around)), asked)

    def _forget_oldest(self) -> None:
        while len(self._facts) > _KEPT:
            self._facts.pop(next(iter(self._facts)), None)
        while len(self._outlooks) > _KEPT:
            self._outlooks.pop(next(iter(self._outlooks)), None)

    def _read(self, model: FoundModel, around: Surroundings, learned: Learned) -> tuple[ModelFacts, Outlook | None]:
        try:
            shape = self.finder.read(model.path)
            facts = ModelFacts.of(shape)
            whole = facts.kind is Kind.MODEL and facts.problem is None
            return facts, judge(shape, around, learned) if whole else None
        except ModelFileError as error:
            # The path stands beside it already.
            said = clean_line(str(error), 600).removeprefix(clean_line(model.path, 300)).lstrip(": ")
            return ModelFacts.broken(said), None
        except (ArithmeticError, LookupError, ValueError, TypeError, RecursionError) as error:
            # A header that is sound as a file and absurd as a model: one row's matter, never the list's.
            return ModelFacts.broken(f"its header makes no sense to the planner ({type(error).__name__})"), None

    def with_context(self, entry: ModelEntry, around: Surroundings) -> ModelEntry:
        """With the largest context that fits. Blocks."""
        key = entry.model.key, around
        if key not in self._contexts:
            try:
                with self._alone():
                    shape: ModelShape = self.finder.read(entry.model.path)
                    self._contexts[key] = largest_context(shape, around)
            except (ModelFileError, ArithmeticError, LookupError, ValueError, TypeError):
                self._contexts[key] = None
        return replace(entry, largest_ctx=self._contexts[key], asked=True)


class ModelSearch:
    """One search. `take` gives what is new; `cancel` ends it."""

    def __init__(
        self,
        catalogue: ModelCatalogue,
        places: Sequence[ModelPlace],
        around: Surroundings,
        learned: Learned,
        changed: Callable[[], None],
    ) -> None:
        self._catalogue = catalogue
        self._around = around
        self._learned = learned
        self._changed = changed
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._new: dict[str, ModelEntry | None] = {}
        """By path; None: it turned out to be no model."""
        self._entries: dict[str, ModelEntry] = {}
        self._identities: set[tuple[int, int]] = set()
        self._looking = list(places)
        self._left_out: list[Kind] = []
        self._notes: list[str] = []
        self._told = False
        self._places = tuple(dict.fromkeys(place.label for place in places))
        for place in places:
            threading.Thread(target=self._search, args=(place,), name=f"models {place.label}", daemon=True).start()

    # -- for whoever looks ---------------------------------------------------------------------------------

    def take(self) -> tuple[dict[str, ModelEntry | None], Searched]:
        """What changed since the last call, by path, None for what left the list; and how far it is."""
        with self._lock:
            new, self._new, self._told = self._new, {}, False
            looking = tuple(dict.fromkeys(place.label for place in self._looking))
            return new, Searched(looking, tuple(self._left_out), tuple(self._notes), self._places)

    def ask_context(self, path: str) -> None:
        """The entry comes again, with the largest context that fits. Returns at once."""
        threading.Thread(target=self._find_context, args=(path,), name="models context", daemon=True).start()

    def cancel(self) -> None:
        """Nothing is told any more. Returns at once; threads end when they notice."""
        self._stop.set()

    # -- on the threads ------------------------------------------------------------------------------------

    def _search(self, place: ModelPlace) -> None:
        turn = self._catalogue.turn(place)
        while not turn.acquire(timeout=_POLL_S):
            if self._stop.is_set():
                return
        try:
            self._search_place(place)
        except Exception as error:  # a place that breaks us takes no other along, and its thread's end is told
            self._note(f"{place.label} cannot be searched: {type(error).__name__}")
        finally:
            turn.release()
            with self._lock:
                self._looking.remove(place)
            self._tell()

    def _search_place(self, place: ModelPlace) -> None:
        found = []
        for model in self._catalogue.finder.look(place, self._stop.is_set, self._note):
            if self._add(model):
                found.append(model)
        for model in sorted(found, key=lambda m: -m.changed_s):
            if self._stop.is_set():
                return
            if model.problem is None:
                self._put(self._catalogue.entry(model, self._around, self._learned))

    def _add(self, model: FoundModel) -> bool:
        """False for a file that is in the list already, under whatever name."""
        with self._lock:
            known = model.path in self._entries or any(i in self._identities for i in model.identities if i != (0, 0))
            full = len(self._entries) >= MAX_MODELS
            if not known and not full:
                self._identities.update(model.identities)
        if full and not known:
            self._note(f"only the first {MAX_MODELS:,} models found are listed: the path of another can be typed")
        if full or known:
            return False
        self._put(ModelEntry(model))
        return True

    def _put(self, entry: ModelEntry) -> None:
        path, facts = entry.model.path, entry.facts
        with self._lock:
            self._entries[path] = entry
            if facts is not None and facts.kind is not Kind.MODEL:
                self._left_out.append(facts.kind)
                self._new[path] = None
            else:
                self._new[path] = entry
        self._tell()

    def _note(self, sentence: str) -> None:
        with self._lock:
            if sentence not in self._notes:
                self._notes.append(sentence)
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            told, self._told = self._told, True
        if not told and not self._stop.is_set():
            self._changed()

    def _find_context(self, path: str) -> None:
        with self._lock:
            entry = self._entries.get(path)
        if entry is not None and entry.outlook is not None and not self._stop.is_set():
            self._put(self._catalogue.with_context(entry, self._around))


class PathCompleter:
    """Completes typed paths on daemon threads; only the newest answer is told."""

    MOST_WAITING = 4
    """More threads than that are not left hanging in a file system that does not answer."""

    def __init__(self, finder: ModelFinder, tell: Callable[[str, Completion], None]) -> None:
        """`tell` is called on another thread with what was typed and what it can become."""
        self._finder = finder
        self._tell = tell
        self._newest = 0
        self._waiting = 0
        self._left: tuple[str, int] | None = None
        """What was asked while too many waited: the first one that is back takes it. Keys are faster than threads."""
        self._lock = threading.Lock()

    def ask(self, typed: str) -> None:
        """Returns at once."""
        with self._lock:
            self._newest += 1
            number, too_many = self._newest, self._waiting >= self.MOST_WAITING
            self._waiting += not too_many
            self._left = (typed, number) if too_many else None
        if too_many:
            self._tell(typed, Completion(typed, problem="the file system does not answer: the path may be typed whole"))
        else:
            threading.Thread(target=self._complete, args=(typed, number), name="path", daemon=True).start()

    def _complete(self, typed: str, number: int) -> None:
        next_one: tuple[str, int] | None = (typed, number)
        while next_one is not None:
            typed, number = next_one
            try:
                found = self._finder.complete(typed)
            except Exception:
                with self._lock:
                    self._waiting -= 1
                raise
            with self._lock:
                newest = number == self._newest
                next_one, self._left = self._left, None
                self._waiting -= next_one is None
            if newest:
                self._tell(typed, found)
