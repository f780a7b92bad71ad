"""What real launches reserved: it turns "about" into "measured" when the same is planned again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from hettui.domain.devices.device import HOST_KEY, LOCAL, Device
from hettui.domain.memory.forecast import Forecast, Memory, forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.speed import stages_s

MAX_LAUNCHES = 500
"""The oldest are forgotten."""
FEWEST_TOKENS = 16
"""Of an answer: fewer say little about the speed."""

_DOUBT_CPU, _DOUBT_GPU = 0.5, 0.2
"""How far a device may be off what its data says, as a part, before anything was measured."""
_NOISE = 0.05
"""Of a measured token time."""


def launch_key(workload: Workload, devices: Sequence[Device], split: Split) -> str:
    """Equal for launches that reserve the same: model, settings, backends, split and build."""
    held = [(d.backend, d.via, n) for d, n in zip(devices, split.layers, strict=True) if n]
    shape, params = workload.shape, asdict(workload.params)
    said = [shape.file.architecture, shape.fingerprint, params, held, split.host_layers, workload.build]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def device_key(device: Device) -> str | None:
    """What identifies a card from one start to the next; None for a CPU."""
    return None if device.backend == "cpu" else device.uuid or device.pci_address


def speed_key(device: Device) -> str:
    """What decides how fast it is: the card, or the CPU with so many threads, and the way to it."""
    return f"{device.host} {device_key(device) or f'{device.backend} {device.threads or 0} threads'} {device.via}"


@dataclass(frozen=True, slots=True)
class Slowness:
    """How many times longer a device takes than its data says, and how far that may be off."""

    factor: float = 1.0
    doubt: float = _DOUBT_GPU


@dataclass
class Learned:
    """Shared by the session, which asks, and by whoever watches launches, which adds. Every change is one dict item."""

    compute: dict[str, dict[str, int]] = field(default_factory=dict)
    """By `launch_key`: the compute buffer in bytes by rank among the devices that hold layers, and of `host`."""
    overhead: dict[str, int] = field(default_factory=dict)
    """By `device_key`: what the backend takes beside llama.cpp's buffers."""

    speeds: dict[str, Slowness] = field(default_factory=dict)
    """By `speed_key`."""
    host_bytes_per_s: float | None = None
    """What this machine's CPUs can read from memory."""

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

    def add_speed(self, shape: ModelShape, devices: Sequence[Device], split: Split, token_s: float) -> bool:
        """One stream took `token_s` per token. Whether that could be used.

        Only the sum of all devices is measured: the difference to what was expected goes to them by their parts of
        the time and by how uncertain they are (a Kalman filter without correlations). Runs with other splits then
        tell them apart.
        """
        if split.host_layers or token_s <= 0:
            return False
        parts = stages_s(shape, self.with_measured(devices), split.layers)
        expected = sum(parts.values())
        before = {i: self.speeds.get(speed_key(devices[i]), _at_first(devices[i])) for i in parts}
        spread = {i: before[i].doubt ** 2 * part for i, part in parts.items()}
        scale = sum(spread[i] * part for i, part in parts.items()) + (_NOISE * expected) ** 2
        for i, known in before.items():
            change = spread[i] * (token_s - expected) / scale
            factor = min(max(known.factor * (1 + change), 0.02), 50.0)
            doubt = known.doubt * max(0.0, 1 - spread[i] * parts[i] / scale) ** 0.5
            self.speeds[speed_key(devices[i])] = Slowness(factor, max(doubt, _NOISE))
        return True

    def with_measured(self, devices: Sequence[Device]) -> tuple[Device, ...]:
        """The devices with what was measured on them."""
        return tuple(self._with_measured(d) for d in devices)

    def _with_measured(self, device: Device) -> Device:
        key, speed = device_key(device), self.speeds.get(speed_key(device))
        overhead = self.overhead.get(key) if key else None
        bandwidth = device.bandwidth_bytes_per_s
        if device.backend == "cpu" and device.host == LOCAL and bandwidth is None:
            bandwidth = self.host_bytes_per_s
        return replace(
            device,
            measured_overhead_bytes=device.measured_overhead_bytes if overhead is None else overhead,
            measured_slowness=device.measured_slowness if speed is None else speed.factor,
            bandwidth_bytes_per_s=bandwidth,
        )

    def forecast(self, workload: Workload, plan: Plan) -> Forecast:
        """The memory of a plan with exactly these settings, and what earlier launches reserved."""
        outlook = forecast(workload, plan.split, plan.devices)
        return self.corrected(outlook, launch_key(workload, plan.devices, plan.split))

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


def _at_first(device: Device) -> Slowness:
    return Slowness(doubt=_DOUBT_CPU if device.backend == "cpu" else _DOUBT_GPU)
