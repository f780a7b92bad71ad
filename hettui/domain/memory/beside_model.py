"""What is loaded beside a model takes: LoRA adapters, control vectors, a projector; and what the host keeps over time.

An adapter's tensors lie in the buffer type of the tensors that they change, a control vector has one row for every
block but the first, where that block lies (`llama_adapter_lora_init_impl`, `llama_adapter_cvec::init`); a projector
lies on one device (`clip_ctx`). Read in b10068 and b11434, and compared with real loads of both.
"""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.devices.device import Device
from hettui.domain.memory.context import cells, context_size, contexts, kept_bytes_per_cell
from hettui.domain.memory.weights import ModelBuffers, stays_on_host
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.companions import changed_by
from hettui.domain.model.weights import CPU, BufferKind, Part, buffer_kind
from hettui.domain.plan.beside_place import projector_place
from hettui.domain.plan.split import HOST
from hettui.domain.records import dataclass
from hettui.domain.units import MIB

_F32 = 4


@dataclass(frozen=True, slots=True)
class BesideBytes:
    """Bytes of the projector: weights, and the compute buffer for the warm-up picture."""

    weights: int = 0
    compute: int = 0

    @property
    def total(self) -> int:
        return self.weights + self.compute


@dataclass(frozen=True, slots=True)
class Projecting:
    """Where the projector lies, and what it takes there and on the host."""

    device: int
    """A device, or `HOST`."""
    there: BesideBytes
    host: BesideBytes


@remembered
def _in(workload: Workload, backend: str) -> tuple[BesideBytes, BesideBytes]:
    file = workload.companions.projector
    if file is None:
        return BesideBytes(), BesideBytes()
    from hettui.domain.memory import projector

    flash_attn = workload.params.flash_attn != "off"
    work, on_host = projector.work_bytes(file, on_host=not backend, flash_attn=flash_attn)
    kind = buffer_kind(backend) if backend else CPU
    return BesideBytes(projector.weights_bytes(file, kind), work), BesideBytes(0, on_host)


def projecting(workload: Workload, devices: Sequence[Device] | None = None) -> Projecting | None:
    """None without a projector, or where nobody has read it."""
    place = projector_place(workload.params, devices)
    if place is None or workload.companions.projector is None:
        return None
    if place == HOST or not devices:
        return Projecting(HOST, BesideBytes(), _in(workload, "")[0])
    there, host = _in(workload, devices[place].backend)
    return Projecting(place, there, host)


@remembered
def adapter_buffers(workload: Workload, kind: BufferKind) -> ModelBuffers:
    """Of adapters and control vectors on a device whose buffers are of this kind: by block, and with the output."""
    shape, params = workload.shape, workload.params
    blocks, output = [0] * shape.blocks, 0
    placed = {p.tensor.name: p for p in shape.placed}
    for adapter in workload.companions.adapters:
        for name, pair in changed_by(adapter).items():
            base, size = placed.get(name), sum(kind.size_bytes(tensor) for tensor in pair)
            if base is None or (base.part is Part.BLOCK and stays_on_host(base, params)):
                continue
            if base.part is Part.BLOCK:
                blocks[base.block] += size
            elif base.part is Part.OUTPUT:
                output += size
    if params.control_vector:
        row = -(-shape.n_embd * _F32 // kind.alignment_bytes) * kind.alignment_bytes
        # The blocks are counted as they are loaded; the first never has one.
        blocks = [size + (row if i else 0) for i, size in enumerate(blocks)]
    return ModelBuffers(tuple(blocks), output, 0)


@remembered
def host_adapters(workload: Workload, host_blocks: int, output: bool) -> int:
    """The same in the master's RAM, with the first `host_blocks` blocks there and, if `output`, the output layer."""
    shape, params = workload.shape, workload.params
    placed, total = {p.tensor.name: p for p in shape.placed}, 0
    for adapter in workload.companions.adapters:
        for name, pair in changed_by(adapter).items():
            base = placed.get(name)
            if base is None:
                continue
            mine = base.part is Part.INPUT or (base.part is Part.OUTPUT and output)
            if base.part is Part.BLOCK:
                mine = base.block < host_blocks or stays_on_host(base, params)
            total += sum(CPU.size_bytes(tensor) for tensor in pair) if mine else 0
    vectors = max(0, min(host_blocks, shape.blocks) - 1) if params.control_vector else 0
    return total + vectors * shape.n_embd * _F32


@remembered
def ranks(workload: Workload) -> tuple[tuple[tuple[str, tuple[int, ...]], ...], ...]:
    """Per block: the tensors that adapters change, by name in the block, with the ranks; empty without any."""
    if not workload.companions.adapters:
        return ()
    found: list[dict[str, tuple[int, ...]]] = [{} for _ in range(workload.shape.blocks)]
    placed = {p.tensor.name: p for p in workload.shape.placed}
    for adapter in workload.companions.adapters:
        for name, pair in changed_by(adapter).items():
            base = placed.get(name)
            low = next((t for t in pair if t.name.endswith("a") and len(t.shape) > 1), None)
            if base is not None and base.part is Part.BLOCK and low is not None:
                own, short = found[base.block], name.removeprefix(f"blk.{base.block}.")
                own[short] = (*own.get(short, ()), low.shape[1])
    return tuple(tuple(sorted(one.items())) for one in found)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the master's RAM comes to hold while the server is used, at most."""

    checkpoints_bytes: int
    """`--ctx-checkpoints` of every slot: what cannot be taken back of a context is copied."""
    prompts_bytes: int | None
    """`--cache-ram`; None: without a limit."""


@remembered
def kept_over_time(workload: Workload) -> Kept:
    """Checkpoints are made only of windows and recurrent states: other contexts can be cut at any token
    (`server_context`, b10068 and b11434)."""
    params = workload.params
    geometry, each = cells(params, context_size(workload)), 0
    for context, cell_bytes in zip(contexts(workload), kept_bytes_per_cell(workload), strict=True):
        each += context.state_values * _F32
        if context.window and not params.swa_full:
            each += cell_bytes * min(context.window, geometry.full)
    prompts = None if params.cache_ram < 0 else params.cache_ram * MIB
    return Kept(each * params.ctx_checkpoints * params.slots, prompts)
