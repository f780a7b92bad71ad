"""What to launch next, by what the launches so far have shown, and when to stop.

Every launch is measured and teaches each device's time, so the planner's next answer is a better one. Launched is what
the planner calls best now; first, where devices have never been measured, a split in which each of them holds a little.
It ends when the planner's best was measured already, when nothing is expected to be better by more than the noise, or
when the launches are used up. The start is launched once more where drift might be what made the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal

from hettui.domain.devices.device import Device
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.objectives import best_plan
from hettui.domain.speed.pace import at_best, expected
from hettui.domain.statistics import Spread

NOISE = 0.02
"""Of a token's time: what is expected to be better by less is not worth a launch."""
CLOSE = 0.10
"""A gain over the start of less than this may be drift: the start is measured once more."""
_SURE = 4.0
"""Errors of the difference from which on nobody asks again."""
MOST_TRIALS = 6
_BOLD_STEPS = 3000
_BOLD = 2.0
"""Standard deviations by which what is known may be off, for a launch that finds out."""
Reason = Literal["", "found", "noise", "trials", "stopped", "failed"]

Shape = tuple[tuple[str, int], ...]
"""Devices in order, each with its layers; idle ones left out: what decides the speed."""


def shape_of(plan: Plan) -> Shape:
    return tuple((d.name, n) for d, n in zip(plan.devices, plan.split.layers, strict=True) if n)


@dataclass(frozen=True, slots=True)
class Trial:
    """A split as it was launched and measured."""

    plan: Plan
    rate: Spread
    """Tokens a second."""
    expected_per_second: float | None = None
    """Before it was launched; None: nothing was known."""
    why: str = ""
    """What it was launched for, in a few words."""
    stages_s: tuple[tuple[str, float], ...] = ()
    """Afterwards: by device, its part of a token's time."""


@dataclass(frozen=True, slots=True)
class Next:
    """A split to be launched, and why; or None, and why no more."""

    plan: Plan | None
    why: str
    reason: Reason = ""


Knows = Callable[[Sequence[Device]], tuple[Device, ...]]
"""The devices with what is known of them now."""


