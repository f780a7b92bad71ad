"""What a projector (`--mmproj`) takes: its weights, and the buffer for the picture that llama-server warms it up with.

The graphs are those of `clip_graph` (tools/mtmd/clip.cpp and models/*.cpp of b10068 and b11434, the same in both), with
flash attention unless it is turned off for the model; compared with real loads of both builds, see
tests/truth. Of other kinds of projectors the weights are counted, and the buffer is an estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

from hettui.domain.memory.allocator import Tensor
from hettui.domain.memory.schedule import buffer_bytes, settle
from hettui.domain.model.header import ModelFile, TensorInfo
from hettui.domain.model.weights import BufferKind
from hettui.domain.plan.split import HOST
from hettui.domain.records import dataclass

_F32, _F16 = 4, 2
_MOST_PATCHES = 1 << 17
_MOST_BLOCKS = 256
_MOST_HEADS = 1024
_REPEATS = 3
"""So many equal blocks are laid out: the next ones find the same holes again."""
_WARMUP_SIDE = {"qwen2vl_merger": 46, "qwen2.5vl_merger": 46, "qwen3vl_merger": 46, "pixtral": 16, "lightonocr": 16,
                "kimivl": 16, "gemma4v": 16, "glm4v": 46, "dots_ocr": 46, "paddleocr": 28, "youtuvl": 46}  # fmt: skip
"""`set_warmup_n_tokens`: so many tokens on each side, where it is not the size that the file names."""


@dataclass(frozen=True, slots=True)
class Tower:
    """What the file says of the tower, in the words of its header."""

    kind: str
    width: int
    hidden: int
    heads: int
    blocks: int
    side: int
    """Patches of the warm-up picture on each side."""
    patch: int
    merge: int
    """Patches of a token on each side."""
    window_every: int
    """One block in so many sees all of the picture, the others a window; 0: all see all."""

    @property
    def patches(self) -> int:
        return self.side * self.side


KNOWN = frozenset({"gemma3", "idefics3", "qwen2vl_merger", "qwen2.5vl_merger"})
"""Kinds whose buffer was compared with real loads."""
_MERGES = {"gemma3": 4, "qwen2vl_merger": 2, "qwen2.5vl_merger": 2, "qwen3vl_merger": 2}


def kind_of_projector(file: ModelFile) -> str:
    """llama.cpp's name of it; empty where the file says none."""
    said = file.metadata.get("clip.projector_type") or file.metadata.get("clip.vision.projector_type")
    return said if isinstance(said, str) else ""


def tower(file: ModelFile) -> Tower:
    """What is missing or cannot be gives an empty tower, which takes nothing."""

    def number(key: str, default: int = 0) -> int:
        value = file.metadata.get(f"clip.vision.{key}", default)
        return max(0, int(value)) if isinstance(value, int | float) else default

    kind, patch = kind_of_projector(file), number("patch_size")
    merge = number("projector.scale_factor") or number("spatial_merge_size") or _MERGES.get(kind, 1)
    tokens = _WARMUP_SIDE.get(kind)
    side = tokens * merge if tokens else number("image_size") // patch if patch else 0
    return Tower(
        kind=kind,
        width=number("embedding_length"),
        hidden=number("feed_forward_length"),
        heads=min(number("attention.head_count"), _MOST_HEADS),
        blocks=min(number("block_count"), _MOST_BLOCKS),
        side=min(side, isqrt(_MOST_PATCHES)),
        patch=patch,
        merge=merge,
        window_every=number("n_wa_pattern"),
    )


def weights_bytes(file: ModelFile, kind: BufferKind) -> int:
    """All of its tensors lie in one buffer."""
    return sum(kind.size_bytes(tensor) for tensor in file.tensors)


def work_bytes(file: ModelFile, *, on_host: bool, flash_attn: bool = True) -> tuple[int, int]:
    """The compute buffers for the warm-up picture: where the projector lies, and, if that is a device, the host's.

    A larger picture makes llama-server reserve more when it comes.
    """
    found = tower(file)
    if not found.width or not found.patches or not found.blocks:
        return 0, 0
    sketch = _Sketch(found, file, HOST if on_host else 0, flash_attn=flash_attn)
    sketch.lay_out()
    settle(sketch.operations)
    host = buffer_bytes(sketch.operations, HOST, 1)
    if on_host:
        return host, 0
    # The operations know where their inputs lie: what one of the two changed is of no use to the other.
    again = _Sketch(found, file, 0, flash_attn=flash_attn)
    again.lay_out()
    settle(again.operations)
    return buffer_bytes(again.operations, 0, 1), host


