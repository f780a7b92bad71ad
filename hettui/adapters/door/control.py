"""The line over which the cluster's owner tells the door what the master does; `DoorLine` is its end there.

A UNIX socket without a file: no folder that a logout takes away ends it. The kernel says who speaks; anybody but this
user is not heard. One JSON object a line each way. Who asked that requests wait asks so for as long as his line stands:
with a hettui that is killed its wish ends too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Mapping

from hettui.adapters.door.gate import Gate
from hettui.domain.door.words import DoorState
from hettui.domain.errors import DoorError
from hettui.domain.json_text import parse_json

_LINE_BYTES = 4096
_ANSWER_S = 3.0
_CREDENTIALS = struct.Struct("3i")


def _address(name: str) -> str:
    return f"\0hettui-door-{name}"


class ControlServer:
    """The door's end."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.lines = 0
        """How many are open now."""

    async def listen(self, name: str) -> asyncio.Server:
        return await asyncio.start_unix_server(self._serve, _address(name), limit=_LINE_BYTES)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        holder = object()
        self.lines += 1
        try:
            if not _is_ours(writer.get_extra_info("socket")):
                return
            while line := await reader.readline():
                self._obey(holder, line)
                state = self._gate.state
                writer.write(json.dumps({"running": state.running, "waiting": state.waiting}).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError, asyncio.CancelledError):
            # A line that breaks off, is too long, or says nothing that we know.
            pass
        finally:
            self.lines -= 1
            self._gate.let_go(holder)
            writer.close()

    def _obey(self, holder: object, line: bytes) -> None:
        """Raises ValueError for what is no order."""
        order = parse_json(line)
        order = order if isinstance(order, Mapping) else {}
        port = order.get("port")
        match order.get("do"):
            case "look":
                pass
            case "hold":
                self._gate.hold(holder)
            case "aim" if isinstance(port, int):
                self._gate.aim(port)
            case "go" if isinstance(port, int):
                self._gate.go(holder, port)
            case _:
                raise ValueError("that is no order")


def _is_ours(connection: socket.socket) -> bool:
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(said)[1] in (os.getuid(), 0)


class DoorLine:
    """Implements ports.DoorLine: the owner's end."""

    def __init__(self, control: str) -> None:
        self._control = control
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def look(self) -> DoorState:
        return await self._tell({"do": "look"})

    async def hold(self) -> DoorState:
        return await self._tell({"do": "hold"})

    async def aim(self, port: int) -> DoorState:
        return await self._tell({"do": "aim", "port": port})

    async def go(self, port: int) -> DoorState:
        return await self._tell({"do": "go", "port": port})

    async def close(self) -> None:
        ends, self._ends = self._ends, None
        if ends is not None:
            ends[1].close()
            with contextlib.suppress(OSError):
                await ends[1].wait_closed()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ends = await asyncio.open_unix_connection(_address(self._control), limit=_LINE_BYTES)
        if not _is_ours(ends[1].get_extra_info("socket")):
            ends[1].close()
            raise OSError("somebody else stands there")
        return ends

    async def _tell(self, order: Mapping[str, object]) -> DoorState:
        try:
            async with asyncio.timeout(_ANSWER_S):
                if self._ends is None:
                    self._ends = await self._connected()
                reader, writer = self._ends
                writer.write(json.dumps(order).encode() + b"\n")
                await writer.drain()
                said = parse_json(await reader.readline())
                return DoorState(int(said["running"]), int(said["waiting"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            await self.close()
            raise DoorError(f"hettui's front door does not answer: {error or 'in time'}") from None
