"""Cards by their names: for plans with a card that is not owned yet."""

from __future__ import annotations

import pytest

from hettui.cli.options import device_budgets
from hettui.domain.devices.common_cards import CARDS, common_card
from hettui.domain.errors import UsageError
from hettui.domain.units import GIB


@pytest.mark.parametrize(
    ("name", "gb_per_s"),
    [
        ("RTX 3060", 360),
        ("rtx-5080", 960),
        ("NVIDIA GeForce GTX 1660 Super", 336),
        ("Radeon RX 7900 XTX", 960),
        ("RTX 4090", 1008),
    ],
)
def test_a_card_is_known_however_it_is_written(name: str, gb_per_s: float) -> None:
    card = common_card(name)
    assert card is not None
    assert card.bandwidth_bytes_per_s == pytest.approx(gb_per_s * 1e9)
    assert 0.85 * card.gib * GIB < card.budget_bytes < card.gib * GIB


def test_names_are_unlike_and_figures_can_be() -> None:
    assert len({common_card(card.name) for card in CARDS}) == len(CARDS)
    assert all(100e9 < card.bandwidth_bytes_per_s < 2000e9 for card in CARDS)


def test_devices_by_name_beside_others_and_twice() -> None:
    found = device_budgets("RTX 5080,mine=8GiB@300GB,rtx 3060,RTX 3060")
    assert found is not None
    assert [d.name for d in found] == ["RTX 5080", "mine", "RTX 3060", "RTX 3060 2"]
    assert found[2].bandwidth_bytes_per_s == 360e9
    with pytest.raises(UsageError, match="did you mean RTX 3060"):
        device_budgets("RTX 3061")
    with pytest.raises(UsageError, match="NAME=BUDGET"):
        device_budgets("zzzz")
