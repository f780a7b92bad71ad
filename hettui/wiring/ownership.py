"""Who owns the cluster, and what an earlier hettui left of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hettui.adapters.files.paths import run_dirs, run_mark
from hettui.adapters.processes import proc
from hettui.adapters.processes.local import LocalRunner
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.cluster.run_state import RunState
from hettui.domain.errors import HettuiError


def open_runs() -> RunFolder:
    """The one cluster of this user on this machine, wherever another login recorded it."""
    first, *others = run_dirs()
    runs = RunFolder(first, copies=others, mark=run_mark())
    runs.look_around()
    return runs


@contextmanager
def own_run(what: str) -> Iterator[RunFolder]:
    """A record of its own: beside a running cluster this is nobody's business, and nothing of it outlives us."""
    place, *others = run_dirs()
    for folder in (place, *others):
        sweep(folder)
    runs = RunFolder(place, f"{what}-{os.getpid()}")
    while not runs.acquire():
        # Somebody is sweeping, and looks at ours just now.
        time.sleep(0.01)
    try:
        yield runs
    finally:
        runs.forget()


def owned_by(runs: RunFolder) -> str:
    """Why nothing may be changed here, for whoever came second."""
    pid = runs.owner()
    who = f"another hettui (pid {pid})" if pid else "another hettui"
    return f"{who} owns the cluster: this one only shows it. Quit that one, or change things there"


def acquire(runs: RunFolder) -> None:
    """For commands that change something. Raises HettuiError when somebody else owns the cluster."""
    if not runs.acquire():
        pid = runs.owner()
        raise HettuiError(f"another hettui (pid {pid or 'unknown'}) owns the cluster: quit that one first")


def living_record(runs: RunFolder) -> RunState | None:
    """The record, if anything of it may still live; a damaged one counts as none here, and is told on takeover."""
    try:
        record = runs.load()
    except HettuiError:
        return None
    return record if record is not None and any(living(record, runs).values()) else None


def living(record: RunState, runs: RunFolder) -> dict[str, bool]:
    """Which of the recorded processes live. Pids are believed within one boot, the cluster's mark always."""
    marked = {found.argv for found in runs.marked()}
    same_boot = record.boot_id == runs.boot_id
    return {
        entry.spec.name: entry.spec.argv in marked
        or (same_boot and entry.pid is not None and proc.start_time(entry.pid) == entry.started)
        for entry in record.processes
    }


def sweep(folder: Path) -> int:
    """Ends what demos without a screen left when they were killed: their clusters were meant to end with them.

    Returns how many processes that were.
    """
    ended = 0
    for path in folder.glob("demo-*.lock"):
        runs = RunFolder(folder, path.stem)
        if not runs.acquire():
            continue
        runner = LocalRunner(runs.mark)
        for found in runner.marked():
            child = runner.adopt(found.pid, found.started)
            if child is not None:
                child.kill()
                child.release()
                ended += 1
        runs.save(None)
        path.unlink(missing_ok=True)
        runs.release()
    return ended
