"""How often the sensors are asked."""

from __future__ import annotations

from hettui.ui.screens.pace import INTERVALS_S, SensorPace
from tests.ui.stage import StageEngine


def test_the_engine_hears_of_changes_alone() -> None:
    engine = StageEngine()
    pace = SensorPace(engine)
    pace.keep(seen=True)
    assert engine.calls == []
    assert pace.change(1) == "the sensors are asked every 0.5 s"
    pace.keep(seen=True)
    pace.keep(seen=True)
    assert engine.calls == ["sample every 0.5 s"]


def test_they_rest_while_no_card_is_seen_unless_they_are_asked_more_seldom_anyway() -> None:
    engine = StageEngine()
    pace = SensorPace(engine)
    pace.keep(seen=False)
    pace.keep(seen=True)
    for _ in INTERVALS_S:
        pace.change(-1)
    assert (pace.slowest, pace.fastest) == (True, False)
    pace.keep(seen=False)
    assert engine.calls == ["sample every 5 s", "sample every 1 s", "sample every 10 s"]
    for _ in INTERVALS_S:
        pace.change(1)
    assert (pace.slowest, pace.fastest) == (False, True)
