"""What llama.cpp knows of each architecture and a GGUF does not say: one record each.

The names that its builds have are in `architecture_names`; the rest of what differs is in the file. From
`load_arch_hparams` of src/models/*.cpp, src/llama-hparams.cpp and src/llama-arch.cpp of b11434; compared with real
loads in b10068 and b11434, see tests/truth.
"""

from __future__ import annotations

from typing import Literal

from hettui.domain.records import dataclass


@dataclass(frozen=True, slots=True)
class Windows:
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


@dataclass(frozen=True, slots=True)
class Architecture:
    """The defaults are the general rule: K and V of `head_count_kv` heads for every cell of every block."""

    known: bool = True
    """Read in llama.cpp; any other one gets the general rule and is reported as unknown."""

    windows: Windows | None = None
    """None: no block sees only a window, unless the file has an array that says which."""
    window_everywhere: bool = False
    """A window that the file gives is every block's."""
    ignores_window: bool = False
    """Files name a window, and llama.cpp does not use it."""
    positions: Literal["everywhere", "in windows", "not every fourth", "when finetuned", "nowhere"] = "everywhere"
    """Which blocks turn Q and K by their position (RoPE). `when finetuned`: all, unless the file says that it is not
    (`rope_finetuned`, which granite takes for a switch that is on)."""
    recurrent: Literal["", "all", "beside attention", "without KV heads", "one thing a block", "by interval"] = ""
    """Which blocks keep a state: all of them; all, and a cache too; those without KV heads; those that neither attend
    nor feed forward; all but every n-th, n from `full_attention_interval`, else 4."""
    keeps_context: bool = True
    """Encoders and diffusion models keep none between batches."""
    blocks_with_cache: int | None = None
    """The blocks after these read the cache of an earlier one; None: `shares_caches` says."""
    shares_caches: bool = False
    """`attention.shared_kv_layers` counts the blocks that do."""
    embedding_norm_is_output_norm: bool = False
    """What is called `token_embd_norm` lies with the output layer."""

    flash_attn: bool = True
    weights_before_experts: bool = False
    """An expert's weight is applied to what goes in."""
    norms_expert_weights: bool | None = True
    """The chosen experts' weights are made to sum to one (`norm_w` of `build_moe_ffn`); None: the file says so."""
    residual_first: Literal["", "both", "mixer", "feed"] = ""
    """Which of a block's two additions have the residual as their first operand, which is what they overwrite: that
    after what works across tokens, that after the feed-forward (`ggml_add` in src/models/*.cpp)."""
    mixed_batches: bool = True
    """`llm_arch_supports_mixed_batch` of b11434."""
    late_outputs: Literal["", "after norm", "before norm"] = ""
    """src/models/*.cpp: `inp_out_ids` are applied in the last block only with `embeddings_nextn_masked`."""
    late_in_older_builds: bool = False
    """Already before builds that overlap micro-batches."""
    scaled_embedding: bool = False
    mtp_apart: bool = False
    """In older builds, too, the model's own context keeps nothing for MTP blocks; they are loaded there, used or not
    (b10068)."""
    rolls_back: bool = False
    """With an MTP block at work a recurrent state is kept once for each token that may have to be taken back
    (`llm_arch_supports_rs_rollback` of b11549)."""
    compute_error: float = 0.02
    """Of 100 measured loads 99 are nearer to the forecast compute buffer than this part of it, or than 1 MiB."""


_GENERAL = (
    "arcee baichuan chatglm codeshell command-r dbrx deci ernie4_5 ernie4_5-moe exaone "
    "falcon glm4 gptneox granite_swa hunyuan-dense hunyuan-moe internlm2 llama maple mimo2 minicpm minicpm3 minimax-m2 "
    "mistral3 nemotron olmo orion phi2 phimoe plamo plm qwen qwen2 qwen2vl qwen3 qwen3moe qwen3vl qwen3vlmoe "
    "refact seed_oss stablelm starcoder2 xverse "
)  # fmt: skip
"""Nothing but the general rule; of some the file says which blocks have windows."""

_WEIGHED_AS_SAID = "bailingmoe bailingmoe2 dots1 glm4moe"
_NEVER_WEIGHED = "deepseek olmoe"
"""Experts' weights: else general, too."""

