"""What is promised where the host computes a part, whether it has room for it, and what is learned of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from hettui.domain.devices.device import Device
from hettui.domain.library.fit import short_of_ram
from hettui.domain.llama.beside import changes_speed, mark, offloads_operations
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import HOST, Split
from hettui.domain.planner.learned import Learned, launch_key
from hettui.domain.planner.promise import promised
from hettui.domain.units import GIB, MIB
from tests.truth.compare import shape_of

BLOCKS = 48
CARD = Device("card", "0", backend="cuda", engine_name="CUDA0", bandwidth_bytes_per_s=500e9)
FAR = Device("far", via="worker", backend="cuda", host="box", bandwidth_bytes_per_s=500e9, round_trip_s=20e-3)


@cache
def coder() -> ModelShape:
    return shape_of("qwen3moe", BLOCKS)


def token_s(params: RuntimeParams, devices: tuple[Device, ...], layers: tuple[int, ...], ram: float = 40e9) -> float:
    found = promised(Workload(coder(), params), devices, Split(layers, coder().layers), ram)
    assert found is not None
    assert found.token_s == pytest.approx(sum(found.stages_s.values()))
    return found.token_s


def test_experts_on_the_host_are_read_from_its_memory() -> None:
    """154 tokens a second were promised once with all of them there."""
    params = RuntimeParams(n_cpu_moe=BLOCKS)
    whole, kept = token_s(RuntimeParams(), (CARD,), (49,)), token_s(params, (CARD,), (49,))
    experts_gb = sum(gb for reads in coder().layer_reads for kind, gb in reads.items() if kind.startswith("expert"))
    assert kept > whole + 0.5 * experts_gb * 1e9 / 40e9
    assert token_s(params, (CARD,), (49,), ram=80e9) < kept


@pytest.mark.parametrize("count", [0, 10, 30, 48])
def test_each_block_more_on_the_host_takes_longer(count: int) -> None:
    fewer = token_s(RuntimeParams(n_cpu_moe=count), (CARD,), (49,))
    assert count == BLOCKS or token_s(RuntimeParams(n_cpu_moe=count + 1), (CARD,), (49,)) > fewer


def test_layers_on_the_host_are_promised_too_and_doubted_more() -> None:
    found = promised(Workload(coder()), (CARD,), Split((40,), 49), 40e9)
    whole = promised(Workload(coder()), (CARD,), Split((49,), 49), 40e9)
    assert found is not None
    assert whole is not None
    assert found.stages_s[HOST] > 0
    assert HOST not in whole.stages_s
    assert found.doubt_s > whole.doubt_s
    assert not found.measured


def test_a_block_on_a_worker_whose_experts_lie_here_costs_round_trips() -> None:
    """b11434: about 2.5 of them for each."""
    params = RuntimeParams(n_cpu_moe=4)
    near, far = token_s(params, (CARD,), (49,)), token_s(params, (FAR,), (49,))
    bare = token_s(RuntimeParams(), (FAR,), (49,)) - token_s(RuntimeParams(), (CARD,), (49,))
    assert far - near - bare == pytest.approx(4 * 2.5 * 20e-3, rel=0.1)


def test_of_a_card_whose_speed_nobody_knows_nothing_is_promised() -> None:
    unknown = replace(CARD, bandwidth_bytes_per_s=None)
    assert promised(Workload(coder(), RuntimeParams(n_cpu_moe=4)), (unknown,), Split((49,), 49)) is None


def test_what_the_host_keeps_needs_room_there() -> None:
    """All experts on a host with little memory were once said to fit."""
    split, card = Split((49,), 49), replace(CARD, budget_bytes=24 * GIB)
    workload = Workload(coder(), RuntimeParams(n_cpu_moe=BLOCKS))
    outlook = forecast(workload, split, (card,))
    assert outlook.fits
    experts = sum(p.tensor.size_bytes for p in coder().placed if p.expert)
    assert outlook.host_weights_bytes == experts + coder().host_bytes
    plan = Plan((card,), split)
    assert short_of_ram(plan, outlook, 4 * GIB) > experts - 4 * GIB
    assert short_of_ram(plan, outlook, experts + 4 * GIB) == 0


def test_what_lies_between_in_the_file_is_mapped_and_not_read() -> None:
    workload = Workload(coder(), RuntimeParams(override_tensor=(r"blk\.(0|47)\.ffn_(up|down|gate)_exps=CPU",)))
    outlook = forecast(workload, Split((49,), 49), (CARD,))
    assert outlook.host_weights_bytes < outlook.host.weights_bytes // 4
    unmapped = forecast(workload.having(replace(workload.params, load_mode="none")), Split((49,), 49), (CARD,))
    assert unmapped.host.weights_bytes == pytest.approx(unmapped.host_weights_bytes, abs=MIB)


@pytest.mark.parametrize(
    ("said", "marked", "slower"),
    [
        ((), False, False),
        (("--metrics", "--timeout", "600"), False, False),
        (("-md", "draft.gguf"), True, True),
        (("--mmproj", "eyes.gguf"), True, True),
        (("--cache-ram", "2048"), True, False),
        (("--no-op-offload",), True, False),
        (("--spec-type", "draft-mtp"), True, True),
        (("--something-new", "7"), True, False),
    ],
)
def test_what_is_said_besides_is_part_of_what_was_learned(said: tuple[str, ...], marked: bool, slower: bool) -> None:
    bare, beside = Workload(coder()), Workload(coder(), extra_args=said)
    split = Split((49,), 49)
    assert (launch_key(bare, (CARD,), split) != launch_key(beside, (CARD,), split)) is marked
    assert bool(mark(said)) is marked
    assert changes_speed(said) is slower


def test_another_value_is_another_mark() -> None:
    assert mark(("-md", "a.gguf")) != mark(("-md", "b.gguf"))
    assert mark(("-md", "a.gguf")) == mark(("--metrics", "-md", "a.gguf"))
    assert "a.gguf" not in mark(("-md", "a.gguf"))


def test_without_op_offload_the_card_gets_none_of_the_hosts_weights() -> None:
    """Two real loads of b10068 with a card attached."""
    params, split = RuntimeParams(n_cpu_moe=6), Split((7,), 7)
    shape = shape_of("qwen3moe", 6)
    helped = forecast(Workload(shape, params, 10068), split, (CARD,)).devices[0].compute_bytes
    said = ("--no-op-offload",)
    alone = forecast(Workload(shape, params, 10068, said), split, (CARD,)).devices[0].compute_bytes
    assert (round(helped / MIB, 2), round(alone / MIB, 2)) == (101.51, 52.01)
    assert not offloads_operations(("--no-op-offload",))
    assert offloads_operations(("--no-op-offload", "--op-offload"))


# -- the host's pace, by answers -------------------------------------------------------------------------------------


def _answered(learned: Learned, slower: float, away: int = BLOCKS) -> bool:
    """An answer of which the host's part took so much longer than its memory alone says."""
    workload = Workload(coder(), RuntimeParams(n_cpu_moe=away))
    found = promised(workload, (CARD,), Split((49,), 49), 40e9)
    assert found is not None
    token_s = found.token_s + (slower - 1) * found.stages_s[HOST]
    return learned.add_host(workload, (CARD,), Split((49,), 49), token_s)


