"""The forecast against what real loads of two llama.cpp builds reserved."""

from __future__ import annotations

from typing import Any

import pytest

from hettui.domain.devices.device import Device
from hettui.domain.memory.graph import Shapes
from hettui.domain.memory.layout import compute_error_bytes
from hettui.domain.memory.tensor_forecast import held_as_one
from hettui.domain.memory.workload import Workload
from hettui.domain.model.architecture import architecture
from hettui.domain.units import MIB
from tests.truth.compare import (
    ATTACHED,
    BESIDE,
    BUILDS,
    DENSE,
    DENSE_ADAPTED,
    DRAFTS,
    EXPERTS,
    MORE_ATTACHED,
    N_CPU_FFN,
    PRINTED_BYTES,
    RANDOM,
    TENSOR,
    Compared,
    cases,
    compare,
    compare_beside,
    compare_tensor,
    exchange_error,
    shape_of,
)
from tests.truth.projectors import PROJECTORS

# Compared once for all of them.
pytestmark = pytest.mark.xdist_group("truth")


@pytest.fixture(scope="module")
def compared() -> list[Compared]:
    return [c for case in cases() for c in compare(case)]


def test_the_table_is_large_enough_to_mean_something(compared: list[Compared]) -> None:
    assert len(cases()) >= 1000
    for build in BUILDS:
        assert len({c.architecture for c in compared if c.build == build}) >= 30


@pytest.mark.parametrize("build", BUILDS)
def test_weights_and_context_are_exact_everywhere(compared: list[Compared], build: str) -> None:
    off = [
        (c.case, c.place, c.weights_error, c.context_error)
        for c in compared
        if c.build == build and (abs(c.weights_error) > c.exact or abs(c.context_error) > c.exact)
    ]
    assert off == []


@pytest.mark.parametrize("build", BUILDS)
def test_compute_buffers_are_within_five_percent_or_eight_mib(compared: list[Compared], build: str) -> None:
    within = [c.compute_within for c in compared if c.build == build]
    assert sum(within) / len(within) >= 0.999


def test_the_stated_uncertainty_holds(compared: list[Compared]) -> None:
    held = []
    for c in compared:
        shape = shape_of(c.case["model"], c.case["blocks"])
        held.append(abs(c.compute_error) <= compute_error_bytes(shape, c.compute_bytes + c.compute_error))
    assert sum(held) / len(held) >= 0.998


def test_every_measured_architecture_is_a_known_one(compared: list[Compared]) -> None:
    assert all(architecture(c.architecture).known for c in compared)


# -- cards of the master's own, with something on the host ----------------------------------------------------------


@pytest.fixture(scope="module")
def attached() -> list[Compared]:
    return [c for case in cases(ATTACHED) for c in compare(case)]


def test_beside_a_card_of_the_masters_own_weights_and_context_are_exact(attached: list[Compared]) -> None:
    """An H200 with b11434 and CUDA. The host leaves its weights in the order of the file then."""
    assert len({c.case["model"] for c in attached}) >= 40
    assert [c for c in attached if abs(c.weights_error) > c.exact or abs(c.context_error) > c.exact] == []


def test_what_a_card_computes_for_the_host_is_in_its_buffer(attached: list[Compared]) -> None:
    """Weights are copied to it: without that 143 of the 183 cards were out of bounds, the worst by 792 MiB."""
    cards = [c for c in attached if c.place == "0"]
    assert len(cards) >= 300
    assert sum(c.compute_within for c in cards) / len(cards) >= 0.995
    # A result of no bytes in the midst of a hole decided 33 MiB of one of them.
    assert min(c.compute_error for c in cards) > -8 * MIB
    hosts = [c for c in attached if c.place == "host"]
    assert sum(c.compute_within for c in hosts) / len(hosts) >= 0.99


