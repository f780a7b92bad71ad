"""llama-server's HTTP API over a real socket, with a script instead of a model: speed, errors and sudden ends.

Shapes of events and errors are those of b10068 (facts that its own runs showed).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MODEL = {"n_vocab": 49152, "n_params": 134515008, "size": 96576768, "ftype": "Q4_1"}
WORDS = ["Some ", "**bold** ", "words ", "and ", "`code` ", "that ", "go ", "on.\n\n"]


@dataclass
class Script:
    """What the server does. May be changed while it runs."""

    tokens_per_second: float = 0.0
    """0: as fast as it can."""
    read_per_second: float = 0.0
    """Of prompts; 0: at once."""
    words: list[str] = field(default_factory=lambda: list(WORDS))
    answer_tokens: int = 40
    """Of a chat without a limit."""
    slots: int = 2
    context: int = 4096
    limit: int | None = None
    """More is never generated, whatever is asked."""
    forgets: bool = False
    """Nothing stays in the context from one request to the next."""
    status: int = 200
    error: dict[str, Any] = field(default_factory=dict)
    dies_after: int | None = None
    """Tokens after which the connection is cut, without [DONE] and without an error."""
    requests: list[dict[str, Any]] = field(default_factory=list)


class ScriptedServer:
    """Listens on a free port of loopback, on a thread and a loop of its own."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.sent_last_s: float | None = None
        """time.monotonic() when the last token was written."""
        self._busy = 0
        self._held: list[int] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted server", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._answer(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        length = next(
            (int(v) for k, _, v in (h.partition(":") for h in head.split("\r\n")) if k == "Content-Length"), 0
        )
        body = json.loads(await reader.readexactly(length)) if length else {}
        if path in ("/v1/chat/completions", "/completion"):
            self.script.requests.append(body)
            await self._stream(writer, body, chat=path.startswith("/v1"))
            return
        script = self.script
        slot = {"is_processing": self._busy > 0, "next_token": [{"n_remain": 7}]}
        answers: dict[str, Any] = {
            "/health": {"status": "ok"},
            "/props": {
                "total_slots": script.slots,
                "default_generation_settings": {"n_ctx": script.context},
                "model_path": "/models/smol.gguf",
                "model_ftype": "Q4_1",
                "build_info": "b10068-abc",
            },
            "/v1/models": {"data": [{"id": "smol", "meta": MODEL}]},
            "/slots": [slot] * script.slots,
        }
        status = 503 if script.status == 503 else 200
        await self._plain(writer, status if path == "/health" else 200, answers.get(path, {}))

    async def _plain(self, writer: asyncio.StreamWriter, status: int, data: object) -> None:
        body = json.dumps(data).encode()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()

    async def _stream(self, writer: asyncio.StreamWriter, body: dict[str, Any], *, chat: bool) -> None:
        script = self.script
        if script.status != 200:
            await self._plain(writer, script.status, {"error": script.error})
            return
        self._busy += 1
        try:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            await self._tokens(writer, body, chat=chat)
        finally:
            self._busy -= 1

    async def _tokens(self, writer: asyncio.StreamWriter, body: dict[str, Any], *, chat: bool) -> None:
        script = self.script
        prompt = body.get("prompt", [1] * 30)
        prompt = prompt if isinstance(prompt, list) else [1] * len(prompt.split())
        cached = 0
        if body.get("cache_prompt") and not script.forgets and prompt[: len(self._held)] == self._held:
            cached = len(self._held)
        count = body.get("n_predict") or body.get("max_tokens") or script.answer_tokens
        count = count if script.limit is None else min(count, script.limit)
        read = len(prompt) - cached
        began = time.monotonic()
        if script.read_per_second:
            await asyncio.sleep(read / script.read_per_second)
        prompt_s = max(1e-6, time.monotonic() - began)
        self._held = [] if script.forgets else list(prompt)
        first = time.monotonic()
        for n in range(count):
            if script.tokens_per_second:
                await asyncio.sleep(max(0.0, first + n / script.tokens_per_second - time.monotonic()))
            elif n % 50 == 0:
                await asyncio.sleep(0)
            if n == script.dies_after:
                return
            self._event(writer, {"content": script.words[n % len(script.words)]}, chat=chat)
            await writer.drain()
        self.sent_last_s = time.monotonic()
        took_s = max(1e-6, self.sent_last_s - first)
        timings = {
            "cache_n": cached, "prompt_n": read, "prompt_ms": prompt_s * 1000, "prompt_per_second": read / prompt_s,
            "predicted_n": count, "predicted_ms": took_s * 1000, "predicted_per_second": count / took_s,
        }  # fmt: skip
        self._event(writer, {"stop": True, "stop_type": "limit", "timings": timings}, chat=chat)
        if chat:
            writer.write(b"data: [DONE]\n\n")
        await writer.drain()

    @staticmethod
    def _event(writer: asyncio.StreamWriter, data: dict[str, Any], *, chat: bool) -> None:
        if chat:
            finish = "stop" if data.get("stop") else None
            delta = {"content": data["content"]} if "content" in data else {}
            data = {"choices": [{"delta": delta, "finish_reason": finish}]} | (
                {"timings": data["timings"]} if finish else {}
            )
        writer.write(b"data: " + json.dumps(data).encode() + b"\n\n")


@contextlib.contextmanager
def scripted(script: Script | None = None) -> Iterator[ScriptedServer]:
    with ScriptedServer(script) as server:
        yield server
