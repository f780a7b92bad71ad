"""What is remembered of a host from the last time it was asked: enough to plan for it without asking again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hettui.domain.devices.device import Device, Hardware, Host
from hettui.domain.records import dataclass


@dataclass(frozen=True, slots=True)
class KnownHost:
    """One host, by where ssh goes."""

    ssh: str
    hardware: tuple[Hardware, ...] = ()
    round_trip_s: float | None = None
    """Of one word there and back over a session; None is not known."""
    at_unix_s: float = 0.0
    line_bytes_per_s: float | None = None
    """What the line there takes; None is not known."""


def hardware_of(hosts: Sequence[Host], known: Mapping[str, KnownHost]) -> list[Hardware]:
    """What can hold layers on the hosts that are known, under the names that they have now.

    What was free then says nothing of now, when a worker may have held it: all of a card counts.
    """
    return [
        replace(card, host=host.name, free_bytes=None if card.backend == "cpu" else card.total_bytes)
        for host in hosts
        if host.ssh is not None and host.ssh in known
        for card in known[host.ssh].hardware
    ]


def with_lines(devices: Sequence[Device], hosts: Sequence[Host], known: Mapping[str, KnownHost]) -> tuple[Device, ...]:
    """The devices with the way to them, where it was measured."""
    lines = {host.name: known[host.ssh] for host in hosts if host.ssh is not None and host.ssh in known}
    return tuple(
        replace(device, round_trip_s=line.round_trip_s, line_bytes_per_s=line.line_bytes_per_s)
        if (line := lines.get(device.host)) is not None
        else device
        for device in devices
    )
