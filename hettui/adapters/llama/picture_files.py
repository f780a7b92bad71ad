"""A question with pictures as llama-server wants it: OpenAI's `image_url` with the data themselves."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hettui.adapters.files.bounded import read_file
from hettui.domain.chat.pictures import COMMAND, MOST_BYTES, MOST_TOGETHER_BYTES, kind_of, named_in, words_of
from hettui.domain.chat.wire import ChatTurn
from hettui.domain.errors import UsageError
from hettui.domain.text import clean_line
from hettui.domain.units import MIB

_GONE = "(a picture was here; its file cannot be read any more)"


async def messages_of(turns: Sequence[ChatTurn]) -> list[dict[str, Any]]:
    """As `messages`; files are read beside everything else that goes on."""
    turns = tuple(turns)
    with_pictures = any(COMMAND in turn.content for turn in turns)
    return await asyncio.to_thread(messages, turns) if with_pictures else messages(turns)


def messages(turns: Sequence[ChatTurn]) -> list[dict[str, Any]]:
    """The turns for `/v1/chat/completions`. Raises UsageError for a picture of the last question that cannot be read;
    in the place of an earlier one that has gone stands that it has."""
    found: list[dict[str, Any]] = []
    together = 0
    for number, turn in enumerate(turns):
        content: Any = turn.content
        if turn.role == "user" and (paths := named_in(turn.content)):
            parts: list[dict[str, Any]] = []
            for path in paths:
                part, size = _part(path, last=number >= len(turns) - 2)
                together += size
                parts.append(part)
            if together > MOST_TOGETHER_BYTES:
                raise UsageError(
                    f"the pictures of this conversation have {together // MIB} MiB together, and "
                    f"{MOST_TOGETHER_BYTES // MIB} go with a question at most: begin a new one, or make them smaller"
                )
            words = words_of(turn.content)
            content = [*parts, *([{"type": "text", "text": words}] if words else [])]
        found.append({"role": turn.role, "content": content})
    return found


def _part(path: str, *, last: bool) -> tuple[dict[str, Any], int]:
    shown = clean_line(path, 200)
    try:
        data = read_file(Path(path).expanduser(), MOST_BYTES)
    except (OSError, RuntimeError, ValueError) as error:
        if not last:
            return {"type": "text", "text": _GONE}, 0
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{shown} cannot be read: {clean_line(why, 200)}") from None
    kind = kind_of(data)
    if kind is None:
        raise UsageError(f"{shown} is no picture that llama-server reads: make it a PNG or a JPEG")
    address = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return {"type": "image_url", "image_url": {"url": address}}, len(data)
