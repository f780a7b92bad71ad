"""Which number of threads of a CPU worker to try next: the only thing beside the split that a launch of ours decides.

A worker of ggml reads its weights faster with more threads until its memory is busy, and slower once they have to share
cores (its threads wait for each other at every step). Nothing that is known beforehand says where that is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from hettui.domain.devices.device import LOCAL, Device
from hettui.domain.records import dataclass

_WORTH = 0.10
"""Of a token's time: what a device with less takes can hardly be seen in the sum."""


@dataclass(frozen=True, slots=True)
class Cpus:
    """This machine's."""

    threads: int
    """That can run at once, of those that we may use."""
    usual: int
    """What a worker takes when nobody says a number."""

    def of(self, device: Device) -> int:
        return device.threads or self.usual


def is_ours(device: Device) -> bool:
    """A CPU worker that hettui starts here, with the threads that it is told."""
    return device.backend == "cpu" and device.via == "worker" and device.host == LOCAL and not device.missing


def other_count(
    devices: Sequence[Device], stages_s: Mapping[int, float], tried: Mapping[str, Collection[int]], cpus: Cpus
) -> tuple[Device, ...] | None:
    """The devices with another number of threads on one of them; None where none promises anything.

    `stages_s`: each device's part of a token, by its number. `tried`: by name, the counts that were launched. The
    device with the largest part comes first: up to twice its threads, then half; on from what was better.
    """
    whole_s = sum(stages_s.values())
    for i in sorted(stages_s, key=lambda i: -stages_s[i]):
        device = devices[i]
        if not is_ours(device) or stages_s[i] < _WORTH * whole_s:
            continue
        now, known = cpus.of(device), tried.get(device.name, ())
        more, less = min(2 * now, cpus.threads), now // 2
        for count, is_new in ((more, not any(n > now for n in known)), (less, not any(n < now for n in known))):
            if is_new and count >= 1 and count != now:
                return (*devices[:i], replace(device, threads=count), *devices[i + 1 :])
    return None
