"""Finds and runs llama-bench."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from hettui.adapters.processes.local import scrubbed_environment
from hettui.domain.cluster.postmortem import last_words
from hettui.domain.errors import EngineError

_MAX_BYTES = 8 << 20


def find_llama_bench(server: Path) -> Path | None:
    """Beside llama-server, else on PATH; None when there is none."""
    beside = server.parent / "llama-bench"
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("llama-bench")
    return Path(found) if found else None


async def run_llama_bench(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """What it prints. Cancelling ends it. Raises EngineError with its last words when it fails."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=scrubbed_environment() | dict(environment),
            start_new_session=True,
            limit=_MAX_BYTES,
        )
    except OSError as error:
        raise EngineError(f"{argv[0]} cannot be started: {error.strerror or error}") from error
    try:
        out, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        said = last_words(complaints.decode(errors="replace"), process.returncode or 0)
        raise EngineError(f"llama-bench failed with {process.returncode}: {said or 'it said nothing'}")
    return out.decode("utf-8", errors="replace")
