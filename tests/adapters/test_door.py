"""The front door on scripted masters: what passes, what waits, and what becomes of whoever goes away."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from hettui.adapters.door import client as client_module
from hettui.adapters.door.client import ClientLink
from hettui.adapters.door.control import ControlServer, DoorLine
from hettui.adapters.door.gate import Gate
from hettui.domain.door.words import DoorState
from hettui.domain.errors import DoorError
from tests.patience import patience

HOST = "127.0.0.1"
Script = Callable[["Served"], Awaitable[None]]


@dataclass
class Served:
    """One request as a scripted master sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes
    body: bytes

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()


@dataclass
class Master:
    """A server that does what its script says to each request, /health apart."""

    script: Script
    healthy: bool = True
    seen: list[Served] = field(default_factory=list)
    server: asyncio.Server | None = None
    port: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._serve, HOST, port, limit=1 << 26)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            size = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
            served = Served(reader, writer, head, await reader.readexactly(size))
            if head.startswith(b"GET /health"):
                status = b"200 OK" if self.healthy else b"503 Service Unavailable"
                await served.say(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
            else:
                self.seen.append(served)
                await self.script(served)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def die(self) -> None:
        """As a killed process: its port is closed, its connections break off."""
        assert self.server is not None
        self.server.close()
        for served in self.seen:
            # One whose client has gone has broken off already, and cannot a second time.
            if not served.writer.is_closing():
                served.writer.transport.abort()
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)


class Rig:
    """A door in this process, its line, and what it said."""

    def __init__(self, hold_s: float = 60, limit: int = 100) -> None:
        self.lines: list[str] = []
        self.gate = Gate(hold_s, limit, "", self.lines.append)
        self.kept_bytes = 0
        self.links: set[ClientLink] = set()
        self.name = secrets.token_hex(8)
        self.control = ControlServer(self.gate)
        self.line = DoorLine(self.name)
        self.port = 0

    def admit(self, link: ClientLink) -> bool:
        self.links.add(link)
        return True

    def forget(self, link: ClientLink) -> None:
        self.links.discard(link)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self.port)

    async def ask(self, raw: bytes) -> bytes:
        """All that comes until the connection ends."""
        reader, writer = await self.connect()
        writer.write(raw)
        data = await asyncio.wait_for(reader.read(), patience(20))
        writer.close()
        return data


@asynccontextmanager
async def door(hold_s: float = 60, limit: int = 100) -> AsyncIterator[Rig]:
    rig = Rig(hold_s, limit)
    server = await asyncio.get_running_loop().create_server(lambda: ClientLink(rig), HOST, 0)
    rig.port = server.sockets[0].getsockname()[1]
    control = await rig.control.listen(rig.name)
    try:
        yield rig
    finally:
        rig.gate.end()
        for link in list(rig.links):
            await link.end()
        await rig.line.close()
        server.close()
        control.close()
        await until(lambda: not rig.links and not rig.control.lines)


@asynccontextmanager
async def master(script: Script, rig: Rig | None = None) -> AsyncIterator[Master]:
    made = Master(script)
    await made.start()
    if rig is not None:
        await rig.line.go(made.port)
    try:
        yield made
    finally:
        await made.die()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(patience(20)):
        while not condition():
            await asyncio.sleep(0.002)


def post(body: bytes = b"{}", *, headers: bytes = b"", target: bytes = b"/v1/chat/completions") -> bytes:
    size = str(len(body)).encode()
    return b"POST " + target + b" HTTP/1.1\r\nHost: x\r\n" + headers + b"Content-Length: " + size + b"\r\n\r\n" + body


