"""Which line of a log says why its process ended: the first error that was not recovered from, and what adds to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hettui.domain.cluster.causes import (
    ABOUT,
    BY_SIGNAL,
    CAUSES,
    CURRENT_DEVICE,
    HARMLESS,
    LAST_WORDS,
    LOUD,
    MAKER,
    QUIET_LEVEL,
    RECOVERED,
    TRAILERS,
    UNLOCKED,
    Cause,
)
from hettui.domain.cluster.llama_log import LINE_PREFIX
from hettui.domain.records import dataclass

_FROM_OUTSIDE = (-9, -15)
"""SIGKILL and SIGTERM."""
_MOST_LINES = 4
_NEAR = 4
"""Lines behind an error that may name its device."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a log and an exit code say together."""

    cause: Cause | None = None
    match: re.Match[str] | None = None
    """Where the cause was found in the log; None: the exit code alone says it."""
    device: str = ""
    """llama.cpp's name of the device that is meant, or its number among the cards; empty where none is named."""
    lines: tuple[str, ...] = ()
    """The log lines that matter, the first one first."""
    about: str = ""
    """`draft model NAME`, where the error is not the model's own."""
    unlocked: bool = False
    """The model could not be locked in memory."""
    from_outside: bool = False
    """Somebody ended it."""

    @property
    def of_others(self) -> bool:
        return self.cause is not None and self.cause.of_others


def find(
    lines: Sequence[str], returncode: int | None, kernel_lines: Iterable[str] = (), *, port_held: bool = False
) -> Evidence:
    """The evidence of one end. The kernel's lines count where it may have killed the process, and that somebody else
    has its port where its log names no cause."""
    from_outside = returncode in _FROM_OUTSIDE
    told = [line for line in kernel_lines if line.strip()] if returncode == -9 else []
    kept = [line for line in lines if line.strip()]
    unlocked = any(UNLOCKED.search(line) for line in kept)
    for source in (told, kept):
        found = _first(_unrecovered(source))
        if found is not None:
            return found
    if returncode == 1 and kept and (match := LAST_WORDS.pattern.search(kept[-1])):
        return Evidence(LAST_WORDS, match, lines=_shown(kept[-1:]))
    loud = _loud([line for _, line in _unrecovered_lines(kept)])
    if port_held and not loud:
        return Evidence(LAST_WORDS)
    if not loud and kept and returncode is not None and not from_outside:
        # Of a process that was killed a quiet last line has nothing to do with its end.
        loud = kept[-1:]
    return Evidence(BY_SIGNAL.get(returncode or 0), lines=_shown(loud), unlocked=unlocked, from_outside=from_outside)


@dataclass(frozen=True, slots=True)
class _Known:
    """One line that a cause explains."""

    cause: Cause
    match: re.Match[str]
    rest: tuple[str, ...]
    """The line and what follows it."""


def _explained(line: str) -> tuple[Cause, re.Match[str]] | None:
    if HARMLESS.search(line) or QUIET_LEVEL.search(line):
        return None
    for cause in CAUSES:
        if match := cause.pattern.search(line):
            return cause, match
    return None


def _unrecovered(lines: Sequence[str]) -> list[_Known]:
    """The lines that are known, in time, without those that did no harm."""
    found: list[_Known] = []
    for index, line in enumerate(lines):
        for pattern, family in RECOVERED:
            if pattern.search(line):
                found = [one for one in found if family and one.cause.family != family]
        if known := _explained(line):
            found.append(_Known(*known, tuple(lines[index:])))
    return found


def _unrecovered_lines(lines: Sequence[str]) -> list[tuple[int, str]]:
    """All lines behind the last one that says that it went well."""
    good = [i for i, line in enumerate(lines) if any(p.search(line) for p, family in RECOVERED if not family)]
    begin = good[-1] + 1 if good else 0
    return [(i, line) for i, line in enumerate(lines) if i >= begin]


def _first(known: Sequence[_Known]) -> Evidence | None:
    """The first one, with what the lines of its family add: a part of llama.cpp that failed, a device."""
    if not known:
        return None
    first = known[0]
    family = [first]
    for one in known[1:]:
        if not first.cause.family or one.cause.family != first.cause.family:
            break
        family.append(one)
    best = next((one for one in family if not one.cause.vague), first)
    device = next((name for one in family if (name := _device(one))), "")
    about = next((match for line in first.rest if (match := ABOUT.search(line))), None)
    loud = [line for line in first.rest[1:] if LOUD.search(line) and not HARMLESS.search(line)]
    return Evidence(
        best.cause,
        best.match,
        device,
        _shown([first.rest[0], *loud]),
        f"{about[1]} model {about[2]}" if about else "",
    )


def _device(known: _Known) -> str:
    """What the line names, or one of the next lines."""
    groups = known.match.groupdict()
    if name := groups.get("device") or groups.get("ordinal"):
        return name.rstrip(".,")
    near = known.rest[: _NEAR + 1]
    number = next((match[1] for line in near if (match := CURRENT_DEVICE.search(line))), "")
    maker = next((match[1] for line in near if (match := MAKER.search(line))), "")
    return maker + number if number else ""


def _loud(lines: Sequence[str]) -> list[str]:
    """Errors that nobody has explained, the first one first; what only follows an error stands behind."""
    found = [line for line in lines if LOUD.search(line) and not HARMLESS.search(line) and not QUIET_LEVEL.search(line)]
    first = next((i for i, line in enumerate(found) if not TRAILERS.search(line)), 0)
    return found[first:]


def _shown(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(LINE_PREFIX.sub("", line).strip() for line in lines[:_MOST_LINES])