@dataclass(frozen=True)
class Tuning:
    """The question. Every trial gives a new one."""

    workload: Workload
    start: Plan
    """What is to be improved; its devices, budgets and locks."""
    objective: Objective = "latency"
    most_trials: int = MOST_TRIALS
    trials: tuple[Trial, ...] = ()

    def with_trial(self, trial: Trial) -> Tuning:
        return replace(self, trials=(*self.trials, trial))

    # -- what comes next -----------------------------------------------------------------------------------

    def next(self, knows: Knows) -> Next:
        """What to launch now."""
        if not self.trials:
            return Next(self.start, "the plan as it is")
        if len(self.trials) >= self.most_trials:
            return Next(None, f"{self.most_trials} launches are used up", "trials")
        if (every := self._with_every_device(knows)) is not None:
            return Next(every, "a little on every device, to know them all")
        found = self._better(knows)
        if found is not None:
            return Next(found, "the best by what is known now")
        if (bold := self._bold(knows)) is not None:
            return Next(bold, "may be the best, by how unsure what is known is")
        if self._start_is_in_doubt:
            return Next(self.start, "the start once more: was it the split, or the machine?")
        return Next(None, "no other split is expected to be better by more than the noise", "noise")

    def _better(self, knows: Knows) -> Plan | None:
        """The planner's best, if it was not launched yet and promises something."""
        best = best_plan(self.workload, knows(self.start.devices), self.objective)
        if best.found is None:
            return None
        plan = self._as_given(best.plan)
        if shape_of(plan) in {shape_of(t.plan) for t in self.trials}:
            return None
        promised = self._promises(best.plan, knows)
        return plan if promised is None or promised >= self.best_rate * (1 + NOISE) else None

    def _bold(self, knows: Knows) -> Plan | None:
        """The split that may be fastest after all, were one device, or each, as fast as it can still be; None where
        none may be better by more than the noise. A launch is kept for the start, where that is in doubt."""
        if self.objective != "latency" or len(self.trials) + self._start_is_in_doubt >= self.most_trials:
            return None
        known, launched = knows(self.start.devices), {shape_of(t.plan) for t in self.trials}
        fast = [at_best(d, _BOLD) for d in known]
        guesses = [tuple(fast), *((*known[:i], fast[i], *known[i + 1 :]) for i in range(len(known)))]
        found: dict[Shape, tuple[float, Plan]] = {}
        for devices in guesses:
            best = best_plan(self.workload, devices, self.objective, max_steps=_BOLD_STEPS)
            plan = self._as_given(best.plan)
            if best.found is not None and shape_of(plan) not in launched:
                found[shape_of(plan)] = (self._at_best(plan, knows), plan)
        promised, plan = max(found.values(), key=lambda one: one[0], default=(0.0, self.start))
        return plan if promised >= self.best_rate * (1 + NOISE) else None

    def _at_best(self, plan: Plan, knows: Knows) -> float:
        """Tokens a second, were the plan as much faster than expected as is likely at most."""
        promised = self._promises(plan, knows) or 0.0
        found = expected(self.workload.shape, knows(plan.devices), plan.split.layers)
        if found is None:
            return 0.0
        least_s = max(found.token_s - _BOLD * found.doubt_s, found.token_s / 3)
        return promised * found.token_s / least_s

    def _promises(self, plan: Plan, knows: Knows) -> float | None:
        """Tokens a second that are expected of a plan, as far as the best of those that were launched keeps what is
        expected of it: whoever promises too much for what was measured does so for its neighbours."""
        found = expected(self.workload.shape, knows(plan.devices), plan.split.layers)
        if found is None or self.objective != "latency":
            return None
        known = self.best.plan
        own = expected(self.workload.shape, knows(known.devices), known.split.layers)
        return found.per_second * (self.best_rate / own.per_second if own is not None else 1.0)

    def _with_every_device(self, knows: Knows) -> Plan | None:
        """A split that also uses the devices of which nothing was ever measured; None where there is none, or no room
        for it. Each is taken from who holds most."""
        if len(self.trials) > 1:
            return None
        devices, layers = self.start.devices, list(self.start.split.layers)
        unknown = [
            i
            for i, d in enumerate(knows(devices))
            if not d.locked and not layers[i] and (d.speed is None or not d.speed.windows) and not d.missing
        ]
        little = max(2, self.workload.shape.layers // (2 * max(1, len(devices))))
        for i in unknown:
            giver = max((j for j, d in enumerate(devices) if not d.locked), key=lambda j: layers[j])
            moved = min(little, layers[giver] - 1)
            while moved > 0:
                tried = [n + moved * (j == i) - moved * (j == giver) for j, n in enumerate(layers)]
                if self._fits(tried):
                    layers = tried
                    break
                moved //= 2
        changed = replace(self.start, split=Split(tuple(layers), self.start.split.total_layers))
        return changed if layers != list(self.start.split.layers) else None

    def _fits(self, layers: Sequence[int]) -> bool:
        split = Split(tuple(layers), self.start.split.total_layers)
        workload = self.workload.having(self.start.settings(self.workload.params))
        return forecast(workload, split, self.start.devices).fits

    def _as_given(self, plan: Plan) -> Plan:
        """With the start's own devices: what was measured of them is not part of a plan."""
        own = {d.name: d for d in self.start.devices}
        return replace(plan, devices=tuple(own[d.name] for d in plan.devices), ctx_size=self.start.ctx_size)

    # -- what was found ------------------------------------------------------------------------------------

    @property
    def best(self) -> Trial:
        """Of every split all its launches count; a split that is not clearly better than the start is not taken."""
        means = self._means()
        first = shape_of(self.trials[0].plan)
        best = max(means, key=lambda shape: means[shape])
        if best != first and self._ties(best, first):
            best = first
        return next(t for t in self.trials if shape_of(t.plan) == best)

    @property
    def best_rate(self) -> float:
        return self._means()[shape_of(self.best.plan)]

    @property
    def start_rate(self) -> float:
        return self._means()[shape_of(self.trials[0].plan)]

    @property
    def tie(self) -> bool:
        """Something was measured as fast as the start, and not clearly faster: the start stays."""
        means, first = self._means(), shape_of(self.trials[0].plan)
        near = [s for s in means if s != first and means[s] >= means[first] * (1 - NOISE)]
        return shape_of(self.best.plan) == first and any(self._ties(s, first) for s in near)

    def _means(self) -> dict[Shape, float]:
        found: dict[Shape, list[float]] = {}
        for trial in self.trials:
            found.setdefault(shape_of(trial.plan), []).append(trial.rate.mean)
        return {shape: sum(rates) / len(rates) for shape, rates in found.items()}

    def _ties(self, a: Shape, b: Shape) -> bool:
        """Within the noise, or within twice the error of the difference."""
        means = self._means()
        error = sqrt(self._error(a) ** 2 + self._error(b) ** 2)
        return means[a] - means[b] <= max(NOISE * means[b], 2 * error)

    def _error(self, shape: Shape) -> float:
        """Of a split's mean rate, by the repeats of its launches."""
        rates = [t.rate for t in self.trials if shape_of(t.plan) == shape]
        squares = sum((r.deviation or 0.0) ** 2 / max(r.count, 1) for r in rates)
        return sqrt(squares) / len(rates)

    @property
    def _start_is_in_doubt(self) -> bool:
        first = shape_of(self.trials[0].plan)
        launches = sum(shape_of(t.plan) == first for t in self.trials)
        best, means = shape_of(self.best.plan), self._means()
        gain, error = means[best] - means[first], sqrt(self._error(best) ** 2 + self._error(first) ** 2)
        return launches == 1 and best != first and gain < max(CLOSE * means[first], _SURE * error)
