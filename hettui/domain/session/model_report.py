"""What `hettui model` says."""

from __future__ import annotations

from hettui.domain.memory.context import contexts, known, kv_bytes_per_cell
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.session.doubts import refusal
from hettui.domain.text import clean_line
from hettui.domain.units import MIB, UNKNOWN, format_bytes


def model_json(shape: ModelShape) -> dict[str, object]:
    return {
        "path": shape.file.paths[0],
        "architecture": shape.file.architecture,
        "blocks": shape.blocks,
        "layers": shape.layers,
        "file_bytes": shape.file.file_bytes,
    }


def model_details_json(workload: Workload) -> dict[str, object]:
    """The document of `hettui model --json`."""
    shape = workload.shape
    return model_json(shape) | {
        "name": shape.name,
        "quantisation": shape.quantisation,
        "parts": len(shape.file.paths),
        "context_length": shape.n_ctx_train or None,
        "embedding_length": shape.n_embd or None,
        "vocabulary": shape.n_vocab or None,
        "tied_embeddings": shape.tied,
        "block_bytes": list(shape.block_bytes),
        "output_bytes": shape.output_bytes,
        "host_bytes": shape.host_bytes,
        "block_kinds": [c.kind for c in contexts(workload)],
        "known_architecture": known(shape),
        "problem": refusal(workload),
        "state_bytes_per_slot": sum(c.state_values * 4 for c in contexts(workload)),
        "kv_bytes_per_token": sum(kv_bytes_per_cell(workload, b) for b in range(shape.blocks)),
    }


def model_text(workload: Workload) -> str:
    shape, params = workload.shape, workload.params
    kv = sum(kv_bytes_per_cell(workload, b) for b in range(shape.blocks))
    blocks = shape.block_bytes or (0,)
    low, high = min(blocks) / MIB, max(blocks) / MIB
    per_block = f"{low:.1f} MiB" if low == high else f"{low:.1f} to {high:.1f} MiB"
    facts = [
        ("model", shape.name),
        ("file", shape.file.paths[0] + (f" and {len(shape.file.paths) - 1} more" if len(shape.file.paths) > 1 else "")),
        ("size", f"{format_bytes(shape.file.file_bytes)}, {shape.quantisation}"),
        ("architecture", shape.file.architecture + ("" if known(shape) else ", unknown to hettui: the general rule")),
        ("layers", f"{shape.layers}: {shape.blocks} blocks and the output layer"),
        ("each block", per_block),
        ("output layer", format_bytes(shape.output_bytes) + (" (a copy of the embedding)" if shape.tied else "")),
        ("on the host", format_bytes(shape.host_bytes)),
        ("KV cache", f"{kv / 1024:.1f} KiB per token ({params.cache_type_k}/{params.cache_type_v})"),
        ("blocks keep", _kinds(workload)),
        ("trained for", f"{shape.n_ctx_train} tokens" if shape.n_ctx_train else UNKNOWN),
        ("vocabulary", str(shape.n_vocab) if shape.n_vocab else UNKNOWN),
    ]
    if problem := refusal(workload):
        facts.append(("problem", problem))
    return "\n".join(f"{key:<13}{clean_line(value, 400)}" for key, value in facts)


def _kinds(workload: Workload) -> str:
    """`24 × attention, 24 × window of 128`"""
    counts: dict[str, int] = {}
    for context in contexts(workload):
        counts[context.kind] = counts.get(context.kind, 0) + 1
    return ", ".join(f"{n} × {kind}" for kind, n in counts.items()) or UNKNOWN
