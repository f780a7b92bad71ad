"""llama-server's HTTP API, scripted by httpx's mock transport."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from hettui.adapters.llama.http import HttpLlamaClient
from hettui.domain.chat.wire import ChatDelta, ChatTurn, ServerFacts, Slot
from hettui.domain.errors import ConnectionLost, ServerError, UsageError
from tests.patience import patience

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
        (httpx.Response(502, content=b"<html>"), "failed with 502: a web page"),
        (httpx.Response(400, content=b'{"error": "text"}'), "answered 400: text"),
        (httpx.Response(200, content=sse({"error": {"message": "slot gone", "type": "server_error"}})), "slot gone"),
        (httpx.Response(200, content=b"data: {broken\n\n"), "what is no answer: {broken"),
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


# -- dialects --------------------------------------------------------------------------------------------------


def html(text: str) -> httpx.Response:
    return httpx.Response(200, content=text.encode(), headers={"content-type": "text/html"})


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (httpx.Response(200, content=b'error: {"message": "too long", "code": 400}\n\ndata: [DONE]\n\n'), "too long"),
        (httpx.Response(200, content=b'{"error": {"message": "bare", "code": 400}}'), "bare"),
        (httpx.Response(200, content=b'{\n "error": "over lines"\n}'), "over lines"),
        (httpx.Response(200, content=b'event: error\ndata: {"message": "crashed"}\n\n'), "crashed"),
        (httpx.Response(200, content=b"event: error\ndata: not even JSON\n\n"), "not even JSON"),
        (html("<!doctype html><title>UI</title>"), "a web page (UI)"),
        (httpx.Response(200, content=b"<html><title>Login</title>"), "a web page (Login)"),
        (httpx.Response(404, content=b'{"detail": "Not Found"}'), "answered 404: Not Found"),
        (httpx.Response(307, headers={"location": "https://other.example/v1"}), "to https://other.example/v1"),
        (httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Chunks(b"x", 1)), "compresses"),
        (httpx.Response(400, headers={"content-encoding": "br"}, stream=Chunks(b"x", 1)), "answered 400: Bad Request"),
    ],
)
async def test_the_servers_own_words_reach_the_reader(response: httpx.Response, says: str) -> None:
    with pytest.raises(ServerError) as caught:
        await collect(client(lambda _: response))
    assert says in str(caught.value)


async def test_a_whole_answer_instead_of_a_stream_is_understood() -> None:
    whole = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
    deltas = await collect(client(lambda _: httpx.Response(200, json=whole)))
    assert [(d.text, d.finish_reason) for d in deltas] == [("Hello", "stop")]


async def test_a_redirect_does_not_carry_the_key_elsewhere() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(308, headers={"location": "http://evil.example/"})

    llama = client(answer, key="secret")
    assert not await llama.health()
    assert await llama.slots() is None
    with pytest.raises(ServerError, match="sends elsewhere"):
        await collect(llama)
    assert all(url.startswith("http://127.0.0.1:1/") for url in seen)


async def test_a_name_and_password_leave_the_key_its_own_header_and_are_never_said() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        raise httpx.ConnectError("refused")

    llama = HttpLlamaClient("http://me:word@127.0.0.1:1", "k1", transport=httpx.MockTransport(answer))
    with pytest.raises(ServerError) as caught:
        await collect(llama)
    assert seen[0].headers["authorization"].startswith("Basic ")
    assert seen[0].headers["x-api-key"] == "k1"
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(("url", "key"), [("http://127.0.0.1:1", "a\x01b"), ("http://xn--\u00df-.example:1", None)])
def test_what_is_no_key_or_no_address_is_a_usage_error(url: str, key: str | None) -> None:
    with pytest.raises(UsageError):
        HttpLlamaClient(url, key)


class Router:
    """Refuses what names no model."""

    def __init__(self, *loaded: bool) -> None:
        self.entries = [
            {"id": f"m{n}", "status": {"value": "loaded" if here else "unloaded"}} for n, here in enumerate(loaded)
        ]
        self.asked: list[dict[str, object]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"data": self.entries})
        self.asked.append(json.loads(request.content))
        if "model" not in self.asked[-1]:
            return error(400, "model name is missing from the request", "invalid_request_error")
        return httpx.Response(200, content=ANSWER)


@pytest.mark.parametrize("loaded", [(False, True), (True,), (False,)])
async def test_a_router_is_asked_for_the_model_that_it_has(loaded: tuple[bool, ...]) -> None:
    router = Router(*loaded)
    assert "".join(d.text for d in await collect(client(router))) == "Red, blue 🦙"
    assert [body.get("model") for body in router.asked] == [None, f"m{len(loaded) - 1}"]


async def test_a_router_with_several_models_wants_one_named() -> None:
    with pytest.raises(ServerError, match=r"model name is missing from the request; it has m0, m1: .*--model"):
        await collect(client(Router(False, False)))
    with pytest.raises(ServerError, match="model name is missing"):
        await collect(client(Router()))
    router = Router(True, False)
    named = HttpLlamaClient("http://127.0.0.1:1", transport=httpx.MockTransport(router), model="m1")
    await collect(named)
    assert [body["model"] for body in router.asked] == ["m1"]


async def test_an_answer_is_gone_on_with_without_thinking_where_thinking_forbids_it() -> None:
    asked: list[dict[str, object]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        if "chat_template_kwargs" in asked[-1]:
            return httpx.Response(200, content=ANSWER)
        return error(400, "Assistant response prefill is incompatible with enable_thinking.", "invalid_request_error")

    llama = client(answer)
    turns = [ChatTurn("user", "colours?"), ChatTurn("assistant", "Well: ")]
    assert "".join([d.text async for d in llama.chat(turns, {})]) == "Red, blue 🦙"
    assert asked[1]["chat_template_kwargs"] == {"enable_thinking": False}
    await llama.close()
    with pytest.raises(ServerError, match="prefill is incompatible"):
        await collect(client(answer))


@pytest.mark.parametrize(
    ("response", "state", "says"),
    [
        (httpx.Response(200, json={"status": "ok"}), "ready", ""),
        (error(503, "Loading model", "unavailable_error"), "loading", "Loading model"),
        (error(404, "File Not Found", "not_found_error"), "other", "answered with 404: File Not Found"),
        (html("<!doctype html><title>UI</title>"), "other", "a web page (UI)"),
        (httpx.Response(302, headers={"location": "/login"}), "other", "302"),
    ],
)
async def test_a_look_tells_ready_from_loading_from_something_else(
    response: httpx.Response, state: str, says: str
) -> None:
    llama = client(lambda _: response)
    found, said = await llama.look()
    assert found == state
    assert says in said
    assert bool(llama.complaint) == (state == "other")
    await llama.close()


# -- without an end --------------------------------------------------------------------------------------------


class Endless(httpx.AsyncByteStream):
    """The same piece again and again; how much of it was taken."""

    def __init__(self, piece: bytes, *, then_hangs: bool = False) -> None:
        self._piece, self._then_hangs = piece, then_hangs
        self.taken = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.taken += len(self._piece)
            yield self._piece
            if self._then_hangs:
                await asyncio.get_running_loop().create_future()
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        self.closed = True


BLOCK = b" " * (1 << 20)


@pytest.mark.parametrize("status", [200, 404, 503])
async def test_an_endless_health_is_read_to_its_beginning(status: int) -> None:
    body = Endless(BLOCK)
    llama = client(lambda _: httpx.Response(status, stream=body))
    assert await llama.health() is (status == 200)
    assert body.taken <= 2 * len(BLOCK)
    assert body.closed
    await llama.close()


async def test_whatever_a_server_says_of_itself_has_a_size() -> None:
    bodies: list[Endless] = []

    def answer(_: httpx.Request) -> httpx.Response:
        bodies.append(Endless(BLOCK))
        return httpx.Response(200, stream=bodies[-1])

    llama = client(answer)
    assert await llama.facts() == ServerFacts()
    assert await llama.slots() is None
    assert await llama.busy() is None
    assert await llama.queued() is None
    assert len(bodies) == 5
    assert all(body.taken <= 6 * len(BLOCK) and body.closed for body in bodies)
    await llama.close()


async def test_whatever_a_server_says_of_itself_has_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hettui.adapters.llama.http._LOOK_S", 0.05)
    llama = client(lambda _: httpx.Response(200, stream=Endless(b"{", then_hangs=True)))
    assert await llama.facts() == ServerFacts()
    assert await llama.slots() is None
    assert not await llama.health()
    assert "is not answered within" in llama.complaint
    await llama.close()


@pytest.mark.parametrize("then_hangs", [False, True])
async def test_an_error_without_an_end_is_its_beginning(monkeypatch: pytest.MonkeyPatch, then_hangs: bool) -> None:
    monkeypatch.setattr("hettui.adapters.llama.http._LOOK_S", 0.05 if then_hangs else patience(5))
    body = Endless(b"broken " * 1000, then_hangs=then_hangs)
    with pytest.raises(ServerError) as caught:
        await collect(client(lambda _: httpx.Response(500, stream=body)))
    assert "llama-server failed with 500" in str(caught.value)
    assert len(str(caught.value)) < 500
    assert body.taken < 200_000


@pytest.mark.parametrize(
    ("piece", "most", "says"),
    [
        (b"x" * (1 << 20), 32 << 20, "an event without an end"),
        (b"data: " + b"x" * (1 << 20) + b"\n", 32 << 20, "an event without an end"),
        (b"data: " + json.dumps(piece(content="x" * (1 << 20))).encode() + b"\n\n", 32 << 20, "the answer has no end"),
        (b": ping\n\n" * 10_000, 4 << 20, "the answer has no end"),
    ],
    ids=["no line", "no event", "no last event", "nothing but pings"],
)
async def test_a_stream_without_an_end_is_cut_off_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, piece: bytes, most: int, says: str
) -> None:
    monkeypatch.setattr("hettui.adapters.llama.http._MOST_STREAM_BYTES", most)
    body = Endless(piece)
    with pytest.raises(ServerError, match=says):
        await collect(client(lambda _: httpx.Response(200, stream=body)))
    assert body.taken < most * 5 // 4
    assert body.closed


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_few_bytes_that_stand_for_gigabytes_stay_few(encoding: str) -> None:
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    bomb = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(64)) + packer.flush()
    headers = {"content-encoding": encoding}
    llama = client(lambda _: httpx.Response(200, headers=headers, stream=Chunks(bomb, 1 << 16)))
    assert await llama.facts() == ServerFacts()
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    small = packer.compress(b'{"total_slots": 3}') + packer.flush()
    llama = client(lambda _: httpx.Response(200, headers=headers, stream=Chunks(small, 4)))
    assert (await llama.facts()).slots == 3
    twice = client(lambda _: httpx.Response(200, headers={"content-encoding": "gzip, gzip"}, stream=Chunks(bomb, 9)))
    assert await twice.facts() == ServerFacts()


async def _serve(head: bytes, rest: bytes) -> tuple[asyncio.Server, str]:
    """A server on a real socket that answers anything with this, and the second part without an end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(head)
            while rest and not reader.at_eof():
                writer.write(rest)
                await writer.drain()
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("head", "rest"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Filler: " + b"y" * 1000 + b"\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Line: ", b"z" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 1000),
        (b"SSH-2.0-OpenSSH_9.6\r\n", b""),
        (b"", b"\x00" * 1000),
    ],
)
async def test_what_is_hardly_http_is_a_sentence(monkeypatch: pytest.MonkeyPatch, head: bytes, rest: bytes) -> None:
    monkeypatch.setattr("hettui.adapters.llama.http._LOOK_S", 0.5)
    server, url = await _serve(head, rest)
    async with server:
        llama = HttpLlamaClient(url)
        state, said = await llama.look()
        assert state == "ready" or (said and "\n" not in said)
        assert await llama.slots() is None
        await llama.close()


