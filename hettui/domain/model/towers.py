"""What stands in a file beside a text model that llama.cpp loads from a file of its own."""

from __future__ import annotations

from hettui.domain.model.header import ModelFile
from hettui.domain.units import format_bytes

_HEADS = ("v.", "a.", "mm.", "resampler.")
"""How tensors of vision and audio towers begin (tools/mtmd/clip-impl.h of b11434); no text model has such names
(`LLM_TENSOR_NAMES` of src/llama-arch.cpp)."""
_TOWER = "clip"
"""The architecture of a file that holds nothing else."""


def merged_tower(file: ModelFile) -> str | None:
    """Why llama.cpp refuses a text model with a tower in the same file; None: there is none."""
    found = [t for t in file.tensors if t.name.startswith(_HEADS)]
    if not found or file.architecture == _TOWER:
        return None
    heard = all(t.name.startswith("a.") for t in found)
    return (
        f"a text model and {'an audio' if heard else 'a vision'} tower in one file ({len(found)} tensors, "
        f"{format_bytes(sum(t.size_bytes for t in found))}), as Ollama makes them, which llama.cpp refuses (wrong "
        "number of tensors): fetch the model as GGUF from elsewhere, with its mmproj file apart"
    )
