"""Memory: against what llama.cpp b10068 reserved for SmolLM2-135M, and by properties."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.context import Cells, cells
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.block_context import block_contexts
from hettui.domain.model.shape import ModelShape
from hettui.domain.model.weights import Part
from hettui.domain.plan.split import Split
from hettui.domain.units import MIB
from tests import examples
from tests.fakes import shape, workers
from tests.truth.compare import shape_of
from tests.truth.make import CUT


def context_mib(params: RuntimeParams) -> float:
    outlook = forecast(Workload(shape(), params), Split((31,), 31))
    return outlook.devices[0].context_bytes / MIB


@pytest.mark.parametrize(
    ("params", "expected_mib"),
    [
        (RuntimeParams(ctx_size=1000, parallel=1), 22.5),
        (RuntimeParams(ctx_size=1000, parallel=3), 33.75),
        (RuntimeParams(ctx_size=1000, parallel=3, kv_unified=True), 22.5),
        (RuntimeParams(ctx_size=1000, parallel=-1), 22.5),
        (RuntimeParams(ctx_size=4096, cache_type_k="q8_0", cache_type_v="q8_0"), 47.8125),
        (RuntimeParams(ctx_size=0), 180.0),
    ],
)
def test_kv_cache_as_llama_cpp_allocated_it(params: RuntimeParams, expected_mib: float) -> None:
    assert context_mib(params) == expected_mib


def test_a_dense_feed_forward_on_the_host_is_the_same_however_it_is_said() -> None:
    """`n-cpu-ffn` counts from the model's first block, wherever that lies; experts are none of its business."""
    split = Split((2, 3), 5)
    for model, parts in (("llama-8b", "up|down|gate"), ("starcoder2", "up|down")):
        plain, said = Workload(shape_of(model, 4)), RuntimeParams(n_cpu_ffn=3)
        by_block = RuntimeParams(override_tensor=(rf"blk\.[012]\.ffn_({parts})\.=CPU",))
        outlook = forecast(plain.having(said), split)
        assert outlook == forecast(plain.having(by_block), split)
        before = forecast(plain, split)
        moved = [a.weights_bytes - b.weights_bytes for a, b in zip(before.devices, outlook.devices, strict=True)]
        assert moved[0] == 2 * moved[1] > 0
        assert outlook.host_weights_bytes - before.host_weights_bytes == sum(moved)
    coder = Workload(shape_of("qwen3moe", 4))
    assert forecast(coder.having(RuntimeParams(n_cpu_ffn=4)), split).devices[0].weights_bytes == (
        forecast(coder, split).devices[0].weights_bytes
    )


@pytest.mark.parametrize(
    ("build", "ubatch", "ctx", "flash_attn", "reserved_mib"),
    [
        (10068, 512, 4096, "on", (16.4, 16.4, 6.3)),
        (10068, 128, 4096, "on", (4.1, 4.1, 1.6)),
        (10068, 2048, 4096, "on", (65.5, 65.5, 25.1)),
        (10068, 512, 16384, "on", (28.4, 28.4, 18.3)),
        (10068, 512, 4096, "off", (85.3, 85.3, 11.0)),
        (11434, 512, 4096, "on", (43.1, 32.9, 27.3)),
        (11434, 128, 4096, "on", (10.8, 8.2, 6.8)),
        (11434, 2048, 4096, "on", (172.2, 131.7, 109.3)),
        (11434, 512, 16384, "on", (91.1, 80.9, 75.3)),
        (11434, 512, 4096, "off", (126.2, 116.0, 46.3)),
    ],
)
def test_the_compute_buffers_of_smollm2_as_llama_cpp_printed_them(
    build: int, ubatch: int, ctx: int, flash_attn: str, reserved_mib: tuple[float, ...]
) -> None:
    params = RuntimeParams(ctx_size=ctx, ubatch_size=ubatch, flash_attn=flash_attn)
    outlook = forecast(Workload(shape(), params, build), Split((10, 21), 31))
    found = [m.compute_bytes / MIB for m in (*outlook.devices, outlook.host)]
    assert found == pytest.approx(reserved_mib, abs=0.06)


splits = st.lists(st.integers(0, 31), min_size=1, max_size=5).filter(lambda n: sum(n) <= 31)


