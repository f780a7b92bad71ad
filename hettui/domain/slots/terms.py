"""Under which terms a slot's context was computed: all that decides whether another llama-server can take it.

From `state_read` of `llama_kv_cache`, `llama_kv_cache_iswa` and `llama_memory_recurrent`, and runs of both builds:
devices, split and batch sizes are no part of a saved slot; streams, types of the cache and flash attention are.
"""

from __future__ import annotations

from hettui.domain.records import dataclass

_TOKEN_RECORD_BYTES = 16
"""Of a saved token beside its K and V: its number, its position, and which sequences have its cell."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Of one llama-server. What two of them do not share decides `keeping.verdict`."""

    model: str
    """The file."""
    fingerprint: str
    """Of its tensors."""
    engine: str
    """The build, as it says it itself."""
    slots: int
    unified: bool
    streams: int
    """Of the KV cache: one for all slots when unified, else one each."""
    slot_tokens: int
    """What a slot's share of the context holds; of a unified one, all of it."""
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attn: bool = True
    """`auto` counts as what llama.cpp makes of it: on, where the architecture has it."""
    windows: bool = False
    """Some blocks see a sliding window only."""
    swa_full: bool = False
    recurrent: bool = False
    """Some blocks keep a state instead of a cache."""
    long_rope: bool = False
    """Positions are turned by the factors for long contexts, which the size of the context decides."""
    altered: tuple[str, ...] = ()
    """Words of `extra-args` that change what a token's context is."""
    token_bytes: int = 0
    """Saved for each token, in blocks that see everything."""
    window_token_bytes: int = 0
    """The same in blocks that see a window, for the tokens that they still have."""
    window_tokens: int = 0
    state_bytes: int = 0
    """Of recurrent blocks, whatever the number of tokens."""

    def saved_bytes(self, tokens: int) -> int:
        """What one slot with so many tokens takes on disk."""
        if tokens <= 0:
            return 0
        in_windows = min(tokens, self.window_tokens) * self.window_token_bytes
        return tokens * (self.token_bytes + _TOKEN_RECORD_BYTES) + in_windows + self.state_bytes
