"""What a server's errors mean, as sentences with the next step.

llama-server's own have one shape; proxies, routers and servers that speak like it have others, and some answer with a
web page. Whatever it is: the server's own words, in one clean line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from hettui.domain.json_text import parse_json
from hettui.domain.patterns import late_pattern
from hettui.domain.text import clean_line

_MOST_CHARS = 300
_MOST_HTML = 16 * 1024
_KEYS = (
    "message", "error", "detail", "error_description", "error_message", "msg", "reason", "title", "description",
    "errors", "status", "type",
)  # fmt: skip
"""Where words stand, the best first: OpenAI's and llama.cpp's, FastAPI's, OAuth's, RFC 9457's, JSON:API's."""
_DEEP = 6
_MARKUP = late_pattern(r"\s*(?:<\?xml|<!doctype|<html|<head|<body|<title|<h1|<center)", re.IGNORECASE)
_NO_WORDS = late_pattern(r"<(script|style|svg)\b.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_TAG = late_pattern(r"<[^<>]{0,2000}>")
_TITLE = late_pattern(r"<title[^<>]{0,200}>([^<]{0,500})", re.IGNORECASE)
SILENT = "no reason given"
_BLIND = "image input is not supported"
_NO_PROJECTOR = (
    "this model sees no pictures: set [serving] mmproj to its projector's file, mostly named mmproj-….gguf, and start "
    "again; if the model has none, ask without /image"
)


def http_reason(status: int, body: bytes) -> str:
    """The server's own words for an HTTP error, with what to do where we know it."""
    text = body_words(body) or _phrase(status)
    if _BLIND in text:
        return _NO_PROJECTOR
    if status == 401:
        return (
            f"llama-server wants an API key ({text}): set [serving] api-key-file or LLAMA_API_KEY to one that it "
            "knows, then send again"
        )
    if status == 503:
        return f"llama-server is not ready: {_ended(text)} Send again when it is"
    if status == 501:
        return f"this llama-server does not offer that: {text}"
    if status >= 500:
        return f"llama-server failed with {status}: {_ended(text)} Send again; if it fails again, its log says more"
    if text.startswith("the conversation has"):
        return text
    return f"llama-server answered {status}: {text}"


def redirect_reason(status: int, location: str) -> str:
    """A redirect is not followed: the key would go wherever it says."""
    where = _without_user(clean_line(location, 200).strip())
    if not where:
        return f"the server answers {status}, which sends elsewhere, and does not say where: is the address right?"
    return f"the server sends elsewhere ({status}): to {where}. hettui does not follow it: give that address yourself"


def web_page_reason(body: bytes) -> str:
    """A page where an answer should be."""
    return f"the server answers with {_page(_decoded(body))} instead of an answer: is that llama-server's address?"


def is_web_page(body: bytes) -> bool:
    return _MARKUP.match(_decoded(body[:200])) is not None


def body_words(body: bytes) -> str:
    """The words of a body of any shape, in one clean line; empty when there are none."""
    try:
        document = parse_json(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        text = _decoded(body)
        return _page(text) if _MARKUP.match(text) else _line(text)
    return error_reason(document)


def error_reason(error: object, depth: int = 0) -> str:
    """The words of an error as JSON, whatever its shape; empty when it has none."""
    if isinstance(error, str):
        return _inner(error, depth) or _line(error)
    if isinstance(error, list) and depth < _DEEP:
        return _line("; ".join(filter(None, (error_reason(one, depth + 1) for one in error[:3]))))
    if isinstance(error, Mapping) and depth < _DEEP:
        if error.get("type") == "exceed_context_size_error":
            return _too_long(error.get("n_prompt_tokens"), error.get("n_ctx"))
        return next(filter(None, (error_reason(error.get(key), depth + 1) for key in _KEYS)), "")
    if isinstance(error, int | float) and not isinstance(error, bool):
        return _line(repr(error))
    return ""


def error_in(data: Mapping[str, Any], kind: str = "") -> str | None:
    """What an event in the middle of a stream complains of; None for one that does not. `kind` is the event's own."""
    complaint = data.get("error")
    if complaint or kind == "error" or data.get("object") == "error" or data.get("type") == "error":
        return error_reason(complaint) or error_reason(data) or SILENT
    return None


def _inner(text: str, depth: int) -> str:
    """The words of an error that a proxy has packed into a text."""
    if not text.lstrip().startswith("{") or depth >= _DEEP:
        return ""
    try:
        return error_reason(parse_json(text), depth + 1)
    except ValueError:
        return ""


def _page(text: str) -> str:
    """A web page by its title and its first words."""
    import html

    text = text[:_MOST_HTML]
    title = _TITLE.search(text)
    body = _NO_WORDS.sub(" ", text[title.end() :] if title else text)
    name = _line(html.unescape(title[1])) if title else ""
    words = _line(html.unescape(_TAG.sub(" ", body)))
    said = name if words.startswith(name) and len(words) < len(name) + 4 else f"{name} {words}".strip()
    return f"a web page ({clean_line(said, 160)})" if said else "a web page"


def _decoded(body: bytes) -> str:
    return body.decode("utf-8", errors="replace").removeprefix("\ufeff")


def _line(text: str) -> str:
    # Cut first: a body of 64 KiB need not be split into words.
    cut = text.strip()[: 4 * _MOST_CHARS].replace("\r", "\n")
    line = clean_line(" ".join(cut.split()), _MOST_CHARS)
    return " ".join(line.split())


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return SILENT


def _without_user(url: str) -> str:
    scheme, separator, rest = url.partition("//")
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}" if separator else url


def _too_long(tokens: object, size: object) -> str:
    whole = isinstance(tokens, int) and isinstance(size, int)
    over = f", {int(str(tokens)) - int(str(size))} too many" if whole else ""
    return (
        f"the conversation has {tokens if whole else '–'} tokens, a slot's context holds {size if whole else '–'}"
        f"{over}: shorten it, start a new one, or raise [serving] ctx-size and apply"
    )
