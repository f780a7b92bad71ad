"""llama-server's HTTP API: health, what it says about itself, and streamed answers.

httpx is imported when the first client is made: it costs a tenth of a second that the first frame need not wait for.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from hettui.adapters.llama import http_errors, http_slots
from hettui.adapters.llama.http_reading import ERROR_BYTES, encoding_of, fetch, read
from hettui.domain.chat.sse import SseEvent, SseParser
from hettui.domain.chat.stream import ChatStream, completion_delta, table, text_of, whole_of
from hettui.domain.chat.wire import ChatDelta, ChatTurn, ServerFacts, Slot
from hettui.domain.cluster.address import without_user
from hettui.domain.errors import ConnectionLost, ServerError, UsageError
from hettui.domain.json_text import parse_json
from hettui.domain.llama.server_errors import (
    body_words,
    error_in,
    http_reason,
    is_web_page,
    redirect_reason,
    web_page_reason,
)
from hettui.domain.patterns import late_pattern
from hettui.domain.text import clean_line

if TYPE_CHECKING:
    import httpx

_CONNECT_S = 5.0
_LOOK_S = 2.0
"""For everything that is asked beside an answer, from the connection to the last byte."""
_MOST_BYTES = 4 * 1024 * 1024
"""Of what the server says about itself; a chat template, the longest part, has 0.1 MiB."""
_MOST_ANSWER_CHARS = 16 * 1024 * 1024
"""Of one answer: more than the context of any model."""
_MOST_STREAM_BYTES = 1024 * 1024 * 1024
"""Of one answer on the wire: names, times and probabilities come with every token."""
_AMENDS = 2
_NAMED = 5
"""Models that a sentence lists."""
_DEFERRED = late_pattern(r"^llamacpp:requests_deferred (\d{1,9})\b", re.MULTILINE)

State = Literal["ready", "loading", "silent", "other"]


class _Refused(ServerError):
    """The answer was refused before it began; the same question in other words may be taken."""

    def __init__(self, status: int, reason: str, words: str) -> None:
        super().__init__(reason)
        self.status = status
        self.words = words


class HttpLlamaClient:
    """Implements LlamaClient for one address."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        model: str | None = None,
    ) -> None:
        """`model`: which one is asked, of a server that has several. Raises UsageError for what is no URL or key."""
        import httpx

        self._httpx = httpx
        self._where = base_url
        self._model = model
        self._state: tuple[State, str] = ("silent", "")
        try:
            self._client = httpx.AsyncClient(
                base_url=base_url,
                headers={b"Accept-Encoding": b"identity", **_key_headers(base_url, api_key)},
                transport=transport,
                # Between two tokens of a slow cluster minutes may pass; only connecting must be quick.
                timeout=httpx.Timeout(None, connect=_CONNECT_S),
                # As many streams at once as the server has slots. No connection is used twice: llama-server closes one
                # after a stream of /completion without saying so, and the next request on it finds it dead.
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
                # The key is for this server and no other.
                follow_redirects=False,
                verify=http_errors.certificates(base_url),
                # The server is ours and near: no proxy of the user's shell stands between.
                trust_env=False,
            )
        except (httpx.InvalidURL, UnicodeError) as error:
            raise UsageError(f"{self._shown} is no address: {clean_line(str(error), 100)}") from None

    # -- looks: short, and nothing depends on their words ----------------------------------------------------

    async def health(self) -> bool:
        state, _ = await self.look()
        return state == "ready"

    async def look(self) -> tuple[State, str]:
        """Whether it is ready, and what it said when it is neither that nor loading."""
        try:
            answer = await fetch(self._client, "/health", ERROR_BYTES, _LOOK_S)
        except TimeoutError:
            self._state = ("other", f"/health at {self._shown} is not answered within {_LOOK_S:.0f} s")
        except self._httpx.HTTPError as error:
            silent = isinstance(error, self._httpx.ConnectError | self._httpx.ConnectTimeout)
            self._state = ("silent" if silent else "other", http_errors.sentence(error, self._shown))
        else:
            self._state = _state_of(answer.status, answer.body, self._shown)
        return self._state

    @property
    def complaint(self) -> str:
        """What stood in the way at the last look, in a sentence; empty for one that is ready, loads or is silent."""
        return self._state[1] if self._state[0] == "other" else ""

    @property
    def _shown(self) -> str:
        return without_user(self._where)

    async def busy(self) -> int | None:
        slots = await self.slots()
        return None if slots is None else sum(1 for slot in slots if slot.busy)

    async def facts(self) -> ServerFacts:
        props = table(await self._document(self._of_model("/props")))
        entry = _entry(await self._document("/v1/models"), self._model)
        generation, meta = table(props.get("default_generation_settings")), table(entry.get("meta"))
        router = props.get("role") == "router"
        return ServerFacts(
            slots=whole_of(props, "total_slots"),
            slot_context_tokens=whole_of(generation, "n_ctx"),
            build=_line(props, "build_info"),
            model_path=None if router else _line(props, "model_path"),
            model_name=_line(entry, "id"),
            model_type=_line(props, "model_ftype") or _line(meta, "ftype"),
            model_bytes=whole_of(meta, "size"),
            model_params=whole_of(meta, "n_params"),
            vocabulary=whole_of(meta, "n_vocab"),
        )

    async def slots(self) -> tuple[Slot, ...] | None:
        found = await self._document(self._of_model("/slots"))
        return tuple(http_slots.slot_of(table(slot)) for slot in found) if isinstance(found, list) else None

    async def queued(self) -> int | None:
        body = await self._body(self._of_model("/metrics"))
        found = _DEFERRED.search(body.decode("utf-8", errors="replace")) if body is not None else None
        return int(found[1]) if found else None

    async def save_slot(self, slot: int, file: str, seconds: float) -> tuple[int, int]:
        return await http_slots.act(self._client, self._shown, slot, "save", file, seconds)

    async def restore_slot(self, slot: int, file: str, seconds: float) -> int:
        return (await http_slots.act(self._client, self._shown, slot, "restore", file, seconds))[0]

    async def close(self) -> None:
        await self._client.aclose()

    def _of_model(self, path: str) -> str:
        return path if self._model is None else f"{path}?model={quote(self._model, safe='')}"

    async def _document(self, path: str) -> Any:
        """None when it cannot be had: these facts are nice to know, nothing depends on them."""
        body = await self._body(path)
        try:
            return None if body is None else parse_json(body)
        except ValueError:
            return None

    async def _body(self, path: str) -> bytes | None:
        try:
            answer = await fetch(self._client, path, _MOST_BYTES, _LOOK_S)
        except (self._httpx.HTTPError, TimeoutError, RuntimeError):
            return None
        return answer.body if answer.status == 200 and answer.whole else None

    # -- answers ---------------------------------------------------------------------------------------------

    async def chat(self, turns: Sequence[ChatTurn], options: dict[str, object]) -> AsyncGenerator[ChatDelta, None]:
        from hettui.adapters.llama.picture_files import messages_of

        messages = await messages_of(turns)
        stream, done, chars = ChatStream(), False, 0
        async with aclosing(self._stream("/v1/chat/completions", {"messages": messages, **options})) as events:
            async for data in events:
                done = done or data is _DONE
                if not done:
                    delta = stream.feed(data)
                    chars = _counted(chars, delta)
                    yield delta
        last = stream.finish(done=done)
        if last is not None:
            yield last

    async def complete(
        self, prompt: str | Sequence[int], options: dict[str, object]
    ) -> AsyncGenerator[ChatDelta, None]:
        chars = 0
        async with aclosing(self._stream("/completion", {"prompt": prompt, **options})) as events:
            async for data in events:
                if data is not _DONE:
                    delta = completion_delta(data)
                    chars = _counted(chars, delta)
                    yield delta

    async def _stream(self, path: str, body: dict[str, object]) -> AsyncGenerator[Mapping[str, Any], None]:
        """The events of one streamed answer. What is refused for want of something is asked again with it."""
        for attempt in range(_AMENDS + 1):
            asked = body if self._model is None else {"model": self._model, **body}
            try:
                async with aclosing(self._events(path, asked)) as events:
                    async for data in events:
                        yield data
            except _Refused as refused:
                amended = None if attempt == _AMENDS else await self._amended(asked, refused)
                if amended is None:
                    raise
                body = amended
            else:
                return

    async def _amended(self, body: dict[str, object], refused: _Refused) -> dict[str, object] | None:
        """The same question as this server wants it; None when we do not know how."""
        words, messages = refused.words.lower(), body.get("messages")
        goes_on = isinstance(messages, list) and bool(messages) and messages[-1]["role"] == "assistant"
        if goes_on and "enable_thinking" in words and "chat_template_kwargs" not in body:
            # An answer is gone on with: its thoughts have been thought (llama.cpp, August 2025 to spring 2026).
            return {**body, "chat_template_kwargs": {"enable_thinking": False}}
        if self._model is None and refused.status in (400, 404, 422) and "model" in words:
            self._model = await self._only_model(refused)
            return None if self._model is None else dict(body)
        return None

    async def _only_model(self, refused: _Refused) -> str | None:
        """The one that a router has, or has loaded. Raises ServerError where one has to be named."""
        entries = table(await self._document("/v1/models")).get("data")
        known = [table(entry) for entry in entries] if isinstance(entries, list) else []
        loaded = [one for one in known if table(one.get("status")).get("value") == "loaded"]
        named = [name for one in (loaded if len(loaded) == 1 else known) if (name := text_of(one, "id"))]
        if len(named) > 1:
            some = ", ".join(clean_line(name, 80) for name in named[:_NAMED])
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            raise ServerError(f"{refused}; it has {some}{more}: name one with --model")
        return named[0] if named else None

    async def _events(self, path: str, body: dict[str, object]) -> AsyncGenerator[Mapping[str, Any], None]:
        """Each event's JSON, and `_DONE`. Raises ServerError with the server's reason, as a sentence."""
        try:
            async with self._client.stream("POST", path, json={"stream": True, **body}) as response:
                await _raise_refusal(response)
                async with aclosing(_parsed(response)) as events:
                    async for data in events:
                        yield data
                        if data is _DONE:
                            return
        except (self._httpx.HTTPError, self._httpx.StreamError) as error:
            raise ConnectionLost(http_errors.sentence(error, self._shown)) from error
        except RuntimeError as error:
            # httpx's word for a client that was closed meanwhile: the cluster is being stopped.
            if "closed" not in str(error):
                raise
            raise ConnectionLost("the cluster was stopped: start it and send again") from error


