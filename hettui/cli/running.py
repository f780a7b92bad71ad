"""`hettui up`, `down`, `status` and `logs`: the cluster without the screen."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import TYPE_CHECKING

from hettui.cli.signals import interruptible
from hettui.domain.text import clean_line

if TYPE_CHECKING:
    from hettui.domain.config.values import Config


def run_up(options: Namespace) -> int:
    from hettui.cli.progress import StartProgress
    from hettui.domain.units import format_seconds
    from hettui.wiring import headless, looking
    from hettui.wiring.sessions import open_session

    progress = StartProgress(quiet=options.json)
    config = headless.configured(options.config)
    if options.push:
        _push(config, quiet=options.json)
    with interruptible():
        session = open_session(config)
        for warning in headless.warnings(session):
            progress.say(warning)
        snapshot, already = headless.up(session, force=options.force, listener=progress)
    if options.json:
        print(json.dumps(looking.status().as_json(), indent=1))
    else:
        print(f"{'It runs already' if already else 'The cluster is ready'}: {clean_line(snapshot.api or '')}")
        print(
            f"It runs on by itself; the last start took {format_seconds(progress.load_s)}."
            if progress.load_s
            else "It runs on by itself."
        )
    return 0


def _push(config: Config, *, quiet: bool) -> None:
    """Raises HostError for the first host that does not get it."""
    from hettui.cli.hosts import push
    from hettui.domain.errors import HostError
    from hettui.wiring.hosts import in_want, own_engine

    used = {device.host for device in config.devices}
    engine = own_engine(config.path)
    wanting = in_want([host for host in config.hosts if host.name in used], engine)
    for one in push(wanting, quiet=quiet, engine=engine) if wanting else ():
        if isinstance(one, HostError):
            raise one


def run_down(options: Namespace) -> int:
    from hettui.cli.progress import StartProgress
    from hettui.domain.errors import LaunchError
    from hettui.wiring import headless

    count, stuck = headless.down(StartProgress(quiet=options.json))
    if stuck:
        raise LaunchError(stuck)
    if options.json:
        print(json.dumps({"stopped": count}))
    else:
        print(f"Stopped {count} process{'' if count == 1 else 'es'}." if count else "Nothing ran.")
    return 0


def run_status(options: Namespace) -> int:
    from hettui.wiring import looking

    report = looking.status()
    print(json.dumps(report.as_json(), indent=1) if options.json else report.as_text())
    return 0 if report.ready else 1


def run_logs(options: Namespace) -> int:
    from hettui.cli.signals import Interrupted
    from hettui.wiring import looking

    lines = looking.log_lines(options.process, options.lines, follow=options.follow)
    if options.json and not options.follow:
        print(json.dumps({"lines": [{"process": name, "line": line} for name, line in lines]}, indent=1))
        return 0
    try:
        with interruptible():
            for name, line in lines:
                # Lines are clean already; names come from the configuration.
                said = json.dumps({"process": name, "line": line}) if options.json else f"{clean_line(name)} | {line}"
                print(said, flush=options.follow)
    except Interrupted as interrupted:
        # The ordinary end of following.
        return 0 if interrupted.name == "SIGINT" else 128 + interrupted.number
    return 0
