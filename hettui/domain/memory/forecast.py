"""What every device and the host will hold: weights, context, compute buffer, overhead. Pure arithmetic.

Weights and context follow llama.cpp to the byte, the compute buffer follows a sketch of its graph (`compute`);
all of it was compared with real loads of b10068 and b11434, see tests/truth.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from hettui.domain.devices.device import Device
from hettui.domain.llama.build import NEWEST_BUILD, OVERLAPPING_BUILD
from hettui.domain.llama.params import RuntimeParams, override_pattern
from hettui.domain.memory import compute
from hettui.domain.memory.graph import Batch, Rules, Shapes
from hettui.domain.model.architecture import KNOWN, BlockContext, block_contexts, head_width
from hettui.domain.model.shape import ModelShape
from hettui.domain.model.weights import CPU, BufferKind, Part, Placed, buffer_kind, host_bytes
from hettui.domain.plan.split import HOST, Split
from hettui.domain.text import clean_line
from hettui.domain.units import MIB, missing_mib

# Bytes per element of ggml's cache types, as (bytes, elements) of one block.
_CACHE_BYTES = {
    "f32": (4, 1), "f16": (2, 1), "bf16": (2, 1), "q8_0": (34, 32), "q5_1": (24, 32),
    "q5_0": (22, 32), "q4_1": (20, 32), "q4_0": (18, 32), "iq4_nl": (18, 32),
}  # fmt: skip
_NOT_QUANTISED = ("f32", "f16", "bf16")


def _pad(value: int, to: int = 256) -> int:
    return -(-value // to) * to


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one device or on the host, by llama.cpp's buffers."""

    weights_bytes: int = 0
    context_bytes: int = 0
    compute_bytes: int = 0
    overhead_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.context_bytes + self.compute_bytes + self.overhead_bytes


@dataclass(frozen=True, slots=True)
class Forecast:
    """One `Memory` per device in device order, and the host's."""

    devices: tuple[Memory, ...]
    host: Memory
    budgets: tuple[int | None, ...]
    measured: frozenset[int] = frozenset()
    """Devices whose compute buffer is what an earlier launch reserved; one past the last stands for the host."""

    def short_bytes(self, device: int) -> int:
        """How much is missing on a device; 0 when it fits or no budget is known."""
        budget = self.budgets[device]
        memory = self.devices[device]
        # An empty device gets no buffer at all, so it fits any budget.
        if budget is None or memory.total_bytes == 0:
            return 0
        return max(0, memory.total_bytes - budget)

    @property
    def fits(self) -> bool:
        return not any(self.short_bytes(i) for i in range(len(self.devices)))


def shortage(outlook: Forecast, devices: Sequence[Device]) -> str:
    """`small is short by 222 MiB, big is short by 3 MiB`; empty when everything fits."""
    return ", ".join(
        f"{clean_line(device.name, 40)} is short by {missing_mib(outlook.short_bytes(i))}"
        for i, device in enumerate(devices)
        if outlook.short_bytes(i)
    )


# -- context ---------------------------------------------------------------------------------------------------


def context_size(shape: ModelShape, params: RuntimeParams) -> int:
    """`ctx-size` with 0 replaced by the model's training length."""
    return params.ctx_size or shape.n_ctx_train


def context_step(params: RuntimeParams) -> int:
    """What a context is padded to: 256 for each stream."""
    return 256 if params.unified else 256 * params.slots


@dataclass(frozen=True, slots=True)
class Cells:
    """The KV cache's geometry (`llama_context` and `llama_kv_cache_iswa`, the same in both builds)."""

    streams: int
    """One for all slots when unified, else one per slot."""
    full: int
    """Cells of one stream for a block that sees everything."""
    ubatch: int
    """Tokens of a micro-batch, after the context's limit."""

    def windowed(self, window: int, params: RuntimeParams) -> int:
        """Cells of one stream for a block that sees `window` tokens: the window and one micro-batch."""
        if params.swa_full:
            return self.full
        seen = window * (params.slots if params.unified else 1) + self.ubatch
        return min(self.full, _pad(min(self.full, seen)))


