"""What to launch next, by what the launches so far have shown, and when to stop.

Every launch is measured and teaches each device's time, so the planner's next answer is a better one. Launched is what
the planner calls best now; first, where devices have never been measured, a split in which each of them holds a little.
It ends when the planner's best was measured already, when nothing is expected to be better by more than the noise, or
when the launches are used up. The start is launched once more where drift might be what made the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import sqrt
from typing import Literal

from hettui.domain.devices.device import Device
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.objectives import best_plan
from hettui.domain.records import dataclass
from hettui.domain.speed.pace import at_best, expected
from hettui.domain.statistics import Spread
from hettui.domain.tuning.aims import multiples, taking
from hettui.domain.tuning.threads import Cpus, other_count

NOISE = 0.02
"""Of a token's time: what is expected to be better by less is not worth a launch."""
CLOSE = 0.10
"""A gain over the start of less than this may be drift: the start is measured once more."""
_SURE = 4.0
"""Errors of the difference from which on nobody asks again."""
MOST_TRIALS = 6
_FOR_MANY = "the planner's best for many streams"
_BOLD_STEPS = 3000
_BOLD = 2.0
"""Standard deviations by which what is known may be off, for a launch that finds out."""
Reason = Literal["", "found", "noise", "trials", "stopped", "failed"]

Shape = tuple[tuple[str, int], ...]
"""Devices in order, each with its layers; idle ones left out."""
Launch = tuple[tuple[str, int, int | None], ...]
"""The same with the threads of each: what decides the speed."""


def shape_of(plan: Plan) -> Shape:
    return tuple((d.name, n) for d, n in zip(plan.devices, plan.split.layers, strict=True) if n)


