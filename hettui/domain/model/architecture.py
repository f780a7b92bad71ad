"""What each block keeps of the context: what a GGUF does not say about its architecture, as a table.

Most architectures follow the general rule: K and V of `head_count_kv` heads for every cell. What differs is which
blocks see only a window, which keep a recurrent state instead of a cache, and which keep nothing. A file says that
only in part; the rest is code in llama.cpp (`load_arch_hparams` of src/models/*.cpp and src/llama-hparams.cpp of
b11434, compared with real loads in b10068 and b11434, see tests/truth).
"""

from __future__ import annotations

from dataclasses import dataclass

from hettui.domain.model.header import ModelFile


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


@dataclass(frozen=True, slots=True)
class _Windows:
    """Every `period`-th block sees everything, the others a window."""

    period: int
    dense_first: bool = False
    """The first block of each period is the one that sees everything, not the last."""
    default: int = 0
    """The window when the file gives none."""
    fixed: int = 0
    """The window whatever the file gives."""
    only_blocks: int = 0
    """Only the model with that many blocks has windows."""


_WINDOWS = {
    "afmoe": _Windows(4),
    "cohere2": _Windows(4),
    "cohere2moe": _Windows(4, dense_first=True),
    "exaone-moe": _Windows(4, default=128),
    "exaone4": _Windows(4, default=4096, only_blocks=64),
    "gemma-embedding": _Windows(6),
    "gemma2": _Windows(2, default=4096),
    "gemma3": _Windows(6),
    "gemma3n": _Windows(5),
    "gpt-oss": _Windows(2),
    "laguna": _Windows(4, dense_first=True),
    "llama4": _Windows(4, default=8192, fixed=8192),
    "mellum": _Windows(4),
    "muse-glimmer": _Windows(4),
    "olmo2": _Windows(4),
    "plamo3": _Windows(8),
    "smallthinker": _Windows(4, dense_first=True, fixed=4096),
}

_NO_WINDOWS = frozenset({"phi3"})
"""Files of these name a window, and llama.cpp does not use it."""

_POSITIONS_IN_WINDOWS_ONLY = frozenset(
    {"afmoe", "cohere2", "cohere2moe", "exaone4", "exaone-moe", "llama4", "smallthinker"}
)
"""Their blocks of full attention have no RoPE."""

_NO_POSITIONS = frozenset({"jamba", "nemotron_h", "nemotron_h_moe", "plamo2", "bloom", "gpt2", "mpt", "starcoder"})

_ALL_RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})

_RECURRENT_WITHOUT_KV_HEADS = frozenset(
    {"bailingmoe3", "glm5-next", "granitehybrid", "jamba", "kimi-k3", "kimi-linear", "lfm2", "lfm2moe", "plamo2"}
)
"""A block with no KV heads is a recurrent one."""

_RECURRENT_BY_INTERVAL = frozenset({"minimax-01", "qwen35", "qwen35moe", "qwen3next", "qwen4exp"})
"""Every n-th block is full attention, n from `full_attention_interval`, else 4."""

_NEMOTRON = frozenset({"nemotron_h", "nemotron_h_moe"})
"""A block is one thing only: recurrent, attention or feed-forward."""

_BOTH_IN_EVERY_BLOCK = frozenset({"falcon-h1"})

NO_CONTEXT = frozenset(
    {
        "bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2", "jina-bert-v3",
        "eurobert", "gemma-embedding", "dream", "llada", "llada-moe", "rnd1", "clef",
    }
)  # fmt: skip
"""Encoders and diffusion models keep no context between batches."""

_GENERAL = frozenset(
    {
        "arcee", "baichuan", "bailingmoe", "bailingmoe2", "bloom", "chatglm", "codeshell", "command-r", "dbrx",
        "deci", "deepseek", "deepseek2", "dots1", "ernie4_5", "ernie4_5-moe", "exaone", "falcon", "gemma", "glm4",
        "glm4moe", "gpt2", "gptneox", "granite", "granitemoe", "grok", "hunyuan-dense", "hunyuan-moe", "internlm2",
        "llama", "minicpm", "minicpm3", "minimax-m2", "mistral3", "mpt", "nemotron", "olmo", "olmoe", "openelm",
        "orion", "phi2", "phi3", "phimoe", "plamo", "plm", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3",
        "qwen3moe", "qwen3vl", "qwen3vlmoe", "refact", "seed_oss", "smollm3", "solar", "stablelm", "starcoder",
        "starcoder2", "xverse",
    }
)  # fmt: skip
"""Read in b11434: nothing but the general rule."""

_FROM_THE_FILE = frozenset({"gemma4", "granite-swa", "maple", "mimo2", "step35"})
"""The window pattern is an array in the file."""

