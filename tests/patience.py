"""How long is long enough on this machine, now. Every deadline of the tests is scaled here.

Seconds in tests are those of the quiet machine on which they were written. They end a wait for what will never come,
or say how soon something has to be; neither may depend on what else the machine has to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache

_ROUNDS = 100_000
_QUIET_S = 0.017
"""What the rounds take where the seconds were chosen."""
_LOOK_AGAIN_S = 10.0


def _rounds_s() -> float:
    begun_s, total = time.perf_counter(), 0
    for n in range(_ROUNDS):
        total += n * n % 7
    return time.perf_counter() - begun_s


@cache
def _speed() -> float:
    """How many times slower one thread is here, at its best: measured once in every process of the tests."""
    return min(_rounds_s() for _ in range(5)) / _QUIET_S


@cache
def _crowd(_period: int) -> float:
    """How many want a core, for each one: since a minute (load average) or right now (one more round of the loop)."""
    return max(os.getloadavg()[0] / (os.cpu_count() or 1), _rounds_s() / _QUIET_S / _speed())


def slowness() -> float:
    """1 on a quiet machine as fast as that of the authors, never less."""
    return max(1.0, _speed()) * max(1.0, _crowd(int(time.monotonic() / _LOOK_AGAIN_S)))


def patience(seconds: float) -> float:
    """So many seconds of the quiet machine, on this one as it is now."""
    return seconds * slowness()


def pause_s(looked_s: float, least_s: float = 0.01) -> float:
    """How long to wait before looking again, where a look took so long: looking takes a quarter of a core at most.

    Looking by a command in another namespace, or by `hettui status`, was half the work of the tests that do it.
    """
    return min(max(least_s, 3 * looked_s), 0.5)


def until(condition: Callable[[], object], seconds: float = 30.0, said: Callable[[], object] = str) -> None:
    """Waits for the condition; fails with what `said` returns when it does not come true in time."""
    begun_s = time.monotonic()
    deadline = begun_s + patience(seconds)
    while not condition():
        looked_s = time.monotonic()
        assert looked_s < deadline, said()
        time.sleep(pause_s(looked_s - begun_s))
        begun_s = time.monotonic()
