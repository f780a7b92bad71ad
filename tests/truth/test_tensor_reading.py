"""What a log of llama-server with `-sm tensor` says, and what its worker's allocations are."""

from __future__ import annotations

import pytest

from tests.truth.measure import MIB, Held, LoadFailed, Reading
from tests.truth.tensor import held, why

LOG = """\
0.1.2.3 I load_tensors:   CPU_Mapped model buffer size =   137.94 MiB
0.1.2.3 I load_tensors:       Meta() model buffer size =     2.00 MiB
0.1.2.3 I llama_context:  CUDA_Host  output buffer size =     0.58 MiB
0.1.2.3 I llama_kv_cache:     Meta() KV buffer size =     1.00 MiB
0.1.2.3 I llama_kv_cache:     Meta() KV buffer size =     0.50 MiB
0.1.2.3 I sched_reserve:     Meta() compute buffer size =     3.00 MiB
0.1.2.3 I sched_reserve:  CUDA_Host compute buffer size =    11.02 MiB
0.1.2.3 I sched_reserve:     Meta() compute buffer size =     4.00 MiB
"""


def made(*sizes: tuple[int, int]) -> str:
    lines = (f"[alloc_buffer] device: {d}, size: {n} -> remote_ptr: {i + 1:x}, " for i, (d, n) in enumerate(sizes))
    return "\n".join(lines)


def reading(allocations: str = "") -> Reading:
    return Reading((), Held(), False, LOG, allocations=allocations)


def test_a_cards_master_prints_the_largest_of_each_kind() -> None:
    assert held(reading(), 2) == {
        "largest": [2 * MIB, MIB + MIB // 2, 4 * MIB],
        "host": [round(137.94 * MIB), 0, round(11.02 * MIB)],
    }


def test_a_device_without_a_share_of_the_cache_asks_for_none() -> None:
    half, quarter = MIB // 2, MIB // 4
    log = made(
        (0, 2 * MIB), (1, MIB), (0, MIB), (0, half), (1, quarter), (0, 4 * MIB), (1, 4 * MIB), (0, 99), (1, 99)
    )  # fmt: skip
    found = held(reading(log), 2)
    assert found["devices"] == [[2 * MIB, MIB + half, 4 * MIB], [MIB, quarter, 4 * MIB]]
    assert found["exchange"] == [99, 99]


def test_what_does_not_add_up_is_no_row() -> None:
    with pytest.raises(LoadFailed, match="no allocations"):
        held(reading(made((0, 5 * MIB), (1, 5 * MIB))), 2)


def test_a_refusal_is_one_line() -> None:
    log = "0.1 E x: LLAMA_SPLIT_MODE_TENSOR not implemented for architecture 'mamba'\n0.2 E exiting"
    assert why(log) == "not implemented for architecture 'mamba'"
    assert why("/a/b.cpp:5: GGML_ASSERT(x) failed\n") == "GGML_ASSERT(x) failed"
    assert why("it was killed") == ""
