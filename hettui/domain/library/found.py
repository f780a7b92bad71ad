"""Model files as they lie about: parts joined, named for people, what is no model told apart.

Everything here comes from names and headers that anybody may have written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum

from hettui.domain.library.fit import Fit, Outlook
from hettui.domain.model.header import ModelFile
from hettui.domain.model.shape import ModelShape
from hettui.domain.model.towers import merged_tower
from hettui.domain.model.vocabulary import Words
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line
from hettui.domain.units import UNKNOWN

SUFFIX = ".gguf"
_PART = late_pattern(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL | re.IGNORECASE)
_SAYS_NOTHING = late_pattern(r"(ggml-)?model([-_.].*)?", re.IGNORECASE)
"""`model.gguf`, `ggml-model-q4_0.gguf`: the folder's name is the model's."""
_REPO_SUFFIX = late_pattern(r"[-_.]gguf$", re.IGNORECASE)
_NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file of a folder, as the system names and knows it."""

    path: str
    size_bytes: int
    changed_s: float
    """Seconds since 1970."""
    identity: tuple[int, int] = (0, 0)
    """Device and inode, links followed: the same for every name of one file."""
    problem: str | None = None
    """Why nothing is known of it, as a sentence."""


@dataclass(frozen=True, slots=True)
class FoundModel:
    """One model: a file, or all parts of a split one."""

    path: str
    """What is opened: the file, or the first part."""
    name: str
    """For people, clean."""
    place: str
    """Where it was found, in words: `Hugging Face`, `~/models`."""
    size_bytes: int
    """All parts together."""
    changed_s: float
    """Of the newest part."""
    identities: tuple[tuple[int, int], ...] = ()
    parts: int = 1
    problem: str | None = None
    """Why it cannot be chosen, as a sentence; None: it may be looked at."""
    repository: str = ""
    """`org/repo` that it was fetched from, clean; empty where that is not known."""

    @property
    def key(self) -> tuple[str, int, float]:
        """Equal as long as the file has not changed."""
        return self.path, self.size_bytes, self.changed_s


class Kind(Enum):
    """What a GGUF file is. The value says it in words, singular and plural."""

    MODEL = ("model", "models")
    PROJECTOR = ("vision projector", "vision projectors")
    ADAPTER = ("LoRA adapter", "LoRA adapters")
    MATRIX = ("importance matrix", "importance matrices")
    VOCABULARY = ("vocabulary", "vocabularies")


def kind_of(file: ModelFile) -> Kind:
    """By the header: `general.type` where it is given, the architecture, and whether there are any weights."""
    said = str(file.metadata.get("general.type", "")).lower()
    if said == "adapter":
        return Kind.ADAPTER
    if said == "imatrix":
        return Kind.MATRIX
    if said == "mmproj" or file.architecture == "clip":
        return Kind.PROJECTOR
    if said == "vocab" or not file.tensors:
        return Kind.VOCABULARY
    return Kind.MODEL


def no_model(shape: ModelShape) -> str | None:
    """Why llama.cpp cannot serve a sound GGUF, as a sentence; None: it can."""
    if merged := merged_tower(shape.file):
        return merged
    if shape.blocks and shape.n_embd:
        return None
    architecture = clean_line(shape.file.architecture, 40)
    return f"no language model: its header ({architecture}) names no blocks"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the header says, as far as a list shows it. What is not known is None."""

    kind: Kind
    architecture: str
    quantisation: str
    blocks: int
    trained_tokens: int | None
    vocabulary: int | None
    problem: str | None = None
    """Why it cannot be served, as a sentence."""
    words: Words | None = None
    """What decides whose draft it can be."""

    @classmethod
    def of(cls, shape: ModelShape) -> ModelFacts:
        kind = kind_of(shape.file)
        return cls(
            kind,
            clean_line(shape.file.architecture, 40),
            clean_line(shape.quantisation, 20),
            shape.blocks,
            shape.n_ctx_train or None,
            shape.n_vocab or None,
            no_model(shape) if kind is Kind.MODEL else None,
            Words.of(shape),
        )

    @classmethod
    def broken(cls, problem: str) -> ModelFacts:
        """Of a file whose header cannot be read."""
        return cls(Kind.MODEL, UNKNOWN, UNKNOWN, 0, None, None, clean_line(problem, 400))


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model in the list, as far as it is known by now."""

    model: FoundModel
    facts: ModelFacts | None = None
    outlook: Outlook | None = None
    largest_ctx: int | None = None
    """With which all of it fits; asked only of the model that is looked at."""
    asked: bool = False
    """Whether `largest_ctx` was asked."""

    @property
    def problem(self) -> str | None:
        return self.model.problem or (self.facts.problem if self.facts else None)

    @property
    def order(self) -> tuple[int, float, str]:
        """What fits best comes first, then what is newest; what is not known yet behind that, what is broken last."""
        rank = len(Fit) + 1 if self.problem else len(Fit) if self.outlook is None else int(self.outlook.fit)
        return rank, -self.model.changed_s, self.model.path

    def matches(self, words: Sequence[str]) -> bool:
        """Whether every word, in lower case, is part of its name, place, path, quantisation or architecture."""
        facts = self.facts
        said = [self.model.name, self.model.place, self.model.repository, self.model.path]
        said += [facts.quantisation, facts.architecture] if facts else []
        text = " ".join(said).lower()
        return all(word in text for word in words)


