"""`hettui tune`: options in, the trials and what came of them out, progress on stderr."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from hettui.cli.signals import interruptible
from hettui.domain.errors import UsageError
from hettui.domain.text import clean

if TYPE_CHECKING:
    from hettui.domain.tuning.report import TuneProgress

_MOST_STREAMS = 64


def run_tune(options: Namespace) -> int:
    from hettui.cli.bench import demo
    from hettui.domain.tuning.report import tune_json, tune_text
    from hettui.wiring.tuning import Wanted, tune

    streams, prompt = _aim(options.aim)
    if options.trials is not None and options.trials < 1:
        raise UsageError(f"--trials {options.trials}: it must be a whole number of at least 1")
    wanted = Wanted(streams, prompt, options.trials or Wanted().most_trials)
    options.url, options.parallel = None, str(streams)
    with interruptible():
        outcome = tune(options.config, demo(options), wanted, Progress())
    if options.json:
        print(json.dumps(tune_json(outcome), indent=1))
    else:
        print(clean(tune_text(outcome)))
    if outcome.problem:
        print(f"hettui: {clean(outcome.problem)}", file=sys.stderr)
    elif not options.demo:
        print("The best split runs on by itself: hettui down stops it.", file=sys.stderr)
    return 0 if outcome.problem is None and outcome.tuning.trials else 1


def _aim(text: str) -> tuple[int, bool]:
    """Streams, and whether prompts count."""
    if text in ("decode", "prompt"):
        return 1, text == "prompt"
    if not text.isdigit() or not 1 <= int(text) <= _MOST_STREAMS:
        raise UsageError(f"--for {text}: it must be decode, prompt, or a number of streams up to {_MOST_STREAMS}")
    return int(text), False


class Progress:
    """A line for each step, and one for each trial."""

    def __init__(self) -> None:
        self._said = 0

    def __call__(self, progress: TuneProgress) -> None:
        from hettui.domain.tuning.report import rows, split_words

        told = rows(progress.tuning)
        for number, split, expected, measured, stages in told[self._said :]:
            print(clean(f"{number}. {split}: expected {expected}, {measured} tok/s ({stages})"), file=sys.stderr)
        self._said = len(told)
        if progress.plan is not None:
            print(clean(f"   {progress.now}: {split_words(progress.plan)}"), file=sys.stderr, flush=True)
        elif progress.now != "measured":
            print(clean(f"   {progress.now}"), file=sys.stderr, flush=True)