@pytest.mark.many
@given(splits)
def test_every_weight_lies_somewhere_and_a_tied_output_twice(layers: list[int]) -> None:
    model, split = shape(), Split(tuple(layers), 31)
    outlook = forecast(Workload(model, RuntimeParams(load_mode="none")), split)
    held = sum(m.weights_bytes for m in outlook.devices) + outlook.host.weights_bytes
    assert held == model.weights_bytes + (model.embedding_bytes if split.active else 0)


@pytest.mark.many
@given(splits)
def test_the_host_maps_its_tensors_and_what_lies_between_them(layers: list[int]) -> None:
    model, split = shape(), Split(tuple(layers), 31)
    read, mapped = (
        forecast(Workload(model, RuntimeParams(load_mode=mode)), split).host.weights_bytes for mode in ("none", "mmap")
    )
    # The fake's tensors stand in layer order, so nothing lies between them.
    assert mapped == read


def test_a_host_layer_at_the_end_of_the_file_maps_all_of_it() -> None:
    head = shape().file.tensors
    last = replace(head[1], begin_bytes=head[-1].begin_bytes + head[-1].size_bytes)
    model = ModelShape.of(replace(shape().file, tensors=(head[0], last, *head[2:])))
    outlook = forecast(Workload(model, RuntimeParams()), Split((30,), 31))
    assert outlook.host.weights_bytes == last.begin_bytes + last.size_bytes - head[0].begin_bytes


@pytest.mark.many
@given(splits)
def test_the_context_is_shared_out_completely(layers: list[int]) -> None:
    outlook = forecast(Workload(shape(), RuntimeParams()), Split(tuple(layers), 31))
    assert sum(m.context_bytes for m in outlook.devices) + outlook.host.context_bytes == 90 * MIB


@pytest.mark.many
@given(splits, st.integers(256, 8192), st.integers(0, 4096))
def test_more_context_never_needs_less(layers: list[int], ctx: int, more: int) -> None:
    split = Split(tuple(layers), 31)
    small = forecast(Workload(shape(), RuntimeParams(ctx_size=ctx)), split)
    large = forecast(Workload(shape(), RuntimeParams(ctx_size=ctx + more)), split)
    assert all(a.total_bytes <= b.total_bytes for a, b in zip(small.devices, large.devices, strict=True))


def test_an_empty_device_holds_nothing_and_fits_any_budget() -> None:
    outlook = forecast(Workload(shape(), RuntimeParams()), Split((31, 0), 31), workers(400, 1))
    assert outlook.devices[1].total_bytes == 0
    assert outlook.fits


def test_a_full_device_says_what_is_missing() -> None:
    outlook = forecast(Workload(shape(), RuntimeParams()), Split((31,), 31), workers(100))
    assert not outlook.fits
    assert outlook.short_bytes(0) == outlook.devices[0].total_bytes - 100 * MIB


def test_slots_are_padded_each() -> None:
    assert cells(RuntimeParams(parallel=3), 1000) == Cells(3, 512, 512)
    assert cells(RuntimeParams(parallel=3, kv_unified=True), 1000) == Cells(1, 1024, 512)


MODELS = ("llama-1b", "gemma3-1b", "qwen3next", "deepseek-v2-lite", "granitehybrid", "glm4moe", "lfm2", "gpt-oss-20b")


@st.composite
def cuts(draw: st.DrawFn) -> tuple[ModelShape, tuple[int, ...]]:
    """A model of some architecture and a split of all its layers."""
    name = draw(st.sampled_from(MODELS))
    model = shape_of(name, CUT.get(name, 3))
    inner = sorted(draw(st.lists(st.integers(0, model.layers), max_size=3)))
    return model, tuple(b - a for a, b in pairwise([0, *inner, model.layers]))


@settings(deadline=None, max_examples=examples.of(60))
@given(cuts(), st.sampled_from([10068, 11434]))
def test_every_tensor_lies_somewhere(cut: tuple[ModelShape, tuple[int, ...]], build: int) -> None:
    model, layers = cut
    split = Split(layers, model.layers)
    outlook = forecast(Workload(model, RuntimeParams(load_mode="none"), build), split)
    held = sum(m.weights_bytes for m in outlook.devices) + outlook.host.weights_bytes
    rope = sum(p.tensor.size_bytes for p in model.placed if p.part is Part.ROPE)
    first_mtp = model.blocks - model.mtp_blocks
    mtp = [p.tensor for p in model.placed if p.part is Part.BLOCK and p.block >= first_mtp]
    loaded = [t for t in mtp if build == 10068 and ".attn_" in t.name and t.name.endswith(".bias")]
    unused = sum(t.size_bytes for t in mtp) - sum(t.size_bytes for t in loaded)
    with_blocks = sum(1 for i in split.active if split.block_range(i))
    copies = (model.embedding_bytes if model.tied else 0) + rope * (with_blocks - 1)
    # Each tensor is padded to 32 bytes in its buffer.
    assert 0 <= held - (model.weights_bytes + copies - unused) < 32 * len(model.file.tensors)


