"""`hettui report`: this machine as a page that tells nothing private, and a plan for somebody else's."""

from __future__ import annotations

import contextlib
import getpass
import os
from dataclasses import replace
from pathlib import Path

from hettui import __version__
from hettui.adapters.files.config_toml import load
from hettui.adapters.files.paths import config_file, last_config
from hettui.adapters.files.rig_file import rig_document
from hettui.adapters.machine.facts import machine_facts
from hettui.domain.bench.kept import run_from_json
from hettui.domain.config.values import Config
from hettui.domain.doctor.checks import examined
from hettui.domain.errors import HettuiError
from hettui.domain.memory.workload import Workload
from hettui.domain.rig.page import page
from hettui.domain.rig.rig import Rig, bench_json, read_rig, rig_of
from hettui.domain.rig.veil import ReportVeil
from hettui.domain.session.plan_report import PlanReport
from hettui.domain.session.session import Session
from hettui.wiring.bench import bench_folder
from hettui.wiring.doctor import local_facts
from hettui.wiring.sessions import api_key, open_session

_MOST_RUNS = 2


def report(config_path: str | None, model: str | None) -> str:
    """The page. Blocks. Raises ConfigError, ModelFileError."""
    path = Path(config_path) if config_path else last_config() or config_file()
    config = load(path) if config_path or path.exists() else Config()
    config = replace(config, model_path=model) if model else config
    session = open_session(config)
    hide = veil_for(session)
    facts = local_facts(config_path, ask_hosts=False)
    findings = [(one.id, one.severity) for one in examined(facts) if one.matters]
    machine = {name: str(value) for name, value in machine_facts().items() if name in ("cpu", "cores", "system")}
    rig = rig_of(session, version=__version__, machine=machine, findings=findings, hide=hide)
    kept = [bench_json(run, hide) for run in bench_folder().runs(session.title or None)[-_MOST_RUNS:]]
    runs = [run for one in kept if (run := run_from_json(str(one["key"]), one)) is not None]
    return page(rig, _plan_lines(session, rig), runs, kept)


def veil_for(session: Session) -> ReportVeil:
    """Hides what is private about this machine, its user and the configured hosts."""
    names = [os.uname().nodename, os.uname().nodename.partition(".")[0]]
    with contextlib.suppress(OSError, KeyError):
        names.append(getpass.getuser())
    for host in session.config.hosts:
        places = [host.name, host.ssh or ""]
        places += (host.ssh or "").replace("ssh://", "").replace("@", " ").replace(":", " ").split()
        names += [part for place in places for part in (place, place.partition(".")[0])]
    keys = []
    with contextlib.suppress(HettuiError):
        keys.append(api_key(session.config) or "")
    keys += [os.environ.get(name, "") for name in ("HF_TOKEN", "LLAMA_API_KEY")]
    return ReportVeil(str(Path.home()), names, [key for key in keys if key])


def _plan_lines(session: Session, rig: Rig) -> list[str]:
    """The plan of the rig as it stands in the page: its devices have no private names."""
    if session.workload is None or session.shape is None:
        return []
    bare = replace(session, devices=rig.devices, learned=rig.learned, config=replace(session.config, hosts=()))
    plan = bare.initial_plan
    if plan is None:
        return []
    workload = Workload(session.shape, rig.params, rig.build, rig.extra_args)
    told = PlanReport(workload, plan, None, rig.learned, None, rig.ram_bytes, (), rig.extra_args, rig.file_bytes)
    return told.as_text().splitlines()


def rig_at(path: str) -> Rig:
    """Raises UsageError."""
    return read_rig(rig_document(path), path)