def best_of(entries: Iterable[ModelEntry]) -> ModelEntry | None:
    """The largest of those that fit best, partly on the CPU if there is nothing else; of two of a size the newest."""
    best, found = (0, 0, 0.0), None
    for entry in entries:
        if entry.problem is None and entry.outlook is not None and entry.outlook.fit is not Fit.NOT:
            worth = (-int(entry.outlook.fit), entry.model.size_bytes, entry.model.changed_s)
            if found is None or worth > best:
                best, found = worth, entry
    return found


def joined(files: Sequence[FoundFile], place: str, owner: Sequence[str] = ()) -> list[FoundModel]:
    """The models of one folder, parts of a split one as one model. `owner`: the names of the repository it is of."""
    split: dict[tuple[str, int], dict[int, FoundFile]] = {}
    models = []
    for file in files:
        match = _PART.fullmatch(file.path)
        if match is None:
            models.append(_model(file.path, [file], place, owner, file.problem))
        else:
            split.setdefault((match[1], int(match[3])), {})[int(match[2])] = file
    for (stem, count), parts in split.items():
        numbers = sorted(parts)
        members = [parts[n] for n in numbers]
        problem = next((f.problem for f in members if f.problem), None) or _gap(numbers, count)
        models.append(_model(stem + SUFFIX, members, place, owner, problem))
    return models


def _gap(numbers: Sequence[int], count: int) -> str | None:
    """What is missing of a split model."""
    if not 1 <= count <= 9999 or numbers[0] < 1 or numbers[-1] > count:
        return f"its parts are numbered {numbers[0]} to {numbers[-1]} of {count}, which cannot be: fetch them again"
    missing = count - len(numbers)
    if not missing:
        return None
    first = next(n for n in range(1, count + 1) if n not in numbers)
    more = f" and {missing - 1} more" if missing > 1 else ""
    return f"part {first} of {count}{more} missing: fetch all parts"


def _model(named: str, files: Sequence[FoundFile], place: str, owner: Sequence[str], problem: str | None) -> FoundModel:
    return FoundModel(
        files[0].path,
        display_name(named, owner),
        clean_line(place, 80),
        sum(f.size_bytes for f in files),
        max(f.changed_s for f in files),
        tuple(f.identity for f in files),
        len(files),
        problem,
        clean_line("/".join(owner), _NAME_CHARS),
    )


def display_name(path: str, owner: Sequence[str] = ()) -> str:
    """`Qwen3-8B-Q4_K_M`, or `repo/file` where the file's name alone would not tell which model it is."""
    *folders, file = path.split("/")
    stem = file[: -len(SUFFIX)] if file.lower().endswith(SUFFIX) else file
    if owner:
        repository = _REPO_SUFFIX.sub("", owner[-1])
        named = [stem] if stem.lower().startswith(repository.lower()) else [repository, stem]
    else:
        named = [folders[-1], stem] if _SAYS_NOTHING.fullmatch(stem) and folders and folders[-1] else [stem]
    return clean_line("/".join(named), _NAME_CHARS) or "(a file without a readable name)"


def repository(folder: str) -> tuple[str, ...]:
    """Organisation and name of a folder of the Hugging Face cache, `models--ORG--NAME`; empty for another folder."""
    kind, *names = folder.split("--")
    return tuple(names) if kind == "models" and names and all(names) else ()


def left_out(kinds: Iterable[Kind]) -> str:
    """`3 left out: 2 vision projectors, 1 LoRA adapter`; empty when nothing was."""
    counts: dict[Kind, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    said = [f"{n} {kind.value[n != 1]}" for kind, n in counts.items()]
    return f"{sum(counts.values())} left out: {', '.join(said)}" if said else ""