class _Sketch:
    """Collects the operations in llama.cpp's order."""

    def __init__(self, of: Tower, file: ModelFile, place: int, *, flash_attn: bool) -> None:
        self.flash_attn = flash_attn
        self.of = of
        self.tensors = {tensor.name: tensor for tensor in file.tensors}
        self.place = place
        self.operations: list[Tensor] = []
        self.windows: Tensor | None = None
        """The mask of the blocks that see a window, as it arrives."""
        self.mask: Tensor | None = None

    def new(self, size_bytes: int, *parents: Tensor, inplace: bool = False) -> Tensor:
        tensor = Tensor(size_bytes, parents, inplace=inplace, home=self.place)
        self.operations.append(tensor)
        return tensor

    def over(self, *parents: Tensor) -> Tensor:
        return self.new(parents[0].size_bytes, *parents, inplace=True)

    def view(self, of: Tensor, *, part: bool = False) -> Tensor:
        tensor = Tensor(0 if part else of.size_bytes, (of,), source=of)
        self.operations.append(tensor)
        return tensor

    def given(self, size_bytes: int) -> Tensor:
        tensor = Tensor(size_bytes, home=HOST, early=True)
        self.operations.append(tensor)
        return tensor

    def rows(self, width: int, *parents: Tensor) -> Tensor:
        return self.new(width * self.of.patches * _F32, *parents)

    def has(self, name: str) -> bool:
        return name in self.tensors

    def outputs(self, name: str) -> int:
        """Rows of a matrix: what comes out of it for one token."""
        shape = self.tensors[name].shape if name in self.tensors else ()
        return shape[1] if len(shape) > 1 else 0

    def biased(self, x: Tensor, name: str) -> Tensor:
        return self.over(x) if self.has(f"{name}.bias") else x

    def lay_out(self) -> None:
        kinds: dict[str, Callable[[], None]] = {"qwen2vl_merger": self._qwen, "qwen2.5vl_merger": self._qwen}
        kinds.get(self.of.kind, self._siglip)()

    # -- parts ---------------------------------------------------------------------------------------------

    def _convolved(self, picture: Tensor, name: str) -> Tensor:
        """`ggml_conv_2d`: the patches side by side, times the kernel, turned round."""
        of, kernel = self.of, self.tensors.get(name)
        value = _F32 if kernel is not None and kernel.type_name == "bf16" else _F16
        columns = self.new(of.patch * of.patch * 3 * of.patches * value, picture)
        product = self.rows(of.width, self.view(columns))
        return self.rows(of.width, self.view(product))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        """RMS norms may take the place of what they read, the others never."""
        bias = self.has(f"{name}.bias")
        x = self.over(x) if self.of.kind == "qwen2.5vl_merger" else self.new(x.size_bytes, x)
        if self.has(f"{name}.weight"):
            x = self.over(x)
        return self.over(x) if bias else x

    def _heads(self, x: Tensor, block: str, turned: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        of = self.of
        if self.has(f"{block}attn_qkv.weight"):
            fused = self.biased(self.rows(3 * of.width, x), f"{block}attn_qkv")
            three = [self.view(fused, part=True) for _ in range(3)]
        else:
            three = []
            for letter in "qkv":
                one = self.view(self.biased(self.rows(of.width, x), f"{block}attn_{letter}"))
                three.append(one if turned is None or letter == "v" else self.rows(of.width, one, turned))
        return three[0], three[1], three[2]

    def _attended(self, heads: tuple[Tensor, Tensor, Tensor], block: str, *, windowed: bool) -> Tensor:
        of, (query, key, value) = self.of, heads
        if not self.flash_attn:
            return self._attended_apart(heads, block, windowed=windowed)
        asked, half = self.view(query), of.width * of.patches * _F16
        k, v = self.new(half, self.view(key)), self.new(half, self.view(value))
        seen: tuple[Tensor, ...] = ()
        if windowed and self.windows is not None:
            # In half the bytes for all blocks, and copied once more for each.
            self.mask = self.mask or self.new(self.windows.size_bytes // 2, self.windows)
            seen = (self.new(self.mask.size_bytes, self.mask),)
        mixed = self.view(self.rows(of.width, asked, k, v, *seen))
        return self.biased(self.rows(of.width, mixed), f"{block}attn_out")

    def _attended_apart(self, heads: tuple[Tensor, Tensor, Tensor], block: str, *, windowed: bool) -> Tensor:
        """Without flash attention: what every patch thinks of every other, for each head."""
        of, (query, key, value) = self.of, heads
        turned = self.rows(of.width, self.view(value))
        seen = self.rows(of.patches * of.heads, self.view(key), self.view(query))
        mask = (self.windows,) if windowed and self.windows is not None else ()
        mixed = self.rows(of.width, turned, self.over(seen, *mask))
        return self.biased(self.rows(of.width, self.rows(of.width, self.view(mixed))), f"{block}attn_out")

    def _fed(self, x: Tensor, block: str) -> Tensor:
        of = self.of
        if self.has(f"{block}ffn_gate.weight"):
            gate = self.biased(self.rows(of.hidden, x), f"{block}ffn_gate")
            hidden = self.rows(of.hidden, gate, self.biased(self.rows(of.hidden, x), f"{block}ffn_up"))
        else:
            hidden = self.over(self.biased(self.rows(of.hidden, x), f"{block}ffn_up"))
        return self.biased(self.rows(of.width, hidden), f"{block}ffn_down")

    def _blocks(
        self, x: Tensor, before_last: Callable[[], None] = lambda: None, turned: Tensor | None = None
    ) -> Tensor:
        """The blocks of the tower. `before_last`: what llama.cpp puts into its graph once the last block's heads are
        there."""
        of = self.of
        count = min(of.blocks, max(_REPEATS, 2 * of.window_every))
        for i in range(count):
            number = i if i < count - 1 else of.blocks - 1
            block = f"v.blk.{number}."
            heads = self._heads(self._norm(x, f"{block}ln1"), block, turned)
            if i == count - 1:
                before_last()
            windowed = of.window_every > 0 and (number + 1) % of.window_every > 0
            attended = self._attended(heads, block, windowed=windowed)
            x = self.over(attended, x)
            x = self.over(x, self._fed(self._norm(x, f"{block}ln2"), block))
        return self._norm(x, "v.post_ln") if self.has("v.post_ln.weight") else x

    # -- kinds ---------------------------------------------------------------------------------------------

    def _siglip(self) -> None:
        of = self.of
        picture = self.given((of.side * of.patch) ** 2 * 3 * _F32)
        x = self.rows(of.width, self.view(self._convolved(picture, "v.patch_embd.weight")))
        x = self.biased(x, "v.patch_embd")
        if self.has("v.position_embd.weight"):
            x = self.over(x)
        turned = [Tensor(0)]

        def turn() -> None:
            """The projection is turned round in a copy of its own, before all that it is applied to."""
            matrix = self.tensors.get("mm.input_projection.weight")
            if of.kind == "gemma3" and matrix is not None:
                turned[0] = self.new(matrix.size_bytes)

        x = self.view(self._blocks(self.view(x), turn))
        if of.kind == "gemma3":
            tokens = of.patches // max(1, of.merge * of.merge)
            pooled = self.new(tokens * of.width * _F32, self.rows(of.width, self.view(x)))
            x = self.over(self.over(self.new(pooled.size_bytes, self.view(pooled))))
            self.new(tokens * _first(self.tensors.get("mm.input_projection.weight")) * _F32, turned[0], x)
        elif of.kind == "idefics3":
            x = self.view(self.rows(of.width, self.view(self.rows(of.width, self.view(x)))))
            self.new(of.patches // max(1, of.merge * of.merge) * self.outputs("mm.model.fc.weight") * _F32, x)

    def _qwen(self) -> None:
        of = self.of
        picture = self.given((of.side * of.patch) ** 2 * 3 * _F32)
        first = self._convolved(picture, "v.patch_embd.weight")
        x = self.over(first, self._convolved(picture, "v.patch_embd.weight.1"))
        x = self.rows(of.width, self.view(self.rows(of.width, self.view(x))))
        if of.window_every:
            order = self.given(of.patches // 4 * 4)
            x = self.view(self.rows(of.width, self.view(x), order))
            self.windows = self.given(of.patches * of.patches * _F32)
        x = self._blocks(x, turned=self.given(4 * of.patches * 4))
        tokens = of.patches // 4
        hidden = self.over(self.biased(self.new(tokens * self.outputs("mm.0.weight") * _F32, self.view(x)), "mm.0"))
        out = self.biased(self.new(tokens * self.outputs("mm.2.weight") * _F32, hidden), "mm.2")
        if of.window_every:
            self.new(out.size_bytes, self.view(out), self.given(of.patches))


def _first(tensor: TensorInfo | None) -> int:
    return tensor.shape[0] if tensor is not None and tensor.shape else 0
