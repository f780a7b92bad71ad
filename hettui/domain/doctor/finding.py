"""One thing that was looked at, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from hettui.domain.records import dataclass

Severity = Literal["fault", "warning", "note", "good", "unchecked"]
SEVERITIES: tuple[Severity, ...] = ("fault", "warning", "note", "good", "unchecked")
"""The most urgent first. A fault stops something that was asked for; a warning may cost speed, safety or a start some
day; a note is worth knowing."""


@dataclass(frozen=True, slots=True)
class Fix:
    """What may be done about it by hettui itself, after asking: only to files that are the user's own."""

    path: str
    mode: int
    """The file's new mode."""

    @property
    def words(self) -> str:
        return f"chmod {self.mode:o} {self.path}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of one check."""

    id: str
    """Of its check: `driver.versions`."""
    severity: Severity
    words: str
    """A sentence without its full stop."""
    evidence: tuple[str, ...] = ()
    """What it was concluded from."""
    remedy: str = ""
    """What to do, in words."""
    command: str = ""
    """The same to copy into a shell, where one line does it."""
    subject: str = ""
    """Which card, host or file; empty where there is only one."""
    fix: Fix | None = None

    @property
    def matters(self) -> bool:
        return self.severity in ("fault", "warning")


def unchecked(id: str, because: str) -> Finding:
    """`because` follows on "not checked, because"."""
    return Finding(id, "unchecked", f"not checked, because {because}")


def by_urgency(findings: Iterable[Finding]) -> list[Finding]:
    """The most urgent first, else as they came."""
    return sorted(findings, key=lambda one: SEVERITIES.index(one.severity))


def worst(findings: Sequence[Finding]) -> Severity:
    """Of several; `good` where there are none."""
    told = [one.severity for one in findings if one.severity != "unchecked"]
    return min(told, key=SEVERITIES.index, default="good")
