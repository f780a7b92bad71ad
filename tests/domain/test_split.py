"""Split rounding and slider rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.plan.split import HOST, Split, assign, even, proportional, set_layers


def counts(total: int, n_gpu_layers: int, weights: list[float]) -> list[int]:
    places = assign(total, n_gpu_layers, weights)
    return [places.count(i) for i in range(-1, len(weights))]


@pytest.mark.parametrize(
    ("total", "ngl", "weights", "expected"),
    [
        # What llama.cpp b10068 and b11434 really did, host first.
        (31, -1, [10, 20], [0, 11, 20]),
        (31, -1, [1, 1], [0, 16, 15]),
        (31, -1, [2, 2, 2], [0, 11, 10, 10]),
        (31, 20, [5, 15], [11, 5, 15]),
        (31, -1, [5, 0, 20, 1, 5], [0, 5, 0, 20, 1, 5]),
        (31, 999, [1, 0], [0, 31, 0]),
        (31, 0, [1, 1], [31, 0, 0]),
        (31, 1, [0, 3], [30, 0, 1]),
        (3, -1, [0.6667, 0.3333], [0, 3, 0]),
        (48, -1, [23, 24], [0, 24, 24]),
    ],
)
def test_rounding_is_llama_cpps(total: int, ngl: int, weights: list[float], expected: list[int]) -> None:
    assert counts(total, ngl, weights) == expected


layer_lists = st.lists(st.integers(0, 130), min_size=1, max_size=15).filter(any)


@given(layer_lists, st.integers(0, 40), st.integers(1, 3))
def test_integer_counts_come_out_exactly(layers: list[int], host: int, factor: int) -> None:
    total = sum(layers) + host
    assert counts(total, sum(layers), [float(n * factor) for n in layers]) == [host, *layers]


def test_weights_that_say_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="weights"):
        assign(31, -1, [0, 0])


def test_ranges_follow_the_device_order_and_the_output_counts_as_last_layer() -> None:
    split = Split((20, 0, 8), 31)
    assert split.host_layers == 3
    assert split.layer_range(HOST) == range(3)
    assert split.block_range(0) == range(3, 23)
    assert split.block_range(1) == range(23, 23)
    assert split.layer_range(2) == range(23, 31)
    assert split.block_range(2) == range(23, 30)
    assert split.output_device == 2
    assert Split((0, 0), 31).output_device == HOST


@pytest.mark.parametrize("layers", [(-1, 5), (20, 12)])
def test_a_split_that_is_none_is_refused(layers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Split(layers, 31)


@st.composite
def slider_moves(draw: st.DrawFn) -> tuple[Split, int, int, frozenset[int]]:
    layers = draw(st.lists(st.integers(0, 40), min_size=1, max_size=8))
    split = Split(tuple(layers), sum(layers) + draw(st.integers(0, 10)))
    device = draw(st.integers(HOST, len(layers) - 1))
    locked = draw(st.frozensets(st.integers(HOST, len(layers) - 1)))
    return split, device, draw(st.integers(-5, split.total_layers + 5)), locked


@given(slider_moves())
def test_a_move_keeps_the_sum_and_every_lock(move: tuple[Split, int, int, frozenset[int]]) -> None:
    split, device, wanted, locked = move
    after = set_layers(split, device, wanted, locked)
    assert after.total_layers == split.total_layers
    assert after.host_layers >= 0
    for i in locked:
        if i == HOST:
            assert after.host_layers == split.host_layers
        else:
            assert after.layers[i] == split.layers[i]


@given(slider_moves())
def test_without_locks_the_slider_goes_where_it_was_put(move: tuple[Split, int, int, frozenset[int]]) -> None:
    split, device, wanted, _ = move
    after = set_layers(split, device, wanted)
    holds = after.host_layers if device == HOST else after.layers[device]
    if device == HOST or len(split.layers) > 0:
        assert holds == max(0, min(wanted, split.total_layers))


@pytest.mark.parametrize(
    ("layers", "host", "device", "wanted", "locked", "expected"),
    [
        ((16, 10, 5), 0, 0, 17, (), (17, 9, 5)),  # the one behind gives first
        ((16, 10, 5), 0, 1, 12, (), (16, 12, 3)),
        ((16, 10, 5), 0, 2, 6, (), (16, 9, 6)),
        ((16, 10, 5), 0, 1, 8, (), (16, 8, 7)),
        ((16, 2, 13), 0, 0, 20, (), (20, 0, 11)),  # what the nearest lacks the next one gives
        ((16, 10, 5), 0, 0, 17, (1,), (17, 10, 4)),  # a lock is passed over
        ((16, 10, 5), 0, 0, 17, (0,), (16, 10, 5)),
        ((16, 10, 5), 0, 0, 20, (1, 2), (16, 10, 5)),  # nobody can give
        ((16,), 0, 0, 10, (), (10,)),  # a lone device gives to the host
        ((10, 5), 3, 0, 14, (), (14, 1)),  # a device gives before the host does
        ((10, 5), 3, HOST, 0, (), (13, 5)),
        ((10, 5), 3, HOST, 5, (), (8, 5)),
    ],
)
def test_who_gives_and_who_takes(
    layers: tuple[int, ...], host: int, device: int, wanted: int, locked: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    split = Split(layers, sum(layers) + host)
    assert set_layers(split, device, wanted, frozenset(locked)).layers == expected


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(0, 9), st.frozensets(st.integers(-1, 7)))
def test_even_shares_what_is_free(layers: list[int], host: int, locked: frozenset[int]) -> None:
    split = Split(tuple(layers), sum(layers) + host)
    after = even(split, locked)
    free = [n for i, n in enumerate(after.layers) if i not in locked]
    assert all(after.layers[i] == layers[i] for i in locked if 0 <= i < len(layers))
    if free:
        assert max(free) - min(free) <= 1
        assert after.host_layers == (host if HOST in locked else 0)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=12).filter(lambda w: sum(w) > 0.001), st.integers(0, 200))
def test_proportional_shares_sum_up_and_differ_by_less_than_one(weights: list[float], total: int) -> None:
    shares = proportional(weights, total)
    assert sum(shares) == total
    assert all(abs(n - total * w / sum(weights)) < 1.000001 for n, w in zip(shares, weights, strict=True))


def test_the_articles_split_scaled_to_a_48_block_model() -> None:
    assert proportional([18, 12, 8], 49) == (23, 16, 10)