KNOWN = (
    _GENERAL
    | _FROM_THE_FILE
    | NO_CONTEXT
    | _ALL_RECURRENT
    | _RECURRENT_WITHOUT_KV_HEADS
    | _RECURRENT_BY_INTERVAL
    | _NEMOTRON
    | _BOTH_IN_EVERY_BLOCK
    | frozenset(_WINDOWS)
)
"""Any other architecture gets the general rule and is reported as unknown."""

_GEMMA3N_KV_BLOCKS = 20


def block_contexts(file: ModelFile, blocks: int) -> tuple[BlockContext, ...]:
    """One `BlockContext` per block, MTP/NextN blocks like any other."""
    arch = file.architecture
    if arch in NO_CONTEXT:
        return (BlockContext(),) * blocks
    heads_kv = _heads_kv(file, blocks)
    windows = _windows(file, blocks)
    recurrent = _recurrent(file, blocks, heads_kv)
    attends = _attends(file, blocks, recurrent)
    keeps = _blocks_with_cache(file, blocks)
    state = _state_values(file)
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


def _heads_kv(file: ModelFile, blocks: int) -> tuple[int, ...]:
    key = "attention.head_count_kv"
    return file.per_block(key if f"{file.architecture}.{key}" in file.metadata else "attention.head_count", blocks)


def _windows(file: ModelFile, blocks: int) -> tuple[int, ...]:
    """The window of each block, 0 for a block that sees everything."""
    arch = file.architecture
    rule = _WINDOWS.get(arch)
    given = file.metadata.get(f"{arch}.attention.sliding_window")
    pattern = file.metadata.get(f"{arch}.attention.sliding_window_pattern")
    window = file.integer("attention.sliding_window", rule.default if rule else 0)
    none = (0,) * blocks
    if arch in _NO_WINDOWS or window <= 0 or (rule is not None and rule.only_blocks not in (0, blocks)):
        return none
    if arch in ("lfm2", "lfm2moe") and given:
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
    if arch in _POSITIONS_IN_WINDOWS_ONLY:
        return windows[block] > 0 or not any(windows)
    if arch == "granitehybrid":
        return bool(file.metadata.get(f"{arch}.rope.scaling.finetuned", False))
    if arch == "smollm3":
        return (block + 1) % 4 != 0
    return arch not in _NO_POSITIONS


def _recurrent(file: ModelFile, blocks: int, heads_kv: tuple[int, ...]) -> list[bool]:
    arch = file.architecture
    if arch in _ALL_RECURRENT or arch in _BOTH_IN_EVERY_BLOCK:
        return [True] * blocks
    if arch in _RECURRENT_WITHOUT_KV_HEADS:
        return [heads == 0 for heads in heads_kv]
    if arch in _NEMOTRON:
        return [h == 0 and ff == 0 for h, ff in zip(heads_kv, _n_ff(file, blocks), strict=True)]
    if arch in _RECURRENT_BY_INTERVAL:
        named = file.metadata.get(f"{arch}.attention.recurrent_layers")
        if isinstance(named, tuple):
            return [bool(n) for n in named[:blocks]] + [False] * (blocks - len(named))
        interval = max(1, file.integer("full_attention_interval", 4))
        last = blocks - file.integer("nextn_predict_layers")
        return [i < last and (i + 1) % interval != 0 for i in range(blocks)]
    return [False] * blocks


def _attends(file: ModelFile, blocks: int, recurrent: list[bool]) -> list[bool]:
    arch = file.architecture
    if arch in _BOTH_IN_EVERY_BLOCK:
        return [True] * blocks
    if arch in _NEMOTRON:
        return [not r and ff == 0 for r, ff in zip(recurrent, _n_ff(file, blocks), strict=True)]
    return [not r for r in recurrent]


def _n_ff(file: ModelFile, blocks: int) -> tuple[int, ...]:
    return file.per_block("feed_forward_length", blocks)


def _blocks_with_cache(file: ModelFile, blocks: int) -> int:
    """The blocks after these read the cache of an earlier one."""
    if file.architecture == "gemma3n":
        return _GEMMA3N_KV_BLOCKS
    return blocks - (file.integer("attention.shared_kv_layers") if file.architecture == "gemma4" else 0)


def _state_values(file: ModelFile) -> int:
    """`n_embd_r` + `n_embd_s` of llama_hparams: values that a recurrent block keeps for one sequence."""
    n_embd, heads = file.integer("embedding_length"), max(file.per_block("attention.head_count", 1))
    if head := file.integer("wkv.head_size"):
        return file.integer("token_shift_count", 2) * n_embd + n_embd * head
    if cached := file.integer("shortconv.l_cache"):
        return n_embd * (cached - 1)
    kernel = max(0, file.integer("ssm.conv_kernel") - 1)
    if head := file.integer("kda.head_dim"):
        return 3 * kernel * heads * head + head * head * heads
    inner, state = file.integer("ssm.inner_size"), file.integer("ssm.state_size")
    return kernel * (inner + 2 * file.integer("ssm.group_count") * state) + state * inner
