"""Conversations as data: what was asked and answered, with which settings, and how they are kept.

Everything read back from a file passes `clean`: a transcript may have been written by anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields, replace
from typing import Any, Literal

from hettui.domain.chat.wire import ChatTurn
from hettui.domain.records import dataclass
from hettui.domain.text import clean, clean_line

End = Literal["complete", "stopped", "cut off", "length"]
"""How an answer ended: by itself, by the user, by a failure, at its limit of tokens."""
_ENDS: tuple[End, ...] = ("complete", "stopped", "cut off", "length")

ARTICLE_PROMPT = "def fibonacci(n):"
ARTICLE_TOKENS = 100
ARTICLE_TEMPERATURE = 0.1
"""The test with curl that the article about such clusters proposes: raw completion of these words."""

MAX_HISTORY = 200
_TITLE_CHARS = 48
_MAX_MESSAGES = 10_000


@dataclass(frozen=True, slots=True)
class Sampling:
    """llama-server's own names; None leaves the server's default."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    seed: int | None = None
    max_tokens: int | None = None

    @property
    def limit_words(self) -> str:
        """How long an answer may become."""
        if self.max_tokens is None:
            return "token limit as the server's"
        return "no token limit" if self.max_tokens < 0 else f"token limit {self.max_tokens}"

    def with_next_limit(self) -> Sampling:
        """The next larger of `TOKEN_LIMITS`, round and round with the server's own."""
        now = self.max_tokens
        if now is None:
            return replace(self, max_tokens=TOKEN_LIMITS[0])
        if now < 0:
            return replace(self, max_tokens=None)
        return replace(self, max_tokens=next((one for one in TOKEN_LIMITS if one > now), TOKEN_LIMITS[-1]))

    def options(self) -> dict[str, object]:
        """For a request, chat or completion: llama-server knows `max_tokens` in both."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value for name, value in values if value is not None}


TOKEN_LIMITS = (256, 1024, 4096, 16384, -1)
"""Of an answer, as one key steps through them; -1 is none, and after it comes the server's own."""

SAMPLING_LIMITS: Mapping[str, tuple[type, float, float]] = {
    "temperature": (float, 0.0, 10.0),
    "top_k": (int, 0, 1_000_000),
    "top_p": (float, 0.0, 1.0),
    "min_p": (float, 0.0, 1.0),
    "repeat_penalty": (float, 0.0, 10.0),
    "seed": (int, -1, 2**32 - 1),
    "max_tokens": (int, -1, 10_000_000),
}


def parse_sampling(texts: Mapping[str, str]) -> Sampling:
    """Typed words as settings; an empty word is the server's default. Raises ValueError with the key and its range."""
    values: dict[str, float | int] = {}
    for name, text in texts.items():
        kind, least, most = SAMPLING_LIMITS[name]
        if not text.strip():
            continue
        try:
            value = kind(text.strip())
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            what = "a whole number" if kind is int else "a number"
            raise ValueError(f"{name} is {what} from {least:g} to {most:.10g}, or empty for the server's default")
        values[name] = value
    return Sampling(**values)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and its answer. `answer` is None while nothing has come, or nothing came at all."""

    question: str
    answer: str | None = None
    reasoning: str = ""
    end: End = "complete"
    note: str = ""
    """Figures and failures, as they stood under the answer."""
    raw: bool = False
    """Sent to `/completion` as it is, without template and without what was said before."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """`key` is its file's name; `created` and `changed` are ISO times."""

    key: str
    model: str
    created: str
    changed: str = ""
    raw: bool = False
    """New questions are raw prompts."""
    system: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    exchanges: tuple[Exchange, ...] = ()
    name: str = ""
    """As the user calls it; empty: by its first question."""

    @property
    def title(self) -> str:
        """Its name, else the first question's beginning."""
        if self.name:
            return clean_line(self.name, _TITLE_CHARS)
        first = next((e.question for e in self.exchanges), "")
        line = clean_line(first.strip().partition("\n")[0], _TITLE_CHARS)
        return line or "a new conversation"

    @property
    def turns(self) -> tuple[ChatTurn, ...]:
        """Everything said so far for `/v1/chat/completions`, the last question included. Raw prompts stand apart."""
        turns = [ChatTurn("system", self.system)] if self.system.strip() else []
        for exchange in self.exchanges:
            if exchange.raw:
                continue
            turns.append(ChatTurn("user", exchange.question))
            if exchange.answer:
                turns.append(ChatTurn("assistant", exchange.answer))
        return tuple(turns)

    def asked(self, exchange: Exchange) -> Conversation:
        return replace(self, exchanges=(*self.exchanges, exchange))

    def with_last(self, **changes: Any) -> Conversation:
        """The last exchange changed."""
        last = replace(self.exchanges[-1], **changes)
        return replace(self, exchanges=(*self.exchanges[:-1], last))

    def without_last(self) -> Conversation:
        return replace(self, exchanges=self.exchanges[:-1])

    @property
    def can_continue(self) -> bool:
        """The last answer did not end by itself, and there is something to go on from."""
        return bool(self.exchanges) and self.exchanges[-1].end != "complete" and bool(self.exchanges[-1].answer)


