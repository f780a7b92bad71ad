"""The part of a block that can lie elsewhere than the block, and the names of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Movable = Literal["experts", "FFN"]
"""What of a block can lie apart from its attention and context: of a mixture its experts, of a dense model a block's
whole feed-forward."""
PATTERNS: Mapping[Movable, str] = {
    "experts": r"\.ffn_(up|down|gate|gate_up)_(ch|)exps",
    "FFN": r"\.ffn_(up|down|gate)\.",
}
"""llama.cpp's own: `LLM_FFN_EXPS_REGEX` of common/common.h (b10068 and b11434), and `LLM_FFN_DENSE_REGEX` (b11434): all
of a dense feed-forward, biases and scales included, and no shared experts."""
