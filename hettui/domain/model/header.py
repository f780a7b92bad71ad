"""A GGUF's header as it stands; the arithmetic on it is `ModelShape`."""

from __future__ import annotations

from collections.abc import Mapping

from hettui.domain.records import dataclass

Scalar = bool | int | float | str

Value = Scalar | tuple[bool | int | float, ...]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One row of the tensor table."""

    name: str
    shape: tuple[int, ...]
    """Elements per dimension, fastest first (ggml's `ne`)."""
    type_name: str
    """ggml's lower-case type name: `q4_K`, `f16`."""
    size_bytes: int
    part: int = 0
    """Index of the file that holds the data; 0 unless the model is split."""
    begin_bytes: int = 0
    """Where the data starts in that file."""


@dataclass(frozen=True, eq=False)
class ModelFile:
    """The header of one GGUF, or of all parts of a split one, parts in order."""

    paths: tuple[str, ...]
    file_bytes: int
    """All parts together, as on disk."""
    metadata: Mapping[str, Value]
    """Scalars, and number arrays of at most a few thousand elements. Token and score arrays are not kept."""
    array_lengths: Mapping[str, int]
    """Length of every array in the header, kept or not."""
    tensors: tuple[TensorInfo, ...]

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", "unknown"))

    def integer(self, key: str, default: int = 0) -> int:
        """A whole number of this architecture: `integer("block_count")` reads `<arch>.block_count`."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return int(value) if isinstance(value, int | float) else default

    def per_block(self, key: str, blocks: int, default: int = 0) -> tuple[int, ...]:
        """A number that is the same for all blocks or given for each: always one per block."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        if isinstance(value, tuple):
            values = tuple(int(v) for v in value[:blocks])
            return values + (default,) * (blocks - len(values))
        return (int(value) if isinstance(value, int | float) else default,) * blocks
