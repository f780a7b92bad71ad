"""What llama-server's errors mean, as sentences with the next step."""

from __future__ import annotations

from collections.abc import Mapping

from hettui.domain.json_text import parse_json
from hettui.domain.text import clean_line


def http_reason(status: int, body: bytes) -> str:
    """The server's own words for an HTTP error, with what to do where we know it."""
    try:
        error = parse_json(body)["error"]
        text = error_reason(error) if isinstance(error, dict) else clean_line(str(error), 300)
    except (ValueError, KeyError, TypeError):
        text = clean_line(body.decode("utf-8", errors="replace"), 300)
    if status == 401:
        return (
            f"llama-server wants an API key ({text}): set [serving] api-key-file or LLAMA_API_KEY to one that it "
            "knows, then send again"
        )
    if status == 503:
        return f"llama-server is not ready: {text}. Send again when it is"
    if status == 501:
        return f"this llama-server does not offer that: {text}"
    if status >= 500:
        return f"llama-server failed with {status}: {text}. Send again; if it fails again, its log says more"
    if text.startswith("the conversation has"):
        return text
    return f"llama-server answered {status}: {text}"


def error_reason(error: Mapping[str, object]) -> str:
    """An `error` object, also one in the middle of a stream."""
    text = clean_line(str(error.get("message", "no reason given")), 300)
    if error.get("type") == "exceed_context_size_error":
        return _too_long(error.get("n_prompt_tokens"), error.get("n_ctx"))
    return text


def _too_long(tokens: object, size: object) -> str:
    whole = isinstance(tokens, int) and isinstance(size, int)
    over = f", {int(str(tokens)) - int(str(size))} too many" if whole else ""
    return (
        f"the conversation has {tokens if whole else '–'} tokens, a slot's context holds {size if whole else '–'}"
        f"{over}: shorten it, start a new one, or raise [serving] ctx-size and apply"
    )
