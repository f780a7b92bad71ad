"""Writes small GGUF files for tests: true headers, and a hole where the weights would be."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hettui.domain.model.ggml import TENSOR_TYPES

_IDS = {row.name: number for number, row in TENSOR_TYPES.items()}


class Signed(int):
    """A number that llama.cpp wants as int32."""


_KINDS: dict[type, tuple[int, str]] = {bool: (7, "?"), int: (4, "I"), Signed: (5, "i"), float: (6, "f")}

Tensor = tuple[str, tuple[int, ...], str]


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str, value: Any) -> bytes:
    """One key with its value; the type follows from Python's."""
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, list):
        if value and isinstance(value[0], str):
            return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(v) for v in value)
        kind, code = _KINDS[type(value[0])] if value else (4, "I")
        return text(key) + struct.pack("<IIQ", 9, kind, len(value)) + struct.pack(f"<{len(value)}{code}", *value)
    kind, code = _KINDS[type(value)]
    return text(key) + struct.pack("<I", kind) + struct.pack("<" + code, value)


def header(metadata: Mapping[str, Any], tensors: Sequence[Tensor], version: int = 3) -> tuple[bytes, int]:
    """The header, padded, and the bytes of all tensors."""
    rows, offset = b"", 0
    for name, shape, type_name in tensors:
        rows += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        rows += struct.pack("<IQ", _IDS[type_name], offset)
        elements = 1
        for n in shape:
            elements *= n
        row = TENSOR_TYPES[_IDS[type_name]]
        offset += -(-(elements // row.elements * row.size_bytes) // 32) * 32
    start = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    data = start + b"".join(pair(k, v) for k, v in metadata.items()) + rows
    return data + b"\0" * (-len(data) % 32), offset


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Sequence[Tensor], version: int = 3) -> Path:
    """A file that is sound; its tensors are a hole and take no space on the disk."""
    head, size = header(metadata, tensors, version)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    return path


WORDS = ("alpha", "beta", "gamma", "delta", "layer", "card", "split", "token", "block", "cache", "bus", "slot")


def with_tokenizer(metadata: Mapping[str, Any], vocabulary: int) -> dict[str, Any]:
    """The metadata with a vocabulary of which llama.cpp makes text: the model can be asked, whatever it answers."""
    words = [f"\u2581{word}{n or ''}" for n in range(8) for word in WORDS]
    tokens = ["<unk>", "<s>", "</s>", *words, *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [2, 3, 3, *(1 for _ in words), *(6 for _ in range(256))]
    kinds += [1] * (vocabulary - len(kinds))
    tokens += [f"t{i}" for i in range(vocabulary - len(tokens))]
    return {
        **metadata,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-float(i) for i in range(vocabulary)],
        "tokenizer.ggml.token_type": [Signed(kind) for kind in kinds],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }


def llama(blocks: int = 4, *, tied: bool = True, vocabulary: int = 320) -> tuple[dict[str, Any], list[Tensor]]:
    """A small model of the llama architecture."""
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "general.name": "Test Llama",
        "general.file_type": 15,
        "llama.block_count": blocks,
        "llama.embedding_length": 256,
        "llama.feed_forward_length": 512,
        "llama.context_length": 2048,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "tokenizer.ggml.tokens": [f"t{i}" for i in range(vocabulary)],
        "tokenizer.ggml.scores": [0.5] * vocabulary,
        "rope.scaling": [1.0, 2.0],
    }
    tensors: list[Tensor] = [("token_embd.weight", (256, vocabulary), "q8_0"), ("output_norm.weight", (256,), "f32")]
    for i in range(blocks):
        tensors += [(f"blk.{i}.attn_q.weight", (256, 256), "q4_K"), (f"blk.{i}.ffn_up.weight", (256, 512), "q6_K")]
    if not tied:
        tensors.append(("output.weight", (256, vocabulary), "q6_K"))
    return metadata, tensors
