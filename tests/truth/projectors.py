"""Headers of vision projectors, LoRA adapters and control vectors: as `models`, for what lies beside a model.

Tensor names and shapes are those that tools/mtmd/clip.cpp and src/llama-adapter.cpp of b10068 and b11434 load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hettui.domain.model.ggml import TYPES_BY_NAME
from tests.gguf_files import Tensor

Header = tuple[dict[str, Any], list[Tensor]]


def _tower(
    kind: str, text: int, *, n: int, width: int, ff: int, heads: int, size: int, patch: int, gated: bool = False,
    fused: bool = False, bias: bool = True, type_name: str = "f16", more: dict[str, Any] | None = None,
) -> Header:  # fmt: skip
    metadata: dict[str, Any] = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "clip.has_vision_encoder": True,
        "clip.projector_type": kind,
        "clip.use_gelu": True,
        "clip.vision.image_size": size,
        "clip.vision.patch_size": patch,
        "clip.vision.embedding_length": width,
        "clip.vision.feed_forward_length": ff,
        "clip.vision.block_count": n,
        "clip.vision.attention.head_count": heads,
        "clip.vision.attention.layer_norm_epsilon": 1e-6,
        "clip.vision.projection_dim": text,
        "clip.vision.image_mean": [0.5, 0.5, 0.5],
        "clip.vision.image_std": [0.5, 0.5, 0.5],
        **(more or {}),
    }
    tensors: list[Tensor] = []

    def put(name: str, *shape: int) -> None:
        tensors.append((name, shape, "f32" if len(shape) == 1 or name.startswith("v.position") else type_name))

    def both(name: str, *shape: int) -> None:
        put(f"{name}.weight", *shape)
        if bias:
            put(f"{name}.bias", shape[-1])

    put("v.patch_embd.weight", patch, patch, 3, width)
    for i in range(n):
        block = f"v.blk.{i}."
        if fused:
            both(block + "attn_qkv", width, 3 * width)
        else:
            for letter in "qkv":
                both(f"{block}attn_{letter}", width, width)
        both(block + "attn_out", width, width)
        for norm in ("ln1", "ln2"):
            put(f"{block}{norm}.weight", width)
            if kind != "qwen2.5vl_merger":
                put(f"{block}{norm}.bias", width)
        both(block + "ffn_up", width, ff)
        if gated:
            both(block + "ffn_gate", width, ff)
        both(block + "ffn_down", ff, width)
    return metadata, tensors


def gemma3(text: int) -> Header:
    """The tower of gemma 3 (SigLIP), cut to four blocks."""
    metadata, tensors = _tower("gemma3", text, n=4, width=1152, ff=4304, heads=16, size=896, patch=14)
    tensors += [
        ("v.patch_embd.bias", (1152,), "f32"),
        ("v.position_embd.weight", (1152, 4096), "f32"),
        ("v.post_ln.weight", (1152,), "f32"),
        ("v.post_ln.bias", (1152,), "f32"),
        ("mm.input_projection.weight", (text, 1152), "f16"),
        ("mm.soft_emb_norm.weight", (1152,), "f32"),
    ]
    return metadata, tensors


def idefics3(text: int) -> Header:
    """SmolVLM's: SigLIP with pixels shuffled together."""
    more = {"clip.vision.projector.scale_factor": 4, "clip.vision.preproc_image_size": 2048}
    metadata, tensors = _tower(
        "idefics3", text, n=3, width=768, ff=3072, heads=12, size=512, patch=16, type_name="q8_0", more=more
    )
    tensors = [(n, s, "f16" if n.startswith("v.patch") and len(s) > 1 else t) for n, s, t in tensors]
    tensors += [
        ("v.patch_embd.bias", (768,), "f32"),
        ("v.position_embd.weight", (768, 1024), "f32"),
        ("v.post_ln.weight", (768,), "f32"),
        ("v.post_ln.bias", (768,), "f32"),
        ("mm.model.fc.weight", (768 * 16, text), "q8_0"),
    ]
    return metadata, tensors


def _qwen(kind: str, text: int, n: int, *, width: int, ff: int, **more: Any) -> Header:
    metadata, tensors = _tower(kind, text, n=n, width=width, ff=ff, heads=16, size=560, patch=14, **more)
    tensors += [
        ("v.patch_embd.weight.1", (14, 14, 3, width), "f16"),
        ("v.post_ln.weight", (width,), "f32"),
        *([("v.post_ln.bias", (width,), "f32")] if kind == "qwen2vl_merger" else []),
        ("mm.0.weight", (4 * width, 4 * width), "f16"),
        ("mm.0.bias", (4 * width,), "f32"),
        ("mm.2.weight", (4 * width, text), "f16"),
        ("mm.2.bias", (text,), "f32"),
    ]
    return metadata, tensors


def qwen2vl(text: int) -> Header:
    return _qwen("qwen2vl_merger", text, 3, width=1280, ff=5120)


def qwen25vl(text: int) -> Header:
    more = {"clip.vision.n_wa_pattern": 2, "clip.use_gelu": False, "clip.use_silu": True}
    return _qwen("qwen2.5vl_merger", text, 4, width=1280, ff=3420, gated=True, more=more)


PROJECTORS: dict[str, Callable[[int], Header]] = {
    "gemma3": gemma3, "idefics3": idefics3, "qwen2vl": qwen2vl, "qwen25vl": qwen25vl,
}  # fmt: skip


def lora(model: Header, rank: int, *, parts: Sequence[str] = (), type_name: str = "f32") -> Header:
    """An adapter for a model's matrices whose names hold one of `parts`; for all of its blocks' without any."""
    metadata, tensors = model
    arch = str(metadata["general.architecture"])
    found: list[Tensor] = []
    # MTP blocks are not loaded unless they are asked for.
    own = {name.partition(".nextn.")[0] + "." for name, _, _ in tensors if ".nextn." in name}
    for name, shape, _ in tensors:
        if name.startswith(tuple(own)):
            continue
        if len(shape) != 2 or not name.startswith("blk.") or not name.endswith(".weight"):
            continue
        if "ffn_gate_inp" in name or "conv1d" in name or not any(part in name for part in parts or ("",)):
            continue
        if shape[0] % TYPES_BY_NAME[type_name].elements or rank % TYPES_BY_NAME[type_name].elements:
            continue
        found += [(f"{name}.lora_a", (shape[0], rank), type_name), (f"{name}.lora_b", (rank, shape[1]), type_name)]
    said = {"general.architecture": arch, "general.type": "adapter", "adapter.type": "lora"}
    return {**said, "adapter.lora.alpha": float(rank)}, found


def control_vector(width: int, blocks: int) -> Header:
    """A direction for every block but the first."""
    said = {"general.architecture": "controlvector", "controlvector.model_hint": "test"}
    return said, [(f"direction.{i}", (width,), "f32") for i in range(1, blocks)]
