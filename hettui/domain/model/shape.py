"""What a GGUF header says, and what follows from it for planning.

`ModelFile` is the header as it stands; `ModelShape` is the arithmetic on it: bytes of every block, of the
output layer and of the token embedding, heads and widths per block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any

from hettui.domain.errors import ModelFileError
from hettui.domain.model.architecture import architecture
from hettui.domain.model.block_context import BlockContext, block_contexts
from hettui.domain.model.header import ModelFile
from hettui.domain.model.movable import Movable
from hettui.domain.model.reads import GB, Read, reads_by_layer
from hettui.domain.model.weights import BLOCK_TENSOR, Part, Placed, place
from hettui.domain.records import dataclass

MAX_BLOCKS = 4096
"""Far above LLAMA_MAX_LAYERS (512); the count comes from a file and decides how much is allocated."""

# llama.cpp's llama_ftype names (include/llama.h, b11434) for general.file_type.
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16",
    36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4", 40: "Q1_0", 41: "Q2_0",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class ModelShape:
    """The numbers that planning needs, derived once per model."""

    file: ModelFile
    blocks: int
    """`<arch>.block_count`, MTP/NextN blocks included, as llama.cpp counts them."""
    block_bytes: tuple[int, ...]
    output_bytes: int
    """Output norm and output matrix; of a tied model the copy of the token embedding that llama.cpp makes."""
    host_bytes: int
    """What always stays in the master's RAM: the token embedding and what belongs to no block."""
    embedding_bytes: int
    """The token embedding alone."""
    tied: bool
    """The model has no output matrix of its own."""

    @classmethod
    def of(cls, file: ModelFile) -> ModelShape:
        """What is missing counts as 0, and `blocks` may be 0. Raises ModelFileError for a count that cannot be."""
        blocks = file.integer("block_count")
        if not 0 <= blocks <= MAX_BLOCKS:
            raise ModelFileError(f"{file.paths[0]} claims to have {blocks} blocks: it is damaged, fetch it again")
        block_bytes = [0] * blocks
        output = embedding = host = 0
        tied = architecture(file.architecture).keeps_context
        for tensor in file.tensors:
            placed = place(tensor, file.architecture, blocks)
            if placed.part is Part.BLOCK:
                block_bytes[placed.block] += tensor.size_bytes
            elif placed.part is Part.OUTPUT:
                output += tensor.size_bytes
                tied = tied and tensor.name != "output.weight"
            elif placed.part is Part.INPUT:
                host += tensor.size_bytes
                embedding += tensor.size_bytes if tensor.name == "token_embd.weight" else 0
        if tied:
            output += embedding
        return cls(file, blocks, tuple(block_bytes), output, host, embedding, tied)

    @property
    def layers(self) -> int:
        """What llama.cpp counts: the blocks and the output layer."""
        return self.blocks + 1

    @cached_property
    def weights_bytes(self) -> int:
        """All tensors as the file holds them."""
        return sum(t.size_bytes for t in self.file.tensors)

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """Every tensor and the part of the model that it belongs to."""
        return tuple(place(t, self.file.architecture, self.blocks) for t in self.file.tensors)

    @cached_property
    def tensor_shapes(self) -> tuple[Mapping[str, tuple[int, ...]], ...]:
        """Per block: each tensor's elements per dimension, by name without `blk.N.`."""
        found: tuple[dict[str, tuple[int, ...]], ...] = tuple({} for _ in range(self.blocks))
        for tensor in self.file.tensors:
            match = BLOCK_TENSOR.match(tensor.name)
            if match and int(match[1]) < self.blocks:
                found[int(match[1])][tensor.name[match.end() :]] = tensor.shape
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Equal for models with the same tensors."""
        tensors = [(t.name, t.shape, t.type_name) for t in self.file.tensors]
        return hashlib.sha256(repr(tensors).encode()).hexdigest()

    @cached_property
    def contexts(self) -> tuple[BlockContext, ...]:
        """What each block keeps of a request."""
        return block_contexts(self.file, self.blocks)

    @cached_property
    def layer_reads(self) -> tuple[Mapping[str, float], ...]:
        """GB by kind of weights that decoding one token reads of each layer, the output layer last: of the experts only
        the chosen ones."""
        return reads_by_layer([read for _, read in self.reads], self.layers)

    @cached_property
    def reads(self) -> tuple[tuple[Placed, Read], ...]:
        """Every tensor that decoding one token reads, and how much of it."""
        used, count = self.file.integer("expert_used_count"), self.file.integer("expert_count")
        part = min(1.0, used / count) if used and count else 1.0
        reads, first_mtp = [], self.blocks - self.mtp_blocks
        for placed in self.placed:
            tensor = placed.tensor
            if placed.part is Part.BLOCK and placed.block < first_mtp:
                size = tensor.size_bytes * (part if placed.expert else 1)
                reads.append((placed, Read(placed.block, tensor.type_name, placed.expert, size)))
            elif placed.part is Part.OUTPUT or (self.tied and tensor.name == "token_embd.weight"):
                reads.append((placed, Read(self.blocks, tensor.type_name, False, tensor.size_bytes)))
        return tuple(reads)

    @cached_property
    def layer_read_bytes(self) -> tuple[int, ...]:
        """The same in bytes, all kinds together."""
        return tuple(round(GB * sum(kinds.values())) for kinds in self.layer_reads)

    @cached_property
    def worked_out(self) -> dict[Hashable, Any]:
        """What others worked out about this model, so that it is found again: it goes with the last reference."""
        return {}

    @cached_property
    def mixtures(self) -> frozenset[int]:
        """The blocks that have experts."""
        return frozenset(p.block for p in self.placed if p.part is Part.BLOCK and p.expert)

    @cached_property
    def movable(self) -> frozenset[int]:
        """The blocks of which a part can lie apart: see `moves`."""
        dense = (p.block for p in self.placed if p.part is Part.BLOCK and p.dense_ffn)
        return self.mixtures or frozenset(dense)

    @property
    def moves(self) -> Movable:
        """What of them can: experts where the model has any, and then nothing of its dense blocks."""
        return "experts" if self.mixtures else "FFN"

    @property
    def mtp_blocks(self) -> int:
        """The last blocks of the file that only speculative decoding uses (MTP, NextN)."""
        return min(self.file.integer("nextn_predict_layers"), self.blocks)

    @property
    def n_embd(self) -> int:
        return self.file.integer("embedding_length")

    @property
    def n_ctx_train(self) -> int:
        return self.file.integer("context_length")

    @cached_property
    def n_vocab(self) -> int:
        declared = self.file.integer("vocab_size")
        return declared or self.file.array_lengths.get("tokenizer.ggml.tokens", 0)

    @cached_property
    def n_head(self) -> tuple[int, ...]:
        return self.file.per_block("attention.head_count", self.blocks)

    @property
    def name(self) -> str:
        name = self.file.metadata.get("general.name")
        return str(name) if name else self.file.paths[0].rsplit("/", 1)[-1].removesuffix(".gguf")

    @property
    def quantisation(self) -> str:
        """`Q4_K_M` from general.file_type; without it the type that holds most bytes."""
        file_type = self.file.metadata.get("general.file_type")
        if isinstance(file_type, int) and file_type in _FILE_TYPES:
            return _FILE_TYPES[file_type]
        by_type: dict[str, int] = {}
        for tensor in self.file.tensors:
            by_type[tensor.type_name] = by_type.get(tensor.type_name, 0) + tensor.size_bytes
        return max(by_type, key=lambda t: by_type[t]).upper() if by_type else "–"
