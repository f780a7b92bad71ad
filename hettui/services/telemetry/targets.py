"""Which processes of ours use which device: what the sensors are asked about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from hettui.domain.devices.device import LOCAL, Device
from hettui.ports import TelemetryTarget


class Using(Protocol):
    """A process, and the device that it lends; the master lends none."""

    @property
    def pid(self) -> int | None: ...

    @property
    def device(self) -> str | None: ...

    @property
    def role(self) -> str: ...


def targets(devices: Iterable[Device], processes: Sequence[Using]) -> tuple[TelemetryTarget, ...]:
    """One for each device of this machine, and one for the host while a master runs. The master uses what it drives."""
    master = next((p.pid for p in processes if p.role == "master" and p.pid), None)
    found = []
    for device in devices:
        own = [p.pid for p in processes if p.device == device.name and p.pid]
        if device.via == "master" and master:
            own.append(master)
        if device.host == LOCAL:
            found.append(
                TelemetryTarget(
                    device.name, device.backend, device.uuid, device.pci_address, tuple(own), device.budget_bytes
                )
            )
    if master:
        found.append(TelemetryTarget("host", "cpu", pids=(master,)))
    return tuple(found)