def to_json(conversation: Conversation) -> dict[str, Any]:
    """As it is kept. Settings at the server's default are left out."""
    return {
        "model": conversation.model,
        "created": conversation.created,
        "changed": conversation.changed,
        "name": conversation.name,
        "raw": conversation.raw,
        "system": conversation.system,
        "sampling": conversation.sampling.options(),
        "exchanges": [
            {
                "question": e.question,
                "answer": e.answer,
                "reasoning": e.reasoning,
                "end": e.end,
                "note": e.note,
                "raw": e.raw,
            }
            for e in conversation.exchanges
        ],
    }


def from_json(key: str, data: Any) -> Conversation | None:
    """A kept conversation; None when the data is not one. Single damaged values count as missing."""
    if not isinstance(data, dict) or not isinstance(data.get("exchanges"), list):
        return None
    exchanges = tuple(
        Exchange(
            _text(e, "question"),
            _text(e, "answer") if isinstance(e.get("answer"), str) else None,
            _text(e, "reasoning"),
            e["end"] if e.get("end") in _ENDS else "complete",
            _text(e, "note"),
            e.get("raw") is True,
        )
        for e in data["exchanges"][:_MAX_MESSAGES]
        if isinstance(e, dict)
    )
    return Conversation(
        key,
        _text(data, "model"),
        clean_line(_text(data, "created"), 40),
        clean_line(_text(data, "changed"), 40),
        data.get("raw") is True,
        _text(data, "system"),
        _sampling(data.get("sampling")),
        exchanges,
        clean_line(_text(data, "name"), _TITLE_CHARS),
    )


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return clean(value) if isinstance(value, str) else ""


def _sampling(data: Any) -> Sampling:
    if not isinstance(data, dict):
        return Sampling()
    texts = {name: str(value) for name, value in data.items() if name in SAMPLING_LIMITS}
    try:
        return parse_sampling(texts)
    except ValueError:
        return Sampling()


def to_markdown(conversation: Conversation) -> str:
    """For people: headings for the speakers, the answers as they are, the figures in italics."""
    lines = [f"# {conversation.title}", "", f"{conversation.model}, {conversation.created}", ""]
    if conversation.system.strip():
        lines += ["## System", "", conversation.system, ""]
    if options := conversation.sampling.options():
        lines += ["Sampling: " + ", ".join(f"{k} {v}" for k, v in options.items()), ""]
    for exchange in conversation.exchanges:
        if exchange.raw:
            fence = _fence_for(exchange.question + (exchange.answer or ""))
            lines += ["## Raw completion", "", fence, exchange.question + (exchange.answer or ""), fence, ""]
        else:
            lines += ["## User", "", exchange.question, ""]
            if exchange.reasoning:
                quoted = "\n".join(f"> {line}".rstrip() for line in exchange.reasoning.strip().split("\n"))
                lines += ["## Assistant, thinking", "", quoted, ""]
            lines += ["## Assistant", "", (exchange.answer or "").strip(), ""]
        if exchange.end != "complete":
            lines += [f"*{exchange.end}*", ""]
        lines += [f"*{line}*" for line in exchange.note.splitlines()] + ([""] if exchange.note else [])
    return "\n".join(lines)


def _fence_for(text: str) -> str:
    """More backticks than the text has in a row."""
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return "`" * max(3, longest + 1)


def remembered(history: tuple[str, ...], prompt: str) -> tuple[str, ...]:
    """The history with one more prompt, the newest last, each once."""
    return (*(p for p in history if p != prompt), prompt)[-MAX_HISTORY:]
