"""What each block keeps of the context: from the file, and from what llama.cpp knows of its architecture.

Which blocks see only a window, which keep a recurrent state instead of a cache, and which keep nothing.
"""

from __future__ import annotations

from hettui.domain.model.architecture import architecture
from hettui.domain.model.header import ModelFile
from hettui.domain.records import dataclass


@dataclass(frozen=True, slots=True)
class BlockContext:
    """What one block keeps; widths are elements per cell of the cache."""

    k_width: int = 0
    v_width: int = 0
    window: int = 0
    """Tokens that a sliding-window block sees; 0: all of them."""
    state_values: int = 0
    """f32 values per slot of a recurrent block: state-space, linear attention or short convolution."""
    latent: bool = False
    """MLA: one compressed vector per cell, no V."""
    positions: bool = True
    """Q and K are turned by their position (RoPE)."""

    @property
    def kind(self) -> str:
        """In a user's words."""
        if self.state_values:
            return "recurrent and attention" if self.k_width else "recurrent"
        if not self.k_width:
            return "nothing kept"
        if self.latent:
            return "MLA"
        return f"window of {self.window}" if self.window else "attention"


def block_contexts(file: ModelFile, blocks: int) -> tuple[BlockContext, ...]:
    """One `BlockContext` per block, MTP/NextN blocks like any other."""
    arch = file.architecture
    if not architecture(arch).keeps_context:
        return (BlockContext(),) * blocks
    heads_kv = kv_heads(file, blocks)
    windows = block_windows(file, blocks)
    recurrent = recurrent_blocks(file, blocks)
    attends = _attends(file, blocks, recurrent)
    keeps = _blocks_with_cache(file, blocks)
    state = sum(state_parts(file))
    latent = file.integer("attention.key_length_mla") > 0 and file.integer("attention.value_length_mla") > 0
    found = []
    for i in range(blocks):
        k = v = 0
        if attends[i] and i < keeps:
            k = heads_kv[i] * head_width(file, blocks, "key", windowed=windows[i] > 0)
            v = 0 if latent else heads_kv[i] * head_width(file, blocks, "value", windowed=windows[i] > 0)
        window, values = windows[i] if k else 0, state if recurrent[i] else 0
        found.append(BlockContext(k, v, window, values, latent and k > 0, not k or _turns(file, i, windows)))
    return tuple(found)


def head_width(file: ModelFile, blocks: int, which: str, *, windowed: bool = False) -> int:
    """Elements per head of K (`"key"`) or V (`"value"`)."""
    if windowed and (width := file.integer(f"attention.{which}_length_swa")):
        return width
    heads = next(iter(file.per_block("attention.head_count", max(blocks, 1))), 0)
    return file.integer(f"attention.{which}_length") or (file.integer("embedding_length") // heads if heads else 0)


def kv_heads(file: ModelFile, blocks: int) -> tuple[int, ...]:
    """Heads of K and V in each block."""
    key = "attention.head_count_kv"
    return file.per_block(key if f"{file.architecture}.{key}" in file.metadata else "attention.head_count", blocks)


def block_windows(file: ModelFile, blocks: int) -> tuple[int, ...]:
    """The window of each block, 0 for a block that sees everything."""
    arch = file.architecture
    kind = architecture(arch)
    rule = kind.windows
    given = file.metadata.get(f"{arch}.attention.sliding_window")
    pattern = file.metadata.get(f"{arch}.attention.sliding_window_pattern")
    window = file.integer("attention.sliding_window", rule.default if rule else 0)
    none = (0,) * blocks
    if kind.ignores_window or window <= 0 or (rule is not None and rule.only_blocks not in (0, blocks)):
        return none
    if kind.window_everywhere and given:
        return (window,) * blocks
    if rule is not None and rule.fixed:
        window = rule.fixed
    last = blocks - file.integer("nextn_predict_layers")
    if isinstance(pattern, tuple):
        flags = [bool(p) for p in pattern[:blocks]] + [False] * (blocks - len(pattern))
        return tuple(window if flag and i < last else 0 for i, flag in enumerate(flags))
    if rule is None:
        return none
    period = int(pattern) if isinstance(pattern, int) and not isinstance(pattern, bool) else rule.period
    if period == 0:
        return (window,) * blocks
    dense = 0 if rule.dense_first else period - 1
    return tuple(window if i % period != dense and i < last else 0 for i in range(blocks))


def _turns(file: ModelFile, block: int, windows: tuple[int, ...]) -> bool:
    """Whether a block's Q and K get RoPE."""
    arch = file.architecture
    match architecture(arch).positions:
        case "in windows":
            return windows[block] > 0 or not any(windows)
        case "when finetuned":
            return bool(file.metadata.get(f"{arch}.rope.scaling.finetuned", True))
        case "not every fourth":
            return (block + 1) % 4 != 0
        case where:
            return where == "everywhere"


def recurrent_blocks(file: ModelFile, blocks: int) -> list[bool]:
    """Which blocks keep a state."""
    arch, heads_kv = file.architecture, kv_heads(file, blocks)
    match architecture(arch).recurrent:
        case "all" | "beside attention":
            return [True] * blocks
        case "without KV heads":
            return [heads == 0 for heads in heads_kv]
        case "one thing a block":
            return [h == 0 and ff == 0 for h, ff in zip(heads_kv, _n_ff(file, blocks), strict=True)]
        case "by interval":
            named = file.metadata.get(f"{arch}.attention.recurrent_layers")
            if isinstance(named, tuple):
                return [bool(n) for n in named[:blocks]] + [False] * (blocks - len(named))
            interval = max(1, file.integer("full_attention_interval", 4))
            last = blocks - file.integer("nextn_predict_layers")
            return [i < last and (i + 1) % interval != 0 for i in range(blocks)]
        case _:
            return [False] * blocks


def _attends(file: ModelFile, blocks: int, recurrent: list[bool]) -> list[bool]:
    match architecture(file.architecture).recurrent:
        case "beside attention":
            return [True] * blocks
        case "one thing a block":
            return [not r and ff == 0 for r, ff in zip(recurrent, _n_ff(file, blocks), strict=True)]
        case _:
            return [not r for r in recurrent]


def _n_ff(file: ModelFile, blocks: int) -> tuple[int, ...]:
    return file.per_block("feed_forward_length", blocks)


def _blocks_with_cache(file: ModelFile, blocks: int) -> int:
    """The blocks after these read the cache of an earlier one."""
    kind = architecture(file.architecture)
    if kind.blocks_with_cache is not None:
        return kind.blocks_with_cache
    return blocks - (file.integer("attention.shared_kv_layers") if kind.shares_caches else 0)


def state_parts(file: ModelFile) -> tuple[int, int]:
    """`n_embd_r` and `n_embd_s` of llama_hparams: values that a recurrent block keeps for one sequence, the last inputs
    and the state."""
    n_embd, heads = file.integer("embedding_length"), max(file.per_block("attention.head_count", 1))
    if head := file.integer("wkv.head_size"):
        return file.integer("token_shift_count", 2) * n_embd, n_embd * head
    if cached := file.integer("shortconv.l_cache"):
        return n_embd * (cached - 1), 0
    kernel = max(0, file.integer("ssm.conv_kernel") - 1)
    if head := file.integer("kda.head_dim"):
        return 3 * kernel * heads * head, head * head * heads
    inner, state = file.integer("ssm.inner_size"), file.integer("ssm.state_size")
    return kernel * (inner + 2 * file.integer("ssm.group_count") * state), state * inner
