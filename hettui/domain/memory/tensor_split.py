"""`--split-mode tensor`: what every device gets of each tensor, of the KV cache and of recurrent states.

All devices are one to llama.cpp then. A tensor is cut along one of its dimensions by the proportions of
`--tensor-split`, in whole steps (heads, blocks of its type); who gets the remainder changes from block to block. What
is not cut lies on every device. From `llama_meta_device_get_split_state` (src/llama-model.cpp of b11434, the same sizes
in b10068); compared with real loads in tests/truth/tensor.jsonl.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import lcm

from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.block_context import (
    block_windows,
    head_width,
    kv_heads,
    recurrent_blocks,
)
from hettui.domain.model.ggml import TYPES_BY_NAME
from hettui.domain.model.header import TensorInfo
from hettui.domain.model.weights import Part, Placed
from hettui.domain.plan.split import f32
from hettui.domain.records import dataclass

_QUERY_GATES = frozenset({"qwen3next", "qwen35", "qwen35moe", "clef", "qwen4exp"})
"""Their Q holds a gate of the same width."""
_MIRRORED = frozenset({"hrm_text"})
"""Nothing of these is cut."""
_MIRRORED_STATES = frozenset({"lfm2", "lfm2moe"})
_EFFICIENT = 128
"""Steps are multiples of so many elements."""

_ROWS = frozenset(
    f"{name}.weight"
    for name in (
        "attn_q", "attn_k", "attn_v", "attn_qkv", "attn_gate", "ssm_alpha", "ssm_beta", "ssm_ba", "ssm_conv1d",
        "ffn_up", "ffn_gate", "ffn_gate_up", "ffn_up_exps", "ffn_gate_exps", "ffn_gate_up_exps",
    )
)  # fmt: skip
"""Cut along their second dimension: each device computes some of the results."""
_COLUMNS = frozenset(
    {
        "attn_q.bias", "attn_k.bias", "attn_v.bias", "attn_qkv.bias", "attn_sinks.weight", "attn_output.weight",
        "ssm_dt.bias", "ssm_a", "ssm_out.weight", "ffn_up.bias", "ffn_gate.bias", "ffn_up_exps.bias",
        "ffn_gate_exps.bias", "ffn_down.weight", "ffn_down_exps.weight",
    }
)  # fmt: skip
"""Cut along their first dimension: of a matrix each device computes a part of every result, to be added up."""
_NORMS = frozenset({"attn_q_norm.weight", "attn_k_norm.weight"})
"""One weight for each head is cut with the heads, one for all of them is not."""
_OF_HEADS = ("attn_output.weight", "ssm_out.weight")
_OF_FEED = ("ffn_down.weight", "ffn_down_exps.weight")


@dataclass(frozen=True, slots=True)
class _Block:
    """What the cuts of one block follow from."""

    recurrent: bool
    heads: int
    heads_kv: int
    head_k: int
    head_v: int
    n_ff: int
    types: Mapping[str, str]
    """The types of its tensors by their names in the block."""
    turn: int
    """How many blocks of its kind come before it: with it who gets the remainder changes."""

    @property
    def group(self) -> int:
        """Heads of Q for each of K."""
        return self.heads // self.heads_kv if self.heads_kv else 0

    def elements(self, names: Sequence[str]) -> int:
        """In a block of the type of the first of these tensors that there is."""
        row = next((TYPES_BY_NAME.get(self.types[name]) for name in names if name in self.types), None)
        return row.elements if row is not None else 1


@dataclass(frozen=True, slots=True)
class _Linear:
    """Linear attention's widths (`ssm.*`)."""

    head: int
    groups: int
    rank: int
    kernel: int

    @property
    def keys(self) -> int:
        return self.head * self.groups

    @property
    def values(self) -> int:
        return self.head * self.rank

    @property
    def ratio(self) -> int:
        """Heads of V for each of K."""
        return self.rank // self.groups if self.groups else 0


Segments = Sequence[tuple[int, int, int]]
"""Elements, how often, and in steps of how many: matrices that were made one are cut each by itself."""


def counts(segments: Segments, proportions: Sequence[int], turn: int) -> tuple[int, ...]:
    """Elements for every device. llama.cpp reckons in float32."""
    devices = len(proportions)
    scan: list[float] = []
    for j in range(devices):
        scan.append(f32(proportions[(j + turn) % devices] + (scan[-1] if scan else 0.0)))
    found = [0] * devices
    for elements, repeats, step in segments:
        low = 0
        for j in range(devices):
            high = elements
            if j < devices - 1:
                high = int(f32(f32(f32(elements) * scan[j]) / scan[-1]))
                high -= high % step if step else 0
            found[(j + turn) % devices] += (high - low) * repeats
            low = high
    return tuple(found)