@settings(deadline=None, max_examples=examples.of(40))
@given(cuts(), st.integers(300, 9000), st.integers(1, 4), st.booleans(), st.integers(1, 3000))
def test_more_context_never_needs_less_of_any_model(
    cut: tuple[ModelShape, tuple[int, ...]], ctx: int, slots: int, unified: bool, more: int
) -> None:
    model, layers = cut
    small, large = (
        forecast(
            Workload(model, RuntimeParams(ctx_size=n, parallel=slots, kv_unified=unified)), Split(layers, model.layers)
        )
        for n in (ctx, ctx + more)
    )
    for a, b in zip((*small.devices, small.host), (*large.devices, large.host), strict=True):
        assert a.context_bytes <= b.context_bytes
        assert a.weights_bytes == b.weights_bytes


@settings(deadline=None, max_examples=examples.of(40))
@given(cuts(), st.data())
def test_idle_devices_may_stand_anywhere(cut: tuple[ModelShape, tuple[int, ...]], data: st.DataObject) -> None:
    """Blocks lie in device order, so it is the idle devices that can change places freely."""
    model, layers = cut
    busy = [n for n in layers if n]
    wide = list(busy)
    for _ in range(data.draw(st.integers(1, 3))):
        wide.insert(data.draw(st.integers(0, len(wide))), 0)
    outlook = forecast(Workload(model, RuntimeParams()), Split(tuple(busy), model.layers))
    wider = forecast(Workload(model, RuntimeParams()), Split(tuple(wide), model.layers))
    assert [m for m in wider.devices if m.total_bytes] == [m for m in outlook.devices if m.total_bytes]
    assert wider.host == outlook.host


@settings(deadline=None, max_examples=examples.of(30))
@given(st.permutations(["cpu", "cuda", "vulkan"]))
def test_permuting_the_cards_permutes_what_they_add(backends: list[str]) -> None:
    devices = tuple(replace(d, backend=b) for d, b in zip(workers(None, None, None), backends, strict=True))
    split = Split((5, 7, 19), 31)
    outlook = forecast(Workload(shape(), RuntimeParams()), split, devices)
    for i, device in enumerate(devices):
        assert outlook.devices[i] == forecast(Workload(shape(), RuntimeParams()), split, (device,) * 3).devices[i]


@pytest.mark.parametrize(
    ("build", "reserved_mib"), [(10068, (365.0, 365.0, 365.0)), (11434, (650.1, 542.1, 542.1))], ids=["old", "new"]
)
def test_flash_attention_reads_a_cache_of_f32_as_f16(build: int, reserved_mib: tuple[float, ...]) -> None:
    """phi3 cut to three blocks on three workers: both builds convert K and V beside the cache: 246 MiB."""
    params = RuntimeParams(ctx_size=24000, ubatch_size=1024, cache_type_k="f32", cache_type_v="f32", flash_attn="on")
    outlook = forecast(Workload(shape_of("phi3", 3), params, build), Split((1, 1, 2), 4))
    for memory, reserved in zip(outlook.devices, reserved_mib, strict=True):
        assert memory.compute_bytes / MIB == pytest.approx(reserved, rel=0.01)


@pytest.mark.parametrize(("said", "turn"), [(None, True), (True, True), (False, False)])
def test_granite_turns_by_position_unless_its_file_says_that_it_does_not(said: bool | None, turn: bool) -> None:
    """`rope_finetuned` of src/models/granite-hybrid.cpp, b11434: a switch that is on where nothing is said."""
    file = shape_of("granitehybrid", 7).file
    key = "granitehybrid.rope.scaling.finetuned"
    metadata = {name: value for name, value in file.metadata.items() if name != key}
    file = replace(file, metadata=metadata if said is None else metadata | {key: said})
    attending = [c for c in block_contexts(file, 7) if c.k_width]
    assert attending
    assert {c.positions for c in attending} == {turn}
