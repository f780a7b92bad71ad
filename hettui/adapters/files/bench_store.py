"""Bench runs: one JSON file each below the state folder, mode 0600, never changed once written."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.json_file import read_json_file
from hettui.adapters.files.rig_file import rig_document
from hettui.domain.bench.kept import run_from_json, run_json
from hettui.domain.bench.run import BenchRun
from hettui.domain.errors import HettuiError, UsageError
from hettui.domain.text import clean_line

_MAX_BYTES = 16 << 20


class BenchFolder:
    """Runs by their keys, which begin with the time and so sort by it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, run: BenchRun) -> Path:
        """Raises HettuiError when it cannot be written."""
        path = self._folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', run.key)}.json"
        try:
            replace_file(path, json.dumps(run_json(run), indent=1).encode(), 0o600)
        except OSError as error:
            raise HettuiError(f"the run cannot be kept in {path}: {error.strerror}") from error
        return path

    def runs(self, model: str | None = None) -> list[BenchRun]:
        """Those that can be read, of one model or of all, the oldest first."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            run = run_from_json(path.stem, read_json_file(path, _MAX_BYTES))
            if run is not None and model in (None, run.setting.model):
                found.append(run)
        return found

    def find(self, name: str) -> BenchRun:
        """A run by its key, a beginning of it that only it has, `last`, `last-1`, a file, or the newest of a report.

        Raises UsageError.
        """
        path = Path(name)
        if path.suffix == ".json" and path.is_file():
            run = run_from_json(path.stem, read_json_file(path, _MAX_BYTES))
            if run is None:
                raise UsageError(f"{name} holds no run of hettui bench")
            return run
        if path.suffix == ".md" and path.is_file():
            return _of_report(name)
        runs = self.runs()
        if back := re.fullmatch(r"last(?:-(\d{1,4}))?", name):
            place = int(back[1] or 0) + 1
            if place > len(runs):
                raise UsageError(f"there are {len(runs)} runs: {name} is none of them; hettui bench --list shows them")
            return runs[-place]
        matching = [run for run in runs if run.key.startswith(name)]
        if len(matching) != 1:
            what = "no run begins" if not matching else f"{len(matching)} runs begin"
            raise UsageError(f"{what} with {name}: hettui bench --list shows them")
        return matching[0]


def _of_report(path: str) -> BenchRun:
    """The newest run in a page of `hettui report`."""
    told = rig_document(path).get("bench")
    for one in reversed(told if isinstance(told, list) else []):
        run = run_from_json(clean_line(str(one.get("key", "report")), 80), one) if isinstance(one, dict) else None
        if run is not None:
            return run
    raise UsageError(f"{path} holds no run of hettui bench")