_DONE: Mapping[str, Any] = {"[DONE]": True}
"""The server says that the answer is complete."""


async def _raise_refusal(response: httpx.Response) -> None:
    """Raises ServerError for whatever is no answer, before anything of it was read as one."""
    if 300 <= response.status_code < 400:
        raise ServerError(redirect_reason(response.status_code, response.headers.get("location", "")))
    if response.status_code != 200:
        body = await _beginning(response)
        raise _Refused(response.status_code, http_reason(response.status_code, body), body_words(body))
    if encoding := encoding_of(response):
        raise ServerError(f"the server compresses its answer ({clean_line(encoding, 40)}), and nobody asked for that")
    if response.headers.get("content-type", "").lower().startswith("text/html"):
        raise ServerError(web_page_reason(await _beginning(response)))


async def _beginning(response: httpx.Response) -> bytes:
    """Of a body that is no answer: as much as comes soon."""
    try:
        async with asyncio.timeout(_LOOK_S):
            return (await read(response, ERROR_BYTES)).body
    except TimeoutError:
        return b""


def _counted(chars: int, delta: ChatDelta) -> int:
    """So many letters with this piece. Raises ServerError for an answer without an end."""
    chars += len(delta.text) + len(delta.reasoning)
    if chars > _MOST_ANSWER_CHARS:
        raise ServerError(f"the answer has no end: it was cut off after {chars >> 20} million letters")
    return chars


