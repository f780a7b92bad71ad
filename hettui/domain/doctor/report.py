"""`hettui doctor` as a page and as JSON."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

from hettui.domain.doctor.finding import SEVERITIES, Finding, Severity, by_urgency
from hettui.domain.text import clean_line

Part = Literal["words", "more", "command"]
_MARKS: dict[Severity, str] = {"fault": "✗", "warning": "!", "note": "·", "good": "✓", "unchecked": "–"}
_IN_SHORT: dict[Severity, str] = {"good": "well", "unchecked": "not checked"}
_MOST_CHARS = 600
_WIDTH = 100
_HANG = "   "


def findings_json(host: str, findings: Sequence[Finding]) -> dict[str, object]:
    """One machine's document; `command` and `remedy` are null where there is none."""
    return {
        "host": host,
        "counts": dict(_counts(findings)),
        "findings": [_one_json(one) for one in findings],
    }


def _one_json(one: Finding) -> dict[str, object]:
    told = asdict(one) | {"evidence": list(one.evidence)}
    told["fix"] = None if one.fix is None else one.fix.words
    return {key: (value or None) if isinstance(value, str) else value for key, value in told.items()}


def _counts(findings: Sequence[Finding]) -> dict[Severity, int]:
    counted = Counter(one.severity for one in findings)
    return {severity: counted[severity] for severity in SEVERITIES}


def headline(findings: Sequence[Finding]) -> str:
    """`1 fault, 2 warnings, 3 notes; 20 fine, 4 not checked`"""
    counts = _counts(findings)
    told = [f"{n} {name}{'s' if n > 1 else ''}" for name in ("fault", "warning", "note") if (n := counts[name])]
    return f"{', '.join(told) or 'nothing to see to'}; {counts['good']} fine, {counts['unchecked']} not checked"


def findings_text(host: str, findings: Sequence[Finding], *, width: int = _WIDTH, everything: bool = True) -> str:
    """The most urgent first; at most `width` columns, but for commands, which must be copied whole. Without
    `everything` what is well and what was not checked are names only."""
    lines = [f"{clean_line(host, 60)}: {headline(findings)}"]
    told = by_urgency(findings)
    for severity in SEVERITIES:
        own = [one for one in told if one.severity == severity]
        if not own:
            continue
        lines.append("")
        if severity in ("good", "unchecked") and not everything:
            # What was worked out is worth its line: the driver's branch, the build, the sum of power.
            telling = [one for one in own if one.command or one.evidence]
            names = ", ".join(dict.fromkeys(one.id for one in own if one not in telling))
            lines += _wrapped(f"{_MARKS[severity]} {_IN_SHORT[severity]}: {names}", width, "  ") if names else []
            own = telling
        for one in own:
            lines += rows(one, width)
    if not everything:
        lines += ["", "hettui doctor --all says what was found well, and why something was not checked."]
    return "\n".join(lines)


def rows(one: Finding, width: int) -> list[str]:
    """One finding: its words, and below them, further in, evidence, remedy and command."""
    return [text for text, _ in parts(one, width)]


def parts(one: Finding, width: int) -> list[tuple[str, Part]]:
    """The same, each line with what it is a part of."""
    words = clean_line(one.words, _MOST_CHARS)
    lines: list[tuple[str, Part]] = []

    def add(part: Part, text: str, hang: str) -> None:
        lines.extend((line, part) for line in _wrapped(text, width, hang))

    add("words", f"{_MARKS[one.severity]} {one.id}: {words}", "  ")
    if one.severity in ("good", "unchecked") and not one.command:
        return lines
    if one.evidence and one.severity != "good":
        add("more", f"{_HANG}{'; '.join(clean_line(text, 200) for text in one.evidence)}", _HANG)
    if one.remedy:
        add("more", f"{_HANG}→ {clean_line(one.remedy, 300)}", f"{_HANG}  ")
    if one.command:
        lines.append((f"{_HANG}  $ {clean_line(one.command, _MOST_CHARS)}", "command"))
    return lines


def in_short(findings: Sequence[Finding]) -> str:
    """For one line: the worst, how many more there are, and the key that shows them; empty without any."""
    told = by_urgency(one for one in findings if one.matters)
    if not told:
        return ""
    more = f" and {len(told) - 1} more" if len(told) > 1 else ""
    # What is found may hold braces of its own, which are no keys.
    words = clean_line(told[0].words, 120).replace("{", "(").replace("}", ")")
    return f"{_MARKS[told[0].severity]} {words}{more}: {{doctor}} tells"


def _wrapped(text: str, width: int, hang: str) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False) or [text]
