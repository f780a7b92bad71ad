"""llama-server's lines about slots as facts, at `-lv 4`: b10068, and b11434 where it says the same otherwise."""

from __future__ import annotations

import re
from typing import Literal

from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass

What = Literal[
    "chosen", "looked", "found", "launched", "prompt", "forced", "restored", "erased", "evicted", "cached", "read",
    "generated", "stopped", "shifted", "cleared", "purged", "refused", "full",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `slot` and `task` are -1 where it names none."""

    what: What
    slot: int = -1
    task: int = -1
    numbers: tuple[float, ...] = ()
    word: str = ""


_SLOT = late_pattern(r"\bslot +\S*: id +(\d{1,6}) \| task (-?\d{1,12}) \| +(.*)")
_N = r"(-?\d[\d.]{0,20})"
_OF_SLOT: tuple[tuple[What, re.Pattern[str]], ...] = (
    ("chosen", late_pattern(rf"selected slot by (LCP) similarity, f?_?sim_best = {_N} .*f_keep = {_N}")),
    ("chosen", late_pattern(r"selected slot by (LRU|id)\b")),
    ("launched", late_pattern(r"processing task\b")),
    (
        "prompt",
        late_pattern(rf"new prompt, n_ctx_slot = {_N}, n_keep = {_N}, (?:task\.n_tokens|n_prompt_tokens) = {_N}"),
    ),
    ("forced", late_pattern(r"forcing full prompt re-processing")),
    ("restored", late_pattern(rf"restored context checkpoint \(.*n_past = {_N}")),
    ("erased", late_pattern(r"erased invalidated context checkpoint")),
    ("evicted", late_pattern(r"erasing old context checkpoint")),
    ("cached", late_pattern(rf"cached n_tokens = {_N}, memory_seq_rm")),
    ("read", late_pattern(rf"prompt eval time = +{_N} ms / +{_N} tokens")),
    ("generated", late_pattern(rf"eval time = +{_N} ms / +{_N} tokens")),
    ("full", late_pattern(r"stopped due to running out of context capacity")),
    ("stopped", late_pattern(rf"stop processing: n_tokens = {_N}, truncated = {_N}")),
    ("shifted", late_pattern(r"slot context shift\b")),
    ("cleared", late_pattern(rf"clearing prompt with {_N} tokens")),
)
_OF_SERVER: tuple[tuple[What, re.Pattern[str]], ...] = (
    ("looked", late_pattern(rf"looking for better prompt, base f_keep = {_N}, sim = {_N}")),
    ("found", late_pattern(rf"found better prompt with f_keep = {_N}, sim = {_N}")),
    ("purged", late_pattern(rf"purging slot {_N} with {_N} tokens")),
    ("refused", late_pattern(rf"task id = {_N}, error: (.{{1,300}})")),
)


def read_line(line: str) -> Line | None:
    """What a line says of a slot or a request; None for every other one."""
    if "slot" not in line and "prompt" not in line and "error" not in line:
        return None
    if match := _SLOT.search(line):
        slot, task, rest = int(match[1]), int(match[2]), match[3]
        for what, pattern in _OF_SLOT:
            if found := pattern.match(rest):
                return _line(what, slot, task, found.groups())
        return None
    if "srv " in line:
        for what, pattern in _OF_SERVER:
            if found := pattern.search(line):
                return _line(what, -1, -1, found.groups())
    return None


def _line(what: What, slot: int, task: int, groups: tuple[str | None, ...]) -> Line:
    numbers, word = [], ""
    for group in groups:
        try:
            numbers.append(float(group or ""))
        except ValueError:
            word = group or ""
    return Line(what, slot, task, tuple(numbers), word)
