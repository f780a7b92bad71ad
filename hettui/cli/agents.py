"""`hettui agents`: what coding agents need to use the running cluster. No file is touched unless one is named."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from hettui.domain.errors import UsageError


def run_agents(options: Namespace) -> int:
    from dataclasses import asdict

    from hettui.cli.signals import interruptible
    from hettui.domain.chat.agents import agents, as_text, key_line, remark
    from hettui.domain.text import clean
    from hettui.wiring import agents as wiring

    if options.output and not options.name:
        raise UsageError("-o writes the lines of one agent: name it, such as hettui agents codex -o config.toml")
    with interruptible():
        found, key = wiring.endpoint(options.url)
        tried = () if options.no_try else wiring.tried(found, key)
    shown = tuple(one for one in agents(found) if options.name in (None, one.name))
    if options.output:
        wiring.write(options.output, clean(f"{shown[0].text}\n"), force=options.force)
        print(f"wrote {options.output}; the key: {key_line(found)}", file=sys.stderr)
    elif options.json:
        document = asdict(found) | {
            "key": key_line(found),
            "remark": remark(found) or None,
            "agents": [asdict(one) for one in shown],
            "tried": [asdict(one) | {"answers": not one.problem} for one in tried],
        }
        print(json.dumps(document, indent=1))
    else:
        print(clean(as_text(found, shown, tried)))
    return 1 if any(one.problem for one in tried if one.api in {a.api for a in shown}) else 0
