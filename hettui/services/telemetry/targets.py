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
    """One for each device, and one for the host while a master runs. The master uses what it drives."""
    master = next((p.pid for p in processes if p.role == "master" and p.pid), None)
    found = []
    for device in devices:
        own = [p.pid for p in processes if p.device == device.name and p.pid]
        if device.via == "master" and master:
            own.append(master)
        # Of a worker on another host the process here is the one that holds it.
        pids = tuple(own) if device.host == LOCAL else ()
        found.append(
            TelemetryTarget(
                device.name, device.backend, device.uuid, device.pci_address, pids, device.budget_bytes, device.host,
                device.engine_name,
            )
        )  # fmt: skip
    if master:
        found.append(TelemetryTarget("host", "cpu", pids=(master,)))
    return tuple(found)
