"""What the events of a streamed answer say: llama-server's own shape, and those of servers that speak like it.

Seen besides llama.cpp's: `reasoning` for `reasoning_content` (vLLM, OpenRouter), thinking inside of the text between
`<think>` and `</think>` (`--reasoning-format none`), content as a list of parts, a whole `message` instead of pieces,
and calls of tools that nobody offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hettui.domain.chat.wire import ChatDelta, PromptProgress, Timings
from hettui.domain.errors import ServerError
from hettui.domain.text import clean_line

_OPEN, _CLOSE = "<think>", "</think>"
_MOST_CALLS = 3


class ThinkSplitter:
    """Text in pieces cut anywhere into what was said and what was thought, where an answer begins with `<think>`."""

    def __init__(self) -> None:
        self._held = ""
        self._place = "before"
        """`before` the first letter, `inside` of the tags, `between` them and the text, `after`: all is text."""

    def feed(self, piece: str) -> tuple[str, str]:
        """Text and thoughts."""
        if self._place == "after" or not piece:
            return piece, ""
        whole, self._held = self._held + piece, ""
        if self._place == "before":
            begin = whole.lstrip()
            if len(begin) < len(_OPEN) and _OPEN.startswith(begin):
                self._held = whole
                return "", ""
            if not begin.startswith(_OPEN):
                self._place = "after"
                return whole, ""
            self._place, whole = "inside", begin[len(_OPEN) :]
        if self._place == "inside":
            return self._thought(whole)
        return self._said(whole)

    def _thought(self, whole: str) -> tuple[str, str]:
        thought, closed, rest = whole.partition(_CLOSE)
        if closed:
            self._place = "between"
            return self._said(rest)[0], thought
        keep = next((n for n in range(len(_CLOSE) - 1, 0, -1) if whole.endswith(_CLOSE[:n])), 0)
        self._held = whole[len(whole) - keep :]
        return "", whole[: len(whole) - keep]

    def _said(self, whole: str) -> tuple[str, str]:
        """Without the empty lines that templates put behind the thoughts."""
        text = whole.lstrip("\n")
        self._place = "after" if text else "between"
        return text, ""

    def finish(self) -> tuple[str, str]:
        """What was held back for a tag that did not come."""
        held, self._held = self._held, ""
        return ("", held) if self._place == "inside" else (held, "")


class ChatStream:
    """The events of one chat, parsed, as pieces of its answer."""

    def __init__(self) -> None:
        self._splitter = ThinkSplitter()
        self._said_something = False
        self._finished = False
        self._calls: list[str] = []

    def feed(self, data: Mapping[str, Any]) -> ChatDelta:
        choices = data.get("choices")
        choice = table(choices[0]) if isinstance(choices, list) and choices else {}
        content = table(choice.get("delta")) or table(choice.get("message"))
        self._hear_calls(content.get("tool_calls"))
        finish = choice.get("finish_reason")
        finish = finish if isinstance(finish, str) and finish else None
        text, thought = self._splitter.feed(_content(content.get("content")) or text_of(choice, "text"))
        if finish:
            self._finished = True
            rest = self._splitter.finish()
            text, thought = text + rest[0], thought + rest[1]
        reasoning = text_of(content, "reasoning_content") or text_of(content, "reasoning")
        self._said_something = self._said_something or bool(text)
        return ChatDelta(
            text=text,
            reasoning=reasoning + thought,
            finish_reason=finish,
            timings=timings_of(data),
            progress=progress_of(data),
        )

    def _hear_calls(self, calls: object) -> None:
        for call in calls if isinstance(calls, list) else ():
            name = clean_line(text_of(table(table(call).get("function")), "name"), 60)
            if name and len(self._calls) < _MOST_CALLS:
                self._calls.append(name)

    def finish(self, *, done: bool) -> ChatDelta | None:
        """The stream has ended; `done`: the server said so. Raises ServerError for an answer that is none for people.

        A server that says how it ended nowhere but in `[DONE]` has ended well.
        """
        if self._calls and not self._said_something:
            raise ServerError(
                f"instead of an answer the model calls a tool ({', '.join(self._calls)}), and hettui has none to "
                "offer: ask without tools, or start the server without them"
            )
        text, thought = self._splitter.finish()
        ended = done and not self._finished and (self._said_something or bool(text))
        return ChatDelta(text, thought, "stop" if ended else None) if text or thought or ended else None


def completion_delta(data: Mapping[str, Any]) -> ChatDelta:
    """One event of /completion."""
    finish = None
    if data.get("stop") is True:
        finish = "length" if data.get("stop_type") == "limit" else "stop"
    return ChatDelta(
        text=text_of(data, "content"), finish_reason=finish, timings=timings_of(data), progress=progress_of(data)
    )


def _content(content: object) -> str:
    """A text, or a list of parts of which some are text."""
    if isinstance(content, list):
        return "".join(text_of(table(part), "text") for part in content)
    return content if isinstance(content, str) else ""


def timings_of(data: Mapping[str, Any]) -> Timings | None:
    """Of a chunk that reports progress they are the request's before (b10068)."""
    found = data.get("timings")
    return Timings.from_json(found) if isinstance(found, dict) and "prompt_progress" not in data else None


def progress_of(data: Mapping[str, Any]) -> PromptProgress | None:
    found = table(data.get("prompt_progress"))
    total, done = whole_of(found, "total"), whole_of(found, "processed")
    if total is None or done is None:
        return None
    return PromptProgress(total, done, (whole_of(found, "time_ms") or 0) / 1000, whole_of(found, "cache") or 0)


def table(value: object) -> Mapping[str, Any]:
    """An empty one for what is none."""
    return value if isinstance(value, dict) else {}


def text_of(data: Mapping[str, object], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def whole_of(data: Mapping[str, object], key: str) -> int | None:
    """A count, up to what any server can have: a figure without a bound breaks whatever reckons with it."""
    value = data.get(key)
    sound = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62
    return value if sound and isinstance(value, int) else None
