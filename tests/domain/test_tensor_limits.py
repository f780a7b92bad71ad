"""What does not go together with split-mode tensor is known before anything is started; all refusals of real loads
among it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import Drafting, RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.tensor_limits import possible, why_not
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.objectives import best_plan
from hettui.domain.planner.promise import promised
from hettui.domain.planner.shared_pace import EXCHANGE_S
from hettui.domain.planner.sharing import share_out
from hettui.domain.session.doubts import warnings
from hettui.domain.units import MIB
from tests.truth.compare import TENSOR, cases, shape_of

GB = 10**9
ALL = frozenset({"none", "layer", "row", "tensor"})


def card(name: str, budget_mib: int | None = None, **more: Any) -> Device:
    budget = None if budget_mib is None else budget_mib * MIB
    known: dict[str, Any] = {"backend": "cuda", "measured_overhead_bytes": 0, "bandwidth_bytes_per_s": 400 * GB}
    return Device(name, f"uuid:{name}", budget_bytes=budget, **known | more)


CARDS = card("a"), card("b")
FAR = replace(card("far"), via="worker")


def reason(
    model: str = "llama-8b", devices: tuple[Device, ...] = CARDS, layers: tuple[int, ...] = (2, 2),
    build: int = 11434, modes: frozenset[str] = ALL, blocks: int = 3, **settings: Any,
) -> str | None:  # fmt: skip
    workload = Workload(shape_of(model, blocks), RuntimeParams(split_mode="tensor", **settings), build)
    return why_not(workload, devices, Split(layers, workload.shape.layers), modes)


def test_nothing_speaks_against_cards_of_ones_own() -> None:
    assert reason() is None
    assert reason(modes=frozenset()) is None
    assert reason(flash_attn="on", cache_type_k="q8_0", cache_type_v="q8_0", n_cpu_moe=2, layers=(1, 2)) is None
    assert reason(draft=Drafting("ngram-mod")) is None
    # A worker that holds nothing is not asked.
    assert reason(devices=(*CARDS, FAR), layers=(2, 2, 0)) is None


@pytest.mark.parametrize(
    ("settings", "says", "do"),
    [
        ({"devices": (CARDS[0], FAR)}, "far is a worker", "give far no layers"),
        ({"modes": frozenset({"none", "layer", "row"})}, "takes layer, none, row", "a newer build"),
        ({"model": "olmo2"}, "the tensors of olmo2 models", 'split-mode = "layer"'),
        ({"model": "lfm2", "blocks": 4, "layers": (3, 2), "build": 10068}, "lfm2 models", "a newer build"),
        ({"flash_attn": "off"}, "needs flash attention", 'flash-attn = "auto"'),
        ({"lora": ("a.gguf",)}, "a LoRA adapter", "remove [serving] lora"),
        ({"draft": Drafting(model="d.gguf")}, "draft-simple", "remove [draft]"),
        ({"draft": Drafting("draft-mtp")}, "draft-mtp", "remove [draft]"),
        ({"model": "gemma3-1b", "cache_type_k": "q8_0"}, "a KV cache of q8_0", 'cache-type-v = "f16"'),
        ({"model": "glm4moe", "build": 10068}, "has an MTP block", "b11434 or newer"),
        ({"model": "gemma3-1b", "build": 10068}, "one head of K and V", "b11434 or newer"),
    ],
)
def test_each_limit_says_what_to_do(settings: dict[str, Any], says: str, do: str) -> None:
    said = reason(**settings)
    assert said is not None
    assert said.startswith("split-mode tensor: ")
    assert says in said
    assert do in said


def test_protocol_8_is_one_reason_why_not_across_workers() -> None:
    assert "open a port on all networks" in str(reason(devices=(CARDS[0], FAR)))


def test_whole_layers_know_no_such_limit() -> None:
    workload = Workload(shape_of("olmo2", 4), RuntimeParams(flash_attn="off"))
    assert why_not(workload, (FAR,), Split((5,), 5), frozenset({"layer"})) is None


def test_every_refusal_of_a_real_load_is_foreseen_and_nothing_else() -> None:
    rows = cases(TENSOR)
    assert len([row for row in rows if "refused" in row]) >= 24
    for row in rows:
        said = {k: v for k, v in row["params"].items() if k != "prompt"}
        params = RuntimeParams(split_mode="tensor", **said)
        workload = Workload(shape_of(row["model"], row["blocks"]), params, int(row["build"][1:]))
        if "refused" in row:
            assert not possible(workload), row
        elif "prompt" in row["params"]:
            assert possible(workload), row


def test_a_plan_warns_of_it() -> None:
    workload = Workload(shape_of("olmo2", 4), RuntimeParams(split_mode="tensor"))
    told = warnings(workload, Plan(CARDS, Split((3, 2), 5)))
    assert [line for line in told if line.startswith("split-mode tensor") and line.endswith(".")] == told


# -- proportions ----------------------------------------------------------------------------------------------------


def shared(model: str = "llama-8b", blocks: int = 32, **settings: Any) -> Workload:
    return Workload(shape_of(model, blocks), RuntimeParams(split_mode="tensor", **settings))


def test_faster_cards_get_more() -> None:
    assert share_out(shared(), CARDS).layers == (17, 16)
    quick = card("quick", bandwidth_bytes_per_s=800 * GB)
    assert share_out(shared(), (quick, CARDS[1])).layers == (22, 11)


def test_workers_get_nothing() -> None:
    assert share_out(shared(), (CARDS[0], FAR, CARDS[1])).layers == (17, 0, 16)
    assert reason(devices=(FAR,), layers=share_out(shared(blocks=3), (FAR,)).layers) is not None


def test_what_is_too_much_for_one_goes_to_the_other() -> None:
    small = card("small", 2000)
    split = share_out(shared(), (CARDS[0], small))
    assert split.host_layers == 0
    assert 0 < split.layers[1] < 16
    outlook = forecast(shared(), split, (CARDS[0], small))
    assert outlook.fits
    # Not much less than what it could take.
    assert outlook.devices[1].total_bytes > 1400 * MIB


def test_what_fits_no_way_stays_on_the_host() -> None:
    two = card("a", 2000), card("b", 2000)
    split = share_out(shared(), two)
    assert split.host_layers > 0
    assert forecast(shared(), split, two).fits
    assert not forecast(shared(), Split((17, 16), 33), two).fits


def test_locked_cards_keep_their_proportion() -> None:
    kept = replace(CARDS[0], locked=True, layers=5)
    assert share_out(shared(), (kept, CARDS[1])).layers == (5, 28)
    assert share_out(shared(), (replace(kept, layers=0), CARDS[1])).layers == (0, 33)


def test_the_planner_shares_out_whatever_the_aim_is() -> None:
    two = card("a", 5000), card("b", 5000)
    for aim in ("latency", "throughput", "balanced"):
        assert best_plan(shared(), two, aim).plan.split.layers == (17, 16)
    roomy = best_plan(shared(), two, "fit").plan
    assert roomy.ctx_size is not None
    larger = shared(ctx_size=roomy.ctx_size)
    assert forecast(larger, roomy.split, two).fits
    assert not forecast(shared(ctx_size=roomy.ctx_size + 4096), roomy.split, two).fits


# -- how fast -------------------------------------------------------------------------------------------------------


def test_cards_read_at_once_and_wait_for_each_other() -> None:
    workload = shared()
    split = Split((17, 16), 33)
    layered, together = (promised(w, CARDS, split) for w in (Workload(workload.shape, RuntimeParams()), workload))
    assert layered is not None
    assert together is not None
    exchange_s = 2 * 32 * EXCHANGE_S
    assert together.token_s == pytest.approx(max(together.stages_s.values()) + exchange_s)
    assert 0.5 * layered.token_s < together.token_s - exchange_s < 0.6 * layered.token_s
    # What is assumed is doubted as a whole.
    assert together.doubt_s > exchange_s
    assert not together.measured


def test_one_card_exchanges_nothing() -> None:
    alone = promised(shared(), CARDS[:1], Split((33,), 33))
    layered = promised(Workload(shared().shape), CARDS[:1], Split((33,), 33))
    assert alone is not None
    assert layered is not None
    assert alone.token_s == pytest.approx(layered.token_s)


def test_what_is_not_known_is_not_promised() -> None:
    unknown = replace(CARDS[0], bandwidth_bytes_per_s=None)
    assert promised(shared(), (unknown, CARDS[1]), Split((17, 16), 33)) is None
    assert promised(shared(), CARDS, Split((16, 16), 33)) is None