class Cutter:
    """Knows the model; says how each of its tensors is cut."""

    def __init__(self, workload: Workload, proportions: Sequence[int]) -> None:
        shape = workload.shape
        file = shape.file
        self.arch, self.proportions = file.architecture, proportions
        self.blocks = blocks_of(workload)
        self.linear = _Linear(
            file.integer("ssm.state_size"), file.integer("ssm.group_count"), file.integer("ssm.time_step_rank"),
            file.integer("ssm.conv_kernel"),
        )  # fmt: skip
        self.n_ff_exp = file.integer("expert_feed_forward_length")
        self.last_turn = shape.blocks - shape.mtp_blocks
        self.mirrors = self.arch in _MIRRORED

    def tensor(self, placed: Placed) -> Iterator[TensorInfo]:
        """The tensor as each device has it."""
        tensor = placed.tensor
        if self.mirrors:
            return self._whole(tensor)
        if placed.part is Part.BLOCK:
            return self._of_block(tensor, placed.block)
        if tensor.name == "output.weight":
            return self._cut(tensor, 1, [(_width(tensor, 1), 1, 1)], self.last_turn)
        if tensor.name == "output.bias":
            return self._cut(tensor, 0, [(_width(tensor, 0), 1, 1)], self.last_turn)
        # The output matrix of a tied model is called `token_embd.weight` still.
        return self._whole(tensor)

    def _whole(self, tensor: TensorInfo) -> Iterator[TensorInfo]:
        return iter([tensor] * len(self.proportions))

    def _cut(self, tensor: TensorInfo, axis: int, segments: Segments, turn: int) -> Iterator[TensorInfo]:
        return (_sliced(tensor, axis, n) for n in counts(segments, self.proportions, turn))

    def _of_block(self, tensor: TensorInfo, number: int) -> Iterator[TensorInfo]:
        name, block = tensor.name.removeprefix(f"blk.{number}."), self.blocks[number]
        if name in _ROWS or (name in _NORMS and _width(tensor, 1) > 1):
            axis = 1
        elif name in _COLUMNS:
            axis = 0
        else:
            return self._whole(tensor)
        return self._cut(tensor, axis, self._segments(name, _width(tensor, axis), block), block.turn)

    def _segments(self, name: str, width: int, block: _Block) -> Segments:
        if name.startswith("ffn_"):
            return self._fed(name, width, block)
        if block.recurrent:
            return self._recurrent(name, width, block)
        return self._attending(name, width, block)

    def _fed(self, name: str, width: int, block: _Block) -> Segments:
        step = lcm(block.elements(_OF_FEED), _EFFICIENT)
        if name.startswith("ffn_gate_up") and width == 2 * self.n_ff_exp:
            return [(self.n_ff_exp, 2, step)]
        if name.startswith("ffn_up") and width == 2 * block.n_ff and self.arch not in _QUERY_GATES:
            return [(block.n_ff, 2, step)]
        return [(width, 1, step)]

    # -- attention -----------------------------------------------------------------------------------------

    def query_step(self, block: _Block) -> int:
        """Whole groups of heads, and no less than is efficient as long as every device can have some."""
        row, least = block.group * block.head_k, block.elements(_OF_HEADS)
        while least < _EFFICIENT and least * len(self.proportions) < row:
            least *= 2
        return lcm(row, least)

    def cache_steps(self, block: _Block) -> tuple[int, int]:
        """Of K and of V."""
        key = self.query_step(block) // max(1, block.group)
        return key, key // max(1, block.head_k) * block.head_v

    def _attending(self, name: str, width: int, block: _Block) -> Segments:
        query, (key, value) = self.query_step(block), self.cache_steps(block)
        heads, gated = query // max(1, block.head_k), self.arch in _QUERY_GATES
        match name:
            case "attn_q.weight" | "attn_q.bias":
                return [(width, 1, self._gated_step(block) if gated else query)]
            case "attn_k.weight" | "attn_k.bias":
                return [(width, 1, key)]
            case "attn_v.weight" | "attn_v.bias":
                return [(width, 1, value)]
            case "attn_output.weight":
                return [(width, 1, heads * block.head_v)]
            case "attn_sinks.weight":
                return [(width, 1, heads)]
            case "attn_gate.weight":
                return [(width, 1, heads if width == block.heads else query)]
            case "attn_qkv.weight" | "attn_qkv.bias":
                k, v = block.heads_kv * block.head_k, block.heads_kv * block.head_v
                if gated:
                    return [(width - 2 * v, 1, self._gated_step(block)), (v, 2, key)]
                return [(width - k - v, 1, query), (k, 1, key), (v, 1, value)]
        return [(width, 1, 1)]

    def _gated_step(self, block: _Block) -> int:
        row = block.group * block.head_k
        return lcm(2 * row, self.query_step(block))

    # -- linear attention ----------------------------------------------------------------------------------

    def linear_step(self, block: _Block) -> int:
        return lcm(lcm(block.elements(("ssm_out.weight",)), _EFFICIENT), max(1, self.linear.head))

    def _recurrent(self, name: str, width: int, block: _Block) -> Segments:
        linear, step = self.linear, self.linear_step(block)
        per_head = step // max(1, linear.head)
        apart = self.arch in _QUERY_GATES and self.arch != "qwen3next"
        match name:
            case "attn_qkv.weight" | "ssm_conv1d.weight":
                if apart:
                    return [(linear.keys, 2 + linear.ratio, step)]
                return [(linear.keys, 2, step), (width - 2 * linear.keys, 1, step)]
            case "attn_gate.weight" | "ssm_out.weight":
                return [(linear.keys, linear.ratio, step)] if apart else [(width, 1, step)]
            case "ssm_dt.bias" | "ssm_a" | "ssm_alpha.weight" | "ssm_beta.weight":
                return [(linear.groups, linear.ratio, per_head)] if apart else [(width, 1, per_head)]
            case "ssm_ba.weight":
                return [(width, 1, 2 * per_head)]
        return [(width, 1, 1)]

    def states(self, block: _Block, recent: int, state: int) -> tuple[Sequence[int], Sequence[int]]:
        """Values for every device, of one sequence: the last inputs of the convolution, and the state."""
        devices = len(self.proportions)
        if self.mirrors or self.arch in _MIRRORED_STATES:
            return [recent] * devices, [state] * devices
        linear, step, last = self.linear, self.linear_step(block), max(0, self.linear.kernel - 1)
        keys = linear.keys * last
        if self.arch == "qwen3next":
            inputs: Segments = [(keys, 2, step * last), (linear.values * last, 1, step * last)]
            states: Segments = [(state, 1, step * linear.head)]
        else:
            inputs = [(keys, 2 + linear.ratio, step * last)]
            states = [(linear.groups * linear.head**2, linear.ratio, step * linear.head)]
        return counts(inputs, self.proportions, block.turn), counts(states, self.proportions, block.turn)