def test_what_lies_beside_a_model_is_exact_on_a_card_too() -> None:
    """The same H200: projectors and adapters, draft models, the model's own MTP block, on the card and beside it. Of
    what the master drives itself it prints some lines only."""
    rows = cases(MORE_ATTACHED)
    assert len(rows) >= 130
    kinds = [_kind(row) for row in rows]
    assert {kind: kinds.count(kind) >= 30 for kind in set(kinds)} == dict.fromkeys(("beside", "draft", "mtp"), True)
    beside = [row for row in rows if "beside" in row]
    assert [f for row in beside for f in compare_beside(row) if abs(f[1]) > _said_to(row, f[0])] == []
    found = [c for row in rows for c in compare(row)]
    assert [c for c in found if abs(c.weights_error) > c.exact or abs(c.context_error) > c.exact] == []
    assert sum(c.compute_within for c in found) / len(found) >= 0.95
    # What is wrong is said too high: none is short by more than a few MiB.
    assert min(c.compute_error for c in found) > -8 * MIB


def _kind(row: dict[str, Any]) -> str:
    return "beside" if "beside" in row else "draft" if row["draft"] else "mtp"


def test_experts_in_ram_block_by_block_are_exact() -> None:
    """As plans say them: any blocks of any device, b10068 with CPU workers."""
    found = [c for case in cases(EXPERTS) for c in compare(case)]
    assert len(cases(EXPERTS)) >= 80
    assert [c for c in found if abs(c.weights_error) > c.exact or abs(c.context_error) > c.exact] == []
    assert sum(c.compute_within for c in found) / len(found) >= 0.98


def test_the_ffn_of_dense_models_in_ram_is_exact() -> None:
    """As plans say it, of 25 models in b10068 and b11434 with CPU workers: phi3 has one matrix of double width instead
    of two, starcoder2 has biases, falcon-h1 and nemotron_h a state beside or instead of attention. Without flash
    attention the host's compute buffer may be a hole of some MiB larger."""
    rows = cases(DENSE)
    found = [c for row in rows for c in compare(row)]
    apart = [row for row in rows if "override_tensor" in row["params"]]
    assert {b for b in BUILDS if len([row for row in apart if row["build"] == b]) >= 40} == set(BUILDS)
    assert len({c.architecture for c in found}) >= 16
    assert [c for c in found if abs(c.weights_error) > c.exact or abs(c.context_error) > c.exact] == []
    assert all(c.compute_within for c in found if c.place != "host")
    assert sum(c.compute_within for c in found) / len(found) >= 0.98
    assert min(c.compute_error for c in found) > -12 * MIB


def test_the_dense_feed_forward_of_the_first_blocks_is_exact_too() -> None:
    """As `--n-cpu-ffn` means it in b11434: of mixtures their leading dense blocks only."""
    rows = cases(N_CPU_FFN)
    found = [c for row in rows for c in compare(row)]
    assert {row["build"] for row in rows} == {"b11434"}
    assert len({row["model"] for row in rows}) >= 25
    assert [c for c in found if abs(c.weights_error) > c.exact or abs(c.context_error) > c.exact] == []
    assert all(c.compute_within for c in found)


def test_an_adapter_of_an_ffn_in_ram_lies_there_too() -> None:
    """What comes after the FFN computes its last step, and gets the adapter's matrices and the wide result for that:
    20 to 33 MiB that lay on the host before. Without flash attention the host's own buffer is short as without one."""
    rows = cases(DENSE_ADAPTED)
    found = [c for row in rows for c in compare(row)]
    assert {row["build"] for row in rows} == set(BUILDS)
    assert len({row["model"] for row in rows}) >= 9
    assert [(f, row) for row in rows for f in compare_beside(row) if abs(f[1]) > _said_to(row, f[0])] == []
    assert [c for c in found if abs(c.weights_error) > c.exact or abs(c.context_error) > c.exact] == []
    assert max(abs(c.compute_error) for c in found if c.place != "host") < 2.5 * MIB
    assert all(c.compute_within for c in found if c.case["params"].get("flash_attn") != "off")


def test_a_draft_model_is_exact_wherever_it_lies() -> None:
    """One model before another, on the host or on any CPU worker: b10068, and b10434 but for the host, whose CPU keeps
    another order of the weights there (AMX)."""
    found = [c for case in cases(DRAFTS) for c in compare(case)]
    found = [c for c in found if c.build == "b10068" or not c.place.endswith("host")]
    drafts = [c for c in found if c.place.startswith("draft")]
    assert len(cases(DRAFTS)) >= 70
    assert len(drafts) >= 90
    assert [c for c in found if abs(c.weights_error) > c.exact or abs(c.context_error) > c.exact] == []
    assert all(c.compute_within for c in found)


