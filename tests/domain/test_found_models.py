"""Model files of a folder: parts joined, names for people, what is no model told apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.library.fit import Fit, Outlook
from hettui.domain.library.found import (
    FoundFile,
    FoundModel,
    Kind,
    ModelEntry,
    ModelFacts,
    best_of,
    display_name,
    joined,
    kind_of,
    left_out,
    no_model,
    repository,
)
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.units import format_tokens
from tests.fakes import shape


def files(*names: str) -> list[FoundFile]:
    return [FoundFile(f"/m/{name}", 10, float(i), (1, i)) for i, name in enumerate(names)]


def test_parts_are_one_model_with_the_summed_size() -> None:
    (model,) = joined(files(*(f"big-0000{n}-of-00003.gguf" for n in (1, 2, 3))), "~/models")
    assert (model.name, model.size_bytes, model.parts, model.problem) == ("big", 30, 3, None)
    assert model.path == "/m/big-00001-of-00003.gguf"
    assert model.changed_s == 2.0


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((2, 3), "part 1 of 3 missing: fetch all parts"),
        ((1,), "part 2 of 3 and 1 more missing: fetch all parts"),
        ((1, 2, 3, 4), "its parts are numbered 1 to 4 of 3, which cannot be: fetch them again"),
        ((0, 1, 2), "its parts are numbered 0 to 2 of 3, which cannot be: fetch them again"),
    ],
)
def test_an_incomplete_set_is_said(parts: tuple[int, ...], said: str) -> None:
    (model,) = joined(files(*(f"big-0000{n}-of-00003.gguf" for n in parts)), "x")
    assert model.problem == said


def test_two_sets_of_one_name_and_single_files_stay_apart() -> None:
    models = joined(files("a-00001-of-00002.gguf", "a-00001-of-00001.gguf", "a.gguf", "b.gguf"), "x")
    assert sorted((m.name, m.parts, m.problem is None) for m in models) == [
        ("a", 1, False), ("a", 1, True), ("a", 1, True), ("b", 1, True),
    ]  # fmt: skip


@given(st.integers(1, 40), st.data())
def test_every_set_is_whole_or_says_what_is_missing(count: int, data: st.DataObject) -> None:
    present = data.draw(st.sets(st.integers(1, count), min_size=1))
    (model,) = joined(files(*(f"m-{n:05}-of-{count:05}.gguf" for n in sorted(present))), "x")
    assert (model.problem is None) == (len(present) == count)
    assert model.size_bytes == 10 * len(present)


@pytest.mark.parametrize(
    ("path", "owner", "name"),
    [
        ("/m/Qwen3-8B-Q4_K_M.gguf", (), "Qwen3-8B-Q4_K_M"),
        ("/m/Qwen3-8B/model.gguf", (), "Qwen3-8B/model"),
        ("/m/old/ggml-model-q4_0.gguf", (), "old/ggml-model-q4_0"),
        ("/s/Qwen3-8B-Q4_K_M.gguf", ("org", "Qwen3-8B-GGUF"), "Qwen3-8B-Q4_K_M"),
        ("/s/q4.gguf", ("org", "Qwen3-8B-GGUF"), "Qwen3-8B/q4"),
        ("/m/\x1b[2Jx\n[Q4_K_M].gguf", (), "x [Q4_K_M]"),
        ("/m/\u202e\u200b.gguf", (), "(a file without a readable name)"),
    ],
)
def test_names_for_people(path: str, owner: tuple[str, ...], name: str) -> None:
    assert display_name(path, owner) == name


@pytest.mark.parametrize(
    ("folder", "names"),
    [("models--org--name", ("org", "name")), ("models--gpt2", ("gpt2",)), ("datasets--a--b", ()), ("models----", ())],
)
def test_folders_of_hugging_face(folder: str, names: tuple[str, ...]) -> None:
    assert repository(folder) == names


def described(**metadata: str) -> ModelShape:
    file = shape().file
    return ModelShape.of(replace(file, metadata={**file.metadata, **metadata}))


@pytest.mark.parametrize(
    ("metadata", "kind"),
    [
        ({}, Kind.MODEL),
        ({"general.type": "adapter"}, Kind.ADAPTER),
        ({"general.type": "imatrix"}, Kind.MATRIX),
        ({"general.type": "mmproj"}, Kind.PROJECTOR),
        ({"general.architecture": "clip"}, Kind.PROJECTOR),
        ({"general.type": "vocab"}, Kind.VOCABULARY),
    ],
)
def test_what_is_no_model_is_told_by_its_header(metadata: dict[str, str], kind: Kind) -> None:
    assert kind_of(described(**metadata).file) is kind


def test_a_header_without_weights_is_a_vocabulary() -> None:
    assert kind_of(replace(shape().file, tensors=())) is Kind.VOCABULARY


def test_a_picture_model_is_no_language_model() -> None:
    assert no_model(shape()) is None
    assert "(flux) names no blocks" in str(no_model(described(**{"general.architecture": "flux"})))


def test_what_was_left_out_in_words() -> None:
    kinds = [Kind.PROJECTOR, Kind.ADAPTER, Kind.PROJECTOR, Kind.MATRIX]
    assert left_out(kinds) == "4 left out: 2 vision projectors, 1 LoRA adapter, 1 importance matrix"
    assert left_out([]) == ""


def entry(name: str, fit: Fit | None, size: int = 1, changed: float = 0.0, problem: str | None = None) -> ModelEntry:
    model = FoundModel(f"/m/{name}", name, "x", size, changed, problem=problem)
    outlook = None if fit is None else Outlook(fit, Plan((), Split((), 2)), 4096)
    return ModelEntry(model, ModelFacts.of(shape()), outlook)


def test_what_fits_comes_first_then_the_newest_and_what_is_broken_last() -> None:
    rows = [
        entry("broken", None, problem="damaged", changed=9),
        entry("not", Fit.NOT, changed=8),
        entry("unknown", None, changed=9),
        entry("old", Fit.FITS, changed=1),
        entry("less", Fit.LESS_CONTEXT, changed=9),
        entry("new", Fit.FITS, changed=2),
        entry("cpu", Fit.PARTLY_CPU, changed=9),
    ]
    names = [e.model.name for e in sorted(rows, key=lambda e: e.order)]
    assert names == ["new", "old", "less", "cpu", "not", "unknown", "broken"]


def test_the_best_is_the_largest_of_those_that_fit_best() -> None:
    rows = [entry("small", Fit.FITS, 1), entry("large", Fit.FITS, 2), entry("huge", Fit.PARTLY_CPU, 9)]
    best = best_of([*rows, entry("no", Fit.NOT, 99), entry("bad", Fit.FITS, 99, problem="x")])
    assert best is not None
    assert best.model.name == "large"
    assert best_of(rows[2:]) is rows[2]
    assert best_of([entry("no", Fit.NOT), entry("?", None)]) is None


def test_every_word_must_match_somewhere() -> None:
    row = entry("Qwen3-Coder", Fit.FITS)
    assert row.matches(["qwen", "q4_1"])
    assert row.matches(["coder", "llama"])
    assert row.matches([])
    assert not row.matches(["qwen", "mistral"])


@pytest.mark.parametrize(
    ("tokens", "said"),
    [(None, "–"), (512, "512"), (4096, "4k"), (41216, "40k"), (131072, "128k"), (1 << 20, "1M"), (10 << 20, "10M")],
)
def test_tokens_in_words(tokens: int | None, said: str) -> None:
    assert format_tokens(tokens) == said
