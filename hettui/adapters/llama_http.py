"""llama-server's HTTP API: health and streamed chat.

httpx is imported when the first client is made: it costs a tenth of a second that the first frame need not wait for.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hettui.domain.chat import ChatDelta, ChatTurn, SseParser, Timings
from hettui.domain.errors import ServerError
from hettui.domain.text import clean_line

if TYPE_CHECKING:
    import httpx

_CONNECT_S = 5.0
_HEALTH_S = 2.0


class HttpLlamaClient:
    """Implements LlamaClient for one address."""

    def __init__(
        self, base_url: str, api_key: str | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._httpx = httpx
        self._client = httpx.AsyncClient(
            base_url=base_url,
            headers=headers,
            transport=transport,
            # Between two tokens of a slow cluster minutes may pass; only connecting must be quick.
            timeout=httpx.Timeout(None, connect=_CONNECT_S),
            # The server is ours and near: no proxy of the user's shell stands between.
            trust_env=False,
        )

    async def health(self) -> bool:
        try:
            response = await self._client.get("/health", timeout=_HEALTH_S)
        except self._httpx.HTTPError:
            return False
        return response.status_code == 200

    async def busy(self) -> int | None:
        try:
            response = await self._client.get("/slots", timeout=_HEALTH_S)
            slots = response.json() if response.status_code == 200 else None
        except (self._httpx.HTTPError, ValueError):
            return None
        if not isinstance(slots, list):
            return None
        return sum(1 for slot in slots if isinstance(slot, dict) and slot.get("is_processing") is True)

    async def chat(self, turns: Sequence[ChatTurn], options: dict[str, object]) -> AsyncIterator[ChatDelta]:
        body = {
            "messages": [{"role": turn.role, "content": turn.content} for turn in turns],
            "stream": True,
            **options,
        }
        parser = SseParser()
        try:
            async with self._client.stream("POST", "/v1/chat/completions", json=body) as response:
                if response.status_code != 200:
                    raise ServerError(_reason(response.status_code, await response.aread()))
                async for chunk in response.aiter_bytes():
                    for event in parser.feed(chunk):
                        if event == "[DONE]":
                            return
                        yield _delta(event)
        except self._httpx.ConnectError as error:
            raise ServerError("llama-server does not answer: is the cluster running?") from error
        except (self._httpx.HTTPError, self._httpx.StreamError, ValueError) as error:
            raise ServerError(
                f"the connection to llama-server broke off: {clean_line(str(error), 200) or 'no reason given'}"
            ) from error

    async def close(self) -> None:
        await self._client.aclose()


def _delta(event: str) -> ChatDelta:
    """One event's JSON. Raises ServerError for an error inside the stream, ValueError for what is no JSON."""
    data = json.loads(event)
    if not isinstance(data, dict):
        return ChatDelta()
    if isinstance(data.get("error"), dict):
        raise ServerError(_error_text(data["error"]))
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    delta = choice.get("delta")
    content = delta if isinstance(delta, dict) else {}
    timings = data.get("timings")
    finish = choice.get("finish_reason")
    return ChatDelta(
        text=_text(content, "content"),
        reasoning=_text(content, "reasoning_content"),
        finish_reason=finish if isinstance(finish, str) else None,
        timings=Timings.from_json(timings) if isinstance(timings, dict) else None,
    )


def _text(delta: Mapping[str, object], key: str) -> str:
    value = delta.get(key)
    return value if isinstance(value, str) else ""


def _reason(status: int, body: bytes) -> str:
    """The server's own words for an HTTP error, with what to do where we know it."""
    try:
        error = json.loads(body)["error"]
        text = _error_text(error) if isinstance(error, dict) else clean_line(str(error), 300)
    except (ValueError, KeyError, TypeError):
        text = clean_line(body.decode("utf-8", errors="replace"), 300)
    if status == 401:
        return f"llama-server wants an API key ({text}): set [serving] api-key-file or LLAMA_API_KEY"
    if status == 503:
        return f"llama-server is not ready: {text}"
    return f"llama-server answered {status}: {text}"


def _error_text(error: Mapping[str, object]) -> str:
    text = clean_line(str(error.get("message", "no reason given")), 300)
    if error.get("type") == "exceed_context_size_error":
        return (
            f"the conversation has {error.get('n_prompt_tokens', '–')} tokens, the context holds "
            f"{error.get('n_ctx', '–')}: start a new one, or raise [serving] ctx-size"
        )
    return text
