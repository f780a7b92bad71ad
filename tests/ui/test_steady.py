"""Numbers line up: whatever a reading says, what stands beside it stays where it is."""

from __future__ import annotations

import re

import pytest

from hettui.domain.chat.wire import Timings
from hettui.domain.telemetry.readings import DeviceSample, Link
from hettui.domain.units import GIB, MIB
from hettui.services.events import ChatEnded
from hettui.ui.widgets.device_card import DeviceCard
from tests.ui.stage import Stage, card_readings, card_session, stage

pytestmark = pytest.mark.matrix

FULL = DeviceSample(
    used_bytes=10 * GIB, total_bytes=16 * GIB, own_bytes=9 * GIB, utilisation_percent=50, temperature_c=60,
    memory_temperature_c=70, slowdown_c=90, fan_percent=50, power_w=200, power_limit_w=360, clock_mhz=2000,
    link_now=Link(4, 8), link_max=Link(5, 16),
)  # fmt: skip
VARYING: dict[str, tuple[object, ...]] = {
    "utilisation_percent": (0.0, 5.0, 9.6, 99.6, 100.0, None),
    "power_w": (3.0, 9.9, 45.0, 450.0, None),
    "temperature_c": (7.0, 36.0, 99.6, 104.0, None),
    "memory_temperature_c": (8.0, 84.0, 104.0),
    "fan_percent": (0.0, 46.0, 100.0),
    "clock_mhz": (210.0, 999.0, 3090.0),
    "used_bytes": (0, 900 * MIB, int(9.9 * GIB), 10 * GIB, 14 * GIB, None),
    "link_now": (Link(1, 1), Link(5, 16)),
}
UNITS = re.compile(r"°C|%|W(?= |$)|GHz|gen|now|/ +\d|fan|mem |of \d")


def columns(s: Stage) -> list[list[tuple[int, str]]]:
    """Where each unit and label stands, row by row, of the card that tells all."""
    card = next(card for card in s.screen.query(DeviceCard) if card.view.name.endswith("5080"))
    rows = [card.render_line(y).text for y in range(card.content_size.height)]
    # The digits of what varies are not looked at, only where what is around them stands.
    return [[(m.start(), m[0][:2]) for m in UNITS.finditer(row)] for row in rows[2:5]]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("field", VARYING)
async def test_a_reading_moves_nothing_beside_it(field: str, size: tuple[int, int]) -> None:
    async with stage(card_session(), size) as s:
        seen = {}
        for value in VARYING[field]:
            sample = {name: getattr(FULL, name) for name in FULL.__slots__}
            await s.emit(card_readings(5, **{**sample, field: value}))
            seen[str(value)] = columns(s)
        assert len({str(found) for found in seen.values()}) == 1, seen


async def test_the_rate_moves_nothing_in_the_header() -> None:
    async with stage() as s:
        await s.run_plan()
        seen = set()
        for rate in (0.4, 9.9, 10.0, 99.9, 100.0, 1234.5):
            await s.emit(ChatEnded(Timings(31, 203.3, 12, rate)))
            header = s.text().split("\n")[0]
            assert f"{rate:.1f} tok/s" in header or f"{rate:.0f} tok/s" in header
            seen.add((header.index("tok/s"), header.index("http"), header.index("ready"), header.index("SmolLM2")))
        assert len(seen) == 1, seen


async def test_layers_move_nothing_beside_them() -> None:
    async with stage(card_session()) as s:
        await s.run_plan()
        seen = set()
        for keys in (("0",), ("right",), ("9", "enter"), ("1", "0", "enter")):
            await s.press(*keys)
            card = s.screen.query(DeviceCard).first()
            slider, memory = (card.render_line(y).text for y in (1, 3))
            number = re.search(r"(\d+)(?= (?:\(|  ))", slider)
            assert number is not None
            assert int(number[1]) == card.view.layers
            seen.add((number.end(), memory.index(" / "), memory.index("now")))
        assert len(seen) == 1, seen
