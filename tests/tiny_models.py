"""Models of three kinds that a slow machine reads a thousand tokens of in a moment: sound, and all weights zero.

What they answer means nothing; what they keep of a prompt is kept as in their large relatives.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.gguf_files import with_tokenizer, write_gguf
from tests.truth.models import Header, Recipe, _lfm2, _llama

_VOCABULARY = 512
WINDOW = 64


def dense() -> Header:
    return _llama("Tiny Llama", 4, 128, 128, 4, 2, _VOCABULARY, tied=True, fine=True)


def windowed() -> Header:
    """Five of six blocks see a window of 64 tokens."""
    r = Recipe("gemma3", "Tiny Gemma", 6, 64, 128, _VOCABULARY, 4, 2, 32, fine=True)
    r.key("attention.sliding_window", WINDOW)
    r.ends(tied=True)
    for i in range(r.blocks):
        r.norms(i, "attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")
        r.attention(i, norms=True)
        r.dense(i)
    return r.done()


def hybrid() -> Header:
    """Short convolutions, and attention in every second block."""
    r = Recipe("lfm2", "Tiny LFM", 4, 256, 256, _VOCABULARY, 8, 8, 32, fine=True)
    return _lfm2(r, 4, {1, 3}, r.dense)


KINDS: dict[str, Callable[[], Header]] = {"dense": dense, "windowed": windowed, "hybrid": hybrid}


def write(folder: Path, kind: str) -> Path:
    metadata, tensors = KINDS[kind]()
    return write_gguf(folder / f"tiny-{kind}.gguf", with_tokenizer(metadata, _VOCABULARY), tensors)
