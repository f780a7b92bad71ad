"""Whether the llama.cpp of this machine can run on another one, and what of it is sent."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.hosts.facts import HostFacts
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line
from hettui.domain.units import MIB, format_bytes

_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
_VERSION = late_pattern(r"(\d{1,3})\.(\d{1,3})")
SPARE_BYTES = 64 * MIB
"""Of that machine's disk, left over."""
_BUILD_THERE = "build llama.cpp there, and name its folder as bin in [[hosts]]"


@dataclass(frozen=True, slots=True)
class EngineFile:
    """One file of what is sent."""

    name: str
    path: str
    """On this machine."""
    size_bytes: int
    crc: str
    """As `cksum` says it."""
    aliases: tuple[str, ...] = ()
    """Other names of the same bytes."""


@dataclass(frozen=True, slots=True)
class Package:
    """The rpc server with the libraries that it needs."""

    sum: str
    """Names it: another one for other bytes."""
    program: str
    files: tuple[EngineFile, ...]
    os: str
    arch: str
    glibc: tuple[int, int] | None
    """The newest that a file wants; None: none of them says."""

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def aliases(self) -> tuple[str, ...]:
        return tuple(f"{alias}={file.name}" for file in self.files for alias in file.aliases)


def unfit(package: Package, facts: HostFacts) -> str | None:
    """Why it cannot run there; None when nothing speaks against it. What is not known does not."""
    host = clean_line(facts.host, 60)
    own_os, arch = package.os.lower(), _architecture(package.arch)
    there = (facts.os or "").split(" ")[0].lower()
    if there and there != own_os:
        return f"{host} runs {there.capitalize()}, the llama.cpp of this machine is for {package.os}; {_BUILD_THERE}"
    if facts.arch and _architecture(facts.arch) != arch:
        return f"{host} is {clean_line(facts.arch, 20)}, the llama.cpp of this machine is for {arch}; {_BUILD_THERE}"
    if package.glibc is None or not facts.libc:
        return None
    wanted = ".".join(map(str, package.glibc))
    if "glibc" not in facts.libc.lower() and "gnu" not in facts.libc.lower():
        return (
            f"{host} has another C library ({clean_line(facts.libc, 40)}), the llama.cpp of this machine wants glibc "
            f"{wanted}; {_BUILD_THERE}"
        )
    found = _VERSION.search(facts.libc)
    if found and (int(found[1]), int(found[2])) < package.glibc:
        return f"{host} has glibc {found[0]}, the llama.cpp of this machine wants {wanted}; {_BUILD_THERE}"
    return None


def _architecture(name: str) -> str:
    return _ARCHITECTURES.get(name.lower(), name.lower())


def no_room(host: str, missing_bytes: int, free_bytes: int | None) -> str | None:
    """Why there is no room for so much more; None when there is, or nobody knows."""
    if free_bytes is None or free_bytes >= missing_bytes + SPARE_BYTES:
        return None
    return (
        f"{clean_line(host, 60)}: {format_bytes(missing_bytes)} are to be sent and {format_bytes(free_bytes)} are free "
        "where its home lies; free some space there (hettui hosts clean takes away what hettui keeps)"
    )


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of it on one host."""

    host: str
    folder: str
    sent_bytes: int
    """Of the files; packed, fewer went over the line."""
    seconds: float
    note: str = ""
    """What else is to be done."""

    def as_text(self) -> str:
        how = (
            f"{format_bytes(self.sent_bytes)} sent in {self.seconds:.0f} s" if self.sent_bytes else "was there already"
        )
        said = f"{clean_line(self.host, 60)}: llama.cpp of this machine, {how}: {clean_line(self.folder, 200)}"
        return f"{said}; {self.note}" if self.note else said


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the sending is."""

    host: str
    done_bytes: int
    total_bytes: int
    bytes_per_s: float | None = None

    @property
    def left_s(self) -> float | None:
        return (self.total_bytes - self.done_bytes) / self.bytes_per_s if self.bytes_per_s else None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a host has of a package."""

    whole: bool
    gzip: bool
    free_bytes: int | None
    have: dict[str, int]

    @classmethod
    def of(cls, lines: Sequence[Sequence[str]]) -> Seen:
        have = {words[1]: int(words[2]) for words in lines if words[:1] == ["have"] and words[2:3] and _plain(words[2])}
        free = next((int(w[1]) * 1024 for w in lines if w[:1] == ["free"] and w[1:2] and _plain(w[1])), None)
        return cls(["whole"] in lines, ["has", "gzip"] in lines, free, have)


def _plain(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16
