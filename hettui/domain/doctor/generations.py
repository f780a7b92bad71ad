"""NVIDIA's generations of cards: which driver branches and CUDA releases serve them.

Looked up on 2026-11-28 in NVIDIA's own documents: what CUDA 13 left out (release notes), the least driver branch of a
CUDA major release ("CUDA compatibility"), R580 as the last for Maxwell, Pascal and Volta (Unix deprecation schedule),
and the notes on open kernel modules (needed from Blackwell on, possible from Turing on). The first branch and CUDA
release of each generation, and Kepler's last ones, were written down from memory.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Literal

from hettui.domain.records import dataclass

READ_ON = "2026-11-28"
SOURCE = (
    "NVIDIA's CUDA release notes, CUDA compatibility guide and Unix driver deprecation schedule for what ends with 580 "
    "and 12.9, what Blackwell needs, and the least branches of CUDA's releases"
)
FROM_MEMORY = "where a generation begins, and Kepler's ends, are from memory and were not looked up"
Cuda = tuple[int, int]
OpenModule = Literal["never", "may", "must"]


@dataclass(frozen=True, slots=True)
class Generation:
    """One row: cards of the same compute capability."""

    name: str
    capability: tuple[int, int]
    first_driver: int
    """A driver branch: 570 of 570.86.16."""
    last_driver: int | None
    """None: the newest still serves it."""
    first_cuda: Cuda
    last_cuda: Cuda | None
    open_module: OpenModule
    cards: str = ""


GENERATIONS: tuple[Generation, ...] = (
    Generation("Kepler", (3, 5), 331, 470, (5, 0), (11, 8), "never", "GTX 780, Titan, K40"),
    Generation("Kepler", (3, 7), 340, 470, (6, 5), (11, 8), "never", "K80"),
    Generation("Maxwell", (5, 0), 340, 580, (6, 5), (12, 9), "never", "GTX 750"),
    Generation("Maxwell", (5, 2), 346, 580, (7, 0), (12, 9), "never", "GTX 9xx, M40"),
    Generation("Pascal", (6, 0), 367, 580, (8, 0), (12, 9), "never", "P100"),
    Generation("Pascal", (6, 1), 367, 580, (8, 0), (12, 9), "never", "GTX 10xx, P40, P4"),
    Generation("Volta", (7, 0), 384, 580, (9, 0), (12, 9), "never", "V100, Titan V"),
    Generation("Turing", (7, 5), 410, None, (10, 0), None, "may", "GTX 16xx, RTX 20xx, T4"),
    Generation("Ampere", (8, 0), 450, None, (11, 0), None, "may", "A100, A30"),
    Generation("Ampere", (8, 6), 455, None, (11, 1), None, "may", "RTX 30xx, A40, A10"),
    Generation("Ada", (8, 9), 520, None, (11, 8), None, "may", "RTX 40xx, L40, L4"),
    Generation("Hopper", (9, 0), 520, None, (11, 8), None, "may", "H100, H200"),
    Generation("Blackwell", (10, 0), 570, None, (12, 8), None, "must", "B100, B200"),
    Generation("Blackwell", (10, 3), 575, None, (12, 9), None, "must", "B300"),
    Generation("Blackwell", (12, 0), 570, None, (12, 8), None, "must", "RTX 50xx, RTX PRO 6000"),
    Generation("Blackwell", (12, 1), 575, None, (12, 9), None, "must", "DGX Spark"),
)
CUDA_DRIVERS: dict[int, int] = {10: 410, 11: 450, 12: 525, 13: 580}
"""By CUDA's major release: the least driver branch, minor releases being compatible from 11 on."""

