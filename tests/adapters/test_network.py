"""Sockets on loopback: RPC probes, ports, the kernel's counters."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from hettui.adapters.llama.rpc_probe import Prober
from hettui.adapters.processes.tcp_info import sent_bytes
from hettui.adapters.processes.tcp_ports import LocalPorts, is_here
from hettui.domain.errors import LaunchError
from tests.patience import patience

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
VERSION = bytes([7, 0, 0, 0]) + bytes(24)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    async def safe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(safe, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def rpc(*memory: tuple[int, int], hello: bytes = VERSION, count: int | None = None) -> Handler:
    """A worker that speaks the three commands as b11434 does."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            command, size = struct.unpack("<BQ", await reader.readexactly(9))
            body = await reader.readexactly(size)
            match command:
                case 14:
                    answer = hello
                case 15:
                    answer = struct.pack("<I", len(memory) if count is None else count)
                case 11:
                    answer = struct.pack("<QQ", *memory[struct.unpack("<I", body)[0]])
            writer.write(struct.pack("<Q", len(answer)) + answer)

    return handle


async def test_a_worker_tells_version_and_memory() -> None:
    async with serving(rpc((10, 20), (30, 40))) as port:
        info = await Prober().probe("127.0.0.1", port, 5)
    assert info.version == (7, 0, 0)
    assert info.devices == ((10, 20), (30, 40))


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(9)


async def boast(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(struct.pack("<Q", 1 << 60))
    await reader.readexactly(100)


async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await reader.readexactly(100)


@pytest.mark.parametrize("handler", [refuse, boast, chat, rpc(hello=b"\1"), rpc(count=1 << 20)])
async def test_what_is_no_worker_is_an_os_error(handler: Handler) -> None:
    async with serving(handler) as port:
        with pytest.raises(OSError, match=r"\d"):
            await Prober().probe("127.0.0.1", port, 5)


async def test_a_busy_worker_is_left_with_a_reset() -> None:
    left: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(1000)
        except (ConnectionResetError, asyncio.IncompleteReadError) as error:
            left.set_result(error)

    async with serving(busy) as port:
        with pytest.raises(OSError, match="no answer"):
            await Prober().probe("127.0.0.1", port, 0.05)
        assert isinstance(await asyncio.wait_for(left, patience(5)), ConnectionResetError)


async def test_nobody_there_is_an_os_error_at_once() -> None:
    with pytest.raises(OSError, match="refused|Connect"):
        await Prober().probe("127.0.0.1", LocalPorts().free("127.0.0.1", 0, frozenset()), 5)


def test_ports_are_judged_by_binding() -> None:
    ports = LocalPorts()
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert not ports.is_free("127.0.0.1", taken)
        assert ports.free("127.0.0.1", taken, frozenset()) > taken
    assert ports.is_free("127.0.0.1", taken)
    assert not ports.is_free("203.0.113.1", taken)
    with pytest.raises(LaunchError, match="is it an address"):
        ports.free("203.0.113.1", 0, frozenset())


def test_why_a_port_cannot_be_opened() -> None:
    ports = LocalPorts()
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert ports.obstacle("127.0.0.1", taken) == "in use"
    assert ports.obstacle("127.0.0.1", taken) is None
    assert ports.obstacle("203.0.113.1", taken) == "not here"
    assert ports.obstacle("nobody.invalid", taken) == "not here"
    assert ports.obstacle("127.0.0.1", 0) is None
    assert is_here("localhost")
    assert not is_here("203.0.113.1")


def test_a_port_of_roots_alone_is_told_from_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refused)
    assert LocalPorts().obstacle("127.0.0.1", 80) == "not allowed"


def test_the_kernel_counts_what_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            peer, _ = server.accept()
            received = threading.Thread(target=lambda: [peer.recv(65536) for _ in range(100)], daemon=True)
            received.start()
            client.sendall(b"x" * 100_000)
            client.shutdown(socket.SHUT_WR)
            received.join(5)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            counted = sent_bytes([port])
            peer.close()
    assert counted is not None
    # Established connections only: the half-closed one above is no longer counted.
    assert set(counted) == {port}
