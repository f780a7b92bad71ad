"""What taking another plan would change, in words as short as a row of a list has room for."""

from __future__ import annotations

from collections.abc import Callable

from hettui.domain.llama.params import RuntimeParams
from hettui.domain.plan.plan import Plan, plain_settings
from hettui.domain.text import clean_line

_NAME_CHARS = 30
ON_HOST = "CPU"


def changes(before: Plan, after: Plan, configured: RuntimeParams) -> list[str]:
    """Layers, order, experts or FFN in RAM and settings, what weighs most first; empty where nothing would change."""
    return [
        *_settings(before, after, configured),
        *_layers(before, after),
        *_apart(before, after),
        *_order(before, after),
    ]


def _settings(before: Plan, after: Plan, configured: RuntimeParams) -> list[str]:
    was, is_ = before.settings(configured), after.settings(configured)
    return [
        f"{name.replace('_', '-')} {_said(getattr(was, name))} → {_said(getattr(is_, name))}"
        for name in plain_settings()
        if getattr(was, name) != getattr(is_, name)
    ]


def _said(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _layers(before: Plan, after: Plan) -> list[str]:
    was = dict(zip((d.name for d in before.devices), before.split.layers, strict=True))
    rows = [(d.name, was.get(d.name, 0), n) for d, n in zip(after.devices, after.split.layers, strict=True)]
    rows.append((ON_HOST, before.split.host_layers, after.split.host_layers))
    return [f"{clean_line(name, _NAME_CHARS)} {old} → {new}" for name, old, new in rows if old != new]


def _apart(before: Plan, after: Plan) -> list[str]:
    old, new = len(before.blocks_away), len(after.blocks_away)
    if before.blocks_away == after.blocks_away:
        return []
    what = (after if new else before).moves
    return [f"{what} of {old} → {new} blocks in RAM" if old != new else f"{what} of {new} other blocks in RAM"]


def _order(before: Plan, after: Plan) -> list[str]:
    def order(plan: Plan, holds: Callable[[int], bool]) -> list[str]:
        return [d.name for i, d in enumerate(plan.devices) if holds(i)]

    both = {d.name for i, d in enumerate(before.devices) if before.split.layers[i]}
    both &= {d.name for i, d in enumerate(after.devices) if after.split.layers[i]}
    old = order(before, lambda i: before.devices[i].name in both)
    new = order(after, lambda i: after.devices[i].name in both)
    return [] if old == new else [f"order {', '.join(clean_line(name, _NAME_CHARS) for name in new)}"]
