"""What real launches reserved: it turns "about" into "measured" when the same is planned again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from math import exp, log

from hettui.domain.devices.device import HOST_KEY, LOCAL, Device
from hettui.domain.llama.beside import mark
from hettui.domain.llama.params import BESIDE_MEMORY, RuntimeParams
from hettui.domain.memory.forecast import Forecast, Memory, forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import HOST, Split
from hettui.domain.planner.promise import promised
from hettui.domain.records import dataclass
from hettui.domain.speed.evidence import Evidence
from hettui.domain.speed.learning import Now, device_key, known_speed, lesson, speed_key
from hettui.domain.speed.prior import prior
from hettui.domain.speed.shares import Decode

MAX_LAUNCHES = 500
"""The oldest are forgotten."""
PROMPT = "prompt"
"""What the reading of a prompt of some hundred tokens is kept under."""
FEWEST_TOKENS = 16
"""Of an answer: fewer say little about the speed."""


def streams_name(streams: int) -> str:
    """Under which the rate of so many streams together is kept."""
    return f"x{streams}"


_HOST_COUNTS = 0.3
"""Of a token's time: a smaller part is lost in what is not known of the devices."""
_MOST_HOST_OFF = 30.0
_HOST_ANSWERS = 8
"""So many of the last answers count."""
_USUAL = RuntimeParams()
_LATER_SETTINGS = (
    "split_mode", "draft", "mmproj", "mmproj_device", "lora", "control_vector", "ctx_checkpoints", "cache_ram",
)  # fmt: skip


def launch_key(workload: Workload, devices: Sequence[Device], split: Split, beside: str | None = None) -> str:
    """Equal for launches that reserve the same: model, settings, backends, split, build and what is said besides.

    `beside`: the mark of the latter where its words are not known; None: by the words.
    """
    held = [(d.backend, d.via, n) for d, n in zip(devices, split.layers, strict=True) if n]
    shape = workload.shape
    params = {name: value for name, value in asdict(workload.params).items() if name not in BESIDE_MEMORY}
    for name in _LATER_SETTINGS:
        # As it was before there was such a setting: what was learned then holds.
        if params[name] == getattr(_USUAL, name):
            del params[name]
    said = [shape.file.architecture, shape.fingerprint, params, held, split.host_layers, workload.build]
    said += [told] if (told := mark(workload.extra_args) if beside is None else beside) else []
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def run_key(workload: Workload, devices: Sequence[Device], split: Split) -> str:
    """Equal for launches that are equally fast: `launch_key` on the same devices."""
    held = [speed_key(d) for d, n in zip(devices, split.layers, strict=True) if n]
    return hashlib.sha256(json.dumps([launch_key(workload, devices, split), held]).encode()).hexdigest()[:32]


