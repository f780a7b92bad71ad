"""The section [draft]: what its keys say together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hettui.domain.config.problem import Problem
from hettui.domain.devices.device import HOST_KEY
from hettui.domain.llama.options import allocations
from hettui.domain.llama.params import AUTO, DRAFT_MODEL, DRAFT_MTP, Drafting

_OF_DRAFTS = ("device", "cache-type-k", "cache-type-v", "p-min")
"""Keys that mean nothing where no model proposes."""


def drafting(values: Mapping[str, Any]) -> Drafting | None:
    """Of a configuration without problems; None where it has no such section, or an empty one."""
    said = values.get("draft")
    return Drafting(**{name.replace("-", "_"): value for name, value in said.items()}) if said else None


def draft_problems(values: Mapping[str, Any]) -> list[Problem]:
    said = values.get("draft")
    if not said:
        return []
    kind, found = said.get("type", DRAFT_MODEL), list[Problem]()

    def wrong(key: str | None, message: str) -> None:
        found.append(Problem("draft", None, key, message))

    if kind == DRAFT_MODEL and "model" not in said:
        wrong(None, f"model is missing: {DRAFT_MODEL} proposes by a model of its own")
    if kind != DRAFT_MODEL and "model" in said:
        wrong("model", f'{kind} does without a model: remove it, or set type = "{DRAFT_MODEL}"')
    meaningless = () if kind == DRAFT_MODEL else ("device",) if kind == DRAFT_MTP else _OF_DRAFTS
    for key in meaningless:
        if key in said:
            wrong(key, f"means nothing with {kind}: remove it")
    if "n-min" in said and kind not in (DRAFT_MODEL, DRAFT_MTP, "ngram-mod"):
        wrong("n-min", f"means nothing with {kind}: remove it")
    if said.get("n-min", 0) > said.get("n-max", 1024):
        wrong("n-min", "is above n-max")
    names = [device["name"] for device in values.get("devices", [])]
    if names and said.get("device", AUTO) not in (AUTO, HOST_KEY, *names):
        known = ", ".join(f'"{name}"' for name in (AUTO, HOST_KEY, *names))
        wrong("device", f'found "{said["device"]}", allowed: {known}')
    beside = [a.spelling for a in allocations(values.get("serving", {}).get("extra-args", ())) if _speculates(a.what)]
    if beside:
        wrong(None, f"[serving] extra-args speaks of speculation, too ({beside[0]}): say it in one place")
    return found


def _speculates(what: str) -> bool:
    return what.startswith(("a second model", "speculation", "what speculation"))