CLOSE = b"Connection: close\r\n"
STREAM = json.dumps({"stream": True}).encode()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def whole(body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def answering(*pieces: bytes) -> Script:
    async def script(served: Served) -> None:
        await served.say(*pieces)

    return script


ANSWERS = {
    "with a length": (whole(b'{"content":"a"}'),),
    "in chunks": (STREAM_HEAD, b"6;ext=1\r\ndata: \r\n", b"2\r\n\n\n\r\n", b"0\r\nTrailer: x\r\n\r\n"),
    "cut at odd places": (
        b"HTTP/1.1 200 O",
        b"K\r\nTransfer-En",
        b"coding: chunked\r\n\r\n5\r\nhel",
        b"lo\r\n0",
        b"\r\n\r\n",
    ),
    "until it closes": (b"HTTP/1.0 200 OK\r\n\r\n", b"some ", b"text"),
    "an error": (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nWWW-Authenticate: x\r\n\r\nno",),
    "without a body": (b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n",),
    "with a hint first": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", whole(b"then")),
    "odd spelling": (b"HTTP/1.1 200 fine\r\ncontent-LENGTH:  3\r\nx-Odd:\t\xe4 \r\n\r\nabc",),
}


@pytest.mark.parametrize("pieces", ANSWERS.values(), ids=ANSWERS)
async def test_an_answer_passes_byte_for_byte(pieces: tuple[bytes, ...]) -> None:
    async with door() as rig, master(answering(*pieces), rig):
        assert await rig.ask(post(headers=CLOSE)) == b"".join(pieces)


async def test_a_request_passes_byte_for_byte_with_its_key() -> None:
    raw = post(
        b'{"prompt": "\xc3\xa4"}', headers=b"Authorization: Bearer  se cret\r\nX-odd:\t1\r\nconnection: close\r\n"
    )
    async with door() as rig, master(answering(whole(b"ok")), rig) as server:
        await rig.ask(raw)
        assert server.seen[0].head + server.seen[0].body == raw


async def test_a_question_whether_the_body_may_come_is_answered_once() -> None:
    raw = post(b"x" * 10, headers=CLOSE + b"Expect: 100-continue\r\n")
    head, body = raw[:-10], raw[-10:]
    async with door() as rig, master(answering(whole(b"ok")), rig) as server:
        reader, writer = await rig.connect()
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert await reader.read() == whole(b"ok")
        assert b"expect" not in server.seen[0].head.lower()
        assert server.seen[0].body == body
        writer.close()


async def test_one_connection_carries_many_requests() -> None:
    async with door() as rig, master(answering(whole(b"ok")), rig) as server:
        reader, writer = await rig.connect()
        for _ in range(3):
            writer.write(post())
            assert await reader.readexactly(len(whole(b"ok"))) == whole(b"ok")
        # Sent without waiting for answers, one of them in two pieces.
        last = post(headers=CLOSE)
        writer.write(post() + last[:20])
        writer.write(last[20:])
        assert await reader.read() == whole(b"ok") * 2
        assert len(server.seen) == 5
        writer.close()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000, b"400"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\n", b"400"),
    ],
)
async def test_what_is_no_request_is_refused(raw: bytes, status: bytes) -> None:
    async with door() as rig, master(answering(whole(b"ok")), rig) as server:
        said = await rig.ask(raw)
        assert said.split(b" ")[1] == status
        assert b'"error"' in said
        assert not server.seen


async def test_a_request_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hettui.adapters.door.request.MOST_BYTES", 1000)
    async with door() as rig, master(answering(whole(b"ok")), rig):
        assert (await rig.ask(post(b"x" * 2000))).split(b" ")[1] == b"413"
        assert rig.kept_bytes == 0


async def test_requests_wait_until_the_master_is_ready() -> None:
    async with door() as rig:
        asked = [asyncio.create_task(rig.ask(post(headers=CLOSE))) for _ in range(3)]
        await until(lambda: rig.gate.state.waiting == 3)
        async with master(answering(whole(b"ok"))) as server:
            assert await rig.line.go(server.port) == DoorState(0, 3)
            assert await asyncio.gather(*asked) == [whole(b"ok")] * 3
            assert rig.kept_bytes == 0


async def test_a_stream_that_waits_is_kept_alive_with_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PING_S", 0.01)
    async with door() as rig:
        reader, writer = await rig.connect()
        writer.write(post(STREAM, headers=CLOSE + b"Origin: http://page\r\n"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        assert b"Access-Control-Allow-Origin: http://page\r\n" in head
        assert (await chunk_of(reader)).startswith(b": ")
        events = (STREAM_HEAD, b"8\r\ndata: 1\n\r\n", b"1\r\n\n\r\n", b"0\r\n\r\n")
        async with master(answering(*events), rig):
            rest = b""
            while piece := await chunk_of(reader):
                rest += b"" if piece.startswith(b":") else piece
            assert rest == b"data: 1\n\n"
            assert await reader.read() == b""
        writer.close()


async def chunk_of(reader: asyncio.StreamReader) -> bytes:
    size = int(await asyncio.wait_for(reader.readline(), patience(20)), 16)
    data = await reader.readexactly(size)
    assert await reader.readexactly(2) == b"\r\n"
    return data


@pytest.mark.parametrize(
    ("target", "begins"), [(b"/v1/chat/completions", b"data: "), (b"/v1/messages", b"event: error\n")]
)
async def test_an_error_behind_comments_is_an_event(
    monkeypatch: pytest.MonkeyPatch, target: bytes, begins: bytes
) -> None:
    monkeypatch.setattr(client_module, "PING_S", 0.01)
    body = b'{"error": {"code": 401,\n "message": "Invalid API Key"}}'
    async with door() as rig:
        reader, writer = await rig.connect()
        writer.write(post(STREAM, target=target))
        await reader.readuntil(b"\r\n\r\n")
        async with master(answering(b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n" % len(body), body), rig):
            said = b""
            while piece := await chunk_of(reader):
                said += b"" if piece.startswith(b":") else piece
        assert said.startswith(begins)
        assert said.endswith(b"\n\n")
        data = next(line for line in said.split(b"\n") if line.startswith(b"data: "))
        assert json.loads(data[6:])["error"]["message"] == "Invalid API Key"
        writer.close()


async def test_what_does_not_stream_gets_nothing_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PING_S", 0.005)
    async with door() as rig:
        asked = asyncio.create_task(rig.ask(post(headers=CLOSE)))
        old = asyncio.create_task(rig.ask(post(STREAM).replace(b"HTTP/1.1", b"HTTP/1.0")))
        await until(lambda: rig.gate.state.waiting == 2)
        await asyncio.sleep(0.05)
        async with master(answering(whole(b"ok")), rig):
            assert await asked == await old == whole(b"ok")


async def test_the_wait_is_bounded_in_time_and_number() -> None:
    async with door(hold_s=0.3, limit=1) as rig:
        waits = asyncio.create_task(rig.ask(post(headers=CLOSE)))
        await until(lambda: rig.gate.full)
        refused = await rig.ask(post(headers=CLOSE))
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"too many requests wait" in refused
        assert b"Retry-After:" in refused
        assert b"within 0 s" in await waits


async def test_whoever_looks_is_told_at_once() -> None:
    async with door() as rig:
        for path in (b"/health", b"/v1/health", b"/slots", b"/metrics?x=1"):
            said = await rig.ask(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert said.startswith(b"HTTP/1.1 503 ")
            assert b"Loading model" in said


async def test_a_master_that_is_lost_before_it_answers_is_asked_again() -> None:
    async def never(served: Served) -> None:
        await served.reader.read()

    async with door() as rig:
        async with master(never, rig) as first:
            asked = asyncio.create_task(rig.ask(post(b'{"a": 1}', headers=CLOSE)))
            await until(lambda: len(first.seen) == 1)
        await until(lambda: rig.gate.state == DoorState(0, 1))
        async with master(answering(whole(b"ok")), rig) as second:
            assert await asked == whole(b"ok")
            assert second.seen[0].body == b'{"a": 1}'


async def test_a_request_that_two_masters_do_not_survive_is_not_sent_to_a_third() -> None:
    async def dies(served: Served) -> None:
        served.writer.transport.abort()

    async with door() as rig, master(dies, rig) as server:
        said = await rig.ask(post(headers=CLOSE))
        assert said.startswith(b"HTTP/1.1 502 ")
        assert len(server.seen) == 2


async def test_an_order_is_not_given_twice() -> None:
    async def dies(served: Served) -> None:
        served.writer.transport.abort()

    async with door() as rig, master(dies, rig) as server:
        said = await rig.ask(post(headers=CLOSE, target=b"/slots/0?action=erase"))
        assert said.startswith(b"HTTP/1.1 502 ")
        assert len(server.seen) == 1


async def test_an_answer_that_breaks_off_breaks_off() -> None:
    async def half(served: Served) -> None:
        await served.say(STREAM_HEAD, b"5\r\nhello\r\n")
        served.writer.transport.abort()

    async with door() as rig, master(half, rig) as server:
        said = await rig.ask(post(STREAM))
        assert said == STREAM_HEAD + b"5\r\nhello\r\n"
        assert len(server.seen) == 1


async def test_a_client_that_goes_away_ends_its_request() -> None:
    ended = asyncio.Event()

    async def slow(served: Served) -> None:
        await served.say(STREAM_HEAD, b"1\r\na\r\n")
        assert await served.reader.read() == b""
        ended.set()

    async with door() as rig, master(slow, rig):
        for abruptly in (False, True):
            ended.clear()
            reader, writer = await rig.connect()
            writer.write(post(STREAM))
            await reader.readuntil(b"a\r\n")
            (writer.transport.abort if abruptly else writer.close)()
            await asyncio.wait_for(ended.wait(), patience(20))
        await until(lambda: rig.gate.state == DoorState(0, 0))


@pytest.mark.parametrize("body", [b"{}", STREAM])
async def test_a_client_that_goes_away_while_it_waits_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(client_module, "PING_S", 0.02)
    async with door() as rig:
        _, writer = await rig.connect()
        writer.write(post(body))
        await until(lambda: len(rig.links) == 1)
        writer.close()
        await until(lambda: rig.gate.state.waiting == 0 and not rig.links)
        assert rig.kept_bytes == 0


async def test_one_that_only_closed_its_half_gets_its_answer_behind_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PING_S", 0.02)
    async with door() as rig:
        reader, writer = await rig.connect()
        writer.write(post())
        writer.write_eof()
        hint = b"HTTP/1.1 102 Processing\r\n\r\n"
        assert await reader.readexactly(2 * len(hint)) == 2 * hint
        async with master(answering(whole(b"ok")), rig):
            assert (await reader.read()).replace(hint, b"") == whole(b"ok")
        writer.close()


@pytest.mark.parametrize("waits", [False, True])
async def test_a_client_that_closes_its_half_gets_its_answer(waits: bool) -> None:
    async def after_the_end(served: Served) -> None:
        assert await served.reader.read() == b"", "the master sees what the client did"
        await served.say(STREAM_HEAD, b"1\r\na\r\n", b"0\r\n\r\n")

    async with door() as rig, master(after_the_end, None if waits else rig) as server:
        reader, writer = await rig.connect()
        writer.write(post(STREAM))
        writer.write_eof()
        if waits:
            await until(lambda: rig.gate.state.waiting == 1)
            await rig.line.go(server.port)
        assert await asyncio.wait_for(reader.read(), patience(20)) == STREAM_HEAD + b"1\r\na\r\n0\r\n\r\n"
        writer.close()


async def test_a_client_that_does_not_read_stops_the_master() -> None:
    sent = 0

    async def flood(served: Served) -> None:
        nonlocal sent
        await served.say(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(500):
            await served.say(b"x" * 100_000)
            sent += 100_000

    async with door() as rig, master(flood, rig):
        reader, writer = await rig.connect()
        writer.write(post())
        await reader.readuntil(b"\r\n\r\n")
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 40_000_000
        got = 0
        while got < 50_000_000:
            got += len(await reader.read(1 << 20))
        assert got == 50_000_000
        writer.close()


async def test_requests_are_held_for_as_long_as_somebody_asks_for_it() -> None:
    async with door() as rig, master(answering(whole(b"ok")), rig):
        assert await rig.line.hold() == DoorState(0, 0)
        asked = asyncio.create_task(rig.ask(post(headers=CLOSE)))
        await until(lambda: rig.gate.state.waiting == 1)
        # Whoever held them is killed: the master is there, and they go on by themselves.
        await rig.line.close()
        assert await asked == whole(b"ok")


async def test_a_master_of_which_nobody_tells_is_found_by_its_health() -> None:
    async with door() as rig, master(answering(whole(b"ok"))) as server:
        server.healthy = False
        await rig.line.aim(server.port)
        asked = asyncio.create_task(rig.ask(post(headers=CLOSE)))
        await until(lambda: rig.gate.state.waiting == 1)
        server.healthy = True
        assert await asked == whole(b"ok")


async def test_when_the_door_closes_whoever_waits_is_told() -> None:
    async with door() as rig:
        asked = asyncio.create_task(rig.ask(post(headers=CLOSE)))
        await until(lambda: rig.gate.state.waiting == 1)
        rig.gate.end()
        assert b"the cluster was stopped" in await asked


async def test_nonsense_on_the_line_changes_nothing() -> None:
    async with door() as rig:
        for said in (b"\n", b"[]\n", b'{"do": "go"}\n', b'{"do": "go", "port": "x"}\n', b"x" * 9000 + b"\n"):
            reader, writer = await asyncio.open_unix_connection(f"\0hettui-door-{rig.name}")
            writer.write(said)
            assert await reader.read() == b""
            writer.close()
        assert await rig.line.look() == DoorState(0, 0)
    with pytest.raises(DoorError, match="does not answer"):
        await rig.line.look()