@pytest.mark.parametrize("slower", [0.6, 1.0, 3.0])
def test_answers_teach_how_fast_the_host_is(slower: float) -> None:
    learned = Learned(host_bytes_per_s=40e9)
    workload = Workload(coder(), RuntimeParams(n_cpu_moe=BLOCKS))
    whole = promised(workload, (CARD,), Split((49,), 49), 40e9)
    assert whole is not None
    for _ in range(12):
        assert _answered(learned, slower)
    found = promised(workload, (CARD,), Split((49,), 49), learned.host_rate_bytes_per_s)
    assert found is not None
    assert found.stages_s[HOST] == pytest.approx(slower * whole.stages_s[HOST], rel=0.1)
    assert learned.forget_speeds() == 0
    assert learned.host_rate_bytes_per_s == 40e9


def test_an_answer_of_which_the_host_did_little_teaches_nothing_of_it() -> None:
    learned = Learned(host_bytes_per_s=40e9)
    assert not _answered(learned, 2.0, away=1)
    assert not learned.add_host(Workload(coder()), (CARD,), Split((49,), 49), 1.0)
    assert learned.host_rate_bytes_per_s == 40e9


def test_one_strange_answer_does_not_decide() -> None:
    learned = Learned(host_bytes_per_s=40e9)
    for _ in range(8):
        _answered(learned, 1.0)
    _answered(learned, 500.0)
    assert learned.host_off < 2
