"""Two runs side by side. Where their intervals touch it is a tie, and is called one."""

from __future__ import annotations

from hettui.domain.bench.run import BenchRun
from hettui.domain.records import dataclass
from hettui.domain.statistics import Spread
from hettui.domain.tables import table
from hettui.domain.units import UNKNOWN


@dataclass(frozen=True, slots=True)
class Compared:
    """One test in both runs."""

    test: str
    before: Spread | None
    after: Spread | None

    @property
    def change(self) -> float | None:
        """0.1 for a tenth more."""
        if self.before is None or self.after is None or self.before.mean <= 0:
            return None
        return self.after.mean / self.before.mean - 1

    @property
    def verdict(self) -> str:
        if self.before is None or self.after is None:
            return "only in one of them"
        tied = self.before.overlaps(self.after)
        if tied is None:
            return "one run is no interval: not decided"
        if tied:
            return "tie"
        return "B faster" if self.after.mean > self.before.mean else "A faster"


def compare(a: BenchRun, b: BenchRun) -> list[Compared]:
    """Every test of either run, those of `a` first."""
    names = dict.fromkeys([r.test.name for r in (*a.results, *b.results)])
    rows = []
    for name in names:
        before, after = a.result(name), b.result(name)
        rows.append(Compared(name, before.rate if before else None, after.rate if after else None))
    return rows


def differences(a: BenchRun, b: BenchRun) -> list[str]:
    """What else differs: then a faster run may not be the change's merit."""
    one, other = a.setting, b.setting
    pairs: list[tuple[str, object, object]] = [
        ("model", one.model, other.model),
        ("model sum", one.model_sha256, other.model_sha256),
        ("split", _split(a), _split(b)),
        ("slots", one.slots, other.slots),
        ("context of a slot", one.slot_context_tokens, other.slot_context_tokens),
        ("cards", [d.card for d in one.devices], [d.card for d in other.devices]),
        ("drivers", [d.driver for d in one.devices], [d.driver for d in other.devices]),
        ("power limits", [d.power_limit_w for d in one.devices], [d.power_limit_w for d in other.devices]),
    ]
    for name in dict.fromkeys([*one.builds, *other.builds]):
        pairs.append((f"build of {name}", one.builds.get(name), other.builds.get(name)))
    for key in dict.fromkeys([*one.params, *other.params]):
        pairs.append((key, one.params.get(key), other.params.get(key)))
    for key in dict.fromkeys([*one.machine, *other.machine]):
        pairs.append((key, one.machine.get(key), other.machine.get(key)))
    texts = [(name, _text(left), _text(right)) for name, left, right in pairs]
    # What only one of them knows is no difference.
    known = [(name, left, right) for name, left, right in texts if UNKNOWN not in (left, right)]
    said = [f"{name}: {left} in A, {right} in B" for name, left, right in known if left != right]
    said += [f"{name} is not complete: {run.problem}" for name, run in (("A", a), ("B", b)) if run.problem]
    return said


def _split(run: BenchRun) -> str:
    return ", ".join(f"{d.name} {d.layers}" for d in run.setting.devices if d.layers is not None)


def _text(value: object) -> str:
    if isinstance(value, list):
        known = [_text(v) for v in value]
        return "/".join(known) if set(known) - {UNKNOWN} else UNKNOWN
    return UNKNOWN if value in (None, "", ()) else str(value)


def _spread(found: Spread | None) -> str:
    return UNKNOWN if found is None else f"{found.text(2)} ({found.count})"


def compare_text(a: BenchRun, b: BenchRun) -> str:
    """For people."""
    rows: list[tuple[str, ...]] = [("test", "A t/s", "B t/s", "change", "")]
    for row in compare(a, b):
        change = UNKNOWN if row.change is None else f"{row.change:+.1%}"
        rows.append((row.test, _spread(row.before), _spread(row.after), change, row.verdict))
    head = [f"A: {a.key}  {a.setting.model}  {a.started}", f"B: {b.key}  {b.setting.model}  {b.started}", ""]
    tail = ["", "mean ± standard deviation (runs); a tie is where the 95 % intervals of the means touch"]
    return "\n".join([*head, *table(rows), *tail, *(f"differs: {line}" for line in differences(a, b))])


def compare_json(a: BenchRun, b: BenchRun) -> dict[str, object]:
    """One document for programs."""

    def numbers(found: Spread | None) -> dict[str, object] | None:
        if found is None:
            return None
        return {"avg_ts": found.mean, "stddev_ts": found.deviation, "runs": found.count, "ci95": found.half_interval}

    rows = [
        {"test": r.test, "a": numbers(r.before), "b": numbers(r.after), "change": r.change, "verdict": r.verdict}
        for r in compare(a, b)
    ]
    return {"a": a.key, "b": b.key, "tests": rows, "differences": differences(a, b)}
