"""Where llama.cpp puts each tensor of a model: with its block, with the output layer, or in the master's RAM.

From `llama_model_loader::create_tensor` and the tensor table of src/llama-arch.cpp of b11434; compared with real
loads of b10068 and b11434 (tests/truth).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from hettui.domain.model.architecture import architecture
from hettui.domain.model.ggml import TYPES_BY_NAME
from hettui.domain.model.header import TensorInfo
from hettui.domain.model.movable import PATTERNS
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass

BLOCK_TENSOR = late_pattern(r"blk\.(\d+)\.")
_EXPERTS, _FFN = late_pattern(PATTERNS["experts"]), late_pattern(PATTERNS["FFN"])

_REPACKED = frozenset({"q4_0", "q4_K", "iq4_nl", "mxfp4"})
"""Types that an x86 CPU with AVX2 keeps in another order when the host computes with them (repack.cpp)."""
_REPACKED_ROWS = 8


class Part(Enum):
    """The part of the model that a tensor belongs to, as far as its place goes."""

    INPUT = "input"
    """Always in the master's RAM: the token embedding and what stands beside it."""
    BLOCK = "block"
    OUTPUT = "output"
    ROPE = "rope"
    """RoPE tables: every device with blocks has them."""
    UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class Placed:
    """One tensor and where it belongs."""

    tensor: TensorInfo
    part: Part
    block: int = 0

    @property
    def repacked(self) -> bool:
        """Whether the host, when it computes with it, keeps it outside of the mapped file."""
        t = self.tensor
        rows = t.shape[1] if len(t.shape) > 1 else 0
        return (
            self.part is Part.BLOCK
            and t.type_name in _REPACKED
            and rows % _REPACKED_ROWS == 0
            and t.name.endswith(".weight")
        )

    @property
    def expert(self) -> bool:
        return _EXPERTS.search(self.tensor.name) is not None

    @property
    def dense_ffn(self) -> bool:
        return _FFN.search(self.tensor.name) is not None


_OUTPUT_PREFIXES = ("output", "cls", "altup_proj", "altup_unembd_proj")
_WITH_FIRST_BLOCK = ("per_layer_model_proj", "per_layer_proj_norm")


def place(tensor: TensorInfo, arch: str, blocks: int) -> Placed:
    """The part that a tensor belongs to; `blocks` is the model's count."""
    name = tensor.name
    match = BLOCK_TENSOR.match(name)
    if match and int(match[1]) < blocks:
        return Placed(tensor, Part.BLOCK, int(match[1]))
    if name.startswith(("rope_freqs", "rope_factors")):
        return Placed(tensor, Part.ROPE)
    if name.startswith(_WITH_FIRST_BLOCK) and blocks:
        return Placed(tensor, Part.BLOCK, 0)
    if name.startswith("token_embd_norm") and architecture(arch).embedding_norm_is_output_norm:
        return Placed(tensor, Part.OUTPUT)
    return Placed(tensor, Part.OUTPUT if name.startswith(_OUTPUT_PREFIXES) else Part.INPUT)


@dataclass(frozen=True, slots=True)
class BufferKind:
    """How a backend lays tensors out in a buffer."""

    alignment_bytes: int = 32
    row_elements: int = 0
    """Quantised tensors whose rows are no multiple of this get one more stretch of row; 0: none."""

    def size_bytes(self, tensor: TensorInfo) -> int:
        """The tensor's bytes in a buffer of this kind."""
        size = tensor.size_bytes
        if self.row_elements and tensor.shape and (over := tensor.shape[0] % self.row_elements):
            row = TYPES_BY_NAME.get(tensor.type_name)
            if row is not None and row.elements > 1:
                size += (self.row_elements - over) // row.elements * row.size_bytes
        return -(-size // self.alignment_bytes) * self.alignment_bytes


CPU = BufferKind()
CUDA = BufferKind(128, 512)
"""`MATRIX_ROW_PADDING` of ggml-cuda.cu."""


def buffer_kind(backend: str) -> BufferKind:
    """By `Device.backend`."""
    return CUDA if backend == "cuda" else CPU


def mapped_bytes(tensors: Iterable[TensorInfo]) -> int:
    """What mapping these takes: each file from the first of them to the last, whatever lies between.

    `llama_model_loader::get_mapping_range`, read off `CPU_Mapped model buffer size`.
    """
    ranges: dict[int, tuple[int, int]] = {}
    for tensor in tensors:
        end = tensor.begin_bytes + tensor.size_bytes
        low, high = ranges.get(tensor.part, (tensor.begin_bytes, end))
        ranges[tensor.part] = min(low, tensor.begin_bytes), max(high, end)
    return sum(high - low for low, high in ranges.values())


def host_bytes(held: Sequence[Placed], *, maps_files: bool, repacks: bool) -> int:
    """The master's model buffers for the tensors that it holds.

    `repacks`: it keeps some of them in another order, for its own CPU. With an accelerator beside it llama.cpp
    leaves them as they are, ready to be copied there (`make_cpu_buft_list` of b10068 and b11434).
    """
    if not maps_files:
        return sum(CPU.size_bytes(p.tensor) for p in held)
    repacked = sum(p.tensor.size_bytes for p in held if repacks and p.repacked)
    return repacked + mapped_bytes(p.tensor for p in held if not (repacks and p.repacked))
