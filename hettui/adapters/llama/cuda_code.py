"""For which cards a llama.cpp build has CUDA code, read out of its library: nothing is run, and no driver is needed.

An ELF file keeps CUDA's code in a section of its own, as containers with an entry for each architecture. The layout of
the containers is not documented; it was compared with real libraries (CUDA 13.0, b11434). Only headers are read. A
library is hostile, too: every offset and count is checked, and what does not add up is "not known".
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from hettui.domain.doctor.facts import CudaCode
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass

LIBRARY = "libggml-cuda.so"
_ELF64_LITTLE = b"\x7fELF\x02\x01"
_SECTIONS = (b".nv_fatbin", b"__nv_relfatbin")
_CONTAINER = 0xBA55ED50
_PTX, _BINARY = 1, 2
_MOST_SECTIONS, _MOST_ENTRIES, _MOST_NAMES_BYTES = 4096, 200_000, 1 << 20
_DT_NEEDED = 1
_RUNTIME = late_pattern(rb"libcudart\.so\.(\d{1,3})|libcublas\.so\.(\d{1,3})")


@dataclass(frozen=True, slots=True)
class CudaBuild:
    """What its library holds and needs."""

    code: tuple[CudaCode, ...]
    cuda: int | None
    """Major release of the runtime that it is linked with; None: it has that inside, or does not say."""


def cuda_library(server: Path, env: Mapping[str, str]) -> Path | None:
    """Beside the server, where a link to it leads, in `lib` beside its folder, or where the loader looks."""
    folders = [server.parent, server.resolve().parent, server.resolve().parent.parent / "lib"]
    folders += [Path(word) for word in env.get("LD_LIBRARY_PATH", "").split(":") if word]
    return next((folder / LIBRARY for folder in folders if (folder / LIBRARY).is_file()), None)


def cuda_build(path: Path) -> CudaBuild | None:
    """None for what is no ELF library of a 64-bit little-endian machine, or holds no CUDA code that can be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        sections = _sections(descriptor)
        found = [code for name in _SECTIONS if name in sections for code in _code(descriptor, *sections[name])]
        order = sorted(set(found), key=lambda c: (c.capability, c.ptx))
        return CudaBuild(tuple(order), _runtime(descriptor, sections)) if order else None
    except (OSError, struct.error, ValueError):
        return None
    finally:
        os.close(descriptor)


def _at(descriptor: int, offset: int, size: int) -> bytes:
    if not 0 <= offset < 1 << 40 or not 0 <= size <= _MOST_NAMES_BYTES:
        raise ValueError
    data = os.pread(descriptor, size, offset)
    if len(data) != size:
        raise ValueError
    return data


def _sections(descriptor: int) -> dict[bytes, tuple[int, int]]:
    """Offset and size by name."""
    head = _at(descriptor, 0, 64)
    if not head.startswith(_ELF64_LITTLE):
        raise ValueError
    table = struct.unpack_from("<Q", head, 40)[0]
    row, count, names = struct.unpack_from("<HHH", head, 58)
    if row != 64 or not names < count <= _MOST_SECTIONS:
        raise ValueError
    rows = _at(descriptor, table, row * count)
    found = [struct.unpack_from("<I", rows, i * row)[0] for i in range(count)]
    places = [struct.unpack_from("<QQ", rows, i * row + 24) for i in range(count)]
    text = _at(descriptor, *places[names])
    return {text[start:].split(b"\0", 1)[0]: place for start, place in zip(found, places, strict=True)}


def _code(descriptor: int, begin: int, size: int) -> Iterator[CudaCode]:
    """The containers one after the other, each aligned to 8 bytes."""
    at, end, left = begin, begin + size, _MOST_ENTRIES
    while at + 16 <= end and left:
        magic, _, header, length = struct.unpack("<IHHQ", _at(descriptor, at, 16))
        if magic != _CONTAINER:
            # Between containers there may be padding.
            at, left = at + 8, left - 1
            continue
        if header < 16 or length > end - at:
            raise ValueError
        inner, at = at + header, at + header + length
        while inner + 32 <= at and left:
            kind, _, own, payload, *_rest, arch = struct.unpack("<HHIQIIHHI", _at(descriptor, inner, 32))
            if own < 32 or payload > at - inner:
                raise ValueError
            if kind in (_PTX, _BINARY) and 10 <= arch < 1000:
                yield CudaCode((arch // 10, arch % 10), kind == _PTX)
            inner, left = inner + own + payload, left - 1
        at = begin - (begin - at) // 8 * 8


def _runtime(descriptor: int, sections: Mapping[bytes, tuple[int, int]]) -> int | None:
    if b".dynamic" not in sections or b".dynstr" not in sections:
        return None
    text, table = _at(descriptor, *sections[b".dynstr"]), _at(descriptor, *sections[b".dynamic"])
    needed = [value for tag, value in struct.iter_unpack("<QQ", table) if tag == _DT_NEEDED and value < len(text)]
    for start in needed:
        if match := _RUNTIME.fullmatch(text[start:].split(b"\0", 1)[0]):
            return int(match[1] or match[2])
    return None
