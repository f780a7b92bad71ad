"""Means, deviations, percentiles, and when two means are too near to tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt

from hettui.domain.records import dataclass

# Student's t, two-sided 95 %, by degrees of freedom; beyond the table the normal distribution's 1.96.
_T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spread:
    """A few measurements of one thing."""

    mean: float
    deviation: float | None
    """Of the sample (n - 1), as llama-bench prints it; None for a single one, which says nothing of it."""
    count: int

    @property
    def half_interval(self) -> float | None:
        """Half of the 95 % confidence interval of the mean; None for a single measurement."""
        if self.deviation is None or self.count < 2:
            return None
        freedom = self.count - 1
        factor = _T_95[freedom - 1] if freedom <= len(_T_95) else 1.96
        return factor * self.deviation / sqrt(self.count)

    def text(self, digits: int) -> str:
        """`30.9 ± 0.2`; `30.9` of a single one."""
        mean = f"{self.mean:.{digits}f}"
        return mean if self.deviation is None else f"{mean} ± {self.deviation:.{digits}f}"

    def overlaps(self, other: Spread) -> bool | None:
        """Whether the two 95 % intervals touch: then they are a tie. None when one of them has no interval."""
        mine, theirs = self.half_interval, other.half_interval
        if mine is None or theirs is None:
            return None
        return abs(self.mean - other.mean) <= mine + theirs


def spread(values: Sequence[float]) -> Spread | None:
    """None of nothing."""
    if not values:
        return None
    mean = sum(values) / len(values)
    squares = sum((v - mean) ** 2 for v in values)
    return Spread(mean, sqrt(squares / (len(values) - 1)) if len(values) > 1 else None, len(values))


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The nearest rank: the smallest value that at least `percent` of all do not exceed. None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]
