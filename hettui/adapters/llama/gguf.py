"""Reads the header of a GGUF file, and of all parts of a split one.

A header is hostile: it may come from anybody. Every length and count is checked against what is left of the
file, and against a cap, before it is used; nothing is allocated on its word; no tensor is touched and no
token array is kept. The file is read, not mapped: a mapped file that is truncated meanwhile kills the reader.

The only exception that leaves this module is ModelFileError, one line with the byte offset.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import NoReturn

from hettui.domain.errors import ModelFileError
from hettui.domain.model.ggml import TENSOR_TYPES, why_not
from hettui.domain.model.header import ModelFile, TensorInfo, Value
from hettui.domain.model.no_gguf import by_first_bytes, raw_piece
from hettui.domain.patterns import late_pattern
from hettui.domain.text import clean_line

_LENGTH = struct.Struct("<Q")
_MAGIC = b"GGUF"
_CHUNK_BYTES = 256 * 1024
_MAX_KEYS = 65_536
_MAX_TENSORS = 262_144
_MAX_KEY_BYTES = 65_535
_MAX_NAME_BYTES = 63
"""GGML_MAX_NAME with its final zero"""
_MAX_DIMENSIONS = 4
_MAX_PARTS = 9_999
_MAX_STRINGS = 4_000_000
"""Over all arrays. The largest vocabularies have 262,144 tokens and half a million merges; a file that is a hole
would be walked as empty strings for ever."""
_KEPT_ELEMENTS = 4096
"""Of a number array: enough for one value per block, too few for a vocabulary."""
_KEPT_STRING_BYTES = 4096
"""Of a string: names and licences stay whole, chat templates are cut."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_SIZES = {kind: struct.calcsize("<" + code) for kind, code in _SCALARS.items()}
_PART = late_pattern(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)


def read_model(path: str | Path) -> ModelFile:
    """The header of a GGUF file; of a split model any part may be named and all are read. Raises ModelFileError."""
    named = Path(path).expanduser()
    own = _read_file(named)
    if own.metadata.get("split.count") in (None, 0, 1):
        # The header decides, as in llama.cpp: a whole model may be named like a part.
        return joined_headers([named], [own])
    parts = _parts(named, own)
    headers = [own if part == named else _read_file(part) for part in parts]
    for index, header in enumerate(headers):
        _check_part(parts[index], header, index, len(parts))
    model = joined_headers(parts, headers)
    declared = model.metadata.get("split.tensors.count")
    if isinstance(declared, int) and declared != len(model.tensors):
        raise ModelFileError(
            f"{_shown(named)}: its parts hold {len(model.tensors)} tensors instead of {declared}: fetch the parts again"
        )
    if len({t.name for t in model.tensors}) != len(model.tensors):
        raise ModelFileError(f"{_shown(named)}: a tensor stands in two parts: fetch the parts again")
    return model


def joined_headers(parts: list[Path], headers: list[_Header]) -> ModelFile:
    tensors = [replace(t, part=index) if index else t for index, h in enumerate(headers) for t in h.tensors]
    return ModelFile(
        tuple(str(part) for part in parts),
        sum(h.file_bytes for h in headers),
        headers[0].metadata,
        headers[0].lengths,
        tuple(tensors),
    )


