"""llama-server's HTTP API: health, what it says about itself, and streamed answers.

httpx is imported when the first client is made: it costs a tenth of a second that the first frame need not wait for.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hettui.domain.chat.sse import SseParser
from hettui.domain.chat.wire import ChatDelta, ChatTurn, PromptProgress, ServerFacts, Slot, Timings
from hettui.domain.errors import ConnectionLost, ServerError
from hettui.domain.json_text import parse_json
from hettui.domain.llama.server_errors import error_reason, http_reason
from hettui.domain.text import clean_line

if TYPE_CHECKING:
    import httpx

_CONNECT_S = 5.0
_HEALTH_S = 2.0
_DEFERRED = re.compile(r"^llamacpp:requests_deferred (\d+)", re.MULTILINE)


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
            # As many streams at once as the server has slots. No connection is used twice: llama-server closes one
            # after a stream of /completion without saying so, and the next request on it finds it dead.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
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
        slots = await self.slots()
        return None if slots is None else sum(1 for slot in slots if slot.busy)

    async def listens(self) -> bool:
        """Whether anybody answers there at all, ready or not."""
        try:
            await self._client.get("/health", timeout=_HEALTH_S)
        except self._httpx.HTTPError:
            return False
        return True

    async def chat(self, turns: Sequence[ChatTurn], options: dict[str, object]) -> AsyncIterator[ChatDelta]:
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        async for data in self._stream("/v1/chat/completions", {"messages": messages, **options}):
            yield _chat_delta(data)

    async def complete(self, prompt: str | Sequence[int], options: dict[str, object]) -> AsyncIterator[ChatDelta]:
        async for data in self._stream("/completion", {"prompt": prompt, **options}):
            yield _completion_delta(data)

    async def facts(self) -> ServerFacts:
        props, models = await self._json("/props"), await self._json("/v1/models")
        generation = _table(props.get("default_generation_settings"))
        entries = models.get("data")
        entry = _table(entries[0]) if isinstance(entries, list) and entries else {}
        meta = _table(entry.get("meta"))
        return ServerFacts(
            slots=_whole(props, "total_slots"),
            slot_context_tokens=_whole(generation, "n_ctx"),
            build=_line(props, "build_info"),
            model_path=_line(props, "model_path"),
            model_name=_line(entry, "id"),
            model_type=_line(props, "model_ftype") or _line(meta, "ftype"),
            model_bytes=_whole(meta, "size"),
            model_params=_whole(meta, "n_params"),
            vocabulary=_whole(meta, "n_vocab"),
        )

    async def slots(self) -> tuple[Slot, ...] | None:
        try:
            response = await self._client.get("/slots", timeout=_HEALTH_S)
            found = parse_json(response.content) if response.status_code == 200 else None
        except (self._httpx.HTTPError, RuntimeError, ValueError):
            return None
        return tuple(_slot(_table(slot)) for slot in found) if isinstance(found, list) else None

    async def queued(self) -> int | None:
        try:
            response = await self._client.get("/metrics", timeout=_HEALTH_S)
        except (self._httpx.HTTPError, RuntimeError):
            return None
        found = _DEFERRED.search(response.text) if response.status_code == 200 else None
        return int(found[1]) if found else None

    async def close(self) -> None:
        await self._client.aclose()

    async def _json(self, path: str) -> Mapping[str, object]:
        """An empty table when it cannot be had: these facts are nice to know, nothing depends on them."""
        try:
            response = await self._client.get(path, timeout=_HEALTH_S)
            return _table(parse_json(response.content)) if response.status_code == 200 else {}
        except (self._httpx.HTTPError, RuntimeError, ValueError):
            return {}

    async def _stream(self, path: str, body: dict[str, object]) -> AsyncIterator[Mapping[str, Any]]:
        """The events of one streamed answer, parsed. Raises ServerError with the reason, as a sentence."""
        parser = SseParser()
        try:
            async with self._client.stream("POST", path, json={"stream": True, **body}) as response:
                if response.status_code != 200:
                    raise ServerError(http_reason(response.status_code, await response.aread()))
                async for chunk in response.aiter_bytes():
                    for event in parser.feed(chunk):
                        if event == "[DONE]":
                            return
                        yield _event(event)
        except (self._httpx.ConnectError, self._httpx.ConnectTimeout) as error:
            raise ConnectionLost("llama-server does not answer: is the cluster running?") from error
        except (self._httpx.RemoteProtocolError, self._httpx.ReadError) as error:
            # What httpx says of a stream that just ends is about HTTP and helps nobody.
            said = clean_line(str(error), 200) if isinstance(error, self._httpx.ReadError) else ""
            reason = f" ({said})" if said else ""
            raise ConnectionLost(
                f"the connection to llama-server broke off{reason}: it has ended, or the line to it has"
            ) from error
        except (self._httpx.HTTPError, self._httpx.StreamError, ValueError) as error:
            raise ConnectionLost(
                f"the connection to llama-server broke off: {clean_line(str(error), 200) or 'no reason given'}"
            ) from error
        except RuntimeError as error:
            # httpx's word for a client that was closed meanwhile: the cluster is being stopped.
            if "closed" not in str(error):
                raise
            raise ConnectionLost("the cluster was stopped: start it and send again") from error


def _event(event: str) -> Mapping[str, Any]:
    """One event's JSON. Raises ServerError for an error inside the stream, ValueError for what is no JSON."""
    data = _table(parse_json(event))
    if isinstance(data.get("error"), dict):
        raise ServerError(error_reason(_table(data["error"])))
    return data


def _chat_delta(data: Mapping[str, Any]) -> ChatDelta:
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    content = _table(choice.get("delta"))
    finish = choice.get("finish_reason")
    return ChatDelta(
        text=_text(content, "content"),
        reasoning=_text(content, "reasoning_content"),
        finish_reason=finish if isinstance(finish, str) else None,
        timings=_timings(data),
        progress=_progress(data),
    )


def _completion_delta(data: Mapping[str, Any]) -> ChatDelta:
    finish = None
    if data.get("stop") is True:
        finish = "length" if data.get("stop_type") == "limit" else "stop"
    return ChatDelta(
        text=_text(data, "content"), finish_reason=finish, timings=_timings(data), progress=_progress(data)
    )


def _timings(data: Mapping[str, Any]) -> Timings | None:
    """Of a chunk that reports progress they are the request's before (b10068)."""
    found = data.get("timings")
    return Timings.from_json(found) if isinstance(found, dict) and "prompt_progress" not in data else None


def _progress(data: Mapping[str, Any]) -> PromptProgress | None:
    found = _table(data.get("prompt_progress"))
    total, done = _whole(found, "total"), _whole(found, "processed")
    if total is None or done is None:
        return None
    return PromptProgress(total, done, (_whole(found, "time_ms") or 0) / 1000, _whole(found, "cache") or 0)


def _slot(slot: Mapping[str, object]) -> Slot:
    following = slot.get("next_token")
    token = _table(following[0]) if isinstance(following, list) and following else _table(following)
    left = _whole(token, "n_remain")
    return Slot(slot.get("is_processing") is True, left if left is not None and left >= 0 else None)


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(data: Mapping[str, object], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def _line(data: Mapping[str, object], key: str) -> str | None:
    return clean_line(_text(data, key), 500) or None


def _whole(data: Mapping[str, object], key: str) -> int | None:
    value = data.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
