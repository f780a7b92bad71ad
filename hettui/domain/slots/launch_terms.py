"""The terms of a launch, by its model, settings and build."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.llama.build import EngineInfo
from hettui.domain.llama.options import option_spelled
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.context import cells, context_size, contexts, kept_bytes_per_cell
from hettui.domain.memory.workload import Workload
from hettui.domain.model.architecture import architecture
from hettui.domain.model.shape import ModelShape
from hettui.domain.slots.terms import Terms

_ALTERS = ("--lora", "--control-vector", "--rope-", "--yarn-", "--override-kv", "--grp-attn", "--no-cache-prompt")
"""Options after which the same tokens make another context; llama.cpp does not notice."""
_LONG_ROPE = "rope_factors_long.weight"


def terms_of(workload: Workload, model: str, engine: EngineInfo | str, extra_args: Sequence[str] = ()) -> Terms:
    """Those of a llama-server with this model, these settings and this build."""
    params, shape, kept = workload.params, workload.shape, contexts(workload)
    geometry = cells(params, context_size(workload))
    per_block = kept_bytes_per_cell(workload)
    windowed = [b for c, b in zip(kept, per_block, strict=True) if c.window and not params.swa_full]
    window = max((c.window for c in kept), default=0)
    return Terms(
        model=model,
        fingerprint=shape.fingerprint,
        engine=engine if isinstance(engine, str) else f"b{engine.build} {engine.version}".strip(),
        slots=params.slots,
        unified=params.unified,
        streams=geometry.streams,
        slot_tokens=geometry.full,
        cache_type_k=params.cache_type_k,
        cache_type_v=params.cache_type_v,
        flash_attn=params.flash_attn != "off" and architecture(shape.file.architecture).flash_attn,
        windows=window > 0,
        swa_full=params.swa_full,
        recurrent=any(c.state_values for c in kept),
        long_rope=_long_rope(shape, params, geometry.full),
        altered=(*_altered_by(params), *altered(extra_args)),
        token_bytes=sum(per_block) - sum(windowed),
        window_token_bytes=sum(windowed),
        window_tokens=geometry.windowed(window, params) if windowed else 0,
        state_bytes=sum(c.state_values * 4 for c in kept),
    )


def _long_rope(shape: ModelShape, params: RuntimeParams, slot_tokens: int) -> bool:
    """`llama_model::get_rope_factors`: the long factors once a slot's context is larger than the original one."""
    trained = shape.file.integer("rope.scaling.original_context_length") or shape.n_ctx_train
    has = any(t.name.endswith(_LONG_ROPE) for t in shape.file.tensors)
    return has and slot_tokens > trained


def _altered_by(params: RuntimeParams) -> tuple[str, ...]:
    """The same of the settings, as words of a command line."""
    said = [("--lora", params.lora), ("--control-vector", params.control_vector)]
    return tuple(f"{word} {','.join(files)}" for word, files in said if files)


def altered(extra_args: Sequence[str]) -> tuple[str, ...]:
    """The words of a command line that make another context of the same tokens, with their values."""
    found: list[str] = []
    for word, following in zip(extra_args, (*extra_args[1:], ""), strict=False):
        known = option_spelled(word)
        spelling = (known.spellings[0] if known else word).partition("=")[0]
        if spelling.startswith(_ALTERS):
            found.append(word if "=" in word or following.startswith("--") else f"{word} {following}".strip())
    return tuple(found)
