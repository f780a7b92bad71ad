"""A tuning as progress, as a table for people and as a JSON document."""

from __future__ import annotations

from collections.abc import Mapping

from hettui.domain.plan.plan import Plan
from hettui.domain.records import dataclass
from hettui.domain.tables import table
from hettui.domain.text import clean_line, shorten_middle
from hettui.domain.tuning.search import Reason, Trial, Tuning, launch_of, shape_of
from hettui.domain.units import UNKNOWN, figures

_SPLIT_CHARS = 44


@dataclass(frozen=True, slots=True)
class TuneProgress:
    """How far it is."""

    tuning: Tuning
    now: str
    """What is being done, in a few words."""
    plan: Plan | None = None
    """What is being launched or measured."""


@dataclass(frozen=True, slots=True)
class TuneOutcome:
    """What came of it."""

    tuning: Tuning
    reason: Reason
    words: str
    """Why it ended."""
    problem: str | None = None
    """What went wrong; None when nothing did."""
    runs: bool = True
    """The best split that is known runs."""


def split_words(plan: Plan) -> str:
    """`RTX 5080 22, RTX 3060 9`: in device order, idle ones left out."""
    return ", ".join(f"{shorten_middle(clean_line(name), 20)} {n}" for name, n in shape_of(plan))


def threads_words(plan: Plan, start: Plan) -> str:
    """` (CPU: 8 threads)`: what differs from the start beside the split."""
    before = {d.name: d.threads for d in start.devices}
    changed = [d for d, n in zip(plan.devices, plan.split.layers, strict=True) if n and d.threads != before.get(d.name)]
    said = ", ".join(f"{shorten_middle(clean_line(d.name), 20)}: {d.threads} threads" for d in changed)
    return f" ({said})" if said else ""


def verdict(outcome: TuneOutcome) -> str:
    """One sentence: what is best now, and against what."""
    tuning = outcome.tuning
    if not tuning.trials:
        return "Nothing was measured."
    best, start = tuning.best_rate, tuning.start_rate
    split = split_words(tuning.best.plan) + threads_words(tuning.best.plan, tuning.start)
    if launch_of(tuning.best.plan) != launch_of(tuning.trials[0].plan):
        return f"{figures(best)} tok/s instead of {figures(start)} ({best / start - 1:+.0%}): {split}."
    tie = " Others were as fast, within the noise: a tie." if tuning.tie else ""
    return f"The split it began with stays: {figures(start)} tok/s, {split}.{tie}"


def rows(tuning: Tuning) -> list[tuple[str, str, str, str, str]]:
    """Of every trial: its number, the split, what was expected and measured, and each device's part of a token."""
    return [
        (
            str(number),
            shorten_middle(split_words(trial.plan) + threads_words(trial.plan, tuning.start), _SPLIT_CHARS),
            UNKNOWN if trial.expected_per_second is None else figures(trial.expected_per_second),
            _measured(trial),
            _stages(trial),
        )
        for number, trial in enumerate(tuning.trials, 1)
    ]


def _measured(trial: Trial) -> str:
    mean = figures(trial.rate.mean)
    return mean if trial.rate.deviation is None else f"{mean} ± {figures(trial.rate.deviation, 2)}"


def _stages(trial: Trial) -> str:
    whole = sum(s for _, s in trial.stages_s)
    return " ".join(f"{s / whole:.0%}" for _, s in trial.stages_s) if whole else UNKNOWN


def tune_text(outcome: TuneOutcome) -> str:
    """The trials and what came of them."""
    head = ("trial", "split in device order", "expected", "tok/s", "part of a token")
    lines = table([head, *rows(outcome.tuning)]) if outcome.tuning.trials else []
    ended = f"Ended: {outcome.words}." if outcome.words else ""
    return "\n".join([*lines, "", verdict(outcome), *([ended] if ended else [])])


def tune_json(outcome: TuneOutcome) -> Mapping[str, object]:
    """`best` and `start` are places in `trials`, from 0; rates are tokens a second."""
    tuning = outcome.tuning
    shapes = [launch_of(t.plan) for t in tuning.trials]
    return {
        "objective": tuning.objective,
        "reason": outcome.reason,
        "problem": outcome.problem,
        "tie": tuning.tie if shapes else False,
        "start_tps": round(tuning.start_rate, 4) if shapes else None,
        "best_tps": round(tuning.best_rate, 4) if shapes else None,
        "best": shapes.index(launch_of(tuning.best.plan)) if shapes else None,
        "trials": [
            {
                "why": trial.why,
                "devices": [{"name": name, "layers": n, "threads": t} for name, n, t in launch_of(trial.plan)],
                "expected_tps": None if trial.expected_per_second is None else round(trial.expected_per_second, 4),
                "tps": round(trial.rate.mean, 4),
                "deviation": None if trial.rate.deviation is None else round(trial.rate.deviation, 4),
                "repeats": trial.rate.count,
                "stages": [{"device": name, "seconds_per_token": round(s, 7)} for name, s in trial.stages_s],
            }
            for trial in tuning.trials
        ],
    }
