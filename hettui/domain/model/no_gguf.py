"""What a file is that llama.cpp does not take for a GGUF, by its name and its first bytes, and what to do with it."""

from __future__ import annotations

import re
import shlex

from hettui.domain.patterns import late_pattern
from hettui.domain.text import clean_line

_PIECE = late_pattern(
    r"(?P<whole>.+\.gguf)(?P<before>[._-](?:split[._-]?|part[._-]?)?)"
    r"(?:(?P<number>\d{1,5})(?:(?P<of>[._-]?of[._-]?)(?P<count>\d{1,5}))?|[a-z]{1,2})",
    re.IGNORECASE | re.DOTALL,
)
"""`NAME.gguf.part1of2`, `NAME.gguf-split-a`, `NAME.gguf.001`, `NAME.gguf.aa`."""
_MOST_PIECES = 999

_FIRST_BYTES: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive or a PyTorch file: unpack it, or convert it with llama.cpp's convert_hf_to_gguf.py"),
    (b"\x1f\x8b", "packed with gzip: unpack it with gunzip"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it with unzstd"),
    (b"\xfd7zX", "packed with xz: unpack it with unxz"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"vers", "a Git LFS pointer and not the model: fetch the file itself with git lfs pull"),
    (b"<!DO", "a web page: the download link led to a page and not to the file, fetch it again"),
    (b"<!do", "a web page: the download link led to a page and not to the file, fetch it again"),
    (b"<htm", "a web page: the download link led to a page and not to the file, fetch it again"),
    (b"lmgg", "a GGML file of 2023, which llama.cpp has no more: fetch the model as GGUF"),
    (b"fmgg", "a GGML file of 2023, which llama.cpp has no more: fetch the model as GGUF"),
    (b"tjgg", "a GGML file of 2023, which llama.cpp has no more: fetch the model as GGUF"),
    (b"algg", "a GGML LoRA of 2023, which llama.cpp has no more: convert it with convert_lora_to_gguf.py"),
    (b"\0\0\0\0", "filled with zeros where a model begins: the download has reserved its place and not arrived"),
)


def by_first_bytes(first: bytes) -> str | None:
    """What it is and what to do, of a file that does not begin as a GGUF; None: not known."""
    return next((what for begin, what in _FIRST_BYTES if first.startswith(begin)), None)


def raw_piece(name: str) -> str | None:
    """What to do with one of several pieces of a file that was cut anywhere; None: the name is none of a piece."""
    match = _PIECE.fullmatch(name)
    if match is None:
        return None
    whole, before = shlex.quote(match["whole"]), match["before"]
    count, one = match["count"], match["number"]
    pieces, which = f"{whole}{before}*", ""
    if count is not None and 1 <= int(one) <= int(count) <= _MOST_PIECES:
        first = "1".rjust(len(one), "0") if one.startswith("0") else "1"
        pieces, which = f"{whole}{before}{{{first}..{count}}}{match['of']}{count}", f" ({int(one)} of {int(count)})"
    return clean_line(
        f"one raw piece{which} of a model and cannot be read by itself: join all pieces in their order, "
        f"cat {pieces} > {whole}",
        600,
    )
