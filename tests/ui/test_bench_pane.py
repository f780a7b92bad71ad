"""The bench pane by keys."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.bench.run import (
    BenchOutcome,
    BenchPlan,
    BenchProgress,
    BenchResult,
    BenchSample,
    BenchTest,
    DeviceFigures,
)
from hettui.domain.chat.wire import ServerFacts
from hettui.services.events import BenchChanged, BenchEnded
from hettui.ui.drawing.bench_plot import history_plot
from hettui.ui.widgets.device_card import DeviceCard
from tests.ui.stage import stage


def results(rate: float) -> tuple[BenchResult, ...]:
    runs = tuple(BenchSample(128, 128 / (rate + n), 0.1, 0.009, 0.012, rate) for n in (-0.1, 0.0, 0.1))
    return (BenchResult(BenchTest(generate=128), runs),)


def outcome(rate: float, problem: str | None = None) -> BenchEnded:
    devices = (DeviceFigures("big", 100 << 20, 71.0, 200.0, 1.5),)
    return BenchEnded(BenchOutcome(BenchPlan(), ServerFacts(), results(rate), devices, problem=problem))


async def test_run_watch_and_read() -> None:
    async with stage() as s:
        await s.press("b", "enter")
        assert not any(call.startswith("bench") for call in s.engine.calls)
        assert "Esc, then s starts it" in s.text()
        await s.run_plan()
        await s.press("enter")
        assert s.engine.calls[-1] == "bench (0,)"
        await s.press("f")
        assert "a bench is running" in s.text()
        await s.emit(BenchChanged(BenchProgress("tg128, run 2 of 3", 0.5, 12.0, results(40.0))))
        assert "50%, 12 s left" in s.text()
        assert "tg128, run 2 of 3 · Esc stops" in s.text()
        assert "40.0 ± 0.1" in s.text()
        await s.emit(outcome(40.0))
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        text = s.text()
        assert "generation speed: 39.9 to 40.1 tok/s" in text
        assert "100 MiB" in text
        assert "71" in text
        await s.press("y")
        assert "| tg128" in " ".join(s.app.clipboard.split())

        await s.press("f")
        assert s.engine.calls[-1] == "bench (0, 1024, 4096)"
        await s.press("escape")
        assert s.engine.calls[-1] == "cancel bench"
        await s.emit(outcome(50.0, "stopped before the end"))
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        text = s.text()
        assert "NOT COMPLETE: stopped before the end" in text
        assert "tg128 against the run before: +25.0%, this one faster" in text
        assert "50.0 ▏" in text
        await s.press("escape")
        assert isinstance(s.app.focused, DeviceCard)


async def test_its_number_among_the_panes() -> None:
    async with stage(size=(80, 24)) as s:
        await s.run_plan()
        await s.press("g", "5")
        assert "measures what runs" in s.text()
        assert s.app.focused is not None
        assert s.app.focused.id == "bench"


def test_the_plot_has_one_scale_from_zero() -> None:
    assert history_plot([], 40) == []
    assert history_plot([50.0, 100.0], 20, 2) == ["100.0 ▏  █", "    0 ▏█ █"]


@given(st.lists(st.floats(0, 1e6), max_size=300), st.integers(1, 100))
def test_the_plot_fits(values: list[float], width: int) -> None:
    rows = history_plot(values, width)
    assert all(len(row) <= max(width, 13) for row in rows)
