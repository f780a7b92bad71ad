"""Ends workers on other hosts whose holders are gone."""

from __future__ import annotations

import os

from hettui.adapters.processes.local import MARK
from hettui.adapters.processes.said import TooLong, TooMuch, await_words
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.hosts.worker import HOLDER_MODULE
from hettui.domain.text import clean_line

_SECONDS = 30.0
_MOST_BYTES = 64 * 1024


class FarEnds:
    """Implements FarWorkers: the command that held the worker, asked only to end it."""

    def __init__(self, mark: str) -> None:
        self._mark = mark

    async def end(self, spec: ProcessSpec) -> str | None:
        if HOLDER_MODULE not in spec.argv:
            # Recorded by a hettui that held its workers otherwise.
            return None
        place = spec.argv.index(HOLDER_MODULE) + 1
        argv = (*spec.argv[:place], "--end", *spec.argv[place:])
        name, host = clean_line(spec.name, 80), clean_line(spec.host, 60)
        try:
            said = await await_words(argv, os.environ | {MARK: self._mark}, _SECONDS, _MOST_BYTES)
        except (OSError, TooMuch, TooLong) as error:
            return f"{name} may run on, on {host}: {type(error).__name__.lower()} while it was asked to end"
        if said.returncode == 0:
            return None
        lines = said.out.decode("utf-8", "replace").strip().splitlines()
        return f"{name}: {clean_line(lines[-1], 300).partition(': ')[2]}" if lines else f"{name} may run on, on {host}"
