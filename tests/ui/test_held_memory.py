"""What a dialog held goes with it, and when."""

from __future__ import annotations

import gc

import pytest
from textual._styles_cache import StylesCache

from hettui.ui.terminal.collector import RestingCollector
from tests.ui.stage import stage


def kept_rows() -> int:
    """Of all widgets that were ever drawn."""
    gc.collect()
    return sum(len(one._cache) for one in gc.get_objects() if isinstance(one, StylesCache))


async def test_what_was_drawn_of_a_closed_dialog_is_let_go() -> None:
    async with stage() as s:
        for number in range(4):
            await s.press("question_mark")
            await s.until(lambda: "esc closes" in s.text())
            await s.press("escape")
            await s.until(lambda: "esc closes" not in s.text())
            if not number:
                before = kept_rows()
        # 120 rows a dialog would stay.
        assert kept_rows() < before + 60


@pytest.mark.parametrize(
    ("counts", "heard_s", "enabled", "collected"),
    [
        ((500, 2, 0), 90.0, True, True),
        ((500, 0, 1), 90.0, True, True),
        ((500, 1, 0), 90.0, True, False),
        ((500, 2, 0), 99.5, True, False),
        ((500, 2, 0), 90.0, False, False),
    ],
    ids=["worth it", "older", "too little", "a key just now", "switched off"],
)
def test_it_is_collected_when_there_is_something_and_nobody_waits(
    monkeypatch: pytest.MonkeyPatch, counts: tuple[int, int, int], heard_s: float, enabled: bool, collected: bool
) -> None:
    calls: list[None] = []
    now_s = heard_s
    monkeypatch.setattr("hettui.ui.terminal.collector.time.monotonic", lambda: now_s)
    monkeypatch.setattr("hettui.ui.terminal.collector.gc.get_count", lambda: counts)
    monkeypatch.setattr("hettui.ui.terminal.collector.gc.isenabled", lambda: enabled)
    monkeypatch.setattr("hettui.ui.terminal.collector.gc.collect", lambda: calls.append(None))
    resting = RestingCollector()
    resting.heard()
    now_s = 100.0
    resting.look()
    assert bool(calls) == collected
