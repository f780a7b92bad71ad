"""`python -m tests.hosts.wire PID_A NAME_A PID_B NAME_B DELAY_MS RATE_MBIT`: a long or thin cable between two machines.

For kernels without netem. Two TAP interfaces, one in the network of each process; every frame goes to the other end
after DELAY_MS (one way: the round trip is twice that), at no more than RATE_MBIT (0: as fast as this is). A router's
buffer of a tenth of a second stands before the bottleneck; what does not fit is dropped. Needs root and /dev/net/tun.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque

_TUNSETIFF, _TAP, _NO_PI = 0x400454CA, 0x0002, 0x1000
_BUFFER_S, _BUFFER_BYTES = 0.1, 256 * 1024
_FRAMES = 64


def _tap(name: str, pid: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP | _NO_PI))
    subprocess.run(["ip", "link", "set", name, "netns", pid], check=True)
    return end


class _Way:
    """Frames from one end that have not arrived at the other."""

    def __init__(self, to: int, delay_s: float, byte_s: float) -> None:
        self._to, self._delay_s, self._byte_s = to, delay_s, byte_s
        self.under_way: deque[tuple[float, bytes]] = deque()
        self._free_s = 0.0
        """When the bottleneck has sent what it took."""

    def take(self, frame: bytes, now_s: float) -> None:
        waits_s = self._free_s - now_s
        if waits_s > max(_BUFFER_S, _BUFFER_BYTES * self._byte_s):
            return
        self._free_s = max(self._free_s, now_s) + len(frame) * self._byte_s
        self.under_way.append((self._free_s + self._delay_s, frame))

    def deliver(self, now_s: float) -> None:
        while self.under_way and self.under_way[0][0] <= now_s:
            with contextlib.suppress(OSError):
                os.write(self._to, self.under_way.popleft()[1])


def main(words: list[str]) -> None:
    pid_a, name_a, pid_b, name_b, delay_ms, rate_mbit = words
    a, b = _tap(name_a, pid_a), _tap(name_b, pid_b)
    byte_s = 8e-6 / float(rate_mbit) if float(rate_mbit) else 0.0
    ways = {a: _Way(b, float(delay_ms) / 1000, byte_s), b: _Way(a, float(delay_ms) / 1000, byte_s)}
    print("ready", flush=True)
    while True:
        due = [way.under_way[0][0] for way in ways.values() if way.under_way]
        wait_s = max(0.0, min(due) - time.monotonic()) if due else None
        for end in select.select([a, b], [], [], wait_s)[0]:
            for _ in range(_FRAMES):
                try:
                    frame = os.read(end, 65600)
                except OSError:
                    break
                ways[end].take(frame, time.monotonic())
        for way in ways.values():
            way.deliver(time.monotonic())


if __name__ == "__main__":
    main(sys.argv[1:])
