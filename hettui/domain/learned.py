"""What real launches reserved: it turns "about" into "measured" when the same is planned again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from hettui.domain.device import Device
from hettui.domain.llama_log import HOST_KEY
from hettui.domain.memory import Forecast, Memory, forecast
from hettui.domain.model import ModelShape
from hettui.domain.params import RuntimeParams
from hettui.domain.plan import Plan
from hettui.domain.split import Split

MAX_LAUNCHES = 500
"""The oldest are forgotten."""


def launch_key(shape: ModelShape, params: RuntimeParams, devices: Sequence[Device], split: Split, build: int) -> str:
    """Equal for launches that reserve the same: model, settings, backends, split and build."""
    held = [(d.backend, d.via, n) for d, n in zip(devices, split.layers, strict=True) if n]
    said = [shape.file.architecture, shape.fingerprint, asdict(params), held, split.host_layers, build]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def device_key(device: Device) -> str | None:
    """What identifies a card from one start to the next; None for a CPU."""
    return None if device.backend == "cpu" else device.uuid or device.pci_address


@dataclass
class Learned:
    """Shared by the session, which asks, and by whoever watches launches, which adds. Every change is one dict item."""

    compute: dict[str, dict[str, int]] = field(default_factory=dict)
    """By `launch_key`: the compute buffer in bytes by rank among the devices that hold layers, and of `host`."""
    overhead: dict[str, int] = field(default_factory=dict)
    """By `device_key`: what the backend takes beside llama.cpp's buffers."""

    def add_launch(self, key: str, measured: Mapping[str, Memory], names: Sequence[str]) -> bool:
        """`names`: the devices with layers, in order. Whether that was new."""
        found = {str(rank): measured[name].compute_bytes for rank, name in enumerate(names) if name in measured}
        if HOST_KEY in measured:
            found[HOST_KEY] = measured[HOST_KEY].compute_bytes
        if len(found) <= len(names) or self.compute.get(key) == found:
            return False
        self.compute[key] = found
        while len(self.compute) > MAX_LAUNCHES:
            del self.compute[next(iter(self.compute))]
        return True

    def add_overhead(self, device: Device, own_bytes: int, buffers: Memory) -> bool:
        """`own_bytes`: what the card's driver says that our process holds on it. Whether that was new."""
        key = device_key(device)
        left = own_bytes - buffers.weights_bytes - buffers.context_bytes - buffers.compute_bytes
        if key is None or left < 0 or self.overhead.get(key) == left:
            return False
        self.overhead[key] = left
        return True

    def with_overheads(self, devices: Sequence[Device]) -> tuple[Device, ...]:
        """The devices with what was measured on them."""
        known = [self.overhead.get(key) if (key := device_key(d)) else None for d in devices]
        return tuple(
            d if n is None else replace(d, measured_overhead_bytes=n) for d, n in zip(devices, known, strict=True)
        )

    def forecast(self, shape: ModelShape, params: RuntimeParams, plan: Plan, build: int) -> Forecast:
        """The memory of a plan, with what earlier launches reserved."""
        outlook = forecast(shape, params, plan.split, plan.devices, build=build)
        return self.corrected(outlook, launch_key(shape, params, plan.devices, plan.split, build))

    def corrected(self, outlook: Forecast, key: str) -> Forecast:
        """The forecast with measured compute buffers, where this was launched before."""
        found = self.compute.get(key)
        if found is None:
            return outlook
        active = [i for i, m in enumerate(outlook.devices) if m.total_bytes]
        devices = list(outlook.devices)
        for rank, index in enumerate(active):
            if str(rank) in found:
                devices[index] = replace(devices[index], compute_bytes=found[str(rank)])
        host = replace(outlook.host, compute_bytes=found.get(HOST_KEY, outlook.host.compute_bytes))
        return replace(outlook, devices=tuple(devices), host=host, measured=frozenset([*active, len(outlook.devices)]))