def cells(params: RuntimeParams, ctx_size: int) -> Cells:
    """llama.cpp pads the context to 256, and each stream's share of it again."""
    total = _pad(ctx_size)
    ubatch = min(params.ubatch_size, params.batch_size, max(1, ctx_size))
    if params.unified:
        return Cells(1, total, ubatch)
    return Cells(params.slots, _pad(total // params.slots), ubatch)


@lru_cache(maxsize=64)
def contexts(shape: ModelShape, build: int = NEWEST_BUILD) -> tuple[BlockContext, ...]:
    """What each block keeps. Newer builds keep nothing for MTP blocks."""
    found = block_contexts(shape.file, shape.blocks)
    if build >= OVERLAPPING_BUILD and shape.mtp_blocks:
        return found[: -shape.mtp_blocks] + (BlockContext(),) * shape.mtp_blocks
    return found


def known(shape: ModelShape) -> bool:
    """Whether the architecture was read in llama.cpp; another one gets the general rule."""
    return shape.file.architecture in KNOWN


def _cell_bytes(context: BlockContext, params: RuntimeParams, v_width: int) -> int:
    k_bytes, k_elements = _CACHE_BYTES[params.cache_type_k]
    v_bytes, v_elements = _CACHE_BYTES[params.cache_type_v]
    return context.k_width * k_bytes // k_elements + v_width * v_bytes // v_elements


def kv_bytes_per_cell(shape: ModelShape, params: RuntimeParams, block: int) -> int:
    """K and V of one cell in one block; 0 for a block that keeps a state or nothing."""
    context = contexts(shape)[block]
    return _cell_bytes(context, params, context.v_width)


@lru_cache(maxsize=64)
def context_bytes_per_block(shape: ModelShape, params: RuntimeParams, build: int = NEWEST_BUILD) -> tuple[int, ...]:
    """What each block keeps, for all slots: KV cache and recurrent state."""
    geometry = cells(params, context_size(shape, params))
    kept = contexts(shape, build)
    widest_v = max((c.v_width for c in kept), default=0)
    found = []
    for context in kept:
        depth = geometry.windowed(context.window, params) if context.window else geometry.full
        # Without flash attention V lies transposed, with the same width in every block.
        v_width = widest_v if params.flash_attn == "off" and context.v_width else context.v_width
        cache = _cell_bytes(context, params, v_width) * depth * geometry.streams
        found.append(cache + context.state_values * 4 * params.slots)
    return tuple(found)


# -- compute buffers -------------------------------------------------------------------------------------------

_NO_FLASH_ATTENTION = frozenset({"grok"})
_WEIGHTS_BEFORE_EXPERTS = frozenset({"llama4"})
_RESIDUAL_FIRST = frozenset({"lfm2", "lfm2moe"})
_NO_MIXED_BATCHES = frozenset({"cogvlm", "deepseek4", "granite-switch", "eagle3", "dflash", "gemma4-assistant"})
"""`llm_arch_supports_mixed_batch` of b11434."""
_LATE_OUTPUTS = frozenset({"qwen35", "qwen35moe"})
_LATE_OUTPUTS_SINCE_OVERLAPPING = frozenset(
    {"bailingmoe3", "cohere2moe", "gemma4", "gpt-oss", "hy-v3", "nemotron_h", "nemotron_h_moe", "qwen3next",
     "qwen4exp", "step35"}
)  # fmt: skip
"""src/models/*.cpp: `inp_out_ids` are applied in the last block only with `embeddings_nextn_masked`."""


@lru_cache(maxsize=64)
def _layout(
    shape: ModelShape, params: RuntimeParams, build: int, full_offload: bool, backend: str = "cpu"
) -> compute.Layout:
    file, arch, newer = shape.file, shape.file.architecture, build >= OVERLAPPING_BUILD
    kept = contexts(shape, build)
    geometry = cells(params, context_size(shape, params))
    flash = params.flash_attn != "off" and arch not in _NO_FLASH_ATTENTION
    window = max((c.window for c in kept), default=0)
    window_cells = geometry.windowed(window, params)
    tokens = _pad(geometry.ubatch, params.slots)
    mask_row = tokens * (2 if flash else 4)
    batch = Batch(
        tokens=tokens,
        sequences=params.slots,
        outputs=min(params.slots, tokens),
        flash_attn=flash,
        streams=geometry.streams,
        cells=geometry.full,
        window_cells=window_cells,
        mask_bytes=geometry.full * mask_row,
        window_mask_bytes=window_cells * mask_row,
        cache_in_f16=newer and backend == "cuda" and (params.cache_type_k, params.cache_type_v) != ("f16", "f16"),
    )
    head_k, head_v = (head_width(file, shape.blocks, which) for which in ("key", "value"))
    rules = Rules(
        heads=max(shape.n_head, default=0),
        experts_used=file.integer("expert_used_count"),
        softcap=f"{arch}.attn_logit_softcapping" in file.metadata,
        keys_first=window > 0,
        weights_before_experts=arch in _WEIGHTS_BEFORE_EXPERTS,
        residual_first=arch in _RESIDUAL_FIRST,
        full_offload=full_offload,
        rank_mla=file.integer("attention.kv_lora_rank"),
        rope_dims=file.integer("rope.dimension_count"),
        head_v=file.integer("attention.value_length_mla") or head_v,
    )
    late = arch in _LATE_OUTPUTS or (newer and arch in _LATE_OUTPUTS_SINCE_OVERLAPPING)
    return compute.Layout(
        blocks=tuple(Shapes(s) for s in shape.tensor_shapes),
        contexts=kept,
        rules=rules,
        batch=batch,
        n_embd=shape.n_embd,
        n_vocab=shape.n_vocab,
        inner=file.integer("ssm.inner_size"),
        kernel=file.integer("ssm.conv_kernel"),
        positions=4 if f"{arch}.rope.dimension_sections" in file.metadata else 1,
        last_block=shape.blocks - 1 - shape.mtp_blocks,
        mixed_inputs=newer and arch not in _NO_MIXED_BATCHES,
        late_outputs="" if not late else "before norm" if arch == "gpt-oss" else "after norm",
        scaled_embedding=arch.startswith("gemma") or f"{arch}.embedding_scale" in file.metadata,
        rotation_k=0 if params.cache_type_k in _NOT_QUANTISED else _rotation(head_k),
        rotation_v=0 if params.cache_type_v in _NOT_QUANTISED else min(64, _rotation(head_v)),
        host_experts=_host_experts(shape, params),
    )


def _rotation(head: int) -> int:
    """The largest power of two, at least 64, that divides a head (`llama_kv_cache`, both builds)."""
    width = 64
    if not head or head % width:
        return 0
    while head % (2 * width) == 0:
        width *= 2
    return width


def _copies(params: RuntimeParams, build: int, *, several: bool, full_offload: bool) -> int:
    """How many copies llama.cpp keeps of every input: several when it overlaps micro-batches."""
    overlaps = several and full_offload and build >= OVERLAPPING_BUILD and not params.overrides
    return compute.COPIES if overlaps else 1


def compute_error_bytes(shape: ModelShape, compute_bytes: int) -> int:
    """How far the real compute buffer may be off the forecast: see the measured table in README."""
    if not compute_bytes:
        return 0
    arch = shape.file.architecture
    part = _ERROR_PARTS.get(arch, 0.02) if known(shape) else 0.5
    return max(MIB, round(compute_bytes * part))


_ERROR_PARTS = {
    "deepseek2": 0.18, "ernie4_5-moe": 0.07, "falcon-h1": 0.44, "gemma3n": 1.4, "gpt-oss": 0.07,
    "granitehybrid": 0.4, "granitemoe": 0.05, "hunyuan-moe": 0.05, "jamba": 0.12, "llama4": 0.17, "mamba": 0.14,
    "mamba2": 0.57, "minimax-m2": 0.07, "nemotron_h": 0.28, "nemotron_h_moe": 0.28, "qwen2moe": 0.09,
    "qwen35": 0.08, "qwen35moe": 0.2, "qwen3moe": 0.05, "qwen3next": 0.05, "smollm3": 0.06,
}  # fmt: skip
"""Of 100 measured loads of an architecture 99 are nearer than this; 2 % or 1 MiB for the others."""


# -- everything ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Weights:
    """Bytes in buffers of one kind."""

    blocks: tuple[int, ...]
    output: int
    rope: int


def _used(shape: ModelShape, placed: Placed, build: int) -> bool:
    """MTP blocks are not loaded unless they are asked for; older builds load the biases of their attention."""
    if placed.part is not Part.BLOCK or placed.block < shape.blocks - shape.mtp_blocks:
        return True
    return build < OVERLAPPING_BUILD and placed.tensor.name.endswith(".bias") and ".attn_" in placed.tensor.name


@lru_cache(maxsize=16)
def _patterns(said: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    return tuple(override_pattern(one) for one in said)


def _stays_on_host(placed: Placed, params: RuntimeParams) -> bool:
    if placed.expert and placed.block < params.n_cpu_moe:
        return True
    return any(pattern.search(placed.tensor.name) for pattern in _patterns(params.override_tensor))


def _host_experts(shape: ModelShape, params: RuntimeParams) -> frozenset[int]:
    """Blocks whose experts the host computes wherever the block lies."""
    if not params.overrides:
        return frozenset()
    return frozenset(
        p.block for p in shape.placed if p.expert and "_down_" in p.tensor.name and _stays_on_host(p, params)
    )


@lru_cache(maxsize=64)
def _weights(shape: ModelShape, params: RuntimeParams, build: int, kind: BufferKind) -> _Weights:
    blocks, output, rope = [0] * shape.blocks, 0, 0
    for placed in shape.placed:
        size = kind.size_bytes(placed.tensor)
        if placed.part is Part.BLOCK and _used(shape, placed, build) and not _stays_on_host(placed, params):
            blocks[placed.block] += size
        elif placed.part is Part.OUTPUT or (shape.tied and placed.tensor.name == "token_embd.weight"):
            output += size
        elif placed.part is Part.ROPE:
            rope += size
    return _Weights(tuple(blocks), output, rope)


@lru_cache(maxsize=256)
def _host_weights_bytes(shape: ModelShape, params: RuntimeParams, build: int, host_blocks: int, output: bool) -> int:
    """The master's model buffers with its first `host_blocks` blocks and, if `output`, the output layer."""

    def held(placed: Placed) -> bool:
        if placed.part is Part.BLOCK:
            mine = placed.block < host_blocks or _stays_on_host(placed, params)
            return mine and _used(shape, placed, build)
        if placed.part is Part.ROPE:
            return host_blocks > 0
        # A tied output on the host is the embedding itself; only a device gets a copy.
        return placed.part is Part.INPUT or output

    return host_bytes([p for p in shape.placed if held(p)], maps_files=params.maps_files)


def forecast(
    shape: ModelShape,
    params: RuntimeParams,
    split: Split,
    devices: Sequence[Device] | None = None,
    *,
    build: int = NEWEST_BUILD,
) -> Forecast:
    """The memory of every device and of the host for one split.

    `devices` is in the order of `split.layers`; without it the devices are anonymous: CPU workers without a budget
    and overhead. `build` is llama.cpp's build number.
    """
    context = context_bytes_per_block(shape, params, build)
    copies = _copies(params, build, several=len(split.active) > 1, full_offload=not split.host_layers)
    places = [HOST] * min(split.host_layers, shape.blocks)
    for i in range(len(split.layers)):
        places += [i] * len(split.block_range(i))

    def work(index: int, backend: str) -> int:
        layout = _layout(shape, params, build, not split.host_layers, backend)
        return compute.device_bytes(layout, index, places, split.output_device, copies)

    def held(index: int) -> Memory:
        if not split.layers[index]:
            return Memory()
        device = devices[index] if devices else None
        blocks = split.block_range(index)
        weights = _weights(shape, params, build, buffer_kind(device.backend) if device else CPU)
        output = split.output_device == index
        return Memory(
            sum(weights.blocks[blocks.start : blocks.stop])
            + (weights.rope if blocks else 0)
            + (weights.output if output else 0),
            sum(context[blocks.start : blocks.stop]),
            work(index, device.backend if device else "cpu"),
            device.overhead_bytes if device else 0,
        )

    host_blocks = split.block_range(HOST)
    host = Memory(
        _host_weights_bytes(shape, params, build, len(host_blocks), split.output_device == HOST),
        sum(context[host_blocks.start : host_blocks.stop]),
        work(HOST, "cpu"),
    )
    budgets = tuple(d.budget_bytes for d in devices) if devices else (None,) * len(split.layers)
    return Forecast(tuple(held(i) for i in range(len(split.layers))), host, budgets)


def _runs(ends: Sequence[int]) -> list[tuple[int, int, int]]:
    """Per block: the number, the first block and the end of its run of equal blocks."""
    found: list[tuple[int, int, int]] = []
    for i, end in enumerate(ends):
        same = i > 0 and ends[i - 1] == end
        found.append((found[-1][0], found[-1][1], end) if same else (len(found), i, end))
    return found


@lru_cache(maxsize=64)
def _known_work(layout: compute.Layout, full_offload: bool, copies: int) -> dict[tuple[int, ...], int]:
    """What `LayerCosts` found out about a layout, so that the next search need not."""
    return {}


_OTHER = -2
"""Any other device."""


class LayerCosts:
    """What any run of layers needs on a device, for searching splits."""

    def __init__(
        self,
        shape: ModelShape,
        params: RuntimeParams,
        devices: Sequence[Device],
        *,
        several: bool,
        full_offload: bool = True,
        build: int = NEWEST_BUILD,
    ) -> None:
        """`several`: more than one device holds layers. `full_offload`: nothing stays on the host."""
        context = context_bytes_per_block(shape, params, build)
        self.total_layers = shape.layers
        self._layouts = [_layout(shape, params, build, full_offload, d.backend) for d in devices]
        self._copies = _copies(params, build, several=several, full_offload=full_offload)
        # Whoever stands before a run of layers, or the host where that can be: it may hand over work, too.
        self._before = (_OTHER,) if full_offload else (_OTHER, HOST)
        self._overhead = [d.overhead_bytes for d in devices]
        self._work = [_known_work(layout, full_offload, self._copies) for layout in self._layouts]
        self._runs = _runs(self._layouts[0].run_ends) if devices else []
        self._below: list[list[int]] = []
        self._rope: list[int] = []
        for device in devices:
            weights = _weights(shape, params, build, buffer_kind(device.backend))
            below = [0]
            for w, c in zip(weights.blocks, context, strict=True):
                below.append(below[-1] + w + c)
            self._below.append([*below, below[-1] + weights.output])
            self._rope.append(weights.rope)

    def held_bytes(self, device: int, first: int, last: int) -> int:
        """What a device needs for the layers first … last; the output layer has the highest number."""
        below, blocks = self._below[device], self.total_layers - 1
        key, known = self._likeness(first, last), self._work[device]
        work = known.get(key)
        if work is None:
            work = known[key] = self._work_bytes(device, first, last)
        rope = self._rope[device] if first < blocks else 0
        return below[last + 1] - below[first] + rope + work + self._overhead[device]

    def reach(self, device: int, budget_bytes: int | None) -> list[int]:
        """For every last layer the smallest first one with which the run fits; last + 1 when not even one does."""
        if budget_bytes is None:
            return [0] * self.total_layers
        found, below, more = [0] * self.total_layers, self._below[device], 0
        for last in range(self.total_layers - 1, -1, -1):
            # A guess by what the run before needed beside its weights and context; then it is walked to the truth.
            first = min(max(bisect_left(below, below[last + 1] + more - budget_bytes), 0), last)
            held = self.held_bytes(device, first, last)
            while held > budget_bytes and first <= last:
                first += 1
                held = self.held_bytes(device, first, last) if first <= last else 0
            while first and first <= last and (next_held := self.held_bytes(device, first - 1, last)) <= budget_bytes:
                first, held = first - 1, next_held
            more = held - (below[last + 1] - below[first]) if first <= last else more
            found[last] = first
        return found

    def _likeness(self, first: int, last: int) -> tuple[int, ...]:
        """Equal for runs of layers that need the same compute buffer: they meet the same kinds of blocks, and of
        equal blocks no more than a few are laid out."""
        blocks, runs = self.total_layers - 1, self._runs
        stop = last + 1 if last < blocks else blocks
        if first >= stop:
            return (-1,)
        first_run, first_start, _ = runs[first]
        last_run, last_start, last_end = runs[stop - 1]
        most = compute.REPEATS
        if first_run == last_run:
            inside, outside = min(stop - first, most), 0
        else:
            inside, outside = min(runs[first][2] - first, most), min(stop - last_start, most)
        edges = (first == 0) * 8 + (first == first_start) * 4 + (stop == last_end) * 2 + (last == blocks)
        return first_run, last_run, inside, outside, edges

    def _work_bytes(self, device: int, first: int, last: int) -> int:
        blocks, layout = self.total_layers - 1, self._layouts[device]
        return max(
            compute.range_bytes(
                layout, first, min(last + 1, blocks), before, output=last == blocks, copies=self._copies
            )
            for before in self._before
        )


def forget() -> None:
    """Lets go of everything that is remembered of models: after many have been looked at they would stay in memory."""
    for known_of in (contexts, context_bytes_per_block, _layout, _weights, _host_weights_bytes, _known_work):
        known_of.cache_clear()
