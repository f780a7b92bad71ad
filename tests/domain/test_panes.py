"""Which panes stand in front and which are to be seen."""

from __future__ import annotations

import pytest

from hettui.domain.screen.actions import BY_ID
from hettui.domain.screen.panes import ALL_PANES, DEVICES, PANES, PanesState


def test_every_pane_has_its_action() -> None:
    assert {id.removeprefix("pane.") for id in BY_ID if id.startswith("pane.")} - {"zoom", "next", "previous"} == set(
        PANES
    )
    assert len(set(ALL_PANES)) == len(ALL_PANES) == len(PANES) + 1


@pytest.mark.parametrize(
    ("state", "narrow", "wide", "ultra"),
    [
        (PanesState(), {"devices"}, {"devices", "chat"}, {"devices", "chat", "logs"}),
        (PanesState("chat"), {"chat"}, {"devices", "chat"}, {"devices", "chat", "logs"}),
        (PanesState("bench", "bench", "bench"), {"bench"}, {"devices", "bench"}, {"devices", "chat", "bench"}),
        (PanesState("devices", "bench", "bench"), {"devices"}, {"devices", "bench"}, {"devices", "chat", "bench"}),
        (PanesState(zoomed=True), {"devices"}, {"devices"}, {"devices"}),
        (PanesState("logs", "logs", "logs", zoomed=True), {"logs"}, {"logs"}, {"logs"}),
    ],
)
def test_what_is_to_be_seen(state: PanesState, narrow: set[str], wide: set[str], ultra: set[str]) -> None:
    assert state.shown(narrow=True, both=False) == narrow
    assert state.shown(narrow=False, both=False) == wide
    assert state.shown(narrow=False, both=True) == ultra


@pytest.mark.parametrize("pane", PANES)
def test_a_pane_in_front_is_seen_and_stays_beside_the_devices(pane: str) -> None:
    state = PanesState(second="bench").with_front(pane)
    assert state.second == ("bench" if pane == "chat" else pane)
    for narrow, both in ((True, False), (False, False), (False, True)):
        assert pane in state.shown(narrow=narrow, both=both)
    assert pane in state.with_front(DEVICES).shown(narrow=False, both=False)
    assert state.with_front(DEVICES).shown(narrow=True, both=False) == {DEVICES}


def test_what_is_not_known_is_as_at_the_beginning() -> None:
    assert PanesState("x", "y", "chat", zoomed=True).known() == PanesState(zoomed=True)
    left = PanesState("explain", "chat", "bench")
    assert left.known() == left