@dataclass
class Learned:
    """Shared by the session, which asks, and by whoever watches launches, which adds. Every change is one dict item."""

    compute: dict[str, dict[str, int]] = field(default_factory=dict)
    """By `launch_key`: the compute buffer in bytes by rank among the devices that hold layers, and of `host`."""
    overhead: dict[str, int] = field(default_factory=dict)
    """By `device_key`: what the backend takes beside llama.cpp's buffers."""

    speeds: dict[str, Evidence] = field(default_factory=dict)
    """By `speed_key`: what answers have shown of each device."""
    rates: dict[str, dict[str, float]] = field(default_factory=dict)
    """By `run_key`: tokens a second as they were measured last, of `PROMPT` and of `streams_name`."""
    now: dict[str, Now] = field(default_factory=dict)
    """By `speed_key`: of devices that are slower now than they are. Never written: it ends with its reason."""
    host_bytes_per_s: float | None = None
    """What this machine's CPUs can read from memory, by a measurement of that alone."""
    host_off: float = 1.0
    """How much longer the master's CPU took for its part of answers than that says: a mean of the last ones."""
    host_answers: int = 0
    """Of how many."""
    at_unix_s: float = 0.0
    """When it was last looked at: what is older weighs less."""
    beside: str | None = None
    """The mark of what was said besides, where its words are not known: of somebody's report."""
    set_aside: str = ""
    """A sentence about what was measured before and cannot be used; empty when there is none."""

    @property
    def state(self) -> tuple[object, ...]:
        """Equal to what it was before as long as nothing was learned since."""
        kept = self.compute, self.overhead, self.speeds, self.rates, self.now
        return *(dict(one) for one in kept), self.host_bytes_per_s, self.host_off, self.host_answers, self.at_unix_s

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
        left = own_bytes - buffers.own_bytes - buffers.draft_bytes
        if key is None or left < 0 or self.overhead.get(key) == left:
            return False
        self.overhead[key] = left
        return True

    def add_decode(self, shape: ModelShape, devices: Sequence[Device], split: Split, decode: Decode) -> bool:
        """One stream was answered. Whether something was learned from it."""
        self.at_unix_s = max(self.at_unix_s, decode.at_unix_s)
        if split.host_layers:
            return False
        found = lesson(shape, self.with_measured(devices), split.layers, decode, self.speeds)
        if found is None:
            return False
        self.speeds.update(found.evidence)
        self.now.update(found.now)
        return True

    @property
    def host_rate_bytes_per_s(self) -> float | None:
        """What the master's CPU reads while it computes, as answers have shown it; None: nothing is known."""
        if not self.host_answers:
            return self.host_bytes_per_s
        usual = 1 / prior(Device(HOST_KEY)).seconds_per_byte
        return (self.host_bytes_per_s or usual) / self.host_off

    def add_host(self, workload: Workload, devices: Sequence[Device], split: Split, token_s: float) -> bool:
        """One stream was answered of which the master's CPU computed a part. Whether something was learned of that:
        what is left when the devices' parts are taken off is its, if it is a part that counts."""
        found = promised(workload, self.with_measured(devices), split, self.host_rate_bytes_per_s)
        expected_s = 0.0 if found is None else found.stages_s.get(HOST, 0.0)
        if found is None or expected_s < _HOST_COUNTS * found.token_s:
            return False
        took_s = token_s - (found.token_s - expected_s)
        if took_s < _HOST_COUNTS * token_s:
            return False
        off = min(max(took_s / expected_s * self.host_off, 1 / _MOST_HOST_OFF), _MOST_HOST_OFF)
        before = min(self.host_answers, _HOST_ANSWERS - 1)
        self.host_off = exp((log(self.host_off) * before + log(off)) / (before + 1))
        self.host_answers = before + 1
        return True

    def add_rate(self, workload: Workload, plan: Plan, what: str, per_second: float) -> bool:
        """What exactly this plan did. Whether that was new."""
        key = run_key(workload, plan.devices, plan.split)
        if per_second <= 0 or self.rates.get(key, {}).get(what) == per_second:
            return False
        self.rates[key] = {**self.rates.pop(key, {}), what: per_second}
        while len(self.rates) > MAX_LAUNCHES:
            del self.rates[next(iter(self.rates))]
        return True

    def rates_of(self, workload: Workload, plan: Plan) -> Mapping[str, float]:
        """What was measured of exactly this plan: tokens a second."""
        return self.rates.get(run_key(workload, plan.devices, plan.split), {})

    def forgive(self, device: Device) -> bool:
        """Whatever made it slower than it is has ended. Whether that was new."""
        return self.now.pop(speed_key(device), None) is not None

    def forget_speeds(self) -> int:
        """Nothing is known of any device's speed any more; of how many it was."""
        count = len(self.speeds)
        self.speeds.clear()
        self.rates.clear()
        self.now.clear()
        self.host_off, self.host_answers = 1.0, 0
        return count

    def with_measured(self, devices: Sequence[Device]) -> tuple[Device, ...]:
        """The devices with what was measured on them."""
        return tuple(self._with_measured(d) for d in devices)

    def _with_measured(self, device: Device) -> Device:
        key, name = device_key(device), speed_key(device)
        overhead = self.overhead.get(key) if key else None
        bandwidth = device.bandwidth_bytes_per_s
        if device.backend == "cpu" and device.host == LOCAL and bandwidth is None:
            bandwidth = self.host_bytes_per_s
        if overhead is None:
            overhead = device.measured_overhead_bytes
        # Asked with every key, of every device: most are as they were.
        if (overhead, bandwidth) != (device.measured_overhead_bytes, device.bandwidth_bytes_per_s):
            device = replace(device, measured_overhead_bytes=overhead, bandwidth_bytes_per_s=bandwidth)
        speed = known_speed(device, self.speeds.get(name), self.now.get(name), self.at_unix_s)
        return device if speed is None or speed == device.speed else replace(device, speed=speed)

    def forecast(self, workload: Workload, plan: Plan) -> Forecast:
        """The memory of a plan with exactly these settings, and what earlier launches reserved."""
        outlook = forecast(workload, plan.split, plan.devices)
        return self.corrected(outlook, launch_key(workload, plan.devices, plan.split, self.beside))

    def corrected(self, outlook: Forecast, key: str) -> Forecast:
        """The forecast with measured compute buffers, where this was launched before."""
        found = self.compute.get(key)
        if found is None:
            return outlook
        active = [i for i, m in enumerate(outlook.devices) if m.own_bytes]
        devices = list(outlook.devices)
        for rank, index in enumerate(active):
            if str(rank) in found:
                devices[index] = replace(devices[index], compute_bytes=found[str(rank)])
        host = replace(outlook.host, compute_bytes=found.get(HOST_KEY, outlook.host.compute_bytes))
        return replace(outlook, devices=tuple(devices), host=host, measured=frozenset([*active, len(outlook.devices)]))
