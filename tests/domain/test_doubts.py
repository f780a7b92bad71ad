"""What a plan cannot promise is said before the start: what is not counted, not measured, or known to fail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from hettui.domain.library.found import ModelFacts
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.workload import Workload
from hettui.domain.model.header import TensorInfo
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.session.doubts import known_faults, refusal, warnings
from hettui.domain.session.plan_report import PlanReport
from hettui.domain.units import MIB
from tests.fakes import shape, workers
from tests.truth.compare import shape_of


def report(
    *,
    extra_args: tuple[str, ...] = (),
    file_bytes: Mapping[str, int] | None = None,
    layers: tuple[int, ...] = (16, 10, 5),
    backend: str = "",
    **settings: Any,
) -> PlanReport:
    devices = workers(400, 400, 400)
    if backend:
        devices = (replace(devices[0], via="master", backend=backend), *devices[1:])
    workload = Workload(shape(), RuntimeParams(**settings))
    return PlanReport(
        workload, Plan(devices, Split(layers, 31)), None, extra_args=extra_args, file_bytes=file_bytes or {}
    )


def test_a_usual_plan_is_exact_and_says_so() -> None:
    found = report()
    document = json.loads(json.dumps(found.as_json()))
    assert (document["exact"], document["not_counted"], document["warnings"]) == (True, [], [])
    assert document["devices"][0]["compute_error_bytes"] >= 0
    assert "It fits." in found.as_text()
    assert "Weights and KV are exact" in found.as_text()


@pytest.mark.parametrize(
    ("extra_args", "file_bytes", "says", "least"),
    [
        (("-md", "d.gguf"), {"d.gguf": 90 * MIB}, "-md: a second model", 90 * MIB),
        (("-md", "gone.gguf"), {}, "-md: a second model", None),
        (("--spec-type", "draft-mtp"), {}, "--spec-type: speculation", None),
        (("--mmproj=p.gguf", "--lora", "a.gguf"), {"p.gguf": MIB, "a.gguf": 3 * MIB}, "--lora: an adapter", MIB),
        (("--moe-cache-mib", "700"), {}, "--moe-cache-mib: experts", 700 * MIB),
        (("-ctxcp", "64"), {}, "-ctxcp: copies of the context", None),
    ],
)
def test_what_is_not_counted_is_said_and_nothing_is_exact(
    extra_args: tuple[str, ...], file_bytes: dict[str, int], says: str, least: int | None
) -> None:
    found = report(extra_args=extra_args, file_bytes=file_bytes)
    document, text = found.as_json(), found.as_text()
    assert document["exact"] is False
    assert document["not_counted"][0]["at_least_bytes"] == least  # type: ignore[index]
    assert f"Not counted: {says}" in text
    assert "exact" not in text
    assert "What is counted fits." in text
    assert ("at least" in text) == (least is not None)


@pytest.mark.parametrize(
    ("changes", "exact"),
    [
        ({"n_cpu_moe": 3}, False),
        ({"override_tensor": ("blk.1.ffn=CPU",)}, False),
        ({"layers": (10, 10, 5), "backend": "cuda"}, False),
        ({"layers": (10, 10, 5)}, True),
        ({"backend": "cuda"}, True),
    ],
)
def test_exact_is_said_where_it_was_measured(changes: dict[str, Any], exact: bool) -> None:
    found = report(**changes)
    assert found.as_json()["exact"] is exact
    assert ("are exact" in found.as_text()) is exact
    errors = [d["compute_error_bytes"] for d in found.as_json()["devices"]]  # type: ignore[attr-defined]
    assert (None in errors) is not exact
    assert ("are estimates" in found.as_text()) is not exact


def _plan(model: ModelShape, *layers: int, build: int) -> tuple[Workload, Plan]:
    return Workload(model, RuntimeParams(), build), Plan(workers(*[9000] * len(layers)), Split(layers, model.layers))


@pytest.mark.parametrize(
    ("name", "blocks", "layers", "dies"),
    [
        # As they were run with b10068 over CPU workers.
        ("lfm2", 4, (3, 2), True),
        ("lfm2", 8, (5, 4), False),
        ("lfm2", 8, (2, 7), False),
        ("lfm2", 8, (7, 2), True),
        ("lfm2", 8, (3, 3, 3), True),
        ("lfm2", 8, (3, 2, 4), True),
        ("lfm2", 8, (1, 2, 6), True),
        ("lfm2", 8, (9,), False),
        ("lfm2", 8, (0, 9), False),
        ("mamba", 4, (3, 2), True),
        ("granitehybrid", 7, (3, 5), True),
        ("nemotron_h", 8, (3, 3, 3), True),
        ("qwen3next", 4, (3, 2), False),
        ("falcon-h1", 4, (3, 2), False),
        ("llama-1b", 4, (3, 2), False),
    ],
)
def test_a_fault_of_old_builds_is_told_where_it_strikes(
    name: str, blocks: int, layers: tuple[int, ...], dies: bool
) -> None:
    model = shape_of(name, blocks)
    workload, plan = _plan(model, *layers, build=10068)
    assert bool(known_faults(workload, plan)) is dies
    assert any("#26500" in line for line in warnings(workload, plan)) is dies
    assert not known_faults(*_plan(model, *layers, build=11434))


def test_a_tensor_without_elements_is_told_of_builds_that_divide_by_it() -> None:
    whole = shape()
    marker = TensorInfo("spiece_marker", (1, 0), "f32", 0)
    marked = ModelShape.of(replace(whole.file, tensors=(*whole.file.tensors, marker)))
    assert "divide by zero" in warnings(*_plan(marked, 16, 15, build=10068))[0]
    assert not warnings(*_plan(marked, 16, 15, build=11434))


def _with(**changes: Any) -> ModelShape:
    return ModelShape.of(replace(shape().file, **changes))


def _named(architecture: str) -> ModelShape:
    known = shape().file.metadata
    renamed = {key.replace("llama.", f"{architecture}."): value for key, value in known.items()}
    return _with(metadata=renamed | {"general.architecture": architecture})


@pytest.mark.parametrize(
    ("architecture", "build", "says"),
    [
        ("llama", 10068, None),
        ("granite_swa", 10068, "b10068 does not have the architecture granite_swa, b11434 does"),
        ("granite_swa", 10434, "use a newer build than b10434"),
        ("granite_swa", 11434, None),
        ("deepseek4", 10068, None),
        ("zeta", 11434, "No llama.cpp build that hettui knows (b10068 to b11434) has the architecture zeta"),
        ("zeta", 11549, None),
    ],
)
def test_an_architecture_that_the_build_does_not_have(architecture: str, build: int, says: str | None) -> None:
    found = refusal(Workload(_named(architecture), RuntimeParams(), build))
    assert (found is None) if says is None else (says in (found or ""))


def test_a_tower_in_the_file_of_a_text_model_is_told_before_the_start() -> None:
    tower = tuple(TensorInfo(f"v.blk.{i}.attn_q.weight", (64, 64), "f16", 8192) for i in range(4))
    merged = _with(tensors=(*shape().file.tensors, *tower))
    workload, plan = _plan(merged, 16, 15, build=11434)
    assert "a vision tower in one file (4 tensors" in warnings(workload, plan)[0]
    assert warnings(workload, plan)[0] in PlanReport(workload, plan).as_text()
    assert "wrong number of tensors" in (ModelFacts.of(merged).problem or "")
    heard = _with(tensors=(*shape().file.tensors, TensorInfo("a.blk.0.x", (4,), "f32", 16)))
    assert "an audio tower" in (refusal(Workload(heard, RuntimeParams())) or "")


def test_what_is_no_model_is_told() -> None:
    projector = _with(metadata={**shape().file.metadata, "general.type": "mmproj"})
    assert "vision projector and no model" in (refusal(Workload(projector, RuntimeParams())) or "")


def test_a_header_without_an_architecture_is_told() -> None:
    nameless = {key: value for key, value in shape().file.metadata.items() if key != "general.architecture"}
    found = refusal(Workload(replace(shape(), file=replace(shape().file, metadata=nameless)), RuntimeParams()))
    assert "names no architecture" in (found or "")
