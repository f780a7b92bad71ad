"""The running or planned cluster as files without hettui, and where they are written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hettui.adapters.files.atomic import make_private, replace_file
from hettui.domain.errors import DoesNotFit, HettuiError, UsageError
from hettui.domain.export import compose, shell, systemd
from hettui.domain.export.parts import Exported, Parts, parts_of
from hettui.domain.session.session import runnable
from hettui.wiring.headless import configured
from hettui.wiring.ownership import living_record, open_runs
from hettui.wiring.sessions import open_session, recorded_session

_FORMS = {"sh": shell.files, "systemd": systemd.files, "compose": compose.files}


def exported(form: str, config_path: str | None) -> tuple[list[Exported], Parts, bool]:
    """The files, what they are made of, and whether that runs now. Raises HettuiError as a start would."""
    key = os.environ.get("LLAMA_API_KEY")
    record = None if config_path else living_record(open_runs())
    if record is not None:
        ports = {p.spec.device: p.spec.address[1] for p in record.processes if p.spec.device}
        supervision = recorded_session(record).config.supervision
        parts = parts_of(record.cluster, record.split, supervision, key, ports)
        return _FORMS[form](parts), parts, True
    session = open_session(configured(config_path))
    plan = session.initial_plan
    if plan is None:
        raise UsageError("the configuration names no model: set [model] path")
    try:
        cluster = runnable(session, plan)
    except DoesNotFit as error:
        raise DoesNotFit(f"{error}, so nothing was exported") from None
    parts = parts_of(cluster, plan.split, session.config.supervision, key)
    return _FORMS[form](parts), parts, False


def write(folder: str, files: Sequence[Exported], *, force: bool) -> list[str]:
    """Whole or not at all, each with its mode. Raises UsageError for one that is there."""
    place = Path(os.path.abspath(Path(folder).expanduser()))  # noqa: PTH100 - links stay as they are
    there = [one.path for one in files if (place / one.path).exists()]
    if there and not force:
        raise UsageError(f"{place / there[0]} exists already: name another folder, or use --force")
    try:
        for one in files:
            target = place / one.path
            make_private(target.parent)
            replace_file(target, one.text.encode("utf-8"), one.mode)
    except OSError as error:
        raise HettuiError(f"{folder} cannot be written: {error.strerror}") from None
    return [str(place / one.path) for one in files]
