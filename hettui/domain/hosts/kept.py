"""What an rpc server's cache of tensors (`-c`) may hold of a model, known by size.

llama.cpp keeps a tensor above 10 MiB in a file that is named by the sum of its bytes, and never looks whether that file
is whole: what a full disk or a kill has cut short is taken for the tensor at the next start, and the answers are wrong
without a word (b10068; read so in ggml-rpc.cpp of September 2026, too). b10068 keeps what is no weight, too: each
micro-batch of a prompt whose values take more than 10 MiB. What is as large as no tensor is either of both.
"""

from __future__ import annotations

from collections.abc import Iterable

from hettui.domain.model.header import ModelFile
from hettui.domain.units import MIB

LEAST_BYTES = 10 * MIB
"""A tensor of more is kept (HASH_THRESHOLD)."""


_MOST_SIZES = 200
"""Different ones; no model has a tenth of them."""


def large_tensors(files: Iterable[ModelFile | None]) -> tuple[int, ...]:
    """Sizes in bytes of all tensors that would be kept, in order, equal ones as often as they are there."""
    sizes = (tensor.size_bytes for file in files if file is not None for tensor in file.tensors)
    found = tuple(sorted(size for size in sizes if size > LEAST_BYTES))
    return found if len(set(found)) <= _MOST_SIZES else ()
