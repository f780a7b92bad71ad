"""What the front door costs: the same requests through it and past it, in turns, on the real engine.

    python -m tests.bench.door [--rounds 12] [--tokens 200] [--streams 1]

Prints the ratio of tokens a second (median of the rounds, and their spread), the time to the first byte that it adds,
and its CPU time for each token. Then the same with a scripted server that answers as fast as a client can read.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil

from hettui.adapters.door.control import DoorLine
from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from hettui.adapters.llama.binaries import find_engine
from hettui.adapters.processes.run_folder import RunFolder
from hettui.adapters.processes.tcp_ports import LocalPorts
from hettui.domain.cluster.launch import Cluster
from hettui.domain.devices.device import Device
from hettui.domain.door.words import DOOR_MODULE, DoorWords
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.plan.split import Split
from hettui.services.cluster.world import Request
from hettui.wiring.engine import build_engine

HOST = "127.0.0.1"
SPAN, PACED = 200_000, 3000
"""Events of the scripted server."""


def _ask(api: str, tokens: int) -> tuple[float, float]:
    """Seconds to the first byte of the stream, and tokens a second from there on."""
    body = {
        "prompt": "Once upon a time",
        "n_predict": tokens,
        "stream": True,
        "ignore_eos": True,
        "cache_prompt": False,
    }
    begun_s, first_s, events = time.perf_counter(), 0.0, 0
    with httpx.stream("POST", f"{api}/completion", json=body, timeout=600) as answer:
        for line in answer.iter_lines():
            if line.startswith("data:"):
                events += 1
                first_s = first_s or time.perf_counter()
    return first_s - begun_s, (events - 1) / (time.perf_counter() - first_s)


def _at_once(api: str, tokens: int, streams: int) -> tuple[float, float]:
    with ThreadPoolExecutor(streams) as pool:
        found = list(pool.map(lambda _: _ask(api, tokens), range(streams)))
    return statistics.median(first_s for first_s, _ in found), sum(rate for _, rate in found)


def _real(rounds: int, tokens: int, streams: int) -> None:
    programs = find_engine(None, {"PATH": "/nowhere"})
    model = demo_model(cache_dir(), lambda done, total: None)
    door = (sys.executable, "-P", "-m", DOOR_MODULE)
    serving = Serving(port=0, extra_args=("--threads", "1"), hold_requests=True)
    params = RuntimeParams(ctx_size=2048 * streams, parallel=streams)
    cluster = Cluster(str(model), params, serving, (Device("one", via="worker", threads=1),), programs, door=door)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        with build_engine(place / "logs", RunFolder(place / "run"), sensors=()) as engine:
            engine.start(Request(cluster, Split((31,), 31))).result()
            processes = {p.role: p for p in engine.snapshot.processes}
            through, past = engine.snapshot.api or "", f"http://{processes['master'].address}"
            cpu = psutil.Process(processes["door"].pid)
            for api in (through, past):
                _at_once(api, 20, streams)
            begun = sum(cpu.cpu_times()[:2])
            ratios, added = [], []
            for number in range(rounds):
                order = (through, past) if number % 2 else (past, through)
                found = {api: _at_once(api, tokens, streams) for api in order}
                ratios.append(found[through][1] / found[past][1])
                added.append(found[through][0] - found[past][0])
            used_s = sum(cpu.cpu_times()[:2]) - begun
    print(
        f"real engine, {streams} stream(s), {rounds} pairs of {tokens} tokens: through / past median "
        f"{statistics.median(ratios):.3f} (mean {statistics.mean(ratios):.3f} ± "
        f"{statistics.stdev(ratios) / rounds**0.5:.3f}); first byte {1000 * statistics.median(added):+.1f} ms; "
        f"door's CPU {1e6 * used_s / (rounds * tokens * streams):.0f} µs a token"
    )


@contextlib.asynccontextmanager
async def _flood(per_second: float | None = None) -> AsyncIterator[int]:
    """A server that sends events as fast as they are taken; or so many a second, one by one, as a model does."""
    event = b'data: {"content":"word","stop":false,"id_slot":0,"tokens":[1234]}\n\n'
    piece = b"%x\r\n%s\r\n" % (len(event), event)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /health"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            begun_s = time.perf_counter()
            for number in range(PACED if per_second else SPAN // 20):
                if per_second:
                    await asyncio.sleep(max(0.0, begun_s + number / per_second - time.perf_counter()))
                writer.write(piece if per_second else piece * 20)
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def _drain(port: int, events: int = SPAN) -> float:
    """Events a second of one answer."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=1 << 20)
    begun_s = time.perf_counter()
    writer.write(b"POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    last = b""
    while data := await reader.read(1 << 16):
        last = (last + data)[-5:]
    assert last == b"0\r\n\r\n"
    writer.close()
    return events / (time.perf_counter() - begun_s)


@contextlib.contextmanager
def _door() -> Iterator[tuple[int, str]]:
    told = DoorWords((HOST,), LocalPorts().free(HOST, 0, frozenset()), secrets.token_hex(8))
    process = subprocess.Popen([sys.executable, "-P", "-m", DOOR_MODULE, *told.words()], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield told.port, told.control
    process.terminate()
    process.wait()


async def _scripted() -> None:
    async with _flood() as port:
        with _door() as (through, control):
            line = DoorLine(control)
            await line.go(port)
            past_rate, through_rate = await _drain(port), await _drain(through)
            await line.close()
    for per_second in (200.0, 1000.0):
        ratios = []
        async with _flood(per_second) as port:
            with _door() as (through, control):
                line = DoorLine(control)
                await line.go(port)
                for _ in range(5):
                    past = await _drain(port, PACED)
                    ratios.append(await _drain(through, PACED) / past)
                await line.close()
        said = f"median {statistics.median(ratios):.4f}, worst {min(ratios):.4f}"
        print(f"scripted server of {per_second:.0f} events a second, {PACED} events, 5 pairs: through / past {said}")
    print(f"scripted server: {through_rate:,.0f} events a second through the door, {past_rate:,.0f} past it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--streams", type=int, default=1)
    options = parser.parse_args()
    asyncio.run(_scripted())
    _real(options.rounds, options.tokens, options.streams)


if __name__ == "__main__":
    main()
