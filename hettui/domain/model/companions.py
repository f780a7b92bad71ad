"""Files that are loaded beside a model: a projector, LoRA adapters. Their headers as they stand."""

from __future__ import annotations

from collections.abc import Mapping

from hettui.domain.model.header import ModelFile, TensorInfo
from hettui.domain.model.shape import ModelShape
from hettui.domain.model.weights import BLOCK_TENSOR
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line

_A, _B = ".lora_a", ".lora_b"


@dataclass(frozen=True, eq=False)
class Companions:
    """What was read of the settings' files."""

    projector: ModelFile | None = None
    adapters: tuple[ModelFile, ...] = ()


ALONE = Companions()


def changed_by(adapter: ModelFile) -> Mapping[str, tuple[TensorInfo, ...]]:
    """An adapter's tensors by the name of the model's tensor that they change; norms are passed over, as llama.cpp
    does (`llama_adapter_lora_init_impl`, b10068 and b11434)."""
    found: dict[str, tuple[TensorInfo, ...]] = {}
    for tensor in adapter.tensors:
        if tensor.name.endswith((_A, _B)):
            name = tensor.name[: -len(_A)]
            found[name] = (*found.get(name, ()), tensor)
    return found


def no_adapter(adapter: ModelFile, shape: ModelShape, *, with_mtp: bool = False) -> str | None:
    """Why llama.cpp would not take this adapter for this model; None: it would. `with_mtp`: the model's MTP blocks are
    loaded, too."""
    said = adapter.metadata
    if said.get("general.type") != "adapter" or said.get("adapter.type") != "lora":
        return "it is no LoRA adapter in GGUF: convert_lora_to_gguf.py of llama.cpp makes one"
    if adapter.architecture != shape.file.architecture:
        mine, its = clean_line(shape.file.architecture, 40), clean_line(adapter.architecture, 40)
        return f"it was made for {its}, and the model is {mine}"
    shapes = {tensor.name: tensor.shape for tensor in shape.file.tensors}
    for name, pair in changed_by(adapter).items():
        parts = {tensor.name[-len(_A) :]: tensor.shape for tensor in pair}
        block = BLOCK_TENSOR.match(name)
        if block and not with_mtp and shape.blocks - shape.mtp_blocks <= int(block[1]) < shape.blocks:
            # glm4moe in b10068 and b11434: "does not exist in base model".
            return f"it changes block {int(block[1])}, an MTP block that is not loaded without [draft] type = draft-mtp"
        if name not in shapes:
            return f"it changes {clean_line(name, 60)}, which the model does not have: it was made for another one"
        if len(parts) < len((_A, _B)):
            return f"of {clean_line(name, 60)} it has one half only: fetch it again"
        if "token_embd" not in name and not _suits(shapes[name], parts[_A], parts[_B]):
            return f"its {clean_line(name, 60)} has other widths than the model's: it was made for another one"
    return None


def _suits(base: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...]) -> bool:
    return len(base) > 1 and len(low) > 1 and len(high) > 1 and (base[0], base[1]) == (low[0], high[1])


def no_projector(projector: ModelFile) -> str | None:
    """Why llama.cpp would not take this file as a projector; None: it may."""
    if projector.architecture != "clip":
        return "it is no projector: projectors are files of their own, mostly named mmproj-….gguf"
    return None
