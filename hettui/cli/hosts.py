"""`hettui hosts`: other machines, listed, probed, given llama.cpp, cleaned."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hettui.domain.devices.device import Host
    from hettui.domain.errors import HostError
    from hettui.domain.hosts.facts import HostFacts
    from hettui.domain.hosts.push import Pushed
    from hettui.domain.hosts.report import Cleaned
    from hettui.domain.llama.build import EngineInfo


def run_hosts(options: Namespace) -> int:
    from hettui.domain.errors import HostError, UsageError
    from hettui.domain.hosts import report
    from hettui.wiring import hosts

    known = hosts.known(options.config, options.host)
    if options.what == "list":
        print(json.dumps(report.list_json(known), indent=1) if options.json else report.list_text(known))
        return 0
    if not known:
        raise UsageError("no host is configured: add [[hosts]], or name one with --host me@attic")
    if options.what == "connect":
        refused = [host for host in known if not hosts.connected(host)]
        return 1 if refused else 0
    found: list[HostFacts | HostError] | list[Cleaned | HostError] | list[Pushed | HostError]
    if options.what == "push":
        found = push(known, quiet=options.json, engine=hosts.own_engine(options.config))
    else:
        found = hosts.cleaned(known) if options.what == "clean" else hosts.probed(known)
    failed = [error for error in found if isinstance(error, HostError)]
    if options.json:
        print(json.dumps(report.found_json(known, found), indent=1))
    else:
        done = [one for one in found if not isinstance(one, HostError)]
        print("\n\n".join(report.found_text(done)) if done else "", end="\n" if done else "")
        for error in failed:
            print(f"hettui: {error}", file=sys.stderr)
    return 1 if failed else 0


def push(known: Sequence[Host], *, quiet: bool, engine: EngineInfo) -> list[Pushed | HostError]:
    """This machine's rpc server to each, with progress on stderr. Raises EngineError."""
    from hettui.cli.progress import PushProgress
    from hettui.cli.signals import Interrupted, interruptible
    from hettui.wiring import hosts

    progress = PushProgress(quiet=quiet)
    try:
        with interruptible():
            return hosts.pushed(known, engine, progress)
    except Interrupted:
        progress.end("what was sent is kept there: the same command goes on from where it stood")
        raise
