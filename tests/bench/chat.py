"""The chat pane's price: against a bare HTTP client on the real demo cluster, and at 1,000 tokens a second.

    python -m tests.bench.chat cluster          interleaved with a bare httpx stream of the same request, ten times each
    python -m tests.bench.chat fast [SECONDS]   a scripted server at 1,000 tok/s: lag at the end, CPU share

The pane runs in Textual's headless terminal: everything is laid out and drawn, nothing is written.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
from textual.pilot import Pilot

from hettui.domain.chat.sse import SseParser
from hettui.domain.statistics import spread
from hettui.services.events import ChatEnded, Event
from hettui.ui.app import HettuiApp
from hettui.ui.panes.chat import ChatPane
from hettui.ui.terminal.collector import calm_collector
from hettui.ui.widgets.turn import Answer
from tests.scripted_server import Script, ScriptedServer
from tests.ui.stage import MemoryStore, Stage, StageBackend, build, session
from tests.ui.url_engine import UrlEngine

QUESTION = "Tell me a story about a river."
TOKENS = 100
RUNS = 10
SIZE = (120, 40)


async def asked(pilot: Pilot[Any], pane: ChatPane, ends: list[ChatEnded]) -> tuple[float, ChatEnded]:
    """Seconds from Enter to the figures on the screen, and the answer's end."""
    ends.clear()
    began = time.monotonic()
    await pilot.press("enter")
    while not ends or pane.busy:
        await asyncio.sleep(0.002)
    return time.monotonic() - began, ends[0]


async def bare(client: httpx.AsyncClient, body: dict[str, object]) -> tuple[float, float]:
    """Tokens a second of a client that does nothing else, and seconds for the whole request."""
    parser, arrivals = SseParser(), []
    began = time.monotonic()
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        async for chunk in response.aiter_bytes():
            for event in parser.feed(chunk):
                choices = json.loads(event.data)["choices"] if event.data != "[DONE]" else []
                if choices and choices[0]["delta"].get("content"):
                    arrivals.append(time.monotonic())
    return (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]), time.monotonic() - began


async def on_the_cluster(url: str) -> None:
    """The pane asks the cluster at `url` through the engine's own client and chat session."""
    from hettui.domain.chat.conversation import Sampling
    from hettui.ui.dialogs.chat_settings import ChatSettings

    with UrlEngine(url=url) as engine:
        backend = StageBackend(session(), engine, store=MemoryStore())
        app = build(backend)
        async with app.run_test(size=SIZE) as pilot, httpx.AsyncClient(base_url=url, timeout=600) as client:
            pane, ends = await opened(app, pilot, backend)
            sampling = Sampling(temperature=0.0, seed=1, max_tokens=TOKENS)
            messages = [{"role": "user", "content": QUESTION}]
            # Exactly what the pane sends.
            body = {"messages": messages, "stream": True, "return_progress": True, **sampling.options()}
            ours, theirs, walls = [], [], []
            print("run  pane tok/s  bare tok/s  ratio   pane whole  bare whole")
            for run in range(RUNS + 1):
                pane.action_new()
                pane._set(ChatSettings(False, "", sampling))
                pane.prompt.put(QUESTION)
                await pilot.pause()
                # In turns also within a pair: whoever comes second finds a warmer machine.
                first = await bare(client, body) if run % 2 else None
                whole_s, end = await asked(pilot, pane, ends)
                rate, bare_s = first or await bare(client, body)
                assert end.problem is None, end.problem
                assert end.clock is not None
                shown = end.clock.tokens_per_second or 0.0
                if run:  # the first warms up
                    ours.append(shown)
                    theirs.append(rate)
                    walls.append(whole_s / bare_s)
                    row = f"{run:3}  {shown:10.2f}  {rate:10.2f}  {shown / rate:5.3f}"
                    print(f"{row}  {whole_s * 1000:7.0f} ms  {bare_s * 1000:7.0f} ms")
            one, other = spread(ours), spread(theirs)
            assert one is not None
            assert other is not None
            print(f"pane {one.mean:.2f} ± {one.deviation:.2f}, bare {other.mean:.2f} ± {other.deviation:.2f}, ", end="")
            print(f"ratio of the means {one.mean / other.mean:.3f}, of whole requests {sum(walls) / len(walls):.3f}")
    backend.chats.close()


async def opened(app: HettuiApp, pilot: Pilot[Any], backend: StageBackend) -> tuple[ChatPane, list[ChatEnded]]:
    await app.workers.wait_for_complete()
    await pilot.pause()
    # As the program does.
    calm_collector()
    stage = Stage(app, pilot, backend)
    await stage.run_plan()
    await pilot.press("c")
    ends: list[ChatEnded] = []

    def heard(event: Event) -> None:
        if isinstance(event, ChatEnded):
            ends.append(event)

    backend.engine.subscribe(heard)
    return stage.screen.query_one(ChatPane), ends


def serve(pipe: Connection, tokens: int) -> None:
    """In a process of its own, so that its CPU time is not the pane's."""
    words = ["Some ", "**bold** ", "words ", "and ", "`code` ", "that ", "go ", "on ", "and ", "on.\n\n"] * 20
    code = ["```python\n", *["    x = f(1, 2)  # a comment\n"] * 60, "```\n\n"]
    script = Script(tokens_per_second=1000, answer_tokens=tokens, words=words + code)
    with ScriptedServer(script) as server:
        pipe.send(server.url)
        pipe.recv()
        pipe.send(server.sent_last_s)


async def fast(seconds: int) -> None:
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there, seconds * 1000))
    server.start()
    url = here.recv()
    with UrlEngine(url=url) as engine:
        backend = StageBackend(session(), engine, store=MemoryStore())
        app = build(backend)
        async with app.run_test(size=SIZE) as pilot:
            pane, ends = await opened(app, pilot, backend)
            pane.prompt.put("long?")
            cpu, began, worst = time.process_time(), time.monotonic(), 0.0
            await pilot.press("enter")
            while not ends or pane.busy:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                worst = max(worst, time.monotonic() - before - 0.01)
            drawn = time.monotonic()
            cpu, whole = time.process_time() - cpu, drawn - began
            here.send("end")
            sent = here.recv()
            end, answer = ends[0], pane.query(Answer).last()
            assert end.clock is not None
            print(f"{end.clock.pieces} tokens in {whole:.1f} s, {end.clock.tokens_per_second:.0f} tok/s by our clock")
            print(f"lag of the end on the screen after the last token was sent: {(drawn - sent) * 1000:.0f} ms")
            print(f"longest time in which no key could have been taken: {worst * 1000:.0f} ms")
            print(f"CPU share of one core, engine and screen together: {cpu / whole:.0%}")
            print(f"characters shown {len(answer.text)}, rows {answer.view._height}; problem: {end.problem}")
    backend.chats.close()
    server.join(10)


def main() -> None:
    if sys.argv[1:2] == ["fast"]:
        asyncio.run(fast(int(sys.argv[2]) if len(sys.argv) > 2 else 30))
        return
    from hettui.adapters.processes.run_folder import RunFolder
    from hettui.wiring.demo import demo_session
    from hettui.wiring.engine import build_engine
    from hettui.wiring.sessions import request_for

    demo = demo_session(lambda done, total: None)
    plan = demo.initial_plan
    assert plan is not None
    with tempfile.TemporaryDirectory() as folder, build_engine(Path(folder), RunFolder(Path(folder))) as cluster:
        cluster.start(request_for(demo, plan)).result()
        assert cluster.snapshot.api is not None
        asyncio.run(on_the_cluster(cluster.snapshot.api))


if __name__ == "__main__":
    main()
