"""What every device will hold: weights, KV cache, compute buffer, overhead. Pure arithmetic, microseconds.

Weights and the KV cache of full-attention models follow llama.cpp to the byte. The compute buffer is an
estimate from the widths that drive it; it was compared with b10068 (see `compute_bytes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hettui.domain.device import Device
from hettui.domain.model import ModelShape
from hettui.domain.params import RuntimeParams
from hettui.domain.split import HOST, Split
from hettui.domain.text import clean_line
from hettui.domain.units import missing_mib

# Bytes per element of ggml's cache types, as (bytes, elements) of one block.
_CACHE_BYTES = {
    "f32": (4, 1), "f16": (2, 1), "bf16": (2, 1), "q8_0": (34, 32), "q5_1": (24, 32),
    "q5_0": (22, 32), "q4_1": (20, 32), "q4_0": (18, 32), "iq4_nl": (18, 32),
}  # fmt: skip


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


def cells(params: RuntimeParams, ctx_size: int) -> int:
    """KV cells of one full-attention layer over all streams: llama.cpp pads each stream to 256."""
    if params.unified:
        return _pad(ctx_size)
    return _pad(ctx_size // params.slots) * params.slots


def context_size(shape: ModelShape, params: RuntimeParams) -> int:
    """`ctx-size` with 0 replaced by the model's training length."""
    return params.ctx_size or shape.n_ctx_train


def kv_bytes_per_cell(shape: ModelShape, params: RuntimeParams, block: int) -> int:
    """K and V of one cell in one block. Attention with full K and V; other kinds are the next step."""
    k_bytes, k_elements = _CACHE_BYTES[params.cache_type_k]
    v_bytes, v_elements = _CACHE_BYTES[params.cache_type_v]
    heads = shape.n_head_kv[block]
    k_width, v_width = heads * shape.head_width("key"), heads * shape.head_width("value")
    return k_width * k_bytes // k_elements + v_width * v_bytes // v_elements


def context_bytes_per_block(shape: ModelShape, params: RuntimeParams) -> tuple[int, ...]:
    """What each block keeps of the context, for all slots."""
    total_cells = cells(params, context_size(shape, params))
    return tuple(kv_bytes_per_cell(shape, params, block) * total_cells for block in range(shape.blocks))


def compute_bytes(shape: ModelShape, params: RuntimeParams, ctx_size: int) -> int:
    """An estimate of one device's compute buffer: rows of the widest activations, and the attention mask.

    SmolLM2-135M on b10068, ubatch 512, context 4096: 16.4 MiB reserved, 16.1 MiB from here.
    """
    ubatch = min(params.ubatch_size, params.batch_size)
    row = 4 * (2 * shape.n_ff + 5 * shape.n_embd)
    mask = cells(params, ctx_size) * ubatch * 2
    attention = 0
    if params.flash_attn == "off":
        attention = max(shape.n_head, default=0) * cells(params, ctx_size) * ubatch * 4
    return row * ubatch + mask + attention


def output_compute_bytes(shape: ModelShape, params: RuntimeParams) -> int:
    """The compute buffer of a device with nothing but the output layer: the logits of one row per slot.

    SmolLM2-135M on b10068: 0.19 MiB reserved, as from here.
    """
    return 4 * shape.n_vocab * params.slots


def forecast(
    shape: ModelShape, params: RuntimeParams, split: Split, devices: Sequence[Device] | None = None
) -> Forecast:
    """The memory of every device and of the host for one split.

    `devices` is in the order of `split.layers`; without it the devices are anonymous: no budget, no overhead.
    """
    ctx = context_size(shape, params)
    compute = compute_bytes(shape, params, ctx)
    context = context_bytes_per_block(shape, params)

    def held(device: int, overhead: int) -> Memory:
        blocks = split.block_range(device)
        weights = sum(shape.block_bytes[blocks.start : blocks.stop])
        if split.output_device == device:
            weights += shape.output_bytes
        work = compute if blocks else output_compute_bytes(shape, params)
        return Memory(weights, sum(context[blocks.start : blocks.stop]), work, overhead)

    per_device = tuple(
        held(i, devices[i].overhead_bytes if devices else 0) if layers else Memory()
        for i, layers in enumerate(split.layers)
    )
    host = Memory(
        _host_weights_bytes(shape, params, split),
        held(HOST, 0).context_bytes,
        compute if split.host_layers else _host_compute_bytes(shape, params, ctx),
    )
    budgets = tuple(d.budget_bytes for d in devices) if devices else (None,) * len(split.layers)
    return Forecast(per_device, host, budgets)


def _host_weights_bytes(shape: ModelShape, params: RuntimeParams, split: Split) -> int:
    if params.maps_files:
        return shape.mapped_host_bytes[split.host_layers]
    held = shape.host_bytes + sum(shape.block_bytes[: split.host_layers])
    if split.output_device == HOST:
        # A tied output on the host is the embedding itself; only a device gets a copy.
        held += shape.output_bytes - (shape.embedding_bytes if shape.tied else 0)
    return held


def _host_compute_bytes(shape: ModelShape, params: RuntimeParams, ctx_size: int) -> int:
    """Inputs only: embeddings of the rows and the mask. SmolLM2 on b10068: 6.3 MiB reserved, 5.1 from here."""
    ubatch = min(params.ubatch_size, params.batch_size)
    return shape.n_embd * ubatch * 4 + cells(params, ctx_size) * ubatch * 2