async def _parsed(response: httpx.Response) -> AsyncGenerator[Mapping[str, Any], None]:
    parser, size, something = SseParser(), 0, False
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > _MOST_STREAM_BYTES:
            raise ServerError(f"the answer has no end: it was cut off after {size >> 20} MiB")
        try:
            events = parser.feed(chunk)
        except ValueError as error:
            raise ServerError(f"{error}: is that llama-server's address?") from error
        for event in events:
            something = True
            yield _event(event)
    events, stray = parser.finish()
    for event in events:
        # Of a server that died in the middle of one: what is no JSON is no word of it.
        if (data := _whole_event(event)) is not None:
            something = True
            yield data
    if stray and not something:
        for data in _documents(stray):
            yield data


def _event(event: SseEvent) -> Mapping[str, Any]:
    """One event's JSON. Raises ServerError for an error inside the stream, and for what is no JSON."""
    if event.data == "[DONE]":
        return _DONE
    try:
        found = parse_json(event.data)
    except ValueError:
        if event.kind == "error":
            raise ServerError(clean_line(event.data, 300)) from None
        raise ServerError(f"the server sent what is no answer: {clean_line(event.data, 120)}") from None
    data = table(found)
    if event.kind == "error" and not data:
        raise ServerError(body_words(event.data.encode()) or "the server reports an error without a reason")
    if (complaint := error_in(data, event.kind)) is not None:
        raise ServerError(complaint)
    return data


