"""What the POSIX command `cksum` says of bytes: the one sum that every machine can take."""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_BLOCK_BYTES = 1 << 20
_ONES = 0xFFFFFFFF


def cksum(blocks: Iterable[bytes]) -> tuple[int, int]:
    """The CRC and the count of bytes.

    zlib's CRC has the same polynomial and takes every byte from its other end; cksum begins with zeros and counts the
    length in.
    """
    crc, length = _ONES, 0
    for block in blocks:
        crc = zlib.crc32(block.translate(_MIRRORED), crc)
        length += len(block)
    size = length.to_bytes((length.bit_length() + 7) // 8, "little")
    crc = zlib.crc32(size.translate(_MIRRORED), crc) ^ _ONES
    return int(f"{crc:032b}"[::-1], 2) ^ _ONES, length


def cksum_of(*paths: Path) -> str:
    """Of files behind each other: `4038471504.285720`. Raises OSError."""
    crc, length = cksum(block for path in paths for block in blocks_of(path))
    return f"{crc}.{length}"


def blocks_of(path: Path, begin: int = 0) -> Iterable[bytes]:
    """A file from a place on, in pieces. Raises OSError."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            for place in range(begin, len(text), _BLOCK_BYTES):
                yield text[place : place + _BLOCK_BYTES]
