"""What answers have shown of one device, and what follows from it together with its data.

Each answer says how long one amount of work took: so much of each kind of weights, so many layers. Kept are the sums
that a least squares fit needs (information and vector), without what the data said before: data may be corrected, and
old answers lose weight, both without any answer being kept. Milliseconds and GB, so that the numbers stay handy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hettui.domain.devices.device import Device
from hettui.domain.devices.speed import HOP, Speed
from hettui.domain.records import dataclass
from hettui.domain.speed.linear import inverse, times
from hettui.domain.speed.prior import covariance_ms, means_ms, prior

HALF_LIFE_S = 30 * 86400.0
"""After so long what was measured weighs half: drivers, builds and machines change."""
KEEP_PER_WINDOW = 0.92
"""Of the weight of what is known when something new comes: some dozen answers weigh, and a drift is followed."""
LEAST_DOUBT = 0.08
"""Of a stage: no answer says more exactly how long it takes."""
_OFF_BY, _FASTER_BY = 30.0, 0.5
"""So much the data may be off, taken all together: a device may be many times slower than they say, hardly faster."""
_CLEARLY = 2.0
"""Standard deviations."""
_LEAST_PART = 0.05
"""Of what the data say: a value is not believed to be below."""
_MOST_WINDOWS = 1_000_000
MOST_NAMES = 40
"""Kinds of work of one device."""
_ABSURD, _ROUNDING, _TINY = 1e15, 1e-6, 1e-12


@dataclass(frozen=True, slots=True)
class Evidence:
    """Frozen: what is added gives a new one."""

    names: tuple[str, ...] = ()
    information: tuple[tuple[float, ...], ...] = ()
    vector: tuple[float, ...] = ()
    windows: int = 0
    at_unix_s: float = 0.0

    @property
    def sound(self) -> bool:
        """It can be sums of squares: what comes from a file may be damage."""
        n, rows = len(self.names), self.information
        if len(set(self.names)) < n or len(self.vector) != n or [len(row) for row in rows] != [n] * n:
            return False
        numbers = [*self.vector, *(x for row in rows for x in row), self.at_unix_s]
        if n > MOST_NAMES or self.windows < 0 or not all(-_ABSURD < x < _ABSURD for x in numbers):
            return False
        if any(rows[i][i] < 0 for i in range(n)):
            return False
        most = [rows[i][i] ** 0.5 * (1 + _ROUNDING) for i in range(n)]
        return all(
            rows[i][j] == rows[j][i] and abs(rows[i][j]) <= most[i] * most[j] + _TINY
            for i in range(n)
            for j in range(i)
        )

    def weight(self, at_unix_s: float) -> float:
        """What is left of its weight by then."""
        return float(0.5 ** (max(0.0, at_unix_s - self.at_unix_s) / HALF_LIFE_S))

    def faded(self, at_unix_s: float, keep: float = 1.0) -> Evidence:
        """As old as it is then."""
        part = keep * self.weight(at_unix_s)
        return replace(
            self,
            information=tuple(tuple(part * x for x in row) for row in self.information),
            vector=tuple(part * x for x in self.vector),
            at_unix_s=max(at_unix_s, self.at_unix_s),
        )

    def with_work(self, amounts: Mapping[str, float], took_ms: float, doubt_ms: float) -> Evidence:
        """So much of each kind took so long, give or take."""
        names = (*self.names, *(name for name in amounts if name not in self.names))
        weight = 1 / doubt_ms**2
        x, old = [amounts.get(name, 0.0) for name in names], len(self.names)
        information = tuple(
            tuple((self.information[i][j] if i < old and j < old else 0.0) + weight * (a * b) for j, b in enumerate(x))
            for i, a in enumerate(x)
        )
        vector = tuple((self.vector[i] if i < old else 0.0) + weight * a * took_ms for i, a in enumerate(x))
        return replace(self, names=names, information=information, vector=vector)

    def counted(self) -> Evidence:
        """One answer more."""
        return replace(self, windows=min(self.windows + 1, _MOST_WINDOWS))


def speed_of(device: Device, evidence: Evidence, at_unix_s: float) -> Speed:
    """Data and answers together: the likeliest values, none of them below what can be, and how sure they are."""
    names, aged = evidence.names, evidence.faded(at_unix_s)
    before = prior(device)
    means = means_ms(before, names)
    off = [max(part, _LEAST_PART) for part in _off_data(means, names, aged)]
    means = [f * mean for f, mean in zip(off, means, strict=True)]
    spread = covariance_ms(before, names)
    if HOP in names:
        _widen_hop(spread, means, names.index(HOP), aged)
    doubted = inverse([[off[i] * off[j] * x for j, x in enumerate(row)] for i, row in enumerate(spread)])
    known = [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(doubted, aged.information, strict=True)]
    told = [a + b for a, b in zip(times(doubted, means), aged.vector, strict=True)]
    values = _not_below([_LEAST_PART * mean for mean in means], known, told)
    covariance = tuple(tuple(row) for row in inverse(known))
    return Speed(names, tuple(values), covariance, evidence.windows, evidence.at_unix_s)


def _widen_hop(spread: list[list[float]], means: Sequence[float], hop: int, aged: Evidence) -> None:
    """A way that takes many times what is usual is believed once it was seen: the data know nothing of networks."""
    seen = aged.information[hop][hop]
    if seen > 0:
        off_ms = abs(aged.vector[hop] / seen - means[hop]) / 2
        # Only as far as it was really seen.
        spread[hop][hop] = max(spread[hop][hop], off_ms**2 if off_ms * seen**0.5 > _CLEARLY else 0.0)


def _off_data(means: Sequence[float], names: Sequence[str], aged: Evidence) -> list[float]:
    """How many times more each takes than the data say, were all work of a device off by one factor. Data may be off
    by anything: a card that is held down, a driver that computes in software. Not the hop: of several devices' hops
    only the sum is ever seen."""
    work = [i for i, name in enumerate(names) if name != HOP]
    rest = [i for i in range(len(names)) if i not in work]
    told = [aged.vector[i] - sum(aged.information[i][j] * means[j] for j in rest) for i in work]
    by_data = sum(means[i] * means[j] * aged.information[i][j] for i in work for j in work)
    by_answers = sum(means[i] * t for i, t in zip(work, told, strict=True))

    def off_by(spread: float) -> float:
        return (1 / spread**2 + by_answers) / (1 / spread**2 + by_data)

    found = off_by(_OFF_BY)
    return [1.0 if name == HOP else found if found > 1 else off_by(_FASTER_BY) for name in names]


def _not_below(floor: Sequence[float], known: Sequence[Sequence[float]], told: Sequence[float]) -> list[float]:
    """The solution; a value that would be below its floor stands on it, and the others are found anew."""
    fixed: set[int] = set()
    while True:
        free = [i for i in range(len(told)) if i not in fixed]
        rest = [told[i] - sum(known[i][j] * floor[j] for j in fixed) for i in free]
        found = times(inverse([[known[i][j] for j in free] for i in free]), rest) if free else []
        low = [i for i, value in zip(free, found, strict=True) if value < floor[i]]
        if not low:
            solved = dict(zip(free, found, strict=True))
            return [solved.get(i, floor[i]) for i in range(len(told))]
        fixed.update(low)
