"""Which tensors an rpc server's cache may hold."""

from __future__ import annotations

from hettui.domain.hosts.kept import LEAST_BYTES, large_tensors
from hettui.domain.model.header import ModelFile, TensorInfo


def file(*sizes: int) -> ModelFile:
    tensors = tuple(TensorInfo(f"t{n}", (size,), "q8_0", size) for n, size in enumerate(sizes))
    return ModelFile(("m.gguf",), sum(sizes), {}, {}, tensors)


def test_tensors_above_ten_mib_of_all_files_are_kept() -> None:
    more = LEAST_BYTES + 1
    assert large_tensors([file(more, 7, more + 9), None, file(LEAST_BYTES, more)]) == (more, more, more + 9)


def test_a_header_that_claims_hundreds_of_sizes_is_not_believed() -> None:
    assert large_tensors([file(*(LEAST_BYTES + n for n in range(1, 202)))]) == ()
