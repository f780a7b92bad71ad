"""`hettui chat`: one answer, streamed to stdout."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from hettui.cli.bench import demo, starts_for
from hettui.cli.signals import interruptible
from hettui.domain.errors import UsageError

_MOST_CHARS = 16 << 20


def run_chat(options: Namespace) -> int:
    """One answer from a cluster, streamed to stdout; its figures come last, on stderr or in the document."""
    from hettui.wiring import bench
    from hettui.wiring.one_chat import ask

    text = _from_stdin() if options.text == "-" else options.text
    if not text.strip():
        raise UsageError('there is nothing to ask: hettui chat "TEXT", or - to read it from stdin')
    sampling = {"temperature": options.temperature, "max_tokens": options.max_tokens, "seed": options.seed}
    settings = {name: value for name, value in sampling.items() if value is not None}
    may_start = starts_for(options, "this answer")
    with interruptible(), bench.target(options.url, options.config, demo(options), options.model, may_start) as where:
        show = None if options.json else _show
        answer = ask(where, text, raw=options.raw, system=options.system, options=settings, show=show)
    if options.json:
        print(json.dumps(answer.as_json(), indent=1))
    else:
        print()
        print("\n".join(answer.lines), file=sys.stderr)
    if answer.problem:
        print(f"hettui: {answer.problem}", file=sys.stderr)
    return 1 if answer.problem else 0


def _from_stdin() -> str:
    text = sys.stdin.read(_MOST_CHARS + 1)
    if len(text) > _MOST_CHARS:
        raise UsageError(f"stdin holds more than {_MOST_CHARS >> 20} million letters: that is no question")
    return text


def _show(text: str) -> None:
    print(text, end="", flush=True)