def _width(tensor: TensorInfo, axis: int) -> int:
    return tensor.shape[axis] if axis < len(tensor.shape) else 1


def _sliced(tensor: TensorInfo, axis: int, elements: int) -> TensorInfo:
    width = _width(tensor, axis)
    shape = tuple(elements if i == axis else n for i, n in enumerate(tensor.shape))
    return replace(tensor, shape=shape, size_bytes=tensor.size_bytes * elements // width if width else 0)


@remembered
def blocks_of(workload: Workload) -> tuple[_Block, ...]:
    shape = workload.shape
    file, n = shape.file, shape.blocks
    heads_kv, n_ff = kv_heads(file, n), file.per_block("feed_forward_length", n)
    recurrent, windows = recurrent_blocks(file, n), block_windows(file, n)
    types: list[dict[str, str]] = [{} for _ in range(n)]
    for placed in shape.placed:
        if placed.part is Part.BLOCK:
            types[placed.block][placed.tensor.name.removeprefix(f"blk.{placed.block}.")] = placed.tensor.type_name
    found, seen = list[_Block](), dict[tuple[bool, bool], int]()
    for i in range(n):
        kind = recurrent[i], windows[i] > 0
        head_k, head_v = (head_width(file, n, which, windowed=kind[1]) for which in ("key", "value"))
        turn = seen[kind] = seen.get(kind, -1) + 1
        found.append(_Block(kind[0], shape.n_head[i], heads_kv[i], head_k, head_v, n_ff[i], types[i], turn))
    return tuple(found)
