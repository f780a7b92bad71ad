"""What a plan's token takes with everything that computes it: its devices, and the host where it holds a part.

Decoding computes on the host what lies there: a token has fewer rows than what an attached card helps with. Each block
whose experts or FFN lie there and the rest does not is handed over and back: cheap beside an attached card, about 2.5
round trips behind a worker (b11434, proxy with a delay: 25 to 27 messages a token with three such blocks, 7 to 9 with
none).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from hettui.domain.devices.device import LOCAL, Device
from hettui.domain.memory.weights import reads_apart
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import HOST, Split
from hettui.domain.speed.pace import Expected, below_s, expected, pace, stage_doubt_s
from hettui.domain.speed.prior import DOUBT_CPU, DOUBT_UNKNOWN

CROSSING_S = 100e-6
"""To the host and back between two parts of a block on an attached card. With its experts in RAM a block of the host's
is faster than with all of it there: 81 against 70 tokens a second were seen on one card."""
_HOST_LAYER_S = 150e-6
"""Of a whole layer on the host, for getting its threads together some fifteen times."""
ROUND_TRIPS = 2.5
_WORKER_CROSSING_S = 2e-3
"""Behind a worker whose round trip is not known, and at least behind any."""
_CROSSING_DOUBT = 0.7


def promised(
    workload: Workload, devices: Sequence[Device], split: Split, host_bytes_per_s: float | None = None
) -> Expected | None:
    """One stream's time per token; None where a device's speed is not known. `workload`: with the plan's settings.

    `host_bytes_per_s`: what the master's CPU reads from memory; None: what is usual.
    """
    shape, counts = workload.shape, split.layers
    if workload.params.shares_tensors:
        from hettui.domain.planner.shared_pace import promised_shared

        return promised_shared(workload, devices, split)
    if not split.host_layers and not workload.params.overrides:
        return expected(shape, devices, counts)
    if not any(shape.layer_reads) or not all(pace(devices[i]).known for i in split.active):
        return None
    stages, doubt_s2 = dict[int, float](), 0.0
    host = pace(Device("host", bandwidth_bytes_per_s=host_bytes_per_s))
    there, here = reads_apart(workload)
    on_host = sum(_HOST_LAYER_S + host.layer_s(shape.layer_reads[layer]) for layer in split.layer_range(HOST))
    for i in split.active:
        own, crossing = pace(devices[i]), _crossing_s(devices[i])
        stages[i] = own.hop_s + sum(own.layer_s(here[layer]) for layer in split.layer_range(i))
        apart = [there[layer] for layer in split.layer_range(i) if there[layer]]
        on_host += sum(host.layer_s(reads) for reads in apart)
        crossings_s = len(apart) * crossing
        stages[i] += crossings_s
        doubt_s2 += (_CROSSING_DOUBT * crossings_s) ** 2
    doubt_s2 += ((DOUBT_UNKNOWN if host_bytes_per_s is None else DOUBT_CPU) * on_host) ** 2
    doubt_s2 += sum((_doubt(workload, devices[i], split.layer_range(i)) * s) ** 2 for i, s in stages.items())
    stages[HOST] = on_host
    total_s = sum(stages.values())
    return Expected(total_s, sqrt(doubt_s2), stages, measured=False) if total_s else None


def _doubt(workload: Workload, device: Device, run: range) -> float:
    """The standard deviation of a device's stage as a part of it: as with all of its layers there."""
    own = pace(device)
    below = below_s(workload.shape, own)
    took = own.hop_s + below[run.stop] - below[run.start]
    return stage_doubt_s(workload.shape, device, run) / took if took else 0.0


def _crossing_s(device: Device) -> float:
    if device.via == "master":
        return CROSSING_S
    away_s = device.round_trip_s or 0.0 if device.host != LOCAL else 0.0
    return max(_WORKER_CROSSING_S, ROUND_TRIPS * away_s)
