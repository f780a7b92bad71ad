"""Pictures in a question: lines of it that name a file, `/image PATH`.

The words stay in the conversation as they were typed; the file is read when the question is sent.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from hettui.domain.patterns import late_pattern

COMMAND = "/image"
MOST_BYTES = 8 * 1024 * 1024
"""Of one picture: a photograph of a telephone has 3 to 6 MiB."""
MOST_TOGETHER_BYTES = 32 * 1024 * 1024
"""Of all in one conversation: they are sent with every question."""
_LINE = late_pattern(rf"^{COMMAND}[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"), (b"BM", "image/bmp"),
)  # fmt: skip
"""What llama-server decodes (stb_image, b10068 and b11434), by how it begins."""


def named_in(text: str) -> tuple[str, ...]:
    """The files that a question names, as they were typed, dropped or pasted: also quoted, and as a file's address."""
    return tuple(_path(said) for said in _LINE.findall(text))


def words_of(text: str) -> str:
    """The question without them."""
    return _LINE.sub("", text).strip()


def kind_of(data: bytes) -> str | None:
    """Its media type; None of what llama-server cannot decode."""
    return next((kind for start, kind in _KINDS if data.startswith(start)), None)


def _path(said: str) -> str:
    if len(said) > 1 and said[0] == said[-1] and said[0] in "'\"":
        said = said[1:-1]
    elif not said.startswith("file://"):
        # As a terminal pastes what is dropped on it.
        said = re.sub(r"\\(.)", r"\1", said)
    return unquote(urlsplit(said).path) if said.startswith("file://") else said
