"""Whether one model may propose tokens to another: by what their files say of the vocabulary.

The rule is that of `common_speculative_are_compatible` (common/speculative.cpp, b11549), but for the tokens' texts,
which llama.cpp compares one by one when it starts and a header's reader passes over.
"""

from __future__ import annotations

from hettui.domain.model.shape import ModelShape
from hettui.domain.text import clean_line

MOST_DIFFERENCE = 128
"""Tokens by which the sizes may differ (`SPEC_VOCAB_MAX_SIZE_DIFFERENCE`)."""
_ENDS = (("begins", "add_bos_token", "bos_token_id"), ("ends", "add_eos_token", "eos_token_id"))


def misfit(model: ModelShape, draft: ModelShape) -> str | None:
    """Why the draft cannot propose tokens to the model, as the end of a sentence; None where it may well."""
    kinds = [_said(shape, "model") for shape in (model, draft)]
    if kinds[0] != kinds[1]:
        shown = [clean_line(str(kind), 20) if kind else "none" for kind in kinds]
        return f"its tokenizer is {shown[1]}, the model's {shown[0]}"
    if model.n_vocab and draft.n_vocab and abs(model.n_vocab - draft.n_vocab) > MOST_DIFFERENCE:
        return f"its vocabulary has {draft.n_vocab} tokens, the model's {model.n_vocab}"
    for what, added, token in _ENDS:
        adds = [_said(shape, added) for shape in (model, draft)]
        if None not in adds and adds[0] != adds[1]:
            return f"only one of the two {what} a text with a token of its own"
        tokens = [_said(shape, token) for shape in (model, draft)]
        # A token that is not put there need not be the same.
        if adds != [False, False] and None not in tokens and tokens[0] != tokens[1] and True in adds:
            return f"the token with which a text {what} is another one"
    return None


def _said(shape: ModelShape, key: str) -> object:
    return shape.file.metadata.get(f"tokenizer.ggml.{key}")
