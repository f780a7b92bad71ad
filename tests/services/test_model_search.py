"""The search on threads: rows come, what is no model goes, one hanging place holds up nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from hettui.domain.errors import ModelFileError
from hettui.domain.library.fit import Fit, Surroundings
from hettui.domain.library.found import FoundModel, Kind, ModelEntry
from hettui.domain.library.places import Completion, ModelPlace
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.model.shape import ModelShape
from hettui.domain.planner.learned import Learned
from hettui.services.library.search import ModelCatalogue, ModelSearch, PathCompleter, Searched
from tests.fakes import shape, workers
from tests.patience import patience

AROUND = Surroundings(RuntimeParams(), workers(400, 400), 64 << 30)
DEADLINE_S = 20.0


def found(name: str, place: str, changed: float = 0.0, **more: object) -> FoundModel:
    model = FoundModel(f"/{place}/{name}", name, place, 1000, changed)
    return replace(model, **more)  # type: ignore[arg-type]


@dataclass
class ScriptedFinder:
    """Implements ModelFinder. What is in `hangs` does not answer before `go_on` is set."""

    content: dict[str, list[FoundModel]]
    shapes: dict[str, ModelShape] = field(default_factory=dict)
    hangs: set[str] = field(default_factory=set)
    go_on: threading.Event = field(default_factory=threading.Event)
    reads: list[str] = field(default_factory=list)

    def places(self, folders: Sequence[str], current: str | None) -> tuple[ModelPlace, ...]:
        return tuple(ModelPlace(label, f"/{label}") for label in self.content)

    def look(self, place: ModelPlace, stopped: Callable[[], bool], note: Callable[[str], None]) -> Iterator[FoundModel]:
        if place.label in self.hangs:
            self.go_on.wait(patience(DEADLINE_S))
        if place.label == "breaks":
            raise RuntimeError("x")
        note(f"{place.label} was looked at")
        yield from self.content[place.label]

    def read(self, path: str) -> ModelShape:
        self.reads.append(path)
        if path not in self.shapes:
            raise ModelFileError(f"{path} is no GGUF file")
        return self.shapes[path]

    def complete(self, typed: str) -> Completion:
        if typed in self.hangs:
            self.go_on.wait(patience(DEADLINE_S))
        return Completion(typed + "!")


def begin(catalogue: ModelCatalogue, around: Surroundings = AROUND) -> ModelSearch:
    return catalogue.search((), None, around, Learned(), lambda: None)


def finished(
    search: ModelSearch, done: Callable[[Searched], bool] = lambda searched: not searched.looking
) -> tuple[dict[str, ModelEntry], Searched]:
    """What a screen that looked all the time would know."""
    entries: dict[str, ModelEntry] = {}
    deadline = time.monotonic() + patience(DEADLINE_S)
    while time.monotonic() < deadline:
        new, searched = search.take()
        for path, entry in new.items():
            if entry is None:
                entries.pop(path, None)
            else:
                entries[path] = entry
        if done(searched):
            return entries, searched
        threading.Event().wait(0.005)
    raise AssertionError("the search does not end")


def with_type(kind: str) -> ModelShape:
    file = shape().file
    return ModelShape.of(replace(file, metadata={**file.metadata, "general.type": kind}))


def test_rows_are_judged_and_what_is_no_model_goes() -> None:
    finder = ScriptedFinder(
        {
            "a": [
                found("m", "a"),
                found("lora", "a"),
                found("bad", "a"),
                found("part", "a", problem="part 2 of 2 missing"),
            ]
        },
        {"/a/m": shape(), "/a/lora": with_type("adapter")},
    )
    entries, searched = finished(begin(ModelCatalogue(finder)))
    assert set(entries) == {"/a/m", "/a/bad", "/a/part"}
    outlook = entries["/a/m"].outlook
    assert outlook is not None
    assert outlook.fit is Fit.FITS
    assert entries["/a/bad"].problem == "is no GGUF file"
    assert entries["/a/part"].problem == "part 2 of 2 missing"
    assert "/a/part" not in finder.reads
    assert searched == Searched((), (Kind.ADAPTER,), ("a was looked at",), ("a",))


def test_one_file_by_several_names_is_one_row() -> None:
    same = ((1, 7),)
    content = {"a": [found("x", "a", identities=same), found("y", "a", identities=same), found("z", "a")] * 2}
    entries, _ = finished(begin(ModelCatalogue(ScriptedFinder(content))))
    assert set(entries) == {"/a/x", "/a/z"}


def test_a_place_that_hangs_is_named_and_holds_up_nobody() -> None:
    finder = ScriptedFinder({"nfs": [found("far", "nfs")], "a": [found("m", "a")]}, {"/a/m": shape()}, {"nfs"})
    catalogue = ModelCatalogue(finder)
    search = begin(catalogue)
    entries, searched = finished(search, lambda s: s.looking == ("nfs",))
    assert entries["/a/m"].outlook is not None
    # Opened again: no second thread goes into the place.
    search.cancel()
    again = begin(catalogue)
    finished(again, lambda s: s.looking == ("nfs",))
    assert "nfs was looked at" not in searched.notes
    finder.go_on.set()
    entries, _ = finished(again)
    assert "/nfs/far" in entries


def test_that_some_are_left_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hettui.services.library.search.MAX_MODELS", 2)
    content = {"a": [found(name, "a") for name in ("x", "y", "y", "z", "w")]}
    entries, searched = finished(begin(ModelCatalogue(ScriptedFinder(content))))
    assert set(entries) == {"/a/x", "/a/y"}
    assert [n for n in searched.notes if "listed" in n] == [
        "only the first 2 models found are listed: the path of another can be typed"
    ]


def test_a_place_that_breaks_is_a_note() -> None:
    finder = ScriptedFinder({"breaks": [], "a": [found("m", "a")]}, {"/a/m": shape()})
    entries, searched = finished(begin(ModelCatalogue(finder)))
    assert set(entries) == {"/a/m"}
    assert "breaks cannot be searched: RuntimeError" in searched.notes


def test_the_second_time_no_header_is_read_unless_something_changed() -> None:
    finder = ScriptedFinder({"a": [found("m", "a")]}, {"/a/m": shape()})
    catalogue = ModelCatalogue(finder)
    first, _ = finished(begin(catalogue))
    second, _ = finished(begin(catalogue))
    assert finder.reads == ["/a/m"]
    assert second["/a/m"].outlook is first["/a/m"].outlook
    finished(begin(catalogue, replace(AROUND, devices=workers(100))))
    assert finder.reads == ["/a/m"] * 2, "other devices: judged again"
    finder.content["a"] = [found("m", "a", changed=5.0)]
    finished(begin(catalogue))
    assert finder.reads == ["/a/m"] * 3


def test_the_largest_context_is_found_when_asked_for_once() -> None:
    finder = ScriptedFinder({"a": [found("m", "a")]}, {"/a/m": shape()})
    search = begin(ModelCatalogue(finder))
    finished(search)
    search.ask_context("/a/m")
    deadline = time.monotonic() + patience(DEADLINE_S)
    entry = None
    while entry is None and time.monotonic() < deadline:
        entry = search.take()[0].get("/a/m")
    assert entry is not None
    assert entry.asked
    assert entry.largest_ctx is not None
    assert entry.largest_ctx >= 8192
    search.ask_context("/not/there")


def test_headers_that_make_no_sense_are_one_rows_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    def absurd(*_: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr("hettui.services.library.search.judge", absurd)
    finder = ScriptedFinder({"a": [found("m", "a")]}, {"/a/m": shape()})
    entries, _ = finished(begin(ModelCatalogue(finder)))
    assert entries["/a/m"].problem == "its header makes no sense to the planner (ZeroDivisionError)"


def test_nothing_is_told_after_the_end_and_once_until_it_is_taken() -> None:
    told: list[int] = []
    finder = ScriptedFinder({"a": [found(str(n), "a") for n in range(50)], "nfs": []}, {}, {"nfs"})
    search = ModelCatalogue(finder).search((), None, AROUND, Learned(), lambda: told.append(1))
    deadline = time.monotonic() + patience(DEADLINE_S)
    while len(finder.reads) < 50 and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    assert told == [1]
    search.take()
    search.cancel()
    finder.go_on.set()
    while finder.go_on.is_set() and any(t.name == "models nfs" for t in threading.enumerate()):
        threading.Event().wait(0.005)
    assert told == [1]


def test_only_the_newest_completion_is_told_and_hanging_ones_are_few() -> None:
    finder = ScriptedFinder({}, {}, {f"/nfs{n}" for n in range(9)})
    told: list[tuple[str, Completion]] = []
    completer = PathCompleter(finder, lambda typed, completion: told.append((typed, completion)))
    for n in range(PathCompleter.MOST_WAITING + 2):
        completer.ask(f"/nfs{n}")
    assert [typed for typed, _ in told] == ["/nfs4", "/nfs5"]
    assert all("does not answer" in str(completion.problem) for _, completion in told)
    told.clear()
    finder.go_on.set()
    while any(t.name == "path" for t in threading.enumerate()):
        threading.Event().wait(0.005)
    # It was the keys that were faster than threads: what was typed last is answered after all.
    assert told == [("/nfs5", Completion("/nfs5!"))]
    told.clear()
    completer.ask("/here")
    deadline = time.monotonic() + patience(DEADLINE_S)
    while not told and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    assert told == [("/here", Completion("/here!"))]
