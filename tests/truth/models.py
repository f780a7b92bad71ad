"""Headers of published models: true metadata and tensor tables, no weights.

Each recipe follows a model's published configuration and the tensor names and shapes that llama.cpp loads for its
architecture (`src/models/*.cpp` of b11434). `blocks` cuts a model down so that it can be loaded really; everything
else keeps its width, because widths are what the compute buffer follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.gguf_files import Tensor

Header = tuple[dict[str, Any], list[Tensor]]

_WHOLE = 12
"""Below this many blocks a model is cut down to be loaded really: its experts take the smallest type then."""


@dataclass
class Recipe:
    """Collects metadata and tensors of one model; `blocks` is what was asked for."""

    arch: str
    name: str
    blocks: int
    n_embd: int
    n_ff: int
    vocab: int
    heads: int = 0
    heads_kv: int = 0
    head_k: int = 0
    head_v: int = 0
    ctx_train: int = 131072
    fine: bool = False
    """Every matrix q8_0 rather than the K-quant mix."""
    metadata: dict[str, Any] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.head_k = self.head_k or (self.n_embd // self.heads if self.heads else 0)
        self.head_v = self.head_v or self.head_k
        self.metadata |= {
            "general.architecture": self.arch,
            "general.name": self.name,
            "general.file_type": 15,
            "tokenizer.ggml.model": "no_vocab",
        }
        self.key("vocab_size", self.vocab)
        self.key("block_count", self.blocks)
        self.key("context_length", self.ctx_train)
        self.key("embedding_length", self.n_embd)
        if self.n_ff:
            self.key("feed_forward_length", self.n_ff)
        if self.heads:
            self.key("attention.head_count", self.heads)
            self.key("attention.head_count_kv", self.heads_kv)
            self.key("attention.key_length", self.head_k)
            self.key("attention.value_length", self.head_v)
        self.key("attention.layer_norm_rms_epsilon", 1e-6)

    # -- parts ---------------------------------------------------------------------------------------------

    def key(self, name: str, value: Any) -> None:
        self.metadata[f"{self.arch}.{name}"] = value

    def put(self, name: str, *shape: int, type_name: str | None = None) -> None:
        """A matrix in the file's mix, a vector in f32."""
        if type_name is None:
            if len(shape) == 1 or name.endswith((".bias", "conv1d.weight", "ssm_a", "ssm_d", "ffn_gate_inp.weight")):
                type_name = "f32"
            elif len(shape) == 3 and shape[0] % 256 == 0 and self.blocks < _WHOLE:
                type_name = "iq1_s"
            elif shape[0] % 256 == 0 and not self.fine:
                type_name = "q6_K" if name.startswith(("token_embd", "output")) or "ffn_down" in name else "q4_K"
            elif shape[0] % 32 == 0:
                type_name = "q8_0"
            else:
                type_name = "f16"
        self.tensors.append((name, shape, type_name))

    def ends(self, *, tied: bool = False, norm: str = "output_norm.weight") -> None:
        self.put("token_embd.weight", self.n_embd, self.vocab)
        self.put(norm, self.n_embd)
        if not tied:
            self.put("output.weight", self.n_embd, self.vocab)

    def block(self, i: int, name: str, *shape: int, type_name: str | None = None) -> None:
        self.put(f"blk.{i}.{name}", *shape, type_name=type_name)

    def attention(
        self, i: int, *, bias: bool = False, norms: bool = False, fused: bool = False, gate: int = 1,
        heads_kv: int | None = None, head: int | None = None, out_bias: bool = False,
    ) -> None:  # fmt: skip
        """`gate` 2: the query projection carries an output gate as well."""
        kv = self.heads_kv if heads_kv is None else heads_kv
        k, v = head or self.head_k, head or self.head_v
        q_width, k_width, v_width = self.heads * k * gate, kv * k, kv * v
        if fused:
            self.block(i, "attn_qkv.weight", self.n_embd, q_width + k_width + v_width)
        else:
            for letter, width in (("q", q_width), ("k", k_width), ("v", v_width)):
                self.block(i, f"attn_{letter}.weight", self.n_embd, width)
                if bias:
                    self.block(i, f"attn_{letter}.bias", width)
        self.block(i, "attn_output.weight", self.heads * v, self.n_embd)
        if out_bias:
            self.block(i, "attn_output.bias", self.n_embd)
        if norms:
            self.block(i, "attn_q_norm.weight", k)
            self.block(i, "attn_k_norm.weight", k)

    def norms(self, i: int, *names: str) -> None:
        for name in names:
            self.block(i, f"{name}.weight", self.n_embd)

    def dense(self, i: int, n_ff: int | None = None, *, gate: bool = True, up: int = 1, bias: bool = False) -> None:
        """`up` 2: gate and up in one tensor."""
        width = n_ff or self.n_ff
        if gate and up == 1:
            self.block(i, "ffn_gate.weight", self.n_embd, width)
        self.block(i, "ffn_down.weight", width, self.n_embd)
        self.block(i, "ffn_up.weight", self.n_embd, width * up)
        if bias:
            self.block(i, "ffn_down.bias", self.n_embd)
            self.block(i, "ffn_up.bias", width)

    def experts(
        self, i: int, count: int, width: int, *, shared: int = 0, shared_gate: bool = False, probs: bool = False,
        bias: bool = False,
    ) -> None:  # fmt: skip
        n = self.n_embd
        self.block(i, "ffn_gate_inp.weight", n, count)
        if probs:
            self.block(i, "exp_probs_b.bias", count)
        for name, shape in (("gate", (n, width, count)), ("down", (width, n, count)), ("up", (n, width, count))):
            kind = "mxfp4" if bias else None
            self.block(i, f"ffn_{name}_exps.weight", *shape, type_name=kind)
            if bias:
                self.block(i, f"ffn_{name}_exps.bias", shape[1], count)
        if bias:
            self.block(i, "ffn_gate_inp.bias", count)
        if shared:
            self.block(i, "ffn_gate_shexp.weight", n, shared)
            self.block(i, "ffn_down_shexp.weight", shared, n)
            self.block(i, "ffn_up_shexp.weight", n, shared)
        if shared_gate:
            self.block(i, "ffn_gate_inp_shexp.weight", n)

    def ssm(self, *, conv: int, inner: int, state: int, rank: int, groups: int | None = None) -> None:
        self.key("ssm.conv_kernel", conv)
        self.key("ssm.inner_size", inner)
        self.key("ssm.state_size", state)
        self.key("ssm.time_step_rank", rank)
        if groups is not None:
            self.key("ssm.group_count", groups)

    def mamba2(self, i: int, *, conv: int, inner: int, state: int, rank: int, groups: int, norm: bool = True) -> None:
        channels = inner + 2 * groups * state
        self.block(i, "ssm_in.weight", self.n_embd, inner + channels + rank)
        self.block(i, "ssm_conv1d.weight", conv, channels)
        self.block(i, "ssm_conv1d.bias", channels)
        self.block(i, "ssm_dt.bias", rank)
        self.block(i, "ssm_a", 1, rank)
        self.block(i, "ssm_d", 1, rank)
        if norm:
            self.block(i, "ssm_norm.weight", inner // groups, groups, type_name="f32")
        self.block(i, "ssm_out.weight", inner, self.n_embd)

    def done(self) -> Header:
        return self.metadata, self.tensors


def _llama(
    name: str, n: int, embd: int, ff: int, heads: int, kv: int, vocab: int, *, head: int = 0, tied: bool = False,
    rope_freqs: bool = False, arch: str = "llama", bias: bool = False, norms: bool = False, experts: int = 0,
    used: int = 2, keys: dict[str, Any] | None = None, fine: bool = False,
) -> Header:  # fmt: skip
    r = Recipe(arch, name, n, embd, ff, vocab, heads, kv, head, fine=fine)
    for key, value in (keys or {}).items():
        r.key(key, value)
    r.ends(tied=tied)
    if arch in ("llama", "smollm3"):
        r.key("rope.dimension_count", r.head_k)
    if rope_freqs:
        r.put("rope_freqs.weight", r.head_k // 2)
    if experts:
        r.key("expert_count", experts)
        r.key("expert_used_count", used)
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        r.attention(i, bias=bias, norms=norms)
        if experts:
            r.experts(i, experts, ff)
        else:
            r.dense(i)
    return r.done()


def llama_8b(n: int = 32) -> Header:
    return _llama("Llama 3.1 8B", n, 4096, 14336, 32, 8, 128256, rope_freqs=True)


def llama_1b(n: int = 16) -> Header:
    return _llama("Llama 3.2 1B", n, 2048, 8192, 32, 8, 128256, head=64, tied=True, rope_freqs=True)


def llama_70b(n: int = 80) -> Header:
    return _llama("Llama 3.3 70B", n, 8192, 28672, 64, 8, 128256, rope_freqs=True)


def mixtral(n: int = 32) -> Header:
    return _llama("Mixtral 8x7B", n, 4096, 14336, 32, 8, 32000, experts=8)


def mistral3(n: int = 34) -> Header:
    return _llama("Ministral 3 8B", n, 4096, 14336, 32, 8, 131072, arch="mistral3")


def qwen2_7b(n: int = 28) -> Header:
    return _llama("Qwen2.5 7B", n, 3584, 18944, 28, 4, 152064, arch="qwen2", bias=True)


def qwen2_half(n: int = 24) -> Header:
    return _llama("Qwen2.5 0.5B", n, 896, 4864, 14, 2, 151936, arch="qwen2", bias=True, tied=True)


def qwen3_8b(n: int = 36) -> Header:
    return _llama("Qwen3 8B", n, 4096, 12288, 32, 8, 151936, arch="qwen3", norms=True)


def qwen3_small(n: int = 28) -> Header:
    return _llama("Qwen3 0.6B", n, 1024, 3072, 16, 8, 151936, head=128, arch="qwen3", norms=True, tied=True, fine=True)


def smollm3(n: int = 36) -> Header:
    return _llama("SmolLM3 3B", n, 2048, 11008, 16, 4, 128256, arch="smollm3", tied=True)


def granite(n: int = 40) -> Header:
    keys = {"logit_scale": 16.0, "residual_scale": 0.22, "embedding_scale": 12.0, "attention.scale": 0.0078125}
    return _llama("Granite 3.1 8B", n, 4096, 12800, 32, 8, 49155, arch="granite", tied=True, keys=keys)


def granitemoe(n: int = 32) -> Header:
    keys = {"logit_scale": 6.0, "residual_scale": 0.22, "embedding_scale": 12.0, "attention.scale": 0.015625}
    return _llama(
        "Granite 3.1 3B A800M", n, 1536, 512, 24, 8, 49155, arch="granitemoe", tied=True, experts=40, used=8, keys=keys
    )


def qwen3moe(n: int = 48) -> Header:
    r = Recipe("qwen3moe", "Qwen3 Coder 30B A3B", n, 2048, 6144, 151936, 32, 4, 128, ctx_train=262144)
    r.key("expert_count", 128)
    r.key("expert_used_count", 8)
    r.key("expert_feed_forward_length", 768)
    r.ends()
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        r.attention(i, norms=True)
        r.experts(i, 128, 768)
    return r.done()


def qwen2moe(n: int = 24) -> Header:
    r = Recipe("qwen2moe", "Qwen1.5 MoE A2.7B", n, 2048, 5632, 151936, 16, 16)
    r.key("expert_count", 60)
    r.key("expert_used_count", 4)
    r.key("expert_feed_forward_length", 1408)
    r.key("expert_shared_feed_forward_length", 5632)
    r.ends()
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        r.attention(i, bias=True)
        r.experts(i, 60, 1408, shared=5632, shared_gate=True)
    return r.done()


def _linear_qwen(r: Recipe, n: int, feed: Callable[[int], None], *, next80b: bool) -> Header:
    """Gated delta net in three blocks of four, gated attention in the fourth."""
    state, groups, rank = 128, 16, 32
    key_width, value_width = state * groups, state * rank
    r.ssm(conv=4, inner=value_width, state=state, rank=rank, groups=groups)
    r.key("full_attention_interval", 4)
    r.key("rope.dimension_count", 64)
    r.ends()
    for i in range(n):
        r.norms(i, "attn_norm", "post_attention_norm")
        if (i + 1) % 4 == 0:
            r.attention(i, norms=True, gate=2)
        else:
            r.block(i, "attn_qkv.weight", r.n_embd, 2 * key_width + value_width)
            r.block(i, "attn_gate.weight", r.n_embd, value_width)
            r.block(i, "ssm_conv1d.weight", 4, 2 * key_width + value_width)
            r.block(i, "ssm_dt.bias", rank)
            r.block(i, "ssm_a", rank)
            if next80b:
                r.block(i, "ssm_ba.weight", r.n_embd, 2 * rank)
            else:
                r.block(i, "ssm_beta.weight", r.n_embd, rank)
                r.block(i, "ssm_alpha.weight", r.n_embd, rank)
            r.block(i, "ssm_norm.weight", state)
            r.block(i, "ssm_out.weight", value_width, r.n_embd)
        feed(i)
    return r.done()


def qwen35_with_mtp(blocks: int = 8) -> Header:
    """A small one, with one more block that attends, and what joins the token with the last state: its MTP block."""
    width = 1024
    r = Recipe("qwen35", "Small Qwen3.5", blocks + 1, width, 3072, 32000, 16, 4, 256, ctx_train=262144)
    r.key("rope.dimension_sections", [11, 11, 10, 0])
    r.key("nextn_predict_layers", 1)
    metadata, tensors = _linear_qwen(r, blocks, r.dense, next80b=False)
    own = [(n.replace("blk.3.", f"blk.{blocks}."), s, kind) for n, s, kind in tensors if n.startswith("blk.3.")]
    own.append((f"blk.{blocks}.nextn.eh_proj.weight", (2 * width, width), "q8_0"))
    own += [(f"blk.{blocks}.nextn.{n}.weight", (width,), "f32") for n in ("enorm", "hnorm", "shared_head_norm")]
    return metadata, [*tensors, *own]


def qwen3next(n: int = 48) -> Header:
    r = Recipe("qwen3next", "Qwen3 Next 80B A3B", n, 2048, 5120, 151936, 16, 2, 256, ctx_train=262144)
    r.key("expert_count", 512)
    r.key("expert_used_count", 10)
    r.key("expert_feed_forward_length", 512)
    r.key("expert_shared_feed_forward_length", 512)
    return _linear_qwen(r, n, lambda i: r.experts(i, 512, 512, shared=512, shared_gate=True), next80b=True)


def qwen35moe(n: int = 40) -> Header:
    r = Recipe("qwen35moe", "Qwen3.5 35B A3B", n, 2048, 0, 248320, 16, 2, 256, ctx_train=262144)
    r.key("expert_count", 256)
    r.key("expert_used_count", 8)
    r.key("expert_feed_forward_length", 512)
    r.key("expert_shared_feed_forward_length", 512)
    r.key("rope.dimension_sections", [11, 11, 10, 0])
    return _linear_qwen(r, n, lambda i: r.experts(i, 256, 512, shared=512, shared_gate=True), next80b=False)


def qwen35(n: int = 32) -> Header:
    r = Recipe("qwen35", "Qwen3.5 9B", n, 4096, 12288, 248320, 16, 4, 256, ctx_train=262144)
    r.key("rope.dimension_sections", [11, 11, 10, 0])
    return _linear_qwen(r, n, r.dense, next80b=False)


def gemma2(n: int = 42) -> Header:
    r = Recipe("gemma2", "Gemma 2 9B", n, 3584, 14336, 256000, 16, 8, 256, ctx_train=8192)
    r.key("attention.sliding_window", 4096)
    r.key("attn_logit_softcapping", 50.0)
    r.key("final_logit_softcapping", 30.0)
    r.ends(tied=True)
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")
        r.attention(i)
        r.dense(i)
    return r.done()


def _gemma3(name: str, n: int, embd: int, ff: int, heads: int, kv: int, window: int, head: int = 256) -> Header:
    r = Recipe("gemma3", name, n, embd, ff, 262144, heads, kv, head)
    r.key("attention.sliding_window", window)
    r.ends(tied=True)
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")
        r.attention(i, norms=True)
        r.dense(i)
    return r.done()


def gemma3_12b(n: int = 48) -> Header:
    return _gemma3("Gemma 3 12B", n, 3840, 15360, 16, 8, 1024)


def gemma3_1b(n: int = 26) -> Header:
    return _gemma3("Gemma 3 1B", n, 1152, 6912, 4, 1, 512)


def gemma3n(n: int = 35) -> Header:
    """Gemma 3n E4B: 15 of its 35 blocks use the KV cache of earlier ones."""
    r = Recipe("gemma3n", "Gemma 3n E4B", n, 2048, 16384, 262400, 8, 2, 256, ctx_train=32768)
    r.key("attention.sliding_window", 512)
    r.key("attention.sliding_window_pattern", [(i + 1) % 5 != 0 for i in range(n)])
    r.key("attention.shared_kv_layers", 15.0)
    r.key("altup.active_idx", 0)
    r.key("altup.num_inputs", 4)
    r.key("embedding_length_per_layer_input", 256)
    r.ends(tied=True)
    r.put("altup_proj.weight", 2048, 2048, 3, type_name="f16")
    r.put("altup_unembd_proj.weight", 2048, 2048, 3, type_name="f16")
    r.put("per_layer_token_embd.weight", 256 * n, 262400)
    r.put("per_layer_model_proj.weight", 2048, 256 * n, type_name="f16")
    r.put("per_layer_proj_norm.weight", 256)
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm", "post_norm", "laurel_post_norm")
        r.norms(i, "altup_correct_scale", "altup_router_norm")
        r.attention(i, norms=True)
        r.dense(i)
        r.block(i, "inp_gate.weight", 2048, 256)
        r.block(i, "proj.weight", 256, 2048)
        r.block(i, "altup_correct_coef.weight", 4, 4, type_name="f32")
        r.block(i, "altup_predict_coef.weight", 4, 16, type_name="f32")
        r.block(i, "altup_router.weight", 2048, 4, type_name="f32")
        r.block(i, "laurel_l.weight", 2048, 64)
        r.block(i, "laurel_r.weight", 64, 2048)
    return r.done()


def _gpt_oss(name: str, n: int, experts: int) -> Header:
    r = Recipe("gpt-oss", name, n, 2880, 2880, 201088, 64, 8, 64)
    r.key("attention.sliding_window", 128)
    r.key("expert_count", experts)
    r.key("expert_used_count", 4)
    r.key("expert_feed_forward_length", 2880)
    r.key("rope.dimension_count", 64)
    r.ends()
    for i in range(n):
        r.norms(i, "attn_norm", "post_attention_norm")
        r.attention(i, bias=True, out_bias=True)
        r.block(i, "attn_sinks.weight", 64)
        r.experts(i, experts, 2880, bias=True)
    return r.done()


def gpt_oss_20b(n: int = 24) -> Header:
    return _gpt_oss("gpt-oss 20B", n, 32)


def gpt_oss_120b(n: int = 36) -> Header:
    return _gpt_oss("gpt-oss 120B", n, 128)


def phi3(n: int = 32) -> Header:
    r = Recipe("phi3", "Phi 3 mini 128k", n, 3072, 8192, 32064, 32, 32)
    r.key("rope.dimension_count", 96)
    r.ends()
    r.put("rope_factors_long.weight", 48)
    r.put("rope_factors_short.weight", 48)
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        r.attention(i, fused=True)
        r.dense(i, up=2)
    return r.done()


def glm4(n: int = 40) -> Header:
    r = Recipe("glm4", "GLM 4 9B 0414", n, 4096, 13696, 151552, 32, 2, 128, ctx_train=32768)
    r.key("rope.dimension_count", 64)
    r.ends()
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm", "post_attention_norm", "post_ffw_norm")
        r.attention(i, bias=True)
        r.dense(i, up=2)
    return r.done()


def glm4moe(n: int = 47) -> Header:
    """The last block is the MTP head."""
    r = Recipe("glm4moe", "GLM 4.5 Air", n, 4096, 10944, 151552, 96, 8, 128)
    r.key("nextn_predict_layers", 1)
    r.key("rope.dimension_count", 64)
    r.key("expert_count", 128)
    r.key("expert_used_count", 8)
    r.key("expert_feed_forward_length", 1408)
    r.key("expert_shared_count", 1)
    r.key("leading_dense_block_count", 1)
    r.key("expert_gating_func", 2)
    r.ends()
    for i in range(n):
        r.norms(i, "attn_norm", "post_attention_norm")
        r.attention(i, bias=True)
        if i == 0:
            r.dense(i)
        else:
            r.experts(i, 128, 1408, shared=1408, probs=True)
        if i == n - 1:
            r.block(i, "nextn.eh_proj.weight", 2 * r.n_embd, r.n_embd)
            r.norms(i, "nextn.enorm", "nextn.hnorm", "nextn.shared_head_norm")
    return r.done()


def _deepseek(
    r: Recipe, n: int, *, lead: int, q_lora: int, experts: int, width: int, shared: int, mla: bool, probs: bool
) -> Header:
    nope, rope, value, lora, heads = 128, 64, 128, 512, r.heads
    r.key("attention.kv_lora_rank", lora)
    if q_lora:
        r.key("attention.q_lora_rank", q_lora)
    if mla:
        r.key("attention.head_count_kv", 1)
        r.key("attention.key_length", lora + rope)
        r.key("attention.value_length", lora)
        r.key("attention.key_length_mla", nope + rope)
        r.key("attention.value_length_mla", value)
    else:
        r.key("attention.key_length", nope + rope)
        r.key("attention.value_length", value)
    r.key("rope.dimension_count", rope)
    r.key("leading_dense_block_count", lead)
    r.key("expert_feed_forward_length", width)
    r.key("expert_shared_count", shared)
    r.key("rope.scaling.yarn_log_multiplier", 0.1)
    r.key("expert_weights_scale", 1.0)
    r.ends()
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        if q_lora:
            r.block(i, "attn_q_a_norm.weight", q_lora)
            r.block(i, "attn_q_a.weight", r.n_embd, q_lora)
            r.block(i, "attn_q_b.weight", q_lora, heads * (nope + rope))
        else:
            r.block(i, "attn_q.weight", r.n_embd, heads * (nope + rope))
        r.block(i, "attn_kv_a_norm.weight", lora)
        r.block(i, "attn_kv_a_mqa.weight", r.n_embd, lora + rope)
        if mla:
            r.block(i, "attn_k_b.weight", nope, lora, heads)
            r.block(i, "attn_v_b.weight", lora, value, heads)
        else:
            r.block(i, "attn_kv_b.weight", lora, heads * (nope + value))
        r.block(i, "attn_output.weight", heads * value, r.n_embd)
        if i < lead:
            r.dense(i)
        else:
            r.experts(i, experts, width, shared=width * shared, probs=probs)
    return r.done()


def deepseek_v2_lite(n: int = 27, *, mla: bool = True) -> Header:
    r = Recipe("deepseek2", "DeepSeek V2 Lite", n, 2048, 10944, 102400, 16, 16, 192, 128, ctx_train=163840)
    r.key("expert_count", 64)
    r.key("expert_used_count", 6)
    # llama.cpp knows the lite variant, which has no q_lora, by its 27 blocks: a cut one needs the other kind.
    return _deepseek(
        r, n, lead=1, q_lora=0 if n == 27 else 1536, experts=64, width=1408, shared=2, mla=mla, probs=False
    )


def deepseek_v2_lite_old(n: int = 27) -> Header:
    """As converted before MLA: full K and V."""
    return deepseek_v2_lite(n, mla=False)


def deepseek_v3(n: int = 61) -> Header:
    r = Recipe("deepseek2", "DeepSeek V3", n, 7168, 18432, 129280, 128, 128, 192, 128, ctx_train=163840)
    r.key("expert_count", 256)
    r.key("expert_used_count", 8)
    r.key("expert_group_count", 8)
    r.key("expert_group_used_count", 4)
    r.key("expert_gating_func", 2)
    r.key("expert_weights_norm", True)
    return _deepseek(r, n, lead=3, q_lora=1536, experts=256, width=2048, shared=1, mla=True, probs=True)


def command_r(n: int = 40) -> Header:
    r = Recipe("command-r", "Command R 08-2024", n, 8192, 24576, 256000, 64, 8)
    r.key("attention.layer_norm_epsilon", 1e-5)
    r.key("logit_scale", 0.0625)
    r.ends(tied=True)
    for i in range(n):
        r.norms(i, "attn_norm")
        r.attention(i)
        r.dense(i)
    return r.done()


def cohere2(n: int = 32) -> Header:
    r = Recipe("cohere2", "Command R7B", n, 4096, 14336, 256000, 32, 8, ctx_train=132096)
    r.key("attention.layer_norm_epsilon", 1e-5)
    r.key("logit_scale", 0.25)
    r.key("attention.sliding_window", 4096)
    r.key("rope.dimension_count", 128)
    r.ends(tied=True)
    for i in range(n):
        r.norms(i, "attn_norm")
        r.attention(i)
        r.dense(i)
    return r.done()


def granitehybrid(n: int = 40) -> Header:
    with_attention = {5, 15, 25, 35}
    r = Recipe("granitehybrid", "Granite 4.0 H Tiny", n, 1536, 512, 100352, 12, 4)
    r.key("attention.head_count_kv", [4 if i in with_attention else 0 for i in range(n)])
    for key, value in (("logit_scale", 6.0), ("residual_scale", 0.22), ("embedding_scale", 12.0)):
        r.key(key, value)
    r.key("attention.scale", 0.0078125)
    r.key("expert_count", 64)
    r.key("expert_used_count", 6)
    r.key("expert_shared_feed_forward_length", 1024)
    ssm: dict[str, Any] = {"conv": 4, "inner": 3072, "state": 128, "rank": 48, "groups": 1}
    r.ssm(**ssm)
    r.ends(tied=True)
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        if i in with_attention:
            r.attention(i)
        else:
            r.mamba2(i, **ssm)
        r.experts(i, 64, 512, shared=1024)
    return r.done()


def mamba(n: int = 64) -> Header:
    r = Recipe("mamba", "Mamba 2.8B", n, 2560, 0, 50280, ctx_train=1048576)
    _mamba1_keys(r, 5120, 160)
    r.ends(tied=True)
    for i in range(n):
        r.norms(i, "attn_norm")
        _mamba1(r, i, 5120, 160)
    return r.done()


def _mamba1_keys(r: Recipe, inner: int, rank: int) -> None:
    r.ssm(conv=4, inner=inner, state=16, rank=rank)


def _mamba1(r: Recipe, i: int, inner: int, rank: int) -> None:
    r.block(i, "ssm_in.weight", r.n_embd, 2 * inner)
    r.block(i, "ssm_conv1d.weight", 4, inner)
    r.block(i, "ssm_conv1d.bias", inner)
    r.block(i, "ssm_x.weight", inner, rank + 32)
    r.block(i, "ssm_dt.weight", rank, inner)
    r.block(i, "ssm_dt.bias", inner)
    r.block(i, "ssm_a", 16, inner)
    r.block(i, "ssm_d", inner)
    r.block(i, "ssm_out.weight", inner, r.n_embd)


def mamba2(n: int = 64) -> Header:
    r = Recipe("mamba2", "Mamba Codestral 7B", n, 4096, 0, 32768, ctx_train=1048576)
    ssm: dict[str, Any] = {"conv": 4, "inner": 8192, "state": 128, "rank": 128, "groups": 8}
    r.ssm(**ssm)
    r.ends()
    for i in range(n):
        r.norms(i, "attn_norm")
        r.mamba2(i, **ssm)
    return r.done()


def jamba(n: int = 32) -> Header:
    r = Recipe("jamba", "Jamba 1.5 Mini", n, 4096, 14336, 65536, 32, 8, ctx_train=262144)
    r.key("attention.head_count_kv", [8 if i % 8 == 4 else 0 for i in range(n)])
    r.key("expert_count", 16)
    r.key("expert_used_count", 2)
    _mamba1_keys(r, 8192, 256)
    r.ends()
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        if i % 8 == 4:
            r.attention(i)
        else:
            _mamba1(r, i, 8192, 256)
            r.block(i, "ssm_dt_norm.weight", 256)
            r.block(i, "ssm_b_norm.weight", 16)
            r.block(i, "ssm_c_norm.weight", 16)
        if i % 2:
            r.experts(i, 16, 14336)
        else:
            r.dense(i)
    return r.done()


def _lfm2(r: Recipe, n: int, attention: set[int], feed: Callable[[int], None]) -> Header:
    r.key("attention.head_count_kv", [8 if i in attention else 0 for i in range(n)])
    r.key("shortconv.l_cache", 3)
    r.ends(tied=True, norm="token_embd_norm.weight")
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        if i in attention:
            r.attention(i, norms=True)
        else:
            r.block(i, "shortconv.conv.weight", 3, r.n_embd, type_name="f32")
            r.block(i, "shortconv.in_proj.weight", r.n_embd, 3 * r.n_embd)
            r.block(i, "shortconv.out_proj.weight", r.n_embd, r.n_embd)
        feed(i)
    return r.done()


def lfm2(n: int = 16) -> Header:
    r = Recipe("lfm2", "LFM2 1.2B", n, 2048, 8192, 65536, 32, 8, ctx_train=128000)
    return _lfm2(r, n, {2, 5, 8, 10, 12, 14}, r.dense)


def lfm2moe(n: int = 24) -> Header:
    r = Recipe("lfm2moe", "LFM2 8B A1B", n, 2048, 7168, 65536, 32, 8, ctx_train=128000)
    r.key("expert_count", 32)
    r.key("expert_used_count", 4)
    r.key("expert_feed_forward_length", 1792)
    r.key("leading_dense_block_count", 2)
    r.key("expert_gating_func", 2)
    feed: Callable[[int], None] = lambda i: r.dense(i) if i < 2 else r.experts(i, 32, 1792, probs=True)  # noqa: E731
    return _lfm2(r, n, {2, 6, 10, 14, 18, 21}, feed)


def llama4(n: int = 48) -> Header:
    r = Recipe("llama4", "Llama 4 Scout", n, 5120, 16384, 202048, 40, 8, ctx_train=10485760)
    r.key("expert_count", 16)
    r.key("expert_used_count", 1)
    r.key("expert_feed_forward_length", 8192)
    r.key("interleave_moe_layer_step", 1)
    r.ends()
    r.put("rope_freqs.weight", 64)
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        r.attention(i)
        r.experts(i, 16, 8192, shared=8192)
    return r.done()


def minimax_m2(n: int = 62) -> Header:
    r = Recipe("minimax-m2", "MiniMax M2", n, 3072, 1536, 200064, 48, 8, 128, ctx_train=196608)
    r.key("expert_count", 256)
    r.key("expert_used_count", 8)
    r.key("expert_feed_forward_length", 1536)
    r.key("expert_gating_func", 2)
    r.key("rope.dimension_count", 64)
    r.ends()
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        r.attention(i)
        r.block(i, "attn_q_norm.weight", 6144)
        r.block(i, "attn_k_norm.weight", 1024)
        r.experts(i, 256, 1536, probs=True)
    return r.done()


def falcon_h1(n: int = 44) -> Header:
    """Attention and a state-space mixer side by side in every block."""
    r = Recipe("falcon-h1", "Falcon H1 7B", n, 3072, 12288, 130048, 12, 2, 128, ctx_train=262144)
    ssm: dict[str, Any] = {"conv": 4, "inner": 3072, "state": 256, "rank": 24, "groups": 1}
    r.ssm(**ssm)
    r.ends()
    for i in range(n):
        r.norms(i, "attn_norm")
        r.block(i, "ffn_norm", r.n_embd)
        r.mamba2(i, **ssm, norm=False)
        r.attention(i)
        r.dense(i)
    return r.done()


def nemotron_h(n: int = 52) -> Header:
    """Each block is one of: state space (M), attention (*), feed-forward (-)."""
    pattern = "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"[:n]
    r = Recipe("nemotron_h", "Nemotron H 8B", n, 4096, 0, 131072, 32, 8, 128, ctx_train=8192)
    r.key("attention.layer_norm_epsilon", 1e-5)
    r.key("feed_forward_length", [21504 if kind == "-" else 0 for kind in pattern])
    r.key("attention.head_count_kv", [8 if kind == "*" else 0 for kind in pattern])
    ssm: dict[str, Any] = {"conv": 4, "inner": 8192, "state": 128, "rank": 128, "groups": 8}
    r.ssm(**ssm)
    r.ends()
    for i, kind in enumerate(pattern):
        r.norms(i, "attn_norm")
        if kind == "M":
            r.mamba2(i, **ssm)
        elif kind == "*":
            r.attention(i)
        else:
            r.dense(i, 21504, gate=False)
    return r.done()


def seed_oss(n: int = 64) -> Header:
    r = Recipe("seed_oss", "Seed OSS 36B", n, 5120, 27648, 155136, 80, 8, 128, ctx_train=524288)
    r.ends()
    for i in range(n):
        r.norms(i, "attn_norm", "post_attention_norm")
        r.attention(i, bias=True)
        r.dense(i)
    return r.done()


def olmo2(n: int = 32) -> Header:
    r = Recipe("olmo2", "OLMo 3 7B", n, 4096, 11008, 100278, 32, 32, ctx_train=65536)
    r.key("attention.sliding_window", 4096)
    r.key("attention.sliding_window_pattern", [(i + 1) % 4 != 0 for i in range(n)])
    r.ends()
    for i in range(n):
        r.norms(i, "post_attention_norm", "post_ffw_norm", "attn_q_norm", "attn_k_norm")
        r.attention(i)
        r.dense(i)
    return r.done()


def exaone4(n: int = 64) -> Header:
    r = Recipe("exaone4", "EXAONE 4.0 32B", n, 5120, 27392, 102400, 40, 8)
    r.key("attention.sliding_window", 4096)
    r.key("attention.sliding_window_pattern", [(i + 1) % 4 != 0 for i in range(n)])
    r.ends()
    for i in range(n):
        r.norms(i, "post_attention_norm", "post_ffw_norm")
        r.attention(i, norms=True)
        r.dense(i)
    return r.done()


def ernie45moe(n: int = 28) -> Header:
    r = Recipe("ernie4_5-moe", "ERNIE 4.5 21B A3B", n, 2560, 12288, 103424, 20, 4, 128)
    r.key("expert_count", 64)
    r.key("expert_used_count", 6)
    r.key("expert_feed_forward_length", 1536)
    r.key("expert_shared_feed_forward_length", 3072)
    r.key("interleave_moe_layer_step", 1)
    r.key("leading_dense_block_count", 1)
    r.ends(tied=True)
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        r.attention(i)
        if i:
            r.experts(i, 64, 1536, shared=3072, probs=True)
        else:
            r.dense(i)
    return r.done()


def starcoder2(n: int = 32) -> Header:
    r = Recipe("starcoder2", "StarCoder2 7B", n, 4608, 18432, 49152, 36, 4, ctx_train=16384)
    r.key("attention.layer_norm_epsilon", 1e-5)
    r.ends(tied=True)
    r.put("output_norm.bias", 4608)
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        r.block(i, "attn_norm.bias", 4608)
        r.block(i, "ffn_norm.bias", 4608)
        r.attention(i, bias=True, out_bias=True)
        r.dense(i, gate=False, bias=True)
    return r.done()


def hunyuan_moe(n: int = 32) -> Header:
    r = Recipe("hunyuan-moe", "Hunyuan A13B", n, 4096, 3072, 128167, 32, 8, 128, ctx_train=262144)
    r.key("expert_count", 64)
    r.key("expert_used_count", 8)
    r.key("expert_feed_forward_length", 3072)
    r.key("expert_shared_feed_forward_length", 3072)
    r.ends(tied=True)
    for i in range(n):
        r.norms(i, "attn_norm", "ffn_norm")
        r.attention(i, norms=True)
        r.experts(i, 64, 3072, shared=3072)
    return r.done()


MODELS: dict[str, Callable[..., Header]] = {
    "llama-8b": llama_8b, "llama-1b": llama_1b, "llama-70b": llama_70b, "mixtral": mixtral, "mistral3": mistral3,
    "qwen2-7b": qwen2_7b, "qwen2-0.5b": qwen2_half, "qwen2moe": qwen2moe, "qwen3-8b": qwen3_8b,
    "qwen3-0.6b": qwen3_small, "qwen3moe": qwen3moe, "qwen3next": qwen3next, "qwen35": qwen35, "qwen35moe": qwen35moe,
    "gemma2": gemma2, "gemma3-12b": gemma3_12b, "gemma3-1b": gemma3_1b, "gemma3n": gemma3n,
    "gpt-oss-20b": gpt_oss_20b, "gpt-oss-120b": gpt_oss_120b, "phi3": phi3, "glm4": glm4, "glm4moe": glm4moe,
    "deepseek-v2-lite": deepseek_v2_lite, "deepseek-v2-lite-old": deepseek_v2_lite_old, "deepseek-v3": deepseek_v3,
    "command-r": command_r, "cohere2": cohere2, "granite": granite, "granitemoe": granitemoe,
    "granitehybrid": granitehybrid, "mamba": mamba, "mamba2": mamba2, "jamba": jamba, "lfm2": lfm2,
    "lfm2moe": lfm2moe, "smollm3": smollm3, "llama4": llama4, "minimax-m2": minimax_m2, "falcon-h1": falcon_h1,
    "nemotron_h": nemotron_h, "seed_oss": seed_oss, "olmo2": olmo2, "exaone4": exaone4, "ernie4_5-moe": ernie45moe,
    "starcoder2": starcoder2, "hunyuan-moe": hunyuan_moe,
}  # fmt: skip
"""Name → header by number of blocks; without a number the model's own."""
