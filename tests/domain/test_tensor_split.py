"""Shares of tensors as llama.cpp cuts them, by hand; real loads are in tests/truth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.tensor_shares import exchange_bytes
from hettui.domain.memory.tensor_split import counts
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import Split
from hettui.domain.units import MIB
from tests.truth.compare import shape_of

SHARED = RuntimeParams(split_mode="tensor")


@pytest.mark.parametrize(
    ("elements", "step", "proportions", "turn", "found"),
    [
        (1024, 128, (1, 1), 0, (512, 512)),
        # Three heads for two devices: the last one gets what is left over, and with every block it is another one.
        (192, 64, (1, 1), 0, (64, 128)),
        (192, 64, (1, 1), 1, (128, 64)),
        (1024, 128, (3, 1), 0, (768, 256)),
        # Of 8 heads 2.67 each, in whole heads.
        (1024, 128, (1, 1, 1), 0, (256, 384, 384)),
        (1024, 128, (1, 1, 1), 2, (384, 384, 256)),
        # One head cannot be shared.
        (256, 256, (5, 1), 0, (0, 256)),
        (256, 256, (5, 1), 1, (256, 0)),
    ],
)
def test_a_tensor_is_cut_in_whole_steps(
    elements: int, step: int, proportions: tuple[int, ...], turn: int, found: tuple[int, ...]
) -> None:
    assert counts([(elements, 1, step)], proportions, turn) == found


def test_matrices_that_were_made_one_are_cut_each_by_itself() -> None:
    # Q of 8 heads, K and V of 2: one device gets 6 + 1 + 1 heads, the other 2 + 1 + 1.
    assert counts([(8 * 64, 1, 64), (2 * 64, 2, 64)], (3, 1), 0) == (6 * 64 + 2 * 64, 2 * 64 + 2 * 64)


@given(
    st.integers(1, 1 << 20),
    st.integers(1, 512),
    st.lists(st.integers(1, 128), min_size=1, max_size=15),
    st.integers(0, 40),
)
def test_nothing_is_lost(blocks: int, step: int, proportions: list[int], turn: int) -> None:
    found = counts([(blocks * step, 2, step)], proportions, turn)
    assert sum(found) == 2 * blocks * step
    assert min(found) >= 0


def test_a_plan_counts_every_device_s_share_and_what_is_on_all_of_them() -> None:
    shape = shape_of("llama-8b", 3)
    cards = [Device(name, via="master", backend="cuda", measured_overhead_bytes=0) for name in ("a", "b")]
    layered = forecast(Workload(shape), Split((3, 1), 4), cards)
    shared = forecast(Workload(shape, SHARED), Split((3, 1), 4), cards)
    a, b = shared.devices
    whole = sum(m.weights_bytes for m in layered.devices)
    # Norms and RoPE tables lie on both.
    assert 0 < a.weights_bytes + b.weights_bytes - whole < MIB
    assert a.weights_bytes > 2.5 * b.weights_bytes
    assert a.context_bytes == 3 * b.context_bytes
    assert a.compute_bytes == b.compute_bytes == 125_843_584
    # Results of 4096 values for 512 tokens, once for two devices.
    # And what CUDA takes for two of them.
    assert a.overhead_bytes == b.overhead_bytes == 4096 * 512 * 4 + 816 * MIB
    # The output layer's number is a proportion like any other.
    assert forecast(Workload(shape, SHARED), Split((2, 2), 4), cards).devices[1].weights_bytes > b.weights_bytes


def test_a_device_without_layers_gets_nothing() -> None:
    workload = Workload(shape_of("llama-8b", 3), SHARED)
    first, idle, last = forecast(workload, Split((2, 0, 2), 4)).devices
    assert idle.total_bytes == 0
    assert first.context_bytes == last.context_bytes > 0


def test_experts_make_results_larger() -> None:
    usual, mixed = Workload(shape_of("llama-8b", 3)), Workload(shape_of("qwen3moe", 3))
    assert exchange_bytes(usual, 1) == 0
    assert exchange_bytes(usual, 3) == 2 * exchange_bytes(usual, 2)
    assert exchange_bytes(mixed, 2) == 2048 * 512 * 4 * 8
    assert exchange_bytes(mixed.having(RuntimeParams(ubatch_size=64)), 2) == 2048 * 64 * 4 * 8
