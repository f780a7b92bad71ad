"""llama-server's HTTP API, scripted by httpx's mock transport."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from hettui.adapters.llama.http import HttpLlamaClient
from hettui.domain.chat.wire import ChatDelta, ChatTurn
from hettui.domain.errors import ServerError

TIMINGS = {"prompt_n": 12, "prompt_per_second": 240.0, "predicted_n": 2, "predicted_per_second": 41.5, "cache_n": 0}


def sse(*events: object) -> bytes:
    lines = ["data: " + (e if isinstance(e, str) else json.dumps(e)) + "\n\n" for e in events]
    return "".join([": ping\n\n", *lines]).encode()


def piece(**delta: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


ANSWER = sse(
    piece(role="assistant", content=None),
    piece(reasoning_content="hm"),
    piece(content="Red, "),
    piece(content="blue 🦙"),
    {"choices": [{"delta": {}, "finish_reason": "stop"}], "timings": TIMINGS},
    "[DONE]",
)


class Chunks(httpx.AsyncByteStream):
    """A body in pieces of a given size, with an error at its end if wanted."""

    def __init__(self, data: bytes, size: int, error: Exception | None = None) -> None:
        self._data, self._size, self._error = data, size, error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), self._size):
            yield self._data[start : start + self._size]
        if self._error:
            raise self._error


def client(answer: Callable[[httpx.Request], httpx.Response], key: str | None = None) -> HttpLlamaClient:
    return HttpLlamaClient("http://127.0.0.1:1", key, transport=httpx.MockTransport(answer))


async def collect(llama: HttpLlamaClient) -> list[ChatDelta]:
    try:
        return [delta async for delta in llama.chat([ChatTurn("user", "colours?")], {"max_tokens": 9})]
    finally:
        await llama.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
async def test_an_answer_cut_anywhere(size: int) -> None:
    deltas = await collect(client(lambda _: httpx.Response(200, stream=Chunks(ANSWER, size))))
    assert "".join(d.text for d in deltas) == "Red, blue 🦙"
    assert "".join(d.reasoning for d in deltas) == "hm"
    assert deltas[-1].finish_reason == "stop"
    assert deltas[-1].timings is not None
    assert deltas[-1].timings.generated_per_second == 41.5


async def test_the_request_is_what_llama_server_expects() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=ANSWER)

    await collect(client(answer, key="k1"))
    assert seen[0].url.path == "/v1/chat/completions"
    assert seen[0].headers["authorization"] == "Bearer k1"
    assert json.loads(seen[0].content) == {
        "messages": [{"role": "user", "content": "colours?"}],
        "stream": True,
        "max_tokens": 9,
    }


def error(status: int, message: str, kind: str, **more: object) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": status, "message": message, "type": kind, **more}})


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (error(401, "Invalid API Key", "authentication_error"), "wants an API key"),
        (error(503, "Loading model", "unavailable_error"), "not ready: Loading model"),
        (
            error(400, "too long", "exceed_context_size_error", n_prompt_tokens=9000, n_ctx=4096),
            "9000 tokens, a slot's context holds 4096, 4904 too many",
        ),
        (error(500, "\x1b[31mboom", "server_error"), "failed with 500: boom"),
        (httpx.Response(502, content=b"<html>"), "failed with 502: <html>"),
        (httpx.Response(400, content=b'{"error": "text"}'), "answered 400: text"),
        (httpx.Response(200, content=sse({"error": {"message": "slot gone", "type": "server_error"}})), "slot gone"),
        (httpx.Response(200, content=b"data: {broken\n\n"), "broke off"),
        (
            httpx.Response(200, stream=Chunks(sse(piece(content="x")), 9, httpx.ReadError("reset"))),
            "broke off (reset): it has ended",
        ),
    ],
)
async def test_errors_are_sentences(response: httpx.Response, says: str) -> None:
    with pytest.raises(ServerError) as caught:
        await collect(client(lambda _: response))
    assert says in str(caught.value)
    assert "\x1b" not in str(caught.value)


async def test_a_dead_server_is_a_sentence() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(ServerError, match="is the cluster running"):
        await collect(client(refuse))


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
async def test_health(status: int, healthy: bool) -> None:
    llama = client(lambda _: httpx.Response(status))
    assert await llama.health() is healthy
    await llama.close()


async def test_no_answer_is_not_healthy() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    llama = client(refuse)
    assert not await llama.health()
    await llama.close()