def _whole_event(event: SseEvent) -> Mapping[str, Any] | None:
    try:
        return _event(event)
    except ServerError:
        if event.data.rstrip().endswith("}"):
            raise
        return None


def _documents(stray: str) -> list[Mapping[str, Any]]:
    """A body that is no stream of events: one document, or one a line. Raises ServerError for what is neither."""
    if is_web_page(stray.encode()):
        raise ServerError(web_page_reason(stray.encode()))
    try:
        parse_json(stray)
        pieces = [stray]
    except ValueError:
        pieces = [line for line in stray.splitlines() if line.strip()]
    return [_event(SseEvent(piece.strip())) for piece in pieces]


def _state_of(status: int, body: bytes, where: str) -> tuple[State, str]:
    if status == 200 and not is_web_page(body):
        return "ready", ""
    if status == 200:
        return "other", web_page_reason(body)
    said = body_words(body) or "without a word"
    return "loading" if status == 503 else "other", f"/health at {where} is answered with {status}: {said}"


def _key_headers(base_url: str, api_key: str | None) -> dict[bytes, bytes]:
    """The key where llama-server looks for it. A name and password in the URL take `Authorization`."""
    key = (api_key or "").strip()
    if not key:
        return {}
    if not key.isprintable():
        raise UsageError("the API key holds a control character: is it the right file, or LLAMA_API_KEY?")
    if without_user(base_url) != base_url:
        return {b"X-Api-Key": key.encode()}
    return {b"Authorization": f"Bearer {key}".encode()}


def _entry(models: object, wanted: str | None) -> Mapping[str, Any]:
    """Of the list of models: the one that is asked, else the first."""
    entries = table(models).get("data")
    known = [table(entry) for entry in entries] if isinstance(entries, list) else []
    return next((one for one in known if one.get("id") == wanted), known[0] if known and wanted is None else {})


def _line(data: Mapping[str, object], key: str) -> str | None:
    return clean_line(text_of(data, key), 500) or None
