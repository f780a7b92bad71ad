"""Whether one model may propose tokens to another: by what their files say of the vocabulary.

The rule is that of `common_speculative_are_compatible` (common/speculative.cpp, b11549), but for the tokens' texts,
which llama.cpp compares one by one when it starts and a header's reader passes over.
"""

from __future__ import annotations

from hettui.domain.model.shape import ModelShape
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line

MOST_DIFFERENCE = 128
"""Tokens by which the sizes may differ (`SPEC_VOCAB_MAX_SIZE_DIFFERENCE`)."""


@dataclass(frozen=True, slots=True)
class Words:
    """What a file says of its vocabulary. None: it does not."""

    kind: str | None
    """`gpt2`, `llama`, …: which tokenizer."""
    size: int
    """Tokens; 0 is not known."""
    begins: tuple[bool | None, int | None] = (None, None)
    """Whether a text begins with a token of its own, and with which."""
    ends: tuple[bool | None, int | None] = (None, None)

    @classmethod
    def of(cls, shape: ModelShape) -> Words:
        def said(key: str) -> object:
            return shape.file.metadata.get(f"tokenizer.ggml.{key}")

        def end(name: str) -> tuple[bool | None, int | None]:
            added, token = said(f"add_{name}_token"), said(f"{name}_token_id")
            return added if isinstance(added, bool) else None, token if isinstance(token, int) else None

        kind = said("model")
        return cls(kind if isinstance(kind, str) else None, shape.n_vocab, end("bos"), end("eos"))


def misfit(model: Words, draft: Words) -> str | None:
    """Why the draft cannot propose tokens to the model, as the end of a sentence; None where it may well."""
    if model.kind != draft.kind:
        shown = [clean_line(kind or "none", 20) for kind in (draft.kind, model.kind)]
        return f"its tokenizer is {shown[0]}, the model's {shown[1]}"
    if model.size and draft.size and abs(model.size - draft.size) > MOST_DIFFERENCE:
        return f"its vocabulary has {draft.size} tokens, the model's {model.size}"
    for what, mine, its in (("begins", model.begins, draft.begins), ("ends", model.ends, draft.ends)):
        added, tokens = {mine[0], its[0]}, {mine[1], its[1]}
        if added == {True, False}:
            return f"only one of the two {what} a text with a token of its own"
        # A token that is not put there need not be the same.
        if True in added and len(tokens - {None}) > 1:
            return f"the token with which a text {what} is another one"
    return None
