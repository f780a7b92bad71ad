"""A recording of a real H100 beside a CPU worker, played to a few moments: what its screen said then."""

from __future__ import annotations

import pytest

from hettui.services.events import TelemetryUpdated
from hettui.ui.screens.replay import ReplayScreen
from hettui.wiring.replay import open_recording
from tests.pictures import H100, replayed
from tests.ui.stage import text_of

MIB = 1 << 20


def test_the_recording_holds_every_reading_of_the_card() -> None:
    recording = open_recording(str(H100))
    assert recording.notice is None
    samples = [e.snapshot.samples["card"] for _, e in recording.entries if isinstance(e, TelemetryUpdated)]
    assert len(samples) > 60
    for name in ("memory_temperature_c", "power_w", "clock_mhz", "link_now", "link_max", "ecc_errors", "energy_j"):
        assert all(getattr(sample, name) is not None for sample in samples), name
    # The card has no fan, and no process before the launch.
    assert {sample.fan_percent for sample in samples} == {None}
    assert [h.name for h in samples[-20].holders or ()] == ["llama-server"]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_while_it_generates_the_prediction_stands_beside_what_is_held(size: tuple[int, int]) -> None:
    async with replayed(H100, 29.5, size) as (app, _):
        shown = text_of(app)
        assert "REPLAY 00:29" in shown
        assert "planned 5585 MiB · llama.cpp +0 · driver −3" in shown
        assert "156/700 W" in shown
        assert "gen5x16" in shown
        screen = app.screen
        assert isinstance(screen, ReplayScreen)
        outlook = screen.facts.outlook
        assert outlook is not None
        own = screen.facts.histories["card"].sample
        assert own is not None
        assert own.own_bytes is not None
        assert abs(outlook.devices[0].total_bytes - own.own_bytes) < 8 * MIB


async def test_before_the_launch_nothing_is_held_and_after_a_seek_back_neither() -> None:
    async with replayed(H100, 5.0) as (app, pilot):
        assert "0 MiB" in text_of(app)
        assert "· driver" not in text_of(app)
        assert "stopped" in text_of(app)
        await pilot.press("end", "home")
        await pilot.pause()
        assert "· driver" not in text_of(app)