SLOT_ANSWERS = {
    "tokens and bytes": (httpx.Response(200, json={"n_saved": 707, "n_written": 16_301_344}), (707, 16_301_344)),
    "without its option": (
        error(501, "This server does not support slots action", "not_supported_error"),
        "slots action",
    ),
    "no file": (error(400, "Unable to restore slot", "invalid_request_error"), "Unable to restore slot"),
    "an error of the server": (error(500, "boom", "server_error"), "boom"),
    "no figures": (httpx.Response(200, json={"n_saved": "many"}), "does not say"),
    "no JSON": (httpx.Response(200, text="fine"), "does not say"),
}


@pytest.mark.parametrize(("response", "says"), SLOT_ANSWERS.values(), ids=list(SLOT_ANSWERS))
async def test_saving_a_slot(response: httpx.Response, says: object) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return response

    llama = client(answer)
    if isinstance(says, tuple):
        assert await llama.save_slot(3, "a.ctx", 5) == says
        assert (asked[0].method, asked[0].url.path, asked[0].url.query) == ("POST", "/slots/3", b"action=save")
        assert json.loads(asked[0].content) == {"filename": "a.ctx"}
    else:
        with pytest.raises(ServerError, match=str(says)):
            await llama.save_slot(3, "a.ctx", 5)


async def test_a_slot_that_is_never_saved_has_its_time() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(3600)
        return httpx.Response(200)

    with pytest.raises(ConnectionLost, match="does not restore slot 1 within 0 s"):
        await client(answer).restore_slot(1, "a.ctx", 0.01)  # type: ignore[arg-type]


async def test_what_the_slots_hold() -> None:
    token = {"n_decoded": 8, "n_remain": 2}
    at_work = {"id": 1, "is_processing": True, "id_task": 7, "n_prompt_tokens": 607, "next_token": [token]}
    said = [{"id": 0, "is_processing": False}, at_work]
    slots = await client(lambda _: httpx.Response(200, json=said)).slots()
    assert slots == (Slot(False, None, 0), Slot(True, 2, 1, 7, 607, 8))
