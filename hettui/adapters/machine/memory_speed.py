"""How fast this machine's CPUs read from memory: what holds them up when they decode."""

from __future__ import annotations

import ctypes
import os
import time
from concurrent.futures import ThreadPoolExecutor

_CHUNK_BYTES = 32 << 20
"""Per thread: more than its share of any cache."""
_MOST_THREADS = 16
_ROUNDS = 4


def read_speed() -> float | None:
    """Bytes a second of all threads together, the best of a few rounds; None where it cannot be measured.

    memchr is the fastest reader at hand, and ctypes lets threads run it side by side.
    """
    try:
        memchr = ctypes.CDLL(None).memchr
        threads = min(len(os.sched_getaffinity(0)), _MOST_THREADS)
        # Written to, so that every page is a real one.
        chunks = [ctypes.create_string_buffer(b"\x01" * _CHUNK_BYTES, _CHUNK_BYTES) for _ in range(threads)]
    except (OSError, AttributeError, MemoryError):
        return None
    memchr.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(_ROUNDS):
            begun = time.perf_counter()
            list(pool.map(lambda chunk: memchr(chunk, 2, _CHUNK_BYTES), chunks))
            best = min(best, time.perf_counter() - begun)
    return threads * _CHUNK_BYTES / best