_BY_CAPABILITY = {one.capability: one for one in GENERATIONS}
_BY_NAME: tuple[tuple[str, tuple[int, int]], ...] = (
    (r"RTX PRO \d{4}|RTX 50[5-9]0", (12, 0)),
    (r"\bB[12]00\b", (10, 0)),
    (r"\bH[12]00\b|\bH20\b|GH200", (9, 0)),
    (r"RTX 40[5-9]0|\bL40S?\b|\bL4\b|RTX \d{4} Ada", (8, 9)),
    (r"\bA100\b|\bA30\b", (8, 0)),
    (r"RTX 30[5-9]0|\bA(?:2|10|16|40)\b|RTX A\d{4}", (8, 6)),
    (r"GTX 16[0-9]{2}|RTX 20[5-8]0|\bT4\b|TITAN RTX|Quadro RTX|\bT(?:400|600|1000)\b", (7, 5)),
    (r"\bV100S?\b|TITAN V\b", (7, 0)),
    (r"\bP100\b", (6, 0)),
    (r"GTX 10[1-8]0|GT 1030|\bP40\b|\bP4\b|TITAN X[Pp]|Quadro P\d{3,4}", (6, 1)),
    (r"GTX 9[5-8]0|\bM40\b|\bM60\b|TITAN X\b", (5, 2)),
    (r"GTX 7[45]0", (5, 0)),
    (r"\bK80\b", (3, 7)),
    (r"GTX 7[78]0|\bK40|TITAN\b", (3, 5)),
)


def capability_of(text: str | None) -> tuple[int, int] | None:
    """`8.6` as two numbers; None for anything else."""
    match = re.fullmatch(r"(\d{1,2})\.(\d)", text or "")
    return (int(match[1]), int(match[2])) if match else None


def capability_by_name(name: str) -> tuple[int, int] | None:
    """What a card of this name has, where its driver does not say."""
    return next((found for pattern, found in _BY_NAME if re.search(pattern, name, re.IGNORECASE)), None)


def generation_of(capability: tuple[int, int] | None) -> Generation | None:
    """The row, or the nearest older one of the same major number; None for cards that are newer than the table."""
    if capability is None:
        return None
    like = [c for c in _BY_CAPABILITY if c[0] == capability[0] and c <= capability]
    return _BY_CAPABILITY[max(like)] if like else None


def branch(version: str | None) -> int | None:
    """580 of `580.159.04`."""
    match = re.match(r"(\d{3,4})\b", version or "")
    return int(match[1]) if match else None


def least_driver(cuda: int) -> int | None:
    """The least driver branch for a build with that major release of CUDA."""
    return CUDA_DRIVERS.get(cuda)


@dataclass(frozen=True, slots=True)
class Together:
    """What serves several generations at once."""

    first_driver: int
    last_driver: int | None
    first_cuda: Cuda
    last_cuda: Cuda | None
    open_module: OpenModule | None
    """None: one of them needs the open module, another one cannot have it."""

    @property
    def driver(self) -> bool:
        """There is a driver that serves all."""
        in_order = self.last_driver is None or self.first_driver <= self.last_driver
        return in_order and self.open_module is not None

    @property
    def cuda(self) -> bool:
        """There is a CUDA release that compiles for all."""
        return self.last_cuda is None or self.first_cuda <= self.last_cuda

    @property
    def driver_words(self) -> str:
        return _span(str(self.first_driver), None if self.last_driver is None else str(self.last_driver))

    @property
    def cuda_words(self) -> str:
        last = None if self.last_cuda is None else _dotted(self.last_cuda)
        return _span(_dotted(self.first_cuda), last)


def together(generations: Iterable[Generation]) -> Together | None:
    """None without any."""
    all_of = list(generations)
    if not all_of:
        return None
    kinds = {one.open_module for one in all_of}
    open_module: OpenModule | None
    open_module = None if {"never", "must"} <= kinds else next((k for k in ("must", "never") if k in kinds), "may")
    return Together(
        max(one.first_driver for one in all_of),
        min((one.last_driver for one in all_of if one.last_driver is not None), default=None),
        max(one.first_cuda for one in all_of),
        min((one.last_cuda for one in all_of if one.last_cuda is not None), default=None),
        open_module,
    )


def architectures(capabilities: Collection[tuple[int, int]]) -> str:
    """For one build: `75;86;120`, as `CMAKE_CUDA_ARCHITECTURES` takes it."""
    return ";".join(f"{major}{minor}" for major, minor in sorted(set(capabilities)))


def runs_on(code: tuple[int, int], *, ptx: bool, capability: tuple[int, int]) -> bool:
    """Whether code that was compiled for one capability runs on a card of another (CUDA's programming guide): binary
    code within a major number on the same or a later minor one, PTX on every later card."""
    return code <= capability if ptx else code[0] == capability[0] and code[1] <= capability[1]


def _dotted(cuda: Cuda) -> str:
    return f"{cuda[0]}.{cuda[1]}"


def _span(first: str, last: str | None) -> str:
    if last is None:
        return f"{first} or newer"
    return first if first == last else f"{first} to {last}"
