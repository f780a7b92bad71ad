"""A hub's repositories of models: names, what a repository holds, and which of it is one quantisation.

Names are llama.cpp's `-hf` form, `user/repo:QUANT`; without a quantisation llama.cpp takes Q4_K_M, else the first file.
Everything that a hub says was written by others: names of files are checked before they become paths here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from hettui.domain.errors import UsageError
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line, nearest

ENDPOINT_VARIABLES = ("MODEL_ENDPOINT", "HF_ENDPOINT")
"""In llama.cpp's order. There is no hub by default: hettui goes nowhere that its user has not named."""
USUAL_QUANTS = ("Q4_K_M", "Q4_0")
_REPO = late_pattern(r"([A-Za-z0-9][\w.-]{0,95})/([A-Za-z0-9][\w.-]{0,95})(?::([\w.-]{1,40}))?(?:@([\w./-]{1,100}))?")
_PART = late_pattern(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_QUANT = late_pattern(
    r"(?:^|[-._/])((?:UD-)?(?:IQ\d_[A-Z]{1,3}(?:_[A-Z]{1,2})?|Q\d_K(?:_[A-Z]{1,2})?|Q\d_\d|TQ\d_\d|MXFP4(?:_MOE)?|BF16|F16|F32))"
    r"(?=$|[-._/])",
    re.IGNORECASE,
)
_SEGMENT = late_pattern(r"[\w][\w.+ ()@-]{0,199}")
_SHA256 = late_pattern(r"[0-9a-f]{64}")
_MOST_BYTES = 1 << 46


@dataclass(frozen=True, slots=True)
class Named:
    """What somebody asked for."""

    repo: str
    """`user/repo`; empty for a URL."""
    quant: str | None = None
    revision: str = "main"
    url: str | None = None


def read_name(text: str) -> Named:
    """`user/repo`, `user/repo:Q4_K_M`, `user/repo@revision` or a URL of one file. Raises UsageError."""
    text = text.strip().removeprefix("hf.co/")
    if text.startswith(("http://", "https://")):
        parts = urlsplit(text)
        if not parts.hostname or not parts.path.lower().endswith(".gguf") or parts.username:
            raise UsageError(f"{clean_line(text, 120)}: a URL must name one .gguf file, without a user in it")
        return Named("", url=text)
    match = _REPO.fullmatch(text)
    if match is None or ".." in text:
        raise UsageError(
            f"{clean_line(text, 120)}: it must be user/repo:QUANT, such as ggml-org/gpt-oss-20b-GGUF, or a URL"
        )
    return Named(f"{match[1]}/{match[2]}", match[3], match[4] or "main")


def endpoint_of(environ: Mapping[str, str]) -> str:
    """Without a slash at its end. Raises UsageError for none, and for what is no address."""
    for name in ENDPOINT_VARIABLES:
        said = environ.get(name, "").strip().rstrip("/")
        if said:
            parts = urlsplit(said)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise UsageError(f"{name}={clean_line(said, 100)}: it must be an address such as http://127.0.0.1:8080")
            return said
    raise UsageError(
        "no hub is named: HF_ENDPOINT=https://HUB in the environment says which to ask (llama.cpp reads it, too); the "
        "URL of one file goes without"
    )


@dataclass(frozen=True, slots=True)
class RepoFile:
    """One file of a repository."""

    path: str
    size_bytes: int
    sha256: str | None = None
    """Of large files, which hubs keep apart; None: the hub does not say."""


def files_in(listing: Any) -> list[RepoFile]:
    """GGUF files of one page of the hub's answer about a tree. What is odd is left out."""
    found = []
    for entry in listing if isinstance(listing, list) else []:
        if not isinstance(entry, dict) or entry.get("type") != "file":
            continue
        path, size, large = str(entry.get("path")), entry.get("size"), entry.get("lfs")
        large = large if isinstance(large, dict) else {}
        size = large.get("size", size)
        if not is_sound_path(path) or not path.lower().endswith(".gguf"):
            continue
        if type(size) is int and 0 < size < _MOST_BYTES:
            digest = str(large.get("oid", "")).lower()
            found.append(RepoFile(path, size, digest if _SHA256.fullmatch(digest) else None))
    return found


def is_sound_path(path: object) -> bool:
    """It can stand below a folder of ours: no way up, no hidden name, nothing that is not printable."""
    if not isinstance(path, str) or not path.isprintable():
        return False
    parts = path.split("/")
    return len(parts) <= 4 and all(_SEGMENT.fullmatch(part) and not part.startswith(".") for part in parts)


@dataclass(frozen=True, slots=True)
class Quant:
    """One quantisation: a file, or all parts of a split one."""

    tag: str
    """`Q4_K_M`; the file's name where that says none."""
    files: tuple[RepoFile, ...]

    @property
    def size_bytes(self) -> int:
        return sum(one.size_bytes for one in self.files)


@dataclass(frozen=True, slots=True)
class Repository:
    """What a repository offers."""

    name: str
    quants: tuple[Quant, ...]
    """The smallest first."""
    projectors: tuple[RepoFile, ...] = ()
    """Vision towers that go with any of them."""
    incomplete: tuple[str, ...] = ()
    """Split ones of which parts are missing."""


def repository_of(name: str, files: Iterable[RepoFile]) -> Repository:
    """Files grouped into quantisations; projectors apart; importance matrices left out."""
    groups: dict[tuple[str, int], list[RepoFile]] = {}
    projectors, incomplete, quants = [], [], []
    for file in sorted(files, key=lambda one: one.path):
        short = file.path.rpartition("/")[2].lower()
        if short.startswith("mmproj") or "-mmproj" in short:
            projectors.append(file)
        elif "imatrix" not in short:
            match = _PART.fullmatch(file.path)
            groups.setdefault((match[1], int(match[3])) if match else (file.path, 1), []).append(file)
    for (stem, count), parts in groups.items():
        if len(parts) != count:
            incomplete.append(f"{stem}: {len(parts)} of {count} parts")
        else:
            quants.append(Quant(tag_of(stem), tuple(parts)))
    order = sorted(quants, key=lambda one: (one.size_bytes, one.files[0].path))
    return Repository(name, tuple(order), tuple(projectors), tuple(incomplete))


def tag_of(path: str) -> str:
    """`Q4_K_M` of `model-Q4_K_M.gguf` and of `Q4_K_M/model-00001-of-00002`; else the file's own name."""
    found = _QUANT.findall(path.removesuffix(".gguf"))
    return found[-1].upper() if found else path.rpartition("/")[2].removesuffix(".gguf")


def chosen(repository: Repository, quant: str | None) -> Quant:
    """The quantisation that is asked for; without one llama.cpp's usual, else the first. Raises UsageError."""
    if not repository.quants:
        why = f": {', '.join(repository.incomplete)}" if repository.incomplete else ""
        raise UsageError(f"{repository.name} holds no GGUF model that is whole{why}")
    tags = [one.tag for one in repository.quants]
    wanted = [quant] if quant else list(USUAL_QUANTS)
    for tag in wanted:
        like = [one for one in repository.quants if one.tag.lower() == tag.lower()]
        if like:
            return like[0]
    if quant is None:
        return repository.quants[0]
    like_word = nearest(quant.upper(), tags)
    hint = f"did you mean {like_word}?" if like_word else "there are " + ", ".join(dict.fromkeys(tags))
    raise UsageError(f"{repository.name} has no {clean_line(quant, 40)}: {clean_line(hint, 300)}")


def projector_for(repository: Repository) -> RepoFile | None:
    """The one that goes along: half precision where there are several, as llama.cpp takes it, else the smallest."""
    order: Sequence[RepoFile] = sorted(
        repository.projectors, key=lambda one: ("f16" not in one.path.lower(), one.size_bytes)
    )
    return order[0] if order else None


def tree_path(named: Named) -> str:
    """Of the question for all files."""
    return f"/api/models/{quote(named.repo)}/tree/{quote(named.revision, safe='')}?recursive=true"


def file_path(named: Named, file: RepoFile) -> str:
    """Where one file is asked for."""
    return f"/{quote(named.repo)}/resolve/{quote(named.revision, safe='')}/{quote(file.path)}"
