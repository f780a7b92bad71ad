"""The pane on a real stream: nothing is dropped, nothing lags, and the socket's errors arrive as sentences.

The full 30 seconds with figures are `python -m tests.bench.chat fast`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hettui.ui.widgets.prompt import Prompt
from hettui.ui.widgets.turn import Answer
from tests.scripted_server import Script, ScriptedServer, scripted
from tests.ui.stage import MemoryStore, Stage, StageBackend, build, session
from tests.ui.url_engine import UrlEngine

DEADLINE_S = 30.0


@asynccontextmanager
async def talking(script: Script) -> AsyncIterator[tuple[Stage, ScriptedServer]]:
    with scripted(script) as server, UrlEngine(url=server.url) as engine:
        backend = StageBackend(session(), engine, store=MemoryStore())
        app = build(backend)
        async with app.run_test(size=(120, 40)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            s = Stage(app, pilot, backend)
            await s.run_plan()
            await s.press("c")
            yield s, server
        backend.chats.close()


async def test_two_thousand_tokens_at_a_thousand_a_second_all_arrive() -> None:
    words = [f"w{n} " if n % 20 else f"w{n}\n\n" for n in range(2000)]
    async with talking(Script(tokens_per_second=1000, answer_tokens=2000, words=words)) as (s, _):
        await s.type("long?")
        await s.press("enter")
        await s.until(lambda: "answer 2000 tok" in s.text())
        assert s.screen.query_one(Answer).text.split() == [f"w{n}" for n in range(2000)]
        assert "w1999" in s.text()
        assert "by our clock" not in s.text()


async def test_a_server_that_dies_in_mid_answer() -> None:
    async with talking(Script(dies_after=5)) as (s, _):
        await s.type("hello")
        await s.press("enter")
        await s.until(lambda: "cut off: the server closed the connection" in s.text())
        assert "Some bold words" in s.text()


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (401, {"message": "Invalid API Key", "type": "authentication_error"}, "wants an API key"),
        (503, {"message": "Loading model", "type": "unavailable_error"}, "is not ready: Loading model"),
        (500, {"message": "boom", "type": "server_error"}, "failed with 500: boom"),
        (
            400,
            {"message": "x", "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096},
            "5000 tokens",
        ),
    ],
)
async def test_errors_leave_the_question_in_the_prompt(status: int, error: dict[str, object], says: str) -> None:
    async with talking(Script(status=status, error=error)) as (s, server):
        await s.type("hello")
        await s.press("enter")
        await s.until(lambda: says in s.text())
        assert s.screen.query_one(Prompt).text == "hello"
        server.script.status = 200
        await s.press("enter")
        await s.until(lambda: "answer 40 tok" in s.text())


async def test_streams_at_once() -> None:
    async with talking(Script(slots=3, tokens_per_second=200)) as (s, server):
        await s.press("f5")
        # At first they wait: the rows stand before anything was asked.
        await s.until(lambda: "3 at once:" in s.text() and not {"running", "waiting"} & set(s.text().split()))
        assert len(server.script.requests) == 3
        assert all(r["n_predict"] == 100 for r in server.script.requests)