ARCHITECTURES = {name: Architecture() for name in _GENERAL.split()}
ARCHITECTURES |= {name: Architecture(norms_expert_weights=None) for name in _WEIGHED_AS_SAID.split()}
ARCHITECTURES |= {name: Architecture(norms_expert_weights=False) for name in _NEVER_WEIGHED.split()}
ARCHITECTURES |= {
    "afmoe": Architecture(windows=Windows(4), positions="in windows"),
    "arwkv7": Architecture(recurrent="all"),
    "bailingmoe3": Architecture(recurrent="without KV heads", late_outputs="after norm"),
    "bert": Architecture(keeps_context=False),
    "bloom": Architecture(positions="nowhere"),
    "clef": Architecture(keeps_context=False),
    "cogvlm": Architecture(known=False, mixed_batches=False),
    "cohere2": Architecture(windows=Windows(4), positions="in windows"),
    "cohere2moe": Architecture(
        norms_expert_weights=None, windows=Windows(4, dense_first=True), positions="in windows",
        late_outputs="after norm",
    ),
    "deepseek2": Architecture(norms_expert_weights=None, compute_error=0.05),
    "deepseek4": Architecture(known=False, mixed_batches=False),
    "dflash": Architecture(known=False, mixed_batches=False),
    "dream": Architecture(keeps_context=False),
    "eagle3": Architecture(known=False, mixed_batches=False),
    "eurobert": Architecture(keeps_context=False),
    "exaone-moe": Architecture(norms_expert_weights=None, windows=Windows(4, default=128), positions="in windows"),
    "exaone4": Architecture(windows=Windows(4, default=4096, only_blocks=64), positions="in windows"),
    "falcon-h1": Architecture(recurrent="beside attention"),
    "gemma": Architecture(scaled_embedding=True),
    "gemma-embedding": Architecture(windows=Windows(6), keeps_context=False, scaled_embedding=True),
    "gemma2": Architecture(windows=Windows(2, default=4096), scaled_embedding=True),
    "gemma3": Architecture(windows=Windows(6), scaled_embedding=True),
    "gemma3n": Architecture(
        windows=Windows(5), blocks_with_cache=20, late_outputs="before norm", late_in_older_builds=True,
        scaled_embedding=True,
    ),
    "gemma4": Architecture(shares_caches=True, late_outputs="after norm", scaled_embedding=True),
    "gemma4-assistant": Architecture(known=False, mixed_batches=False, scaled_embedding=True),
    "glm5-next": Architecture(recurrent="without KV heads"),
    "gpt-oss": Architecture(
        norms_expert_weights=False, windows=Windows(2), late_outputs="before norm",
    ),
    "gpt2": Architecture(positions="nowhere"),
    "granite": Architecture(positions="when finetuned"),
    "graniteswitch": Architecture(known=False, mixed_batches=False),
    "granitehybrid": Architecture(positions="when finetuned", recurrent="without KV heads", compute_error=0.07),
    "granitemoe": Architecture(positions="when finetuned"),
    "grok": Architecture(flash_attn=False),
    "hy_v3": Architecture(known=False, late_outputs="after norm"),
    "jamba": Architecture(
        norms_expert_weights=False,
        positions="nowhere", recurrent="without KV heads", residual_first="both",
    ),
    "jina-bert-v2": Architecture(keeps_context=False),
    "jina-bert-v3": Architecture(keeps_context=False),
    "kimi-k3": Architecture(recurrent="without KV heads"),
    "kimi-linear": Architecture(recurrent="without KV heads"),
    "laguna": Architecture(windows=Windows(4, dense_first=True)),
    "lfm2": Architecture(
        window_everywhere=True, recurrent="without KV heads", embedding_norm_is_output_norm=True,
        residual_first="both", rolls_back=True,
    ),
    "lfm2moe": Architecture(
        window_everywhere=True, recurrent="without KV heads", embedding_norm_is_output_norm=True,
        residual_first="both", rolls_back=True,
    ),
    "llada": Architecture(keeps_context=False),
    "llada-moe": Architecture(norms_expert_weights=False, keeps_context=False),
    "llama4": Architecture(
        norms_expert_weights=False,
        windows=Windows(4, default=8192, fixed=8192), positions="in windows", weights_before_experts=True,
        compute_error=0.17,
    ),
    "mamba": Architecture(recurrent="all"),
    "mamba2": Architecture(recurrent="all", compute_error=0.09),
    "mellum": Architecture(windows=Windows(4)),
    "minimax-01": Architecture(recurrent="by interval"),
    "modern-bert": Architecture(keeps_context=False),
    "mpt": Architecture(positions="nowhere"),
    "muse-glimmer": Architecture(windows=Windows(4)),
    "nemotron_h": Architecture(
        norms_expert_weights=None,
        positions="nowhere", recurrent="one thing a block", late_outputs="after norm", rolls_back=True,
        compute_error=0.04,
    ),
    "nemotron_h_moe": Architecture(
        norms_expert_weights=None,
        positions="nowhere", recurrent="one thing a block", late_outputs="after norm", rolls_back=True,
        compute_error=0.22,
    ),
    "neo-bert": Architecture(keeps_context=False),
    "nomic-bert": Architecture(keeps_context=False),
    "nomic-bert-moe": Architecture(keeps_context=False),
    "olmo2": Architecture(windows=Windows(4)),
    "openelm": Architecture(residual_first="mixer"),
    "phi3": Architecture(ignores_window=True, residual_first="feed"),
    "plamo2": Architecture(positions="nowhere", recurrent="without KV heads"),
    "plamo3": Architecture(windows=Windows(8)),
    "qwen2moe": Architecture(norms_expert_weights=False, compute_error=0.05),
    "qwen35": Architecture(
        recurrent="by interval", late_outputs="after norm", late_in_older_builds=True, mtp_apart=True,
        rolls_back=True, compute_error=0.08,
    ),
    "qwen35moe": Architecture(
        recurrent="by interval", late_outputs="after norm", late_in_older_builds=True, mtp_apart=True,
        rolls_back=True, compute_error=0.2,
    ),
    "qwen3next": Architecture(recurrent="by interval", late_outputs="after norm"),
    "qwen4exp": Architecture(recurrent="by interval", late_outputs="after norm", rolls_back=True),
    "rnd1": Architecture(keeps_context=False),
    "rwkv6": Architecture(recurrent="all"),
    "rwkv6qwen2": Architecture(recurrent="all"),
    "rwkv7": Architecture(recurrent="all"),
    "smallthinker": Architecture(windows=Windows(4, dense_first=True, fixed=4096), positions="in windows"),
    "smollm3": Architecture(positions="not every fourth"),
    "starcoder": Architecture(positions="nowhere"),
    "step35": Architecture(norms_expert_weights=None, late_outputs="after norm"),
}  # fmt: skip


def architecture(name: str) -> Architecture:
    """The record of `general.architecture`; of an unknown one the general rule."""
    return ARCHITECTURES.get(name) or Architecture(known=False, scaled_embedding=name.startswith("gemma"))
