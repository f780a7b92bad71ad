"""`hettui doctor`: facts in, findings out; repairs only after a yes."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hettui.domain.doctor.finding import Finding


def run_doctor(options: Namespace) -> int:
    from hettui.domain.doctor.checks import examined
    from hettui.domain.doctor.finding import worst
    from hettui.domain.doctor.report import findings_json, findings_text
    from hettui.domain.errors import UsageError
    from hettui.domain.text import clean
    from hettui.wiring.doctor import host_facts, local_facts

    if options.fix and (options.json or options.host):
        raise UsageError("doctor --fix asks before it changes anything, and only here: leave --json and --host out")
    if options.host:
        facts = host_facts(options.config, options.host)
    else:
        facts = local_facts(options.config, ask_hosts=not options.local)
    findings = list(examined(facts))
    if options.json:
        print(json.dumps(findings_json(facts.host, findings), indent=1))
    else:
        print(clean(findings_text(facts.host, findings, everything=options.all)))
    if options.fix:
        _mend(findings)
    return 1 if worst(findings) == "fault" else 0


def _mend(findings: list[Finding]) -> None:
    """Asks for each."""
    from hettui.domain.errors import HettuiError
    from hettui.domain.text import clean_line
    from hettui.wiring.doctor import mend

    fixes = [one.fix for one in findings if one.fix is not None]
    if not fixes:
        print("\nThere is nothing that hettui would change by itself.")
    for fix in fixes:
        print(f"\n{clean_line(fix.words, 300)}? [y/N] ", end="", flush=True)
        if sys.stdin.readline(16).strip().lower() not in ("y", "yes"):
            print("left as it is")
            continue
        try:
            mend(fix)
            print("done")
        except HettuiError as error:
            print(f"hettui: {error}", file=sys.stderr)
