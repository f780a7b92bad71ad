"""ggml's graph allocator, step by step as llama.cpp's own log of it goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.memory.allocator import Tensor, peak_bytes

K = 1024


def _peak(*, empty_between: bool) -> int:
    """A result that fits into either of two holes that touch, after which a larger one fits into both together.

    The sequence of jamba's third block in b11434, where `rs_s_copy`'s second view of no bytes is freed in the middle.
    """
    guard, low, wide, high = Tensor(K), Tensor(8 * K), Tensor(32 * K), Tensor(16 * K)
    top = Tensor(K)
    begin: list[Tensor] = [guard]
    if empty_between:
        begin.append(nothing := Tensor(0, empty=True))
    steps = [*begin, low, wide, high, top, Tensor(0, (low,))]
    if empty_between:
        # Within the hole that `low` and the one before it have become.
        steps += [Tensor(0, (guard,)), Tensor(0, (nothing,))]
    else:
        steps += [Tensor(0, (guard,))]
    steps += [Tensor(0, (high,)), Tensor(0, (wide,))]
    return peak_bytes([*steps, large := Tensor(57 * K), Tensor(0, (large, top))])


def test_holes_grow_together_unless_a_result_of_no_bytes_was_freed_inside_the_first() -> None:
    assert _peak(empty_between=False) == 58 * K
    # 41 KiB and 16 KiB lie side by side and stay two.
    assert _peak(empty_between=True) == 115 * K


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), min_size=1, max_size=40))
def test_without_results_of_no_bytes_all_is_free_in_the_end(sizes: list[tuple[int, int]]) -> None:
    """Then one as large as everything takes no more than everything did."""
    results = [Tensor(size * K) for size, _ in sizes]
    live: list[Tensor] = []
    steps: list[Tensor] = []
    for result, (_, dies) in zip(results, sizes, strict=True):
        steps.append(result)
        live.append(result)
        if dies < len(live):
            steps.append(Tensor(0, (live.pop(dies),)))
    steps += [Tensor(0, (one,)) for one in live]
    peak = peak_bytes(steps)
    assert max(r.size_bytes for r in results) <= peak <= sum(r.size_bytes for r in results)
    whole = Tensor(peak)
    assert peak_bytes([*steps, whole, Tensor(0, (whole,))]) == peak
