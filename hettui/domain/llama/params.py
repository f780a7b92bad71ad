"""llama-server's settings that hettui knows, by llama.cpp's own names, defaults and accepted values."""

from __future__ import annotations

import re

from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
FLASH_ATTN = ("on", "off", "auto")
BESIDE_MEMORY = ("threads", "predict")
"""Settings that change nothing of what devices hold."""
LAYER_MODE, TENSOR_MODE = SPLIT_MODES = ("layer", "tensor")
"""Of llama-server's `--split-mode` what hettui plans: whole layers on each device, or a share of every tensor."""
LOAD_MODES = ("auto", "none", "mmap", "mlock", "mmap+mlock", "dio")
DRAFT_MODEL, DRAFT_MTP = "draft-simple", "draft-mtp"
SPECULATION = (DRAFT_MODEL, DRAFT_MTP, "ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod")
"""Of llama-server's `--spec-type`, what hettui can plan: a model of its own, the model's own MTP block, and texts that
were there before."""
_USUAL_MOST = {DRAFT_MODEL: 3, DRAFT_MTP: 3, "ngram-mod": 64}
_USUAL_MOST_OF_OTHERS = 48
_SCALE = late_pattern(r"[+-]?\d+(\.\d+)?")
AUTO = "auto"
"""In place of a device: the planner's choice."""


@dataclass(frozen=True, slots=True)
class Drafting:
    """Who proposes tokens that the model then checks several at once (speculative decoding), and where."""

    type: str = DRAFT_MODEL
    model: str = ""
    """The draft model's file; empty where none is needed."""
    device: str = AUTO
    """The name of one of our devices, or `host` for the master's RAM and CPU. `auto` until the planner has chosen."""
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    n_max: int | None = None
    """Tokens that are proposed at once; None: what llama-server takes."""
    n_min: int | None = None
    p_min: float | None = None

    @property
    def most(self) -> int:
        """Tokens that are proposed at once at most (b10068, b11549: `common_speculative_n_max`)."""
        return _USUAL_MOST.get(self.type, _USUAL_MOST_OF_OTHERS) if self.n_max is None else self.n_max

    @property
    def has_model(self) -> bool:
        return self.type == DRAFT_MODEL


@dataclass(frozen=True, slots=True)
class RuntimeParams:
    """What decides memory and speed. Attribute names are llama.cpp's options with `_` for `-`."""

    ctx_size: int = 4096
    """0 means the model's training length."""
    parallel: int = 1
    """-1 is llama.cpp's auto: 4 slots with unified KV."""
    kv_unified: bool = False
    batch_size: int = 2048
    ubatch_size: int = 512
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attn: str = "auto"
    swa_full: bool = False
    load_mode: str = "auto"
    split_mode: str = LAYER_MODE
    n_cpu_moe: int = 0
    """The experts of so many first blocks stay on the host."""
    n_cpu_ffn: int = 0
    """The same of the dense feed-forward."""
    override_tensor: tuple[str, ...] = ()
    """`PATTERN=CPU`: what the pattern finds in a tensor's name stays on the host. Of blocks only."""
    threads: int = -1
    """Of the master's CPU while it generates; -1: llama.cpp's own choice."""
    predict: int = -1
    """Tokens that one answer has at most, whatever its request says; -1: no limit."""
    mmproj: str = ""
    """The projector's file; empty: the model sees nothing."""
    mmproj_device: str = AUTO
    """As of `Drafting`."""
    lora: tuple[str, ...] = ()
    """Adapters, each `FILE` or `FILE:SCALE`."""
    control_vector: tuple[str, ...] = ()
    """The same of control vectors."""
    ctx_checkpoints: int = 32
    """Copies of a slot's context that are kept at most, of models with windows or recurrent states."""
    cache_ram: int = 8192
    """MiB of prompts that are kept in the master's RAM; -1: without a limit."""
    draft: Drafting | None = None
    """Speculative decoding; None: without."""

    @property
    def maps_files(self) -> bool:
        """The master maps the model's files instead of reading what it keeps in its RAM."""
        return self.load_mode not in ("none", "mlock", "dio")

    @property
    def shares_tensors(self) -> bool:
        """Every device holds a share of each tensor; the layers of a plan are their proportions."""
        return self.split_mode == TENSOR_MODE

    @property
    def overrides(self) -> bool:
        """Some tensors of blocks on devices stay on the host: llama.cpp does not overlap micro-batches then."""
        return self.n_cpu_moe > 0 or self.n_cpu_ffn > 0 or bool(self.override_tensor)

    @property
    def slots(self) -> int:
        return 4 if self.parallel < 0 else self.parallel

    @property
    def unified(self) -> bool:
        return self.kv_unified or self.parallel < 0


@dataclass(frozen=True, slots=True)
class Serving:
    """Where and how llama-server listens."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0: hettui takes a free one."""
    alias: str | None = None
    api_key_file: str | None = None
    slot_save_path: str | None = None
    """None: hettui's own folder."""
    extra_args: tuple[str, ...] = ()
    hold_requests: bool = False
    """Clients talk to a front door at host and port, where they wait while llama-server is restarted behind it."""
    hold_seconds: int = 300
    hold_limit: int = 100


def scaled(said: str) -> tuple[str, str]:
    """The file of `FILE` or `FILE:SCALE`, and the scale, empty where none is said."""
    name, separator, scale = said.rpartition(":")
    return (name, scale) if separator and _SCALE.fullmatch(scale) else (said, "")


def override_pattern(said: str) -> re.Pattern[str]:
    """The pattern of an `override-tensor` entry. Raises ValueError with what is wrong."""
    pattern, _, buffer = said.rpartition("=")
    if not pattern or buffer != "CPU":
        raise ValueError("must be PATTERN=CPU")
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
