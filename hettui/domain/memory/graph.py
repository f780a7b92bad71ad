"""What llama.cpp computes for one micro-batch, as far as memory goes: which results live how long.

Every block is sketched from its own tensors (`attn_q`, `ffn_gate_exps`, `ssm_in`, …), in the order in which llama.cpp
builds its graph (`build_*` of src/llama-graph.cpp and src/models/*.cpp of b11434, read and compared with the graphs
that `GGML_SCHED_DEBUG=2` prints in b10068 and b11434). `allocator.peak_bytes` then says how large the buffer is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import Literal

from hettui.domain.memory.allocator import Tensor
from hettui.domain.model.block_context import BlockContext
from hettui.domain.plan.split import HOST
from hettui.domain.records import dataclass

F32 = 4
_MAX_EXPERTS_USED = 256
"""Far above any model; the number comes from a file and decides how much is laid out."""
OFFLOADED_TOKENS = 32
"""Smaller batches the host computes itself (`offload_op` of ggml-cuda.cu and ggml-vulkan.cpp, b10068 and b11434)."""
_MOST_FUSED_EXPERTS = 15
"""`MOE_WEIGHTED_REDUCTION_MAX_EXPERTS` of ggml-cuda.cu."""
_CACHE = Tensor(0)
"""Stands for the KV cache: what is written there takes nothing from the compute buffer."""


class Shapes(dict[str, tuple[int, ...]]):
    """A block's tensors by name without `blk.N.`; four dimensions each, fastest first, as ggml has them.

    What a file lacks has no width, so a strange file gives a small buffer rather than an exception.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__((name, (*shape, 1, 1, 1, 1)[:4]) for name, shape in shapes.items())

    def __missing__(self, name: str) -> tuple[int, ...]:
        return (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Batch:
    """The micro-batch that llama.cpp reserves for."""

    tokens: int
    sequences: int
    outputs: int
    """Rows for which logits are computed."""
    flash_attn: bool
    streams: int
    """Separate caches: one per slot, or one for all."""
    cells: int
    """KV cells of one stream that a block of full attention sees."""
    window_cells: int
    mask_bytes: int
    window_mask_bytes: int
    cache_types: tuple[tuple[int, int], tuple[int, int]] = ((2, 1), (2, 1))
    """Of K and V: bytes, and how many elements they hold."""
    turns_values: bool = False
    """V lies as flash attention wants it, and is turned round for attention without: where llama.cpp found out
    too late that a device cannot do it (`build_attn_mha`, both builds)."""
    cache_in_f16: bool = False
    """Flash attention converts a cache of another type first, beside its result: CUDA in newer builds
    (`ggml_cuda_flash_attn_ext_get_alloc_size` of b11434; older ones take it from CUDA's own pool)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the tensors alone do not say."""

    heads: int
    experts_used: int
    softcap: bool
    """Attention logits are capped."""
    keys_first: bool
    """K is computed before V: models with windows."""
    weights_before_experts: bool
    """llama4 weighs the input of its experts, not their output."""
    norms_expert_weights: bool
    """The chosen experts' weights are made to sum to one."""
    residual_first: Literal["", "both", "mixer", "feed"]
    """Which additions are to the residual; all others add the residual to what is new. The first operand is
    overwritten."""
    full_offload: bool
    """Nothing stays on the host."""
    rank_mla: int
    """`attention.kv_lora_rank`, 0 without MLA."""
    rope_dims: int
    head_v: int
    attends_on_host: bool = False
    """The card has no kernel for flash attention with such heads, and it was asked for."""
    newer: bool = False
    """Graphs are built as b11434 does; else as b10068."""
    state_copies: int = 1
    """Of a recurrent state what a gated delta net gives: more where tokens may have to be taken back."""
    fuses: bool = False
    """A card of the master's own whose backend computes several operations as one, and keeps what they read."""


class Graph:
    """Collects the operations of one device."""

    def __init__(self, batch: Batch, rules: Rules) -> None:
        self.batch = batch
        self.rules = rules
        self.operations: list[Tensor] = []
        self.place: int | None = None
        """The device of the block that is being added."""
        self.on_host: Mapping[str, int] = {}
        """Its tensors that stay on the host (`n-cpu-moe`, `n-cpu-ffn`, `override-tensor`), with their bytes."""
        self.weights: dict[str, Tensor] = {}
        """Of the block, by name: those that another device than theirs reads."""
        self.adapted: Mapping[str, tuple[int, ...]] = {}
        """Its tensors that LoRA adapters change, with the adapters' ranks."""
        self.helper: int | None = None
        """The device that computes for the host where a batch is large enough."""
        self.rope_table: Tensor | None = None
        """The host's own; every device with blocks has another one."""
        self.norms_values = False
        """V, too, is normed (gemma3n)."""
        self.fixed = 0
        """How many operations llama.cpp has put into its graph for good. What comes after is put there when
        something needs it, so that the state of the next recurrent block gets in before it."""
        self.inputs: dict[tuple[str, bool], Tensor] = {}
        """By name and by whether it belongs to the blocks with a window."""

    # -- operations ----------------------------------------------------------------------------------------

    def raw(self, size_bytes: int, *parents: Tensor, inplace: bool = False, anchored: bool = True) -> Tensor:
        """A result of that many bytes. `anchored`: it uses a weight or the cache, so it is computed where they lie."""
        return self._at(self.place if anchored and not self.helped else None, size_bytes, *parents, inplace=inplace)

    def _at(self, home: int | None, size_bytes: int, *parents: Tensor, inplace: bool = False) -> Tensor:
        tensor = Tensor(size_bytes, parents, inplace=inplace, home=home)
        self.operations.append(tensor)
        return tensor

    def _lies(self, size_bytes: int, *parents: Tensor) -> Tensor:
        """A result on the block's device that has a place even where it has no bytes."""
        tensor = Tensor(size_bytes, parents, home=self.place, empty=not size_bytes)
        self.operations.append(tensor)
        return tensor

    def looked_up(self, size_bytes: int, *parents: Tensor) -> Tensor:
        """Rows of a tensor that lies on the host: nobody helps with that."""
        return self._at(HOST, size_bytes, *parents)

    @property
    def _willing(self) -> int | None:
        """Who computes what the host holds, for a batch of this size; None: the host."""
        return self.helper if self.batch.tokens >= OFFLOADED_TOKENS else None

    @property
    def helped(self) -> bool:
        """The block lies on the host, and another device computes it, but for what is in the cache."""
        return self.place == HOST and self._willing is not None

    def weighted(self, name: str, size_bytes: int, *parents: Tensor, inplace: bool = False) -> Tensor:
        """A result by a tensor of the block that may stay on the host: it is computed where that lies.

        Or on the device that helps the host, which gets a copy of the tensor for as long
        (`ggml_backend_sched_backend_id_from_cur` of b11434, the same in b10068).
        """
        weight_bytes = self.on_host.get(name)
        if weight_bytes is None:
            return self.raw(size_bytes, *parents, inplace=inplace)
        return self._on_host(name, size_bytes, weight_bytes, *parents, inplace=inplace)

    def _on_host(self, name: str, size_bytes: int, weight_bytes: int, *parents: Tensor, inplace: bool) -> Tensor:
        helper = self._willing
        if helper is None:
            return self._at(HOST, size_bytes, *parents, inplace=inplace)
        # What is read twice is copied once.
        weight = self.weights.get(name) or Tensor(weight_bytes, home=HOST, weight=True)
        if name:
            self.weights[name] = weight
        # Copied in this order. A matrix comes before what it is multiplied with, what is multiplied or added in place
        # after it.
        read = (*parents, weight) if inplace else (weight, *parents)
        return self._at(helper, size_bytes, *read, inplace=inplace)

    def project(self, name: str, b: Shapes, x: Tensor) -> Tensor:
        """As many values per token as that matrix of the block has rows."""
        out = self.weighted(f"{name}.weight", b[f"{name}.weight"][1] * self.token_bytes, x)
        return self._adapted(out, f"{name}.weight", x) if self.adapted else out

    def _adapted(self, out: Tensor, name: str, x: Tensor) -> Tensor:
        """With what each adapter adds: first as narrow as its rank, then as wide as the result (`build_lora_mm`)."""
        for rank in self.adapted.get(name, ()):
            low = self._by_adapter(name, rank, x)
            wide = self._by_adapter(name, out.size_bytes // self.token_bytes, low)
            out = self.over(out, self.over(wide))
        return out

    def _by_adapter(self, name: str, width: int, x: Tensor) -> Tensor:
        """A result by a tensor of an adapter, which lies where the one lies that it changes. To the scheduler it is no
        weight: where the host keeps both, the neighbours decide who computes, and it is copied there (in f32)."""
        if self.helped or name not in self.on_host:
            return self.rows(width, x)
        matrix = Tensor(width * x.size_bytes // self.batch.tokens, home=HOST)
        return self.rows(width, matrix, x, anchored=False)

    @property
    def token_bytes(self) -> int:
        """One value for each token."""
        return self.batch.tokens * F32

    def rows(self, width: int, *parents: Tensor, anchored: bool = True) -> Tensor:
        """A new result of `width` values per token."""
        return self.raw(width * self.token_bytes, *parents, anchored=anchored)

    def over(self, *parents: Tensor, anchored: bool = False) -> Tensor:
        """An element-wise operation that may overwrite its first parent."""
        return self.raw(parents[0].size_bytes, *parents, inplace=True, anchored=anchored)

    def given(self, name: str, *, windowed: bool = False) -> Tensor:
        """An input. A strange file may ask for one that nothing keeps; it then takes nothing."""
        return self.inputs.get((name, windowed), _CACHE)

    def view(self, of: Tensor, size_bytes: int | None = None, *, empty: bool = False) -> Tensor:
        """The whole or, with a size, the beginning of a result, seen in another shape."""
        tensor = Tensor(of.size_bytes if size_bytes is None else size_bytes, (of,), source=of, empty=empty)
        self.operations.append(tensor)
        return tensor

    def part(self, of: Tensor) -> Tensor:
        """Some columns of a result: nothing can overwrite it in place."""
        return self.view(of, 0)

    def keep(self, *results: Tensor) -> None:
        """Up to here nothing takes their place: one kernel computes all of it, and reads them to the end
        (`add_alloc_dep` of `ggml_backend_cuda_graph_optimize`, b11434)."""
        self._at(None, 0, *results)

    def store(self, *parents: Tensor) -> None:
        """Written into the cache."""
        self._at(self.place, 0, *parents)
        self.fix()

    def fix(self) -> None:
        """llama.cpp's `ggml_build_forward_expand`."""
        self.fixed = len(self.operations)

    # -- parts of a block ----------------------------------------------------------------------------------

    def norm(self, x: Tensor, name: str = "") -> Tensor:
        """Norm and its weight, which is as wide as `x` where no tensor is named. With everything offloaded llama.cpp
        keeps the norm on its block's device."""
        bare = self.raw(x.size_bytes, x, inplace=True, anchored=self.rules.full_offload)
        if self.helped:
            weight_bytes = self.on_host.get(name, x.size_bytes // self.batch.tokens)
            return self._on_host(name, x.size_bytes, weight_bytes, bare, inplace=True)
        return self.over(bare, anchored=True)

    def feed_forward(self, x: Tensor, b: Shapes, suffix: str = "") -> Tensor:
        up = b[f"ffn_up{suffix}.weight"][1]
        down = b[f"ffn_down{suffix}.weight"]
        if f"ffn_gate{suffix}.weight" in b:
            gate = self._biased(self.project(f"ffn_gate{suffix}", b, x), b, f"ffn_gate{suffix}")
            up_here = self._biased(self.project(f"ffn_up{suffix}", b, x), b, f"ffn_up{suffix}")
            hidden = self.rows(up, gate, up_here, anchored=False)
        elif up > down[0]:
            hidden = self.rows(down[0], self.project(f"ffn_up{suffix}", b, x), anchored=False)
        else:
            hidden = self.over(self._biased(self.project(f"ffn_up{suffix}", b, x), b, f"ffn_up{suffix}"))
        return self._biased(self.project(f"ffn_down{suffix}", b, hidden), b, f"ffn_down{suffix}")

    def _biased(self, x: Tensor, b: Shapes, name: str) -> Tensor:
        bias = f"{name}.bias"
        return self.weighted(bias, x.size_bytes, x, inplace=True) if bias in b else x

    def _expert(self, name: str, width: int, b: Shapes, *parents: Tensor) -> Tensor:
        """`width` values per token by the chosen experts."""
        return self._biased(self.weighted(f"{name}.weight", width * self.token_bytes, *parents), b, name)

    def experts(self, x: Tensor, b: Shapes) -> Tensor:
        """The chosen experts of each token, weighted and summed up, and the shared ones."""
        n_embd, normed = b["ffn_down_exps.weight"][1], x
        used = max(1, min(self.rules.experts_used, b["ffn_down_exps.weight"][2], _MAX_EXPERTS_USED))
        count = b["ffn_gate_inp.weight"][1]
        logits = self._biased(self.project("ffn_gate_inp", b, x), b, "ffn_gate_inp")
        probs = self.over(logits)
        choice = self.rows(count, probs) if "exp_probs_b.bias" in b else probs
        sorted_ = self.rows(count, choice)
        chosen = self.part(sorted_)
        weights = looked_up = self.rows(used, self.view(probs), chosen)
        if self.rules.norms_expert_weights:
            weights = self.over(self.view(looked_up), self._clamped_sum(looked_up))
        if self.rules.fuses and _chosen_at_once(count):
            self.keep(logits, probs, choice, sorted_, looked_up)
        if self.rules.weights_before_experts:
            x = self.over(self.rows(n_embd * used, self.view(x)), weights)
        if "ffn_gate_up_exps.weight" in b:
            width = b["ffn_gate_up_exps.weight"][1]
            both = self._expert("ffn_gate_up_exps", width * used, b, self.view(x), chosen)
            hidden = self.rows(width // 2 * used, self.part(both), self.part(both), anchored=False)
        else:
            width = b["ffn_up_exps.weight"][1]
            seen = self.view(x)
            gate = self._expert("ffn_gate_exps", width * used, b, seen, chosen)
            up = self._expert("ffn_up_exps", width * used, b, seen, chosen)
            hidden = self.rows(width * used, gate, up, anchored=False)
        raw = out = self._expert("ffn_down_exps", n_embd * used, b, hidden, chosen)
        if not self.rules.weights_before_experts:
            out = self.over(out, weights)
        if used == 1:
            total = self.rows(n_embd, self.part(out), anchored=False)
        else:
            views = [self.part(out) for _ in range(used)]
            self.fix()
            total = self.rows(n_embd, views[0], views[1], anchored=False)
            for view in views[2:]:
                total = self.over(total, view)
            if self.rules.fuses and used <= _MOST_FUSED_EXPERTS and raw is not out:
                self.keep(raw, weights)
            self.fix()
        if "ffn_up_shexp.weight" in b:
            shared = self.feed_forward(normed, b, "_shexp")
            if "ffn_gate_inp_shexp.weight" in b:
                shared = self.over(shared, self.over(self.rows(1, normed)))
            total = self.over(total, shared)
        return total

    def _clamped_sum(self, weights: Tensor) -> Tensor:
        """What divides the chosen experts' weights; in newer builds it is clamped in place (`ggml_op_can_inplace`)."""
        total = self.rows(1, self.view(weights))
        return self.raw(total.size_bytes, total, inplace=self.rules.newer)

    def attention(self, x: Tensor, b: Shapes, context: BlockContext) -> Callable[[], Tensor]:
        """From the normed input to the heads' results; what is returned computes the rest when it is needed."""

        def output() -> Tensor:
            out = self._rotated(heads, "rot_v", windowed=context.window > 0) if context.v_width else heads
            if gate is not None:
                out = self.over(out, self.over(self.rows(gate.size_bytes // 2 // self.token_bytes, self.part(gate))))
            return self._biased(self.project("attn_output", b, out), b, "attn_output")

        heads, gate = self._heads(x, b, context)
        self.fix()
        return output

    def _heads(self, x: Tensor, b: Shapes, context: BlockContext) -> tuple[Tensor, Tensor | None]:
        """The heads' results, and the projection that holds their output gate, where there is one."""
        if "attn_kv_a_mqa.weight" in b:
            return self._latent_attention(x, b, context), None
        heads, head_v, windowed = self.rules.heads, self.rules.head_v, context.window > 0
        fused = "attn_qkv.weight" in b
        gate = None
        if fused:
            width = b["attn_qkv.weight"][1]
            qkv = self._biased(self.project("attn_qkv", b, x), b, "attn_qkv")
            q_width = width - context.k_width - context.v_width
            query = self._rotated(self.rows(q_width, self.part(qkv), *self._turning()), "rot_k", windowed=windowed)
            value = self.part(qkv)
            if ("rot_v", windowed) in self.inputs:
                value = self.rows(context.v_width, value)
            key = self._rotated(
                self.rows(context.k_width, self.part(qkv), *self._turning()), "rot_k", windowed=windowed
            )
        else:
            q_width = b["attn_output.weight"][0] if "attn_output.weight" in b else b["attn_q.weight"][1]
            query = self._biased(self.project("attn_q", b, x), b, "attn_q")
            if b["attn_q.weight"][1] >= 2 * q_width:
                gate = query
                query = self.rows(q_width, self.part(query))
            else:
                query = self.view(query)
            if "attn_q_norm.weight" in b:
                query = self.norm(query, "attn_q_norm.weight")
            query = self._rotated(self._turned(query, context), "rot_k", windowed=windowed)
            if self.rules.keys_first:
                key, value = self._key(x, b, context), self._value(x, b, windowed=windowed)
            else:
                value = self._value(x, b, windowed=windowed)
                key = self._key(x, b, context)
        return self._remembered(query, key, value, heads * head_v, context), gate

    def _key(self, x: Tensor, b: Shapes, context: BlockContext) -> Tensor:
        if "attn_k.weight" not in b:
            return _CACHE
        key = self.view(self._biased(self.project("attn_k", b, x), b, "attn_k"))
        if "attn_k_norm.weight" in b:
            key = self.norm(key, "attn_k_norm.weight")
        return self._rotated(self._turned(key, context), "rot_k", windowed=context.window > 0)

    def _rotated(self, x: Tensor, matrix: str, *, windowed: bool) -> Tensor:
        """A quantised cache holds K and V rotated, which makes them easier to quantise."""
        rotation = self.inputs.get((matrix, windowed))
        return x if rotation is None else self.view(self.raw(x.size_bytes, self.view(x), rotation))

    def _turned(self, x: Tensor, context: BlockContext) -> Tensor:
        """RoPE, in place where a norm gave a result of its own."""
        return self.over(x, *self._turning(), anchored=True) if context.positions else x

    def _turning(self) -> tuple[Tensor, ...]:
        """Positions, and the table of frequencies where somebody else than its holder needs it."""
        table = (self.rope_table,) if self.helped and self.rope_table is not None else ()
        return self.given("positions"), *table

    def _value(self, x: Tensor, b: Shapes, *, windowed: bool) -> Tensor:
        if "attn_v.weight" not in b:
            return _CACHE
        value = self._biased(self.project("attn_v", b, x), b, "attn_v")
        if self.norms_values:
            value = self.raw(value.size_bytes, self.view(value))
        return self._rotated(value, "rot_v", windowed=windowed)

    def _remembered(self, query: Tensor, key: Tensor, value: Tensor, v_width: int, context: BlockContext) -> Tensor:
        """K and V go into the cache, and the heads look at what is there."""
        windowed = context.window > 0
        if key is not _CACHE:
            self.store(self.view(key), self.given("k_idxs", windowed=windowed))
            self.store(self.view(value), self.given("v_idxs", windowed=windowed))
        return self._attend(query, v_width, context)

    def _attend(self, query: Tensor, v_width: int, context: BlockContext) -> Tensor:
        batch, windowed = self.batch, context.window > 0
        mask = self.given("mask", windowed=windowed)
        # It uses no weights, so it is computed beside what stands before it, and K and V are copied there.
        cache = self._cache(context)
        if batch.flash_attn:
            size = v_width * self.token_bytes + self._converted_bytes(context)
            there = HOST if self.rules.attends_on_host and self.place in (HOST, self.helper) else None
            asked = self.view(query)
            out = self._at(there, size, asked, *self._halved(cache), mask)
            return self.view(out, v_width * self.token_bytes)
        width = (batch.window_cells if windowed else batch.cells) * self.rules.heads
        values = cache[1]
        if batch.turns_values:
            values = self.raw(values.size_bytes, values, anchored=False)
        kq = self.rows(width, cache[0], self.view(query), anchored=False)
        if self.rules.softcap:
            kq = self.over(self.over(self.over(kq)))
        kq = self.over(kq, mask)
        mixed = self.rows(v_width, values, kq, anchored=False)
        return self.rows(v_width, self.view(mixed), anchored=False)

    def _cache(self, context: BlockContext) -> tuple[Tensor, Tensor]:
        """K and V as attention reads them; what is compressed into one is read twice."""
        depth = (self.batch.window_cells if context.window else self.batch.cells) * self.batch.streams
        v_width = context.k_width if context.latent else context.v_width
        (k_bytes, k_elements), (v_bytes, v_elements) = self.batch.cache_types
        if context.latent:
            v_bytes, v_elements = k_bytes, k_elements
        return (
            Tensor(depth * context.k_width * k_bytes // k_elements, home=self.place),
            Tensor(depth * v_width * v_bytes // v_elements, home=self.place),
        )

    def _halved(self, cache: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Flash attention reads a cache of f32 as f16: all of it is converted beside it first (`build_attn_mha`, both
        builds)."""
        pairs = zip(cache, self.batch.cache_types, strict=True)
        return tuple(self.raw(one.size_bytes // 2, one, anchored=False) if t == (F32, 1) else one for one, t in pairs)

    def _converted_bytes(self, context: BlockContext) -> int:
        batch = self.batch
        if not batch.cache_in_f16:
            return 0
        depth = (batch.window_cells if context.window else batch.cells) * batch.streams
        return depth * (context.k_width + context.v_width) * 2

    def _latent_attention(self, x: Tensor, b: Shapes, context: BlockContext) -> Tensor:
        """MLA of deepseek2: with `attn_k_b` in the compressed form, without it in full."""
        rules, batch, mask = self.rules, self.batch, self.given("mask")
        heads, lora, rope = rules.heads, rules.rank_mla, rules.rope_dims
        if "attn_q_a.weight" in b:
            low = self.norm(self.project("attn_q_a", b, x))
            query = self.project("attn_q_b", b, low)
        else:
            query = self.project("attn_q", b, x)
        if "attn_k_b.weight" not in b:
            return self._expanded_attention(x, b, query, context)
        absorbed = self.rows(heads * lora, self.part(query))
        positions = self.given("positions")
        turned = self.rows(heads * rope, self.part(query), positions)
        query = self.rows(heads * (lora + rope), self.view(absorbed), turned)
        compressed = self.project("attn_kv_a_mqa", b, x)
        latent = self.over(self.rows(lora, self.part(compressed)))
        key = self.rows(lora + rope, self.view(latent), self.rows(rope, self.part(compressed), positions))
        self.store(self.view(key), self.given("k_idxs"))
        value, cache = b["attn_v_b.weight"][1] * heads, self._cache(context)
        if batch.flash_attn:
            size = heads * lora * self.token_bytes + self._converted_bytes(context)
            asked = self.view(query)
            out = self.raw(size, asked, *self._halved(cache), mask, anchored=False)
            return self.view(self.rows(value, self.part(self.rows(value, self.part(out)))))
        turned_v = self.raw(batch.cells * batch.streams * lora * 2, cache[1])
        kq = self.over(self.rows(batch.cells * heads, cache[0], self.view(query)), mask)
        out = self.rows(heads * lora, turned_v, kq)
        return self.rows(value, self.part(self.rows(value, out)))

    def _expanded_attention(self, x: Tensor, b: Shapes, query: Tensor, context: BlockContext) -> Tensor:
        heads, lora, rope, head_v = self.rules.heads, self.rules.rank_mla, self.rules.rope_dims, self.rules.head_v
        width = query.size_bytes // self.token_bytes
        positions = self.given("positions")
        if self.rules.newer:
            query = self.rows(width, self.view(query), positions)
        else:
            query = self.rows(width, self.part(query), self.rows(heads * rope, self.part(query), positions))
        compressed = self.project("attn_kv_a_mqa", b, x)
        latent = self.over(self.rows(lora, self.part(compressed)))
        both = self.project("attn_kv_b", b, latent)
        value = self.rows(heads * head_v, self.part(both))
        turned_k = self.rows(rope, self.part(compressed), positions)
        key = self.rows(width, self.part(both), self.rows(heads * rope, turned_k))
        self.store(self.view(key), self.given("k_idxs"))
        self.store(self.view(value), self.given("v_idxs"))
        return self._attend(query, heads * head_v, context)

    # -- recurrent blocks ----------------------------------------------------------------------------------

    def _state(self, values: int) -> Tensor:
        """Looked up in the cache ahead of everything that is not yet in the graph for good."""
        state = Tensor(values * self.batch.sequences * F32, (self.given("rs_s_copy"),), home=self.place)
        self.operations.insert(self.fixed, state)
        self.fixed += 1
        return state

    def _convolved(self, weight: str, projected: Tensor, state: Tensor, kernel: int, channels: int) -> Tensor:
        """A convolution over the last inputs of each sequence and the new ones."""
        return self.weighted(weight, channels * self.token_bytes, self._joined(projected, state, kernel, channels))

    def _joined(self, projected: Tensor, state: Tensor, kernel: int, channels: int) -> Tensor:
        """The last inputs of each sequence before the new ones; their end is kept for the next time."""
        batch = self.batch
        size = channels * (batch.tokens + (kernel - 1) * batch.sequences) * F32
        joined = self.raw(size, self.view(state), self.part(projected))
        self.store(self.part(joined))
        return joined

    def state_space(self, x: Tensor, b: Shapes, state_values: int, inner: int, kernel: int) -> Callable[[], Tensor]:
        """Mamba, and mamba2 with `ssm_dt` folded into `ssm_in`; what is returned goes up to the output matrix."""
        batch = self.batch
        channels = b["ssm_conv1d.weight"][1]
        scan_state = (state_values - (kernel - 1) * channels) * batch.sequences
        recent = self._state((kernel - 1) * channels)
        projected = self.project("ssm_in", b, x)
        mixed = self._convolved("ssm_conv1d.weight", projected, recent, kernel, channels)
        mixed = self.over(self._biased(mixed, b, "ssm_conv1d"))
        first = "ssm_dt.weight" in b
        if first:
            parts = self.project("ssm_x", b, mixed)
            steps = self._normed_part("ssm_dt_norm.weight", b, parts) or self.rows(
                b["ssm_dt.weight"][0], self.part(parts)
            )
            step = self._biased(self.weighted("ssm_dt.weight", inner * self.token_bytes, steps), b, "ssm_dt")
            more = (self._normed_part(f"ssm_{name}_norm.weight", b, parts) or self.part(parts) for name in "bc")
            of = self.view(mixed), step, *more
        else:
            step = self._biased(self.rows(b["ssm_dt.bias"][0], self.part(projected)), b, "ssm_dt")
            of = self.part(mixed), step, self.part(mixed), self.part(mixed)
        # One long row: to a helping device that is too little to take it over.
        chosen = self.given("rs_s_copy_main" if self.rules.newer else "rs_s_copy")
        scanned = self._at(self.place, (inner * batch.tokens + scan_state) * F32, *of, chosen)
        if self.rules.newer:
            # All but the first are looked up apart, whether they are used or there are any or not (`build_rs`).
            others = scan_state // batch.sequences * (batch.sequences - 1)
            self.store(self.part(self._lies(others * F32, self.given("rs_s_copy_tail"))))
        self.store(self.part(scanned))

        def finish() -> Tensor:
            gate = self.rows(inner, self.part(projected), anchored=False)
            seen = mixed if first else self.part(mixed)
            skip = self.weighted("ssm_d", inner * self.token_bytes, seen, inplace=first)
            out = self.rows(inner, gate, self.over(self.view(scanned, inner * batch.tokens * F32), skip))
            return self.norm(self.view(out), "ssm_norm.weight") if "ssm_norm.weight" in b else out

        return finish

    def _normed_part(self, norm: str, b: Shapes, parts: Tensor) -> Tensor | None:
        """Some columns of what a scan is steered by, where a model norms them (jamba)."""
        if norm not in b:
            return None
        columns = self.rows(b[norm][0], self.part(parts))
        return self.weighted(norm, columns.size_bytes, columns, inplace=True)

    def delta_net(self, x: Tensor, b: Shapes, state_values: int, inner: int, kernel: int) -> Tensor:
        """Gated delta net of qwen3next and qwen35, up to before the output matrix."""
        batch = self.batch
        channels = b["ssm_conv1d.weight"][1]
        keys = (channels - inner) // 2
        scan_state = (state_values - (kernel - 1) * channels) * batch.sequences
        self.fix()
        recent = self._state((kernel - 1) * channels)
        joined = self._joined(self.project("attn_qkv", b, x), recent, kernel, channels)
        state = self._at(self.place, scan_state * F32)
        mixed = self.over(self.weighted("ssm_conv1d.weight", channels * self.token_bytes, joined))
        query, key = (self._unit(mixed, b, keys, inner) for _ in range(2))
        decay, strength = self._decay_and_strength(x, b)
        scanned = self.raw(
            inner * batch.tokens * F32 + scan_state * self.rules.state_copies * F32,
            self.view(query), self.view(key), self.part(mixed), decay, strength, self.view(state),
        )  # fmt: skip
        self.store(self.part(scanned))
        out = self.norm(self.view(scanned, inner * batch.tokens * F32), "ssm_norm.weight")
        gate = self.over(self.view(self.project("attn_gate", b, x)))
        return self.view(self.over(out, gate))

    def _unit(self, mixed: Tensor, b: Shapes, keys: int, inner: int) -> Tensor:
        """Q or K of a delta net, of length one. Repeated for each head of V where the model is built so (qwen3next;
        qwen35 leaves that to the fused operation)."""
        unit = self.over(self.rows(keys, self.part(mixed)))
        return self.rows(inner, self.view(unit)) if inner > keys and "ssm_ba.weight" in b else unit

    def _decay_and_strength(self, x: Tensor, b: Shapes) -> tuple[Tensor, Tensor]:
        """Of a delta net, per head: how much of the state stays, and how much of what is new comes in."""
        if "ssm_ba.weight" in b:
            both, rank = self.project("ssm_ba", b, x), b["ssm_ba.weight"][1] // 2
            decay = self._decay(self.rows(rank, self.part(both)), b)
            return decay, self.over(self.rows(rank, self.part(both)))
        decay = self._decay(self.view(self.project("ssm_alpha", b, x)), b)
        return decay, self.over(self.view(self.project("ssm_beta", b, x)))

    def _decay(self, x: Tensor, b: Shapes) -> Tensor:
        x = self.over(self._biased(x, b, "ssm_dt"))
        return self.weighted("ssm_a", x.size_bytes, x, inplace=True)

    def short_convolution(self, x: Tensor, b: Shapes, state_values: int) -> Tensor:
        """LFM2, up to before the output matrix."""
        n_embd = b["shortconv.out_proj.weight"][0]
        kernel = state_values // max(1, n_embd) + 1
        recent = self._state(state_values)
        three = self.project("shortconv.in_proj", b, x)
        new = self.rows(n_embd, self.part(three), self.part(three))
        mixed = self._convolved("shortconv.conv.weight", new, recent, kernel, n_embd)
        return self.over(mixed, self.part(three))


def add_block(g: Graph, x: Tensor, b: Shapes, context: BlockContext, inner: int, kernel: int, *, last: bool) -> Tensor:
    """One block on `g`; returns its result. The last block goes on with the rows that become logits only."""
    normed = g.norm(x, "attn_norm.weight") if "attn_norm.weight" in b else x
    own_norm = any(n in b for n in ("ffn_norm.weight", "ffn_norm", "post_attention_norm.weight"))
    feeds = any(n.startswith("ffn_") and n.endswith(".weight") and "norm" not in n for n in b)
    if _attends(b) and feeds and not own_norm:
        return _parallel_block(g, x, normed, b, context, last=last)
    mixed = _mixed(g, x, normed, b, context, inner, kernel)
    post_norms = "post_attention_norm.weight" in b and ("ffn_norm.weight" in b or "post_ffw_norm.weight" in b)
    if mixed is not None and post_norms:
        mixed = g.norm(mixed)
    if mixed is None:
        if last:
            g, (x, normed) = _outputs_only(g, x, normed)
        return g.over(_fed(g, normed, b), x)
    if last:
        g, (mixed, x) = _outputs_only(g, mixed, x)
    first = g.rules.residual_first
    residual = g.over(x, mixed) if first in ("both", "mixer") else g.over(mixed, x)
    if not feeds:
        return residual
    pre_norm = "post_ffw_norm.weight" not in b or "ffn_norm.weight" in b
    fed = _fed(g, g.norm(residual) if pre_norm else residual, b)
    if "post_ffw_norm.weight" in b:
        fed = g.norm(fed)
    return g.over(residual, fed) if first in ("both", "feed") else g.over(fed, residual)


def _mixed(
    g: Graph, x: Tensor, normed: Tensor, b: Shapes, context: BlockContext, inner: int, kernel: int
) -> Tensor | None:
    """What a block does across tokens: attention, a recurrence, or both side by side."""
    attend = g.attention(normed, b, context) if _attends(b) else None
    if "shortconv.in_proj.weight" in b:
        return g.project("shortconv.out_proj", b, g.short_convolution(normed, b, context.state_values))
    if "ssm_out.weight" in b:
        if "attn_gate.weight" in b:
            return g.view(g.project("ssm_out", b, g.delta_net(normed, b, context.state_values, inner, kernel)))
        seen = normed if attend is None else g.norm(x, "attn_norm.weight")
        finish = g.state_space(seen, b, context.state_values, inner, kernel)
        if attend is None:
            out = g.project("ssm_out", b, finish())
            # Three-dimensional still, in newer builds mamba's only.
            return g.view(out) if "ssm_dt.weight" in b or not g.rules.newer else out
        attended = attend()
        return g.over(attended, g.project("ssm_out", b, finish()))
    return None if attend is None else attend()


def _parallel_block(g: Graph, x: Tensor, normed: Tensor, b: Shapes, context: BlockContext, *, last: bool) -> Tensor:
    """Attention and feed-forward both read the block's input."""
    attend = g.attention(normed, b, context)
    if last:
        g, (attended, x, normed) = _outputs_only(g, attend(), x, normed)
        return g.over(g.over(_fed(g, normed, b), x), attended)
    fed = g.over(_fed(g, normed, b), x)
    return g.over(fed, attend())


def _attends(b: Shapes) -> bool:
    return "attn_output.weight" in b


def _fed(g: Graph, x: Tensor, b: Shapes) -> Tensor:
    return g.experts(x, b) if "ffn_gate_inp.weight" in b else g.feed_forward(x, b)


def _chosen_at_once(experts: int) -> bool:
    """One kernel goes from the router's numbers to the chosen experts' weights (`ggml_cuda_should_use_topk_moe`)."""
    return experts in (288, 576) or (experts <= 512 and experts & (experts - 1) == 0)


def _outputs_only(g: Graph, *results: Tensor) -> tuple[Graph, list[Tensor]]:
    """From here on only the rows that become logits are computed."""
    few = copy(g)
    few.batch = replace(g.batch, tokens=g.batch.outputs)
    out_ids = g.given("out_ids")
    sizes = [result.size_bytes // g.batch.tokens * g.batch.outputs for result in results]
    return few, [few.raw(n, r, out_ids, anchored=False) for n, r in zip(sizes, results, strict=True)]
