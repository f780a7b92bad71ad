"""The report as one page of Markdown with its block of JSON, and the block out of such a page again."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from hettui.domain.bench.report import markdown as bench_markdown
from hettui.domain.bench.run import BenchRun
from hettui.domain.errors import UsageError
from hettui.domain.json_text import parse_json
from hettui.domain.patterns import late_pattern
from hettui.domain.rig.rig import MARK, Rig, rig_json
from hettui.domain.text import clean, clean_line
from hettui.domain.units import UNKNOWN, format_bytes

_BLOCK = late_pattern(r"^```json\s*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PIPE = late_pattern(r"[|`<>]")


def page(rig: Rig, plan: Sequence[str], runs: Sequence[BenchRun], run_documents: Sequence[object]) -> str:
    """`plan`: the lines of the plan's table and its explanation, without command lines. `runs` have no secrets left."""
    lines = ["# hettui report", "", _software(rig), ""]
    lines += ["| card | backend | memory | GB/s | PCIe | driver |", "|---|---|---|---|---|---|"]
    lines += [_card_row(card) for card in rig.cards]
    if rig.findings:
        lines += ["", "Doctor: " + ", ".join(f"{severity} `{check}`" for check, severity in rig.findings)]
    if plan:
        lines += ["", "## Plan", "", "```text", *(clean_line(line).replace("```", "") for line in plan), "```"]
    for run in runs:
        lines += ["", f"## Measured {clean_line(run.started, 40)}", "", clean(bench_markdown(run))]
    document = rig_json(rig) | {"bench": list(run_documents)}
    told = "Plan for this rig with `hettui plan MODEL.gguf --rig THIS-FILE`."
    # A name with three of them would end the block.
    block = json.dumps(document, indent=1, ensure_ascii=True).replace("`", "\\u0060")
    return "\n".join([*lines, "", "## Rig", "", told, "", "```json", block, "```", ""])


def _software(rig: Rig) -> str:
    said = [f"hettui {rig.hettui}", f"llama.cpp b{rig.build}"]
    said += [f"{name} {text}" for name, text in rig.machine.items()]
    return ", ".join(_cell(text) for text in said)


def _card_row(card: Any) -> str:
    speed = UNKNOWN if card.bandwidth_bytes_per_s is None else f"{card.bandwidth_bytes_per_s / 1e9:.0f}"
    told = (
        f"{card.name} ({card.host})" if card.host != "local" else card.name,
        card.engine_name or card.backend, format_bytes(card.total_bytes), speed, card.pcie_link or UNKNOWN,
        card.driver or UNKNOWN,
    )  # fmt: skip
    return f"| {' | '.join(_cell(text) for text in told)} |"


def _cell(text: str) -> str:
    return _PIPE.sub("", clean_line(text, 100))


def block_of(text: str, where: str) -> dict[str, Any]:
    """The rig's block of a page, or a file that is that block alone. Raises UsageError."""
    for candidate in (*_BLOCK.findall(text), text):
        if MARK not in candidate:
            continue
        try:
            found = parse_json(candidate)
        except ValueError:
            continue
        if isinstance(found, dict) and MARK in found:
            return found
    raise UsageError(f"{clean_line(where, 200)} holds no rig: hettui report writes one")