def launch_of(plan: Plan) -> Launch:
    return tuple((d.name, n, d.threads) for d, n in zip(plan.devices, plan.split.layers, strict=True) if n)


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
    measures: str = ""
    """What is measured, as it is kept (`Learned.rates`); empty: one stream, which the devices' speeds tell."""
    cpus: Cpus | None = None
    """This machine's, whose workers' threads are part of the search; None: they are left as they are."""

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
        if (found := self._better(knows)) is not None:
            return Next(found, "the best by what is known now")
        if (found := self._for_many(knows)) is not None:
            return Next(found, _FOR_MANY)
        if (bold := self._bold(knows) or self._bold_for_many(knows)) is not None:
            return Next(bold, "may be the best, by how unsure what is known is")
        if (threads := self._other_threads(knows)) is not None:
            return threads
        if self._start_is_in_doubt:
            return Next(self.start, "the start once more: was it the split, or the machine?")
        return Next(None, "no other split is expected to be better by more than the noise", "noise")

    def _better(self, knows: Knows) -> Plan | None:
        """The planner's best by what is known, if it was not launched yet and promises something."""
        taking_s = self._as_it_takes(knows)
        if taking_s is None:
            return None
        best = best_plan(self.workload, taking_s(self._devices), "latency")
        if best.found is None:
            return None
        plan = self._as_given(best.plan)
        if launch_of(plan) in self._launched:
            return None
        promised = self.promised(plan, knows)
        return plan if promised is None or promised >= self.best_rate * (1 + NOISE) else None

    def _for_many(self, knows: Knows) -> Plan | None:
        """What the planner proposes for many streams, once: it says more of what the devices take than one more split
        like those before."""
        if self.objective == "latency" or any(t.why == _FOR_MANY for t in self.trials):
            return None
        best = best_plan(self.workload, knows(self._devices), self.objective)
        plan = self._as_given(best.plan)
        return plan if best.found is not None and launch_of(plan) not in self._launched else None

    @property
    def _launched(self) -> set[Launch]:
        return {launch_of(t.plan) for t in self.trials}

    def _as_it_takes(self, knows: Knows, fast: frozenset[str] = frozenset()) -> Knows | None:
        """The devices with what is known, so that a token's time is what shall be short: of one stream as it is; of
        prompts and of several streams each takes a multiple of that, by the launches so far. `fast`: names of those
        that are taken for as fast as they may be after all. None: nothing is known."""
        if self.objective == "latency":
            return knows
        shape, sums = self.workload.shape, []
        for trial in self.trials:
            found = expected(shape, knows(trial.plan.devices), trial.plan.split.layers)
            if found is None or trial.rate.mean <= 0:
                continue
            parts = {trial.plan.devices[i].name: seconds for i, seconds in found.stages_s.items()}
            sums.append((parts, 1 / trial.rate.mean))
        by_name = multiples(sums)
        if not by_name:
            return None
        usual = sorted(by_name.values())[len(by_name) // 2]
        multiple = {d.name: by_name.get(d.name, usual)[d.name in fast] for d in self.start.devices}
        return lambda devices: tuple(taking(d, multiple[d.name]) for d in knows(devices))

    def _bold_for_many(self, knows: Knows) -> Plan | None:
        """As `_bold`, where multiples of a token's time are what is not sure."""
        usual, names = self._as_it_takes(knows), [d.name for d in self.start.devices]
        if self.objective == "latency" or usual is None or self._kept_for_the_start:
            return None
        found: dict[Launch, tuple[float, Plan]] = {}
        own = expected(self.workload.shape, usual(self.best.plan.devices), self.best.plan.split.layers)
        for guess in (frozenset(names), *(frozenset({name}) for name in names)):
            takes = self._as_it_takes(knows, guess)
            best = best_plan(self.workload, (takes or knows)(self._devices), "latency", max_steps=_BOLD_STEPS)
            plan = self._as_given(best.plan)
            if best.value and own is not None and launch_of(plan) not in self._launched:
                found[launch_of(plan)] = (self.best_rate * own.token_s / best.value, plan)
        promised, plan = max(found.values(), key=lambda one: one[0], default=(0.0, self.start))
        return plan if promised >= self.best_rate * (1 + NOISE) else None

    @property
    def _kept_for_the_start(self) -> bool:
        """A launch is left for the start, where that is in doubt, and no other."""
        return len(self.trials) + self._start_is_in_doubt >= self.most_trials

    def _bold(self, knows: Knows) -> Plan | None:
        """The split that may be fastest after all, were one device, or each, as fast as it can still be; None where
        none may be better by more than the noise."""
        if self.objective != "latency" or self._kept_for_the_start:
            return None
        known, launched = knows(self._devices), self._launched
        fast = [at_best(d, _BOLD) for d in known]
        guesses = [tuple(fast), *((*known[:i], fast[i], *known[i + 1 :]) for i in range(len(known)))]
        found: dict[Launch, tuple[float, Plan]] = {}
        for devices in guesses:
            best = best_plan(self.workload, devices, self.objective, max_steps=_BOLD_STEPS)
            plan = self._as_given(best.plan)
            if best.found is not None and launch_of(plan) not in launched:
                found[launch_of(plan)] = (self._at_best(plan, knows), plan)
        promised, plan = max(found.values(), key=lambda one: one[0], default=(0.0, self.start))
        return plan if promised >= self.best_rate * (1 + NOISE) else None

    def _at_best(self, plan: Plan, knows: Knows) -> float:
        """Tokens a second, were the plan as much faster than expected as is likely at most."""
        promised = self.promised(plan, knows) or 0.0
        found = expected(self.workload.shape, knows(plan.devices), plan.split.layers)
        if found is None:
            return 0.0
        least_s = max(found.token_s - _BOLD * found.doubt_s, found.token_s / 3)
        return promised * found.token_s / least_s

    def promised(self, plan: Plan, knows: Knows) -> float | None:
        """Tokens a second that are expected of a plan, as far as the best of those that were launched keeps what is
        expected of it: whoever promises too much for what was measured does so for its neighbours. None: not known."""
        takes = self._as_it_takes(knows)
        found = expected(self.workload.shape, takes(plan.devices), plan.split.layers) if takes is not None else None
        if found is None or takes is None or not self.trials:
            return found.per_second if found is not None else None
        known = self.best.plan
        own = expected(self.workload.shape, takes(known.devices), known.split.layers)
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
        own = {d.name: d for d in self._devices}
        return replace(
            plan,
            devices=tuple(own[d.name] for d in plan.devices),
            ctx_size=self.start.ctx_size,
            changed=self.start.changed,
        )

    @property
    def _devices(self) -> tuple[Device, ...]:
        """The start's, with the numbers of threads that are best so far."""
        if not self.trials:
            return self.start.devices
        threads = {d.name: d.threads for d in self.best.plan.devices}
        return tuple(replace(d, threads=threads.get(d.name, d.threads)) for d in self.start.devices)

    def _other_threads(self, knows: Knows) -> Next | None:
        """The best split with another number of threads on one CPU worker."""
        if self.cpus is None or self._kept_for_the_start:
            return None
        plan = self.best.plan
        held = expected(self.workload.shape, knows(plan.devices), plan.split.layers)
        stages = held.stages_s if held is not None else {i: float(n) for i, n in enumerate(plan.split.layers) if n}
        tried: dict[str, set[int]] = {}
        for trial in self.trials:
            for device in trial.plan.devices:
                tried.setdefault(device.name, set()).add(self.cpus.of(device))
        devices = other_count(plan.devices, stages, tried, self.cpus)
        if devices is None:
            return None
        changed = next(d for d, before in zip(devices, plan.devices, strict=True) if d.threads != before.threads)
        return Next(replace(plan, devices=devices), f"the best split, {changed.name} with {changed.threads} threads")

    # -- what was found ------------------------------------------------------------------------------------

    @property
    def best(self) -> Trial:
        """Of every split all its launches count; a split that is not clearly better than the start is not taken."""
        means = self._means()
        first = launch_of(self.trials[0].plan)
        best = max(means, key=lambda shape: means[shape])
        if best != first and self._ties(best, first):
            best = first
        return next(t for t in self.trials if launch_of(t.plan) == best)

    @property
    def best_rate(self) -> float:
        return self._means()[launch_of(self.best.plan)]

    @property
    def start_rate(self) -> float:
        return self._means()[launch_of(self.trials[0].plan)]

    @property
    def tie(self) -> bool:
        """Something was measured as fast as the start, and not clearly faster: the start stays."""
        means, first = self._means(), launch_of(self.trials[0].plan)
        near = [s for s in means if s != first and means[s] >= means[first] * (1 - NOISE)]
        return launch_of(self.best.plan) == first and any(self._ties(s, first) for s in near)

    def _means(self) -> dict[Launch, float]:
        found: dict[Launch, list[float]] = {}
        for trial in self.trials:
            found.setdefault(launch_of(trial.plan), []).append(trial.rate.mean)
        return {shape: sum(rates) / len(rates) for shape, rates in found.items()}

    def _ties(self, a: Launch, b: Launch) -> bool:
        """Within the noise, or within twice the error of the difference."""
        means = self._means()
        error = sqrt(self._error(a) ** 2 + self._error(b) ** 2)
        return means[a] - means[b] <= max(NOISE * means[b], 2 * error)

    def _error(self, shape: Launch) -> float:
        """Of a split's mean rate, by the repeats of its launches."""
        rates = [t.rate for t in self.trials if launch_of(t.plan) == shape]
        squares = sum((r.deviation or 0.0) ** 2 / max(r.count, 1) for r in rates)
        return sqrt(squares) / len(rates)

    @property
    def _start_is_in_doubt(self) -> bool:
        first = launch_of(self.trials[0].plan)
        launches = sum(launch_of(t.plan) == first for t in self.trials)
        best, means = launch_of(self.best.plan), self._means()
        gain, error = means[best] - means[first], sqrt(self._error(best) ** 2 + self._error(first) ** 2)
        return launches == 1 and best != first and gain < max(CLOSE * means[first], _SURE * error)
