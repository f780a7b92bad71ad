"""Asks an rpc server who it is, in llama.cpp's own protocol.

Three commands kept their numbers and layouts in every build from b10068 (4.0.3) to b11434 (7.0.0): HELLO,
DEVICE_COUNT, GET_DEVICE_MEMORY. A server serves one client at a time: while a master is attached the probe's
connection waits in the backlog. It then leaves with RST, because an orderly close would let the server answer
into a closed connection later and die of SIGPIPE.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from hettui.ports import RpcServerInfo

_HELLO, _GET_DEVICE_MEMORY, _DEVICE_COUNT = 14, 11, 15
_HELLO_CAPABILITIES = bytes(24)
_MAX_ANSWER_BYTES = 4096
"""The peer chooses the length; the largest of these three answers has 28 bytes."""
_MAX_DEVICES = 64


class Prober:
    """Implements RpcProber."""

    async def probe(self, host: str, port: int, timeout_s: float) -> RpcServerInfo:
        try:
            # Not wait_for(): Python 3.11's forgets a cancellation that arrives together with the result.
            async with asyncio.timeout(timeout_s):
                return await _probe(host, port)
        except TimeoutError:
            raise OSError(f"no answer from {host}:{port} within {timeout_s:.1f} s") from None


async def _probe(host: str, port: int) -> RpcServerInfo:
    reader, writer = await asyncio.open_connection(host, port)
    answered = False
    try:
        hello = await _call(reader, writer, _HELLO, _HELLO_CAPABILITIES)
        if len(hello) < 3:
            raise ConnectionError(f"{host}:{port} answered, but not as an rpc server")
        (count,) = struct.unpack("<I", await _call(reader, writer, _DEVICE_COUNT))
        if count > _MAX_DEVICES:
            raise ConnectionError(f"{host}:{port} claims {count} devices")
        memory = [
            struct.unpack("<QQ", await _call(reader, writer, _GET_DEVICE_MEMORY, struct.pack("<I", i)))
            for i in range(count)
        ]
        answered = True
        return RpcServerInfo((hello[0], hello[1], hello[2]), tuple((free, total) for free, total in memory))
    except (asyncio.IncompleteReadError, struct.error) as error:
        raise ConnectionError(f"{host}:{port} closed the connection in the middle of an answer") from error
    finally:
        if not answered:
            _reset_on_close(writer)
        writer.close()


async def _call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: int, body: bytes = b"") -> bytes:
    writer.write(struct.pack("<BQ", command, len(body)) + body)
    await writer.drain()
    (size,) = struct.unpack("<Q", await reader.readexactly(8))
    if size > _MAX_ANSWER_BYTES:
        raise ConnectionError(f"an answer of {size} bytes is no rpc server's")
    return await reader.readexactly(size)


def _reset_on_close(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