def test_what_lies_beside_a_model_is_exact_wherever_it_lies() -> None:
    """Projectors, LoRA adapters and control vectors in b10068 and b11434: to the byte on every worker, but for what
    small inputs are rounded up to; of the host as its master prints it. The model's own numbers stay what they are."""
    rows = cases(BESIDE)
    assert len(rows) >= 80
    assert {row["build"] for row in rows} == set(BUILDS)
    assert {row["beside"].get("mmproj") for row in rows} == {None, *PROJECTORS}
    off = [(row, place, by) for row in rows for place, by in compare_beside(row) if abs(by) > _said_to(row, place)]
    assert off == []
    found = [c for row in rows for c in compare(row)]
    assert [c for c in found if abs(c.weights_error) > c.exact or abs(c.context_error) > c.exact] == []
    assert sum(c.compute_within for c in found) / len(found) >= 0.98


def _said_to(row: dict[str, Any], place: str) -> int:
    """Small inputs of a projector's graph are rounded up to 128 bytes here, and to 32 by a CPU; MiB are printed with
    two decimals, for each adapter."""
    return 256 if place.isdigit() else PRINTED_BYTES * (1 + 2 * len(row["beside"].get("lora", ())))


def test_settings_thrown_by_dice_are_exact_too() -> None:
    """Small models under random settings, b10068 and b11434: a cache of f32 was found by them. Where layers lie on the
    host the newer build's weights there are left out: that machine's CPU kept an order of its own (AMX)."""
    rows = cases(RANDOM)
    assert len(rows) >= 400
    found = [c for row in rows for c in compare(row)]
    found = [c for c in found if c.build == "b10068" or c.place != "host" or not _on_host(c)]
    assert [c for c in found if abs(c.weights_error) > c.exact or abs(c.context_error) > c.exact] == []
    assert sum(c.compute_within for c in found) / len(found) >= 0.998
    assert min(c.compute_error for c in found) > -12 * MIB


def test_a_share_of_every_tensor_is_exact_on_every_device() -> None:
    """`-sm tensor` in b10068 and b11434, two and three CPU workers as the cards, in any proportions."""
    rows = [row for row in cases(TENSOR) if "refused" not in row]
    found = [c for row in rows for c in compare_tensor(row)]
    assert len(rows) >= 190
    assert {row["build"] for row in rows} == set(BUILDS)
    assert len({c.architecture for c in found}) >= 25
    assert {len(row["split"]) for row in rows} == {2, 3}
    assert [c for c in found if abs(c.weights_error) > c.exact or abs(c.context_error) > c.exact] == []
    assert [c for c in found if not c.compute_within] == []


def test_what_two_cards_take_beside_their_shares_is_planned() -> None:
    """As the driver of two H200 said it: never too little, nor much too much."""
    rows = [row for row in cases(TENSOR) if "used_mib" in row]
    assert len(rows) >= 34
    cards = [Device(name, via="master", backend="cuda") for name in ("one", "other")]
    for row in rows:
        workload = Workload(shape_of(row["model"], row["blocks"]), build=11434)
        held = held_as_one(workload, row["split"], 0, cards).devices
        off = max(m.total_bytes for m in held) / MIB - max(row["used_mib"])
        assert 0 <= off <= 192, (row["model"], off)


def test_what_adds_up_results_is_exact() -> None:
    """What devices take for each other's results, once a prompt was read."""
    rows = [row for row in cases(TENSOR) if "exchange" in row]
    assert len(rows) >= 100
    assert {exchange_error(row) for row in rows} == {0}


def _on_host(c: Compared) -> bool:
    return bool(sum(c.case["split"]) <= c.case["blocks"])


def test_the_sketch_asks_for_no_matrix_that_its_files_call_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a block lacks has no width and vanishes: gemma3n's `inp_gate` and `proj` did, under names of no file."""
    asked: set[tuple[str, str]] = set()

    def missing(_: Shapes, name: str) -> tuple[int, ...]:
        asked.add((case["model"], name))
        return (0, 0, 0, 0)

    monkeypatch.setattr(Shapes, "__missing__", missing)
    models = {case["model"]: case for case in cases()}
    assert len(models) >= 40
    for case in models.values():
        compare(case)
    assert asked == set()
