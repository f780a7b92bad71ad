"""What the llama.cpp of this machine is, against which those of other machines are held."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import threading
from pathlib import Path

from hettui.adapters.files.cksum import cksum_of
from hettui.adapters.llama.rpc_probe import Prober
from hettui.adapters.processes.local import scrubbed_environment
from hettui.domain.llama.build import EngineInfo
from hettui.domain.llama.protocol import Version

_GUARD = '"$0" "$@" & p=$!; read -r word; kill "$p"; wait "$p"'
"""The rpc server ends with the pipe to us, whatever ends us."""
_ASK_S = 10.0
_TRY_S = 1.0
_PAUSE_S = 0.03
_END_S = 5.0


class OwnBuildAdapter:
    """Implements OwnBuild. What was found is kept for as long as the programs stay the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._protocols: dict[tuple[str, int], Version | None] = {}

    async def protocol(self, engine: EngineInfo) -> Version | None:
        return await asyncio.to_thread(self._protocol, engine)

    async def sum(self, engine: EngineInfo) -> str | None:
        return await asyncio.to_thread(build_sum, engine.rpc_server)

    def _protocol(self, engine: EngineInfo) -> Version | None:
        if engine.rpc_server is None:
            return None
        try:
            key = str(engine.rpc_server), engine.rpc_server.stat().st_mtime_ns
        except OSError:
            return None
        with self._lock:
            if key not in self._protocols:
                self._protocols[key] = asked(engine)
            return self._protocols[key]


def build_sum(program: Path | None) -> str | None:
    """Of the rpc server and the library that has its protocol; the same as `build_sum` of `hosts/far/common.sh`."""
    if program is None:
        return None
    try:
        real = program.resolve()
        beside = (real.parent / "libggml-rpc.so", real.parent.parent / "lib" / "libggml-rpc.so")
        return cksum_of(real, *[path for path in beside if path.is_file()][:1])
    except OSError:
        return None


def asked(engine: EngineInfo) -> Version | None:
    """Starts the rpc server for a moment. None where it does not answer."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    environment = scrubbed_environment() | dict(engine.env)
    words = [str(engine.rpc_server), "-H", "127.0.0.1", "-p", str(port), "-d", "CPU"]
    try:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, *words], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=environment, start_new_session=True, cwd=os.sep,
        )  # fmt: skip
    except OSError:
        return None
    try:
        return asyncio.run(_hello(port))
    finally:
        assert guard.stdin is not None  # noqa: S101 - a pipe was asked for
        guard.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            guard.wait(_END_S)


async def _hello(port: int) -> Version | None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ASK_S):
            while True:
                with contextlib.suppress(OSError):
                    return (await Prober().probe("127.0.0.1", port, _TRY_S)).version
                await asyncio.sleep(_PAUSE_S)
    return None
