"""llama-server's settings as rows: its name, the value, and what it does."""

from __future__ import annotations

from hettui.domain.llama.options import Option
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.llama.setting import by_hand, ranges, shown, value_of
from hettui.domain.memory.context import context_size
from hettui.domain.memory.workload import Workload
from hettui.domain.records import dataclass


@dataclass(frozen=True, slots=True)
class SettingView:
    """One row, and what is said of it below the list."""

    name: str
    value: str
    changed: bool
    """It is not what is configured."""
    does: str
    details: tuple[str, ...]
    """Spellings with the range, and what is configured."""


def settings(now: RuntimeParams, configured: RuntimeParams, workload: Workload) -> list[SettingView]:
    """`workload`: with the settings as they are now."""
    return [_view(option, now, configured, workload) for option in by_hand()]


def _view(option: Option, now: RuntimeParams, configured: RuntimeParams, workload: Workload) -> SettingView:
    value, before = value_of(now, option), value_of(configured, option)
    said = shown(option, value)
    more = ""
    if option.name == "ctx-size":
        whole = context_size(workload)
        each = whole if now.unified else whole // max(1, now.slots)
        more = f" · {whole:,} tokens, {each:,} a slot" if now.slots > 1 else f" · {whole:,} tokens"
    return SettingView(
        option.name,
        said,
        value != before,
        option.doc,
        (
            f"{', '.join(option.spellings)}: {ranges(option)}",
            f"{option.doc}{more}",
            f"configured: {shown(option, before)}" if value != before else "as configured",
        ),
    )
