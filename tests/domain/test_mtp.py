"""A model's own MTP block as its draft: what real loads of a small qwen35 with one (8 + 1 blocks) reserved.

Two CPU workers of b10068 each; the same numbers came from b10434. Made with `-c 2048 -ub 256`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hettui.adapters.llama.gguf import read_model
from hettui.domain.devices.device import Device
from hettui.domain.llama.params import Drafting, RuntimeParams
from hettui.domain.memory.costs import LayerCosts
from hettui.domain.memory.forecast import Memory, forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.session.doubts import untested, warnings
from hettui.domain.units import MIB
from tests.gguf_files import write_gguf
from tests.truth.compare import shape_of
from tests.truth.models import qwen35_with_mtp

BLOCKS = 8
WORKERS = [Device(name, via="worker", measured_overhead_bytes=0) for name in "ab"]
_PRINTED = 0.011


@cache
def shape() -> ModelShape:
    with TemporaryDirectory() as folder:
        path = write_gguf(Path(folder) / "m.gguf", *qwen35_with_mtp(BLOCKS))
        return ModelShape.of(read_model(str(path)))


def workload(draft: Drafting | None, build: int = 10068, slots: int = 1) -> Workload:
    params = RuntimeParams(ctx_size=2048, ubatch_size=256, parallel=slots, draft=draft)
    return Workload(shape(), params, build)


def mib(memory: Memory) -> tuple[float, float]:
    return memory.weights_bytes / MIB, memory.context_bytes / MIB


@pytest.mark.parametrize(
    ("split", "draft", "slots", "devices", "place", "kept", "computes", "host"),
    [
        # Weights, KV and states of each device; the second context's KV and compute buffer, and the host's.
        ((5, 5), Drafting("draft-mtp", n_max=2), 1, [(73.74, 33.12), (85.23, 20.56)], 1, 8.00, 19.01, 3.01),
        ((9, 1), Drafting("draft-mtp", n_max=3), 1, [(133.33, 66.25), (25.64, 0.0)], 0, 8.00, 19.01, 3.01),
        (
            (3, 7), Drafting("draft-mtp", cache_type_k="q8_0", cache_type_v="q8_0", n_max=1), 2,
            [(45.01, 25.12), (113.95, 41.12)], 1, 4.25, 18.77, 2.77,
        ),
    ],
)  # fmt: skip
def test_what_was_reserved_is_what_is_forecast(
    split: tuple[int, ...], draft: Drafting, slots: int, devices: list[tuple[float, float]], place: int, kept: float,
    computes: float, host: float,
) -> None:  # fmt: skip
    for build in (10068, 11434):
        outlook = forecast(workload(draft, build, slots), Split(split, BLOCKS + 2), WORKERS)
        for memory, (weights, context) in zip(outlook.devices, devices, strict=True):
            assert mib(memory) == pytest.approx((weights, context), abs=_PRINTED)
        assert outlook.draft is not None
        assert outlook.draft.device == place
        assert mib(outlook.draft.there) == pytest.approx((0, kept), abs=_PRINTED)
        if build == 10068:
            # The output's device computes the logits there; that is a part of this number where it is another one.
            assert outlook.draft.there.compute_bytes / MIB == pytest.approx(computes, rel=0.05)
            assert outlook.draft.host.compute_bytes / MIB == pytest.approx(host, abs=0.3)


def test_without_being_asked_older_builds_load_its_weights_and_newer_ones_do_not() -> None:
    split = Split((5, 5), BLOCKS + 2)
    older, newer = (forecast(workload(None, build), split, WORKERS).devices[1] for build in (10068, 11434))
    assert mib(older) == pytest.approx((85.23, 12.19), abs=_PRINTED)
    assert mib(newer) == pytest.approx((69.37, 12.19), abs=_PRINTED)


def test_searches_count_it_where_its_block_lies() -> None:
    asked = workload(Drafting("draft-mtp", n_max=2))
    costs = LayerCosts(asked, WORKERS, several=True)
    outlook = forecast(asked, Split((5, 5), BLOCKS + 2), WORKERS)
    assert [costs.held_bytes(0, 0, 4), costs.held_bytes(1, 5, 9)] == [m.total_bytes for m in outlook.devices]


def test_its_compute_buffers_are_said_to_be_estimates() -> None:
    plan = Plan(tuple(WORKERS), Split((5, 5), BLOCKS + 2))
    assert "MTP" in (untested(workload(Drafting("draft-mtp")), plan) or "")
    assert untested(workload(None), plan) is None


def test_a_model_without_such_a_block_is_warned_of() -> None:
    plan = Plan(tuple(WORKERS), Split((2, 2), 4))
    asked = Workload(shape_of("qwen3-0.6b", 3), RuntimeParams(draft=Drafting("draft-mtp")))
    assert "no MTP block" in warnings(asked, plan)[0]
    assert warnings(workload(Drafting("draft-mtp")), Plan(tuple(WORKERS), Split((5, 5), BLOCKS + 2))) == []


@pytest.mark.parametrize("kind", ["ngram-mod", "ngram-simple"])
def test_texts_of_before_take_nothing_on_devices_but_rows_to_check(kind: str) -> None:
    split = Split((5, 5), BLOCKS + 2)
    plain, drafted = (forecast(workload(draft), split, WORKERS) for draft in (None, Drafting(kind)))
    assert drafted.draft is None
    assert [mib(m) for m in drafted.devices] == [mib(m) for m in plain.devices]
    assert drafted.devices[1].compute_bytes >= plain.devices[1].compute_bytes
