"""What runs, looked at: `hettui status` and `hettui logs`. They change nothing, and are asked again and again by
scripts: what a start needs is not imported."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hettui.adapters.files.paths import log_dir
from hettui.adapters.processes.log_files import LogFolder
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.cluster.run_report import RunReport
from hettui.domain.errors import HettuiError, UsageError
from hettui.ports import LogTail
from hettui.wiring.ownership import living, open_runs

_FOLLOW_S = 0.2


def status() -> RunReport:
    """What the record says, checked against the real processes. Raises HettuiError when the record is damaged, and
    nothing runs that it could be about."""
    runs = open_runs()
    try:
        record = runs.load()
    except HettuiError:
        if not runs.marked():
            raise
        record = None
    alive = living(record, runs) if record else {}
    if record is not None and record.boot_id != runs.boot_id and not any(alive.values()):
        record = None
    recorded = {entry.spec.argv for entry in record.processes} if record else set()
    unrecorded = tuple((found.pid, found.argv) for found in runs.marked() if found.argv not in recorded)
    dead = [entry for entry in record.processes if not alive[entry.spec.name]] if record else []
    if record is None or not dead:
        return RunReport(record, alive, runs.owner(), unrecorded)
    from hettui.services.cluster.takeover import story

    return RunReport(record, alive, runs.owner(), unrecorded, story(dead, record, LogFolder(log_dir())))


def log_lines(process: str | None, count: int, *, follow: bool) -> Iterator[tuple[str, str]]:
    """Names and lines of the running cluster's logs, else of the last one's: the last `count` of each process, then,
    with `follow`, what comes."""
    runs = open_runs()
    logs = LogFolder(log_dir())
    names = _names(runs, process)
    tails: dict[str, LogTail] = {}
    for name in names:
        size = logs.size(name)
        tails[name] = logs.tail(name, size)
        lines, _ = logs.tail(name, max(0, size - 256 * 1024)).read()
        yield from ((name, line) for line in lines[-count:] if count)
    while follow:
        time.sleep(_FOLLOW_S)
        for name in _names(runs, process, known=names):
            if name not in tails:
                tails[name] = logs.tail(name, 0)
            lines, _ = tails[name].read()
            yield from ((name, line) for line in lines)


def _names(runs: RunFolder, process: str | None, known: list[str] | None = None) -> list[str]:
    try:
        record = runs.load()
    except HettuiError:
        record = None
    names = [p.spec.name for p in record.processes] if record else []
    names = list(dict.fromkeys([*(known or []), *names]))
    if process is not None:
        names = [name for name in names if process in (name, name.removeprefix("worker "))]
        if not names and known is None:
            raise UsageError(f"no process {process} runs: hettui status names them")
    if not names and known is None:
        raise HettuiError(f"nothing runs; the logs of earlier runs are in {log_dir()}")
    return names