def _parts(path: Path, header: _Header) -> list[Path]:
    """All parts of a split model in order."""
    match = _PART.fullmatch(path.name)
    if match is None:
        count = header.metadata["split.count"]
        if header.behind_the_data == _MAGIC:
            raise ModelFileError(
                f"{_shown(path)} holds several of {count} parts one behind the other, of which llama.cpp reads the "
                "first: fetch the parts again and leave them apart, or make one file of them with llama-gguf-split "
                "--merge"
            )
        raise ModelFileError(
            f"{_shown(path)} is one of {count} parts but is not named so: rename the parts to NAME-00001-of-0000N.gguf"
        )
    count = int(match[3])
    if not 1 <= int(match[2]) <= count <= _MAX_PARTS:
        raise ModelFileError(f"{_shown(path)}: part {int(match[2])} of {count} cannot be: rename it")
    parts = [path.with_name(f"{match[1]}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]
    for part in parts:
        if not os.path.lexists(part):
            raise ModelFileError(f"{_shown(part)} is missing: the model has {count} parts, fetch all of them")
    return parts


def _check_part(path: Path, header: _Header, index: int, count: int) -> None:
    declared, number = header.metadata.get("split.count", count), header.metadata.get("split.no", index)
    if declared != count:
        raise ModelFileError(f"{_shown(path)} says that it is one of {declared} parts, not of {count}: rename it")
    if number != index and isinstance(number, int):
        raise ModelFileError(f"{_shown(path)} says that it is part {number + 1}, not {index + 1}: rename it")


def _shown(path: Path) -> str:
    return clean_line(str(path), 300)


class _Header:
    """What one file says."""

    def __init__(self, file_bytes: int) -> None:
        self.file_bytes = file_bytes
        self.metadata: dict[str, Value] = {}
        self.lengths: dict[str, int] = {}
        self.tensors: list[TensorInfo] = []
        self.behind_the_data = b""
        """The first bytes behind the tensors' data, of one of several parts."""


def _read_file(path: Path) -> _Header:
    try:
        return _read(path)
    except ModelFileError:
        piece = raw_piece(path.name) if path.is_file() else None
        if piece is None:
            raise
        raise ModelFileError(f"{_shown(path)} is {piece}") from None


def _read(path: Path) -> _Header:
    try:
        # Not blocking: a FIFO of that name must not make us wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ModelFileError(f"{_shown(path)} does not exist: check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelFileError(f"{_shown(path)} cannot be opened: {clean_line(reason, 200)}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise ModelFileError(f"{_shown(path)} is {kind}: name a .gguf file")
        return HeaderReader(path, partial(os.pread, descriptor), status.st_size).read()
    except OSError as error:
        raise ModelFileError(f"{_shown(path)} cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)


class HeaderReader:
    """A cursor over the header: a window of bytes, its place in the file, and what has been read."""

    def __init__(self, path: Path, pread: Callable[[int, int], bytes], size: int) -> None:
        """`pread`: so many bytes from a place on, fewer at the end."""
        self._path = path
        self._pread = pread
        self._size = size
        self._window = b""
        self._at = 0
        """Position in the window."""
        self._window_start = 0
        self._strings_left = _MAX_STRINGS
        self._header = _Header(size)

    @property
    def _offset(self) -> int:
        return self._window_start + self._at

    def _fail(self, what: str, offset: int | None = None) -> NoReturn:
        place = self._offset if offset is None else offset
        raise ModelFileError(f"{_shown(self._path)}: {what} (at byte {place})")

    # -- bytes ---------------------------------------------------------------------------------------------

    def _take(self, count: int) -> bytes:
        """The next `count` bytes, at most a few times the chunk size."""
        end = self._at + count
        if end > len(self._window):
            self._need(count)
            self._refill(count)
            end = count
        data = self._window[self._at : end]
        self._at = end
        return data

    def _need(self, count: int) -> None:
        left = self._size - self._offset
        if count > left:
            self._fail(f"the header needs {count} more bytes but the file ends after {left}: fetch it again")

    def _refill(self, count: int) -> None:
        """A window that starts here and holds at least `count` bytes."""
        start = self._offset
        data = self._pread(max(count, _CHUNK_BYTES), start)
        while len(data) < count:
            more = self._pread(count - len(data), start + len(data))
            if not more:
                self._fail("the file became shorter while it was read: fetch it again", start)
            data += more
        self._window, self._window_start, self._at = data, start, 0

    def _skip(self, count: int) -> None:
        self._need(count)
        if self._at + count <= len(self._window):
            self._at += count
        else:
            self._window_start += self._at + count
            self._window, self._at = b"", 0

    def _unpack(self, code: str, size: int) -> int:
        return int(struct.unpack("<" + code, self._take(size))[0])

    def _u32(self) -> int:
        return self._unpack("I", 4)

    def _u64(self) -> int:
        return self._unpack("Q", 8)

    def _text(self, limit: int, what: str) -> str:
        """A string that must not be longer than `limit` bytes."""
        length = self._u64()
        if length > limit:
            self._fail(f"{what} of {length} bytes is too long: this is no sound GGUF", self._offset - 8)
        return self._take(length).decode("utf-8", errors="replace")

    # -- structure -----------------------------------------------------------------------------------------

    def read(self) -> _Header:
        tensor_count, key_count = self._preamble()
        for _ in range(key_count):
            self._read_key()
        alignment = self._alignment()
        places = [self._read_tensor(alignment) for _ in range(tensor_count)]
        names = {tensor.name for tensor in self._header.tensors}
        if len(names) != len(self._header.tensors):
            self._fail("a tensor name stands twice: this is no sound GGUF")
        self._check_data(places, alignment)
        return self._header

    def _preamble(self) -> tuple[int, int]:
        if self._size == 0:
            raise ModelFileError(f"{_shown(self._path)} is empty: fetch it again")
        magic = self._take(min(4, self._size))
        if magic != _MAGIC:
            what = by_first_bytes(magic)
            raise ModelFileError(
                f"{_shown(self._path)} is no GGUF file but {what}"
                if what
                else f"{_shown(self._path)} is no GGUF file: it starts with {clean_line(repr(magic), 40)} (at byte 0)"
            )
        version = self._u32()
        if version not in (2, 3):
            if version & 0xFFFF == 0:
                self._fail("a big-endian GGUF: llama.cpp needs it converted on this machine", 4)
            self._fail(f"GGUF version {version}, but versions 2 and 3 are known: convert it again", 4)
        tensor_count, key_count = self._u64(), self._u64()
        # The smallest tensor row takes 32 bytes, the smallest key 13.
        self._check_count(tensor_count, "tensors", _MAX_TENSORS, 32, 8)
        self._check_count(key_count, "keys", _MAX_KEYS, 13, 16)
        return tensor_count, key_count

    def _check_count(self, count: int, what: str, cap: int, least_bytes: int, offset: int) -> None:
        if count > cap or count * least_bytes > self._size - self._offset:
            self._fail(f"{count} {what} cannot stand in this file: it is damaged, fetch it again", offset)

    def _read_key(self) -> None:
        start = self._offset
        key = clean_line(self._text(_MAX_KEY_BYTES, "a key"))
        if key in self._header.metadata or key in self._header.lengths:
            self._fail(f"the key {clean_line(key, 80)} stands twice: this is no sound GGUF", start)
        kind = self._u32()
        if kind == _ARRAY:
            self._read_array(key)
        else:
            self._header.metadata[key] = self._scalar(key, kind)

    def _scalar(self, key: str, kind: int) -> bool | int | float | str:
        if kind == _STRING:
            length = self._u64()
            self._need(length)
            kept = self._take(min(length, _KEPT_STRING_BYTES))
            self._skip(length - len(kept))
            return clean_line(kept.decode("utf-8", errors="replace"))
        if kind not in _SCALARS:
            self._fail(f"the key {clean_line(key, 80)} has the unknown type {kind}", self._offset - 4)
        value: bool | int | float = struct.unpack("<" + _SCALARS[kind], self._take(_SIZES[kind]))[0]
        return value

    def _read_array(self, key: str) -> None:
        kind, count = self._u32(), self._u64()
        self._header.lengths[key] = count
        if kind == _STRING:
            self._skip_strings(count, key)
            return
        if kind not in _SCALARS:
            self._fail(f"the array {clean_line(key, 80)} has the unknown element type {kind}", self._offset - 12)
        self._need(count * _SIZES[kind])
        if count > _KEPT_ELEMENTS:
            self._skip(count * _SIZES[kind])
        else:
            self._header.metadata[key] = struct.unpack(f"<{count}{_SCALARS[kind]}", self._take(count * _SIZES[kind]))

    def _skip_strings(self, count: int, key: str) -> None:
        """Walks over an array of strings. The loop is what reading a large vocabulary costs, so it stays lean."""
        self._strings_left -= count
        if self._strings_left < 0:
            self._fail(
                f"the array {clean_line(key, 80)} has {count} strings: more than any vocabulary", self._offset - 8
            )
        self._need(count * 8)
        left, unpack = count, _LENGTH.unpack_from
        while left:
            window, at = self._window, self._at
            walked = 0
            try:
                for walked in range(left):  # noqa: B007 - how many there were
                    at += 8 + unpack(window, at)[0]
                left = 0
            except (struct.error, OverflowError):
                # The next length is not in the window: the last string reaches to its end or beyond.
                left -= walked
            self._at = min(at, len(window))
            self._skip(at - self._at)
            if left and self._at + 8 > len(self._window):
                self._need(8)
                self._refill(8)

    def _alignment(self) -> int:
        alignment = self._header.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 31:
            self._fail(f"general.alignment is {alignment}, not a power of two: this is no sound GGUF")
        return alignment

    def _read_tensor(self, alignment: int) -> tuple[int, int]:
        """Adds one tensor; its data's offset from the start of the data, and where that stands in the header."""
        name = clean_line(self._text(_MAX_NAME_BYTES, "a tensor name"), 80)
        dimensions = self._u32()
        if dimensions > _MAX_DIMENSIONS:
            self._fail(f"tensor {name} has {dimensions} dimensions", self._offset - 4)
        # A scalar has no dimensions: ggml takes it for one element. A tensor without elements marks a feature.
        shape = struct.unpack(f"<{dimensions}Q", self._take(8 * dimensions)) or (1,)
        kind = self._u32()
        if kind not in TENSOR_TYPES:
            self._fail(f"tensor {name} {why_not(kind)}", self._offset - 4)
        row = TENSOR_TYPES[kind]
        elements = prod(shape)
        if elements >= 1 << 62 or max(shape) >= 1 << 62:
            self._fail(f"tensor {name} cannot have the shape {' × '.join(map(str, shape))}", self._offset - 4)
        if shape[0] % row.elements:
            self._fail(f"tensor {name}: rows of {shape[0]} are no whole blocks of {row.name}", self._offset - 4)
        size_bytes = elements // row.elements * row.size_bytes
        place = self._offset
        offset = self._u64()
        if offset % alignment:
            self._fail(f"tensor {name} starts at {offset}, which is no multiple of {alignment}", place)
        self._header.tensors.append(TensorInfo(name, shape, row.name, size_bytes))
        return offset, place

    def _check_data(self, places: list[tuple[int, int]], alignment: int) -> None:
        """Every tensor lies within the file: an interrupted download is told here, not by llama.cpp after minutes.
        And each lies right behind the one before, as llama.cpp asks."""
        data_start = -(-self._offset // alignment) * alignment
        expected = 0
        for index, (offset, place) in enumerate(places):
            begin_bytes = data_start + offset
            tensor = self._header.tensors[index] = replace(self._header.tensors[index], begin_bytes=begin_bytes)
            end = begin_bytes + tensor.size_bytes
            if end > self._size:
                self._fail(
                    f"tensor {tensor.name} ends at byte {end} but the file has only {self._size}: "
                    "the download is incomplete, fetch it again",
                    place,
                )
            if offset != expected:
                self._fail(
                    f"tensor {tensor.name} starts at {offset} where llama.cpp expects {expected}: this is no sound "
                    "GGUF, convert the model again",
                    place,
                )
            expected += -(-tensor.size_bytes // alignment) * alignment
        if self._header.metadata.get("split.count") not in (None, 0, 1):
            self._header.behind_the_data = self._pread(4, data_start + expected)
