"""Finds and runs llama-bench."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from hettui.adapters.processes.local import scrubbed_environment
from hettui.adapters.processes.said import TooLong, TooMuch, await_words
from hettui.domain.cluster.postmortem import last_words
from hettui.domain.errors import EngineError

_MAX_BYTES = 8 << 20
_LONGEST_S = 24 * 3600.0


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
        said = await await_words(argv, scrubbed_environment() | dict(environment), _LONGEST_S, _MAX_BYTES)
    except OSError as error:
        raise EngineError(f"{argv[0]} cannot be started: {error.strerror or error}") from error
    except TooMuch:
        raise EngineError(f"{argv[0]} prints more than {_MAX_BYTES >> 20} MiB: is it really llama-bench?") from None
    except TooLong:
        raise EngineError(f"llama-bench did not end within {_LONGEST_S / 3600:.0f} hours: it was stopped") from None
    if said.returncode != 0:
        last = last_words(said.err.decode(errors="replace"), said.returncode)
        raise EngineError(f"llama-bench failed with {said.returncode}: {last or 'it said nothing'}")
    return said.out.decode("utf-8", errors="replace")
