"""Which colour a device has: its own for as long as the devices are the same, whatever their order in the plan."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.devices.device import LOCAL, Device

COLOURS = 16
"""So many a theme has."""


def colours(devices: Sequence[Device]) -> dict[str, int]:
    """By device name, from 1 on. By what a device is and not where it stands: this machine's first, by their ids, which
    do not change when the configuration is written in another order; those that nobody has last."""
    known = sorted(devices, key=lambda d: (d.is_imagined, d.host != LOCAL, d.host, d.id, d.name))
    return {device.name: place % COLOURS + 1 for place, device in enumerate(known)}
