"""Speculative decoding as llama-server is told of it, in the words of the build at hand."""

from __future__ import annotations

from collections.abc import Collection

from hettui.domain.errors import ConfigError
from hettui.domain.llama.options import flag, spelled
from hettui.domain.llama.params import DRAFT_MODEL, DRAFT_MTP, Drafting

_EVERY_LAYER = "999"
"""Older builds have no word for all of them."""


def draft_words(draft: Drafting, place: str, known: Collection[str]) -> list[str]:
    """`place`: llama.cpp's name of the draft model's device, or `none`. `known`: the build's long options.

    The device is always said: left out, the draft is spread over all of them, and each token that it proposes goes
    around the workers (b11434, 25 ms: 2.39 tokens a second instead of 4.35). Raises ConfigError where the build cannot.
    """
    if known and flag("spec-type") not in known and draft.type != DRAFT_MODEL:
        raise ConfigError(f"[draft] type {draft.type}: this llama.cpp build has no --spec-type; use a newer one")
    said: list[tuple[str, object]] = []
    if draft.has_model:
        said += [("spec-draft-model", draft.model), ("spec-draft-device", place), ("spec-draft-ngl", _EVERY_LAYER)]
    if not known or flag("spec-type") in known:
        said.append(("spec-type", draft.type))
    if draft.type in (DRAFT_MODEL, DRAFT_MTP):
        said += [("spec-draft-type-k", draft.cache_type_k), ("spec-draft-type-v", draft.cache_type_v)]
    said += [(name, value) for name, value in _numbers(draft) if value is not None]
    return [word for name, value in said for word in (spelled(name, known), str(value))]


def _numbers(draft: Drafting) -> list[tuple[str, object]]:
    if draft.type in (DRAFT_MODEL, DRAFT_MTP):
        least, surest = ("spec-draft-n-min", draft.n_min), ("spec-draft-p-min", draft.p_min)
        return [("spec-draft-n-max", draft.n_max), least, surest]
    if draft.type == "ngram-mod":
        return [("spec-ngram-mod-n-max", draft.n_max), ("spec-ngram-mod-n-min", draft.n_min)]
    return [(f"spec-{draft.type}-size-m", draft.n_max)]
