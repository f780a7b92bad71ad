"""A token's time under the layer bar: what it says, when it gives way, and that it is as wide as the layers above."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot, ClusterState
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Device
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.session.session import Session
from hettui.domain.speed.shares import Decode, Share
from hettui.domain.units import MIB
from hettui.ui.drawing import gauges
from hettui.ui.drawing.top_rows import TIME_ROWS
from hettui.ui.presenting.facts import Facts
from hettui.ui.presenting.presenter import cards, time_bar
from tests.fakes import cluster, shape, workers
from tests.ui.stage import card_session, session, stage

CARDS = tuple(
    Device(f"g{i}", backend="cuda", uuid=f"GPU-{i}", budget_bytes=3000 * MIB, bandwidth_bytes_per_s=speed)
    for i, speed in enumerate((960e9, 100e9))
)
SPLIT = Split((23, 8), 31)


def facts(*, running: bool = False, rate: float | None = None, taught: bool = False) -> Facts:
    opened = Session(Config(), (), CARDS, cluster(CARDS), shape())
    if taught:
        decode = Decode(0.010, {0: Share(0.4, 0.01), 1: Share(0.6, 0.01)}, at_unix_s=1.0)
        assert opened.learned.add_decode(shape(), CARDS, SPLIT, decode)
    applied = Applied(CARDS, SPLIT) if running else None
    state = ClusterState.READY if running else ClusterState.DOWN
    return Facts(opened, Plan(CARDS, SPLIT), ClusterSnapshot(state, applied=applied), rate=rate)


def test_the_card_with_few_layers_and_most_of_the_time_is_seen() -> None:
    view = time_bar(facts(taught=True))
    assert view.basis == "planned"
    assert view.shares == pytest.approx((0.4, 0.6), abs=0.03)
    assert sum(view.shares) == pytest.approx(1)
    (first, second, _) = cards(facts(taught=True))
    assert first.share == pytest.approx(view.shares[0], abs=0.005)
    assert second.share == pytest.approx(view.shares[1], abs=0.005)


def test_what_runs_is_measured_and_what_is_only_data_says_so() -> None:
    assert time_bar(facts()).basis == "by data"
    measured = time_bar(facts(running=True, rate=50.0, taught=True))
    assert (measured.basis, measured.token_s) == ("measured", 0.02)
    # Without an answer of its own, or with another plan under one's hands, it is a plan.
    assert time_bar(facts(running=True, taught=True)).basis == "planned"
    other = replace(facts(running=True, rate=50.0, taught=True), plan=Plan(CARDS, Split((22, 9), 31)))
    assert time_bar(other).basis == "planned"


def test_what_nobody_knows_is_not_drawn() -> None:
    devices = workers(400, 400)
    unknown = Facts(
        Session(Config(), (), devices, cluster(devices), shape()), Plan(devices, Split((20, 11), 31)), ClusterSnapshot()
    )
    assert time_bar(unknown).shares == ()
    assert time_bar(unknown).basis == "not known"
    assert all(card.share is None for card in cards(unknown))


shares = st.lists(st.floats(0, 1), min_size=1, max_size=16).filter(lambda s: sum(s) > 0.01)


@given(shares, st.integers(1, 200))
def test_it_is_as_wide_as_it_shall_be_and_names_percent(parts: list[float], width: int) -> None:
    whole = [x / sum(parts) for x in parts]
    names = [f"card {i}" for i in range(len(whole))]
    drawn = gauges.time_bar(
        width, gauges.time_parts(whole, names, ["device-1"] * len(whole), 0), ("10 ms a token, planned", "10 ms")
    )
    assert sum(cell_len(text) for text, _ in drawn) == min(width, max(width, 0))
    if len(whole) == 1 and width > 40:
        assert "100%" in drawn[0][0]
        assert "10 ms a token, planned" in drawn[0][0]


@pytest.mark.parametrize(("rows", "seen"), [(TIME_ROWS, True), (TIME_ROWS - 1, False), (24, True), (9, False)])
async def test_it_gives_way_first_where_rows_are_short(rows: int, seen: bool) -> None:
    async with stage(card_session(), size=(80, rows)) as s:
        assert ("a token" in s.text()) is seen
        assert s.screen.body.time_bar.display is seen
        assert s.screen.body.layer_bar.display is (rows >= 10)


async def test_before_the_first_answer_it_says_that_nothing_is_known() -> None:
    async with stage(session(), size=(80, 24)) as s:
        assert "not known before the first answer" in s.text()
