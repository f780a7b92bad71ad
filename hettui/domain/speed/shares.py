"""From the share of time for which each device is busy to its part of a token's time.

While one stream decodes the devices take turns: one computes, the others wait. So a device's busy share times the
token's time is its stage time, and one answer tells all devices apart (measured on two H200 and CPU workers, b11434).
What cannot be trusted gets what the others leave: a card on which somebody else computes as well looks busy all the
time. ggml's CPU threads spin for some milliseconds before they sleep, so that CPU shares come out too high together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from math import sqrt

from hettui.domain.records import dataclass

LEAST_WINDOW_S = 1.0
"""NVML's figures are means over up to one second: a shorter window says nothing."""
_TOKEN_DOUBT = 0.01
"""Of a token's measured time."""
_SURPRISE = 2.0
"""Standard deviations."""
_LOST_DOUBT = 0.1
"""Of what is lost between devices, or in threads that had to wait, where it can have been lost nowhere else."""
_EXCUSED_OPEN, _SILENT_OPEN = 0.5, 0.3
"""Of a token's time: so unsure is, at least, what was expected of a device that is shared, or that tells nothing."""
_SPIN_S = 4e-3
"""For so long ggml's threads spin before they sleep (its poll level of 50, seen with CPU workers of b11434)."""
_MOST_SPIN_PART = 0.95
"""Of a CPU's busy time at most this is spinning."""
_LIKELY_SPIN, _SPIN_DOUBT = 0.7, 0.3
"""Of the longest: it ends early where the next token comes early."""


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a token's time for which a device was busy."""

    busy: float
    doubt: float
    """A standard deviation, as a part of the token's time too."""
    spins: bool = False
    """CPU threads: busy for a while after their work."""


@dataclass(frozen=True, slots=True)
class Decode:
    """One answer to one stream, as it was measured."""

    token_s: float
    shares: Mapping[int, Share] = field(default_factory=dict)
    """By the device's number; those of which nothing can be trusted are missing."""
    excused: Mapping[int, str] = field(default_factory=dict)
    """Devices that are slower now than they are, and why: `shared`, `throttled`."""
    at_unix_s: float = 0.0
    context_gb: Mapping[int, float] = field(default_factory=dict)
    """By the device's number: what was read of the KV cache for a token, in the middle of the answer."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A time in seconds and its standard deviation."""

    seconds: float
    doubt_s: float


@dataclass(frozen=True, slots=True)
class Solved:
    """What one answer says by itself, by the device's number."""

    stages: Mapping[int, Guess]
    """Without the hop. Of a device without a share: what the others leave, and as unsure as they are."""
    hops: Mapping[int, Guess]


def solve(decode: Decode, stages: Mapping[int, Guess], hops: Mapping[int, Guess]) -> Solved:
    """`stages` and `hops`: what was expected of every device that holds layers."""
    shares = without_spinning(decode, sum(h.seconds for h in hops.values()))
    told = {i: Guess(s.busy * decode.token_s, s.doubt * decode.token_s) for i, s in shares.items() if i in stages}
    begin = dict(stages) | {i: _open(guess, decode, told, i) for i, guess in stages.items()} | told
    sums = _Sums.of(decode, begin, hops)
    lost_by_hops, waited = False, tuple[int, ...]()
    if sums.surprising:
        # A machine that is busy otherwise lets CPU threads wait: their time is not in what they used. Else it is lost
        # between the devices.
        threads = {i: share.busy for i, share in shares.items() if share.spins and i in told}
        lost_by_hops, waited = not threads, tuple(threads)
        if lost_by_hops:
            each_s = sums.missing_s / sqrt(len(hops))
            hops = {i: Guess(hop.seconds, max(hop.doubt_s, each_s)) for i, hop in hops.items()}
        busy = sum(threads.values())
        open_s = {i: sums.missing_s * sqrt(part / busy) for i, part in threads.items()}
        begin |= {i: Guess(begin[i].seconds, max(begin[i].doubt_s, doubt_s)) for i, doubt_s in open_s.items()}
        sums = _Sums.of(decode, begin, hops)
    sure = told.keys() | decode.excused.keys()
    found = {i: sums.corrected(guess) if i in sure else sums.left(guess) for i, guess in begin.items()}
    found |= {i: Guess(found[i].seconds, min(found[i].doubt_s, _LOST_DOUBT * found[i].seconds)) for i in waited}
    lost = {i: sums.corrected(hop).seconds for i, hop in hops.items()} if lost_by_hops else {}
    return Solved(found, {i: Guess(lost[i], _LOST_DOUBT * lost[i]) if lost else sums.alone(h) for i, h in hops.items()})


@dataclass(frozen=True, slots=True)
class _Sums:
    """All parts of a token against its time."""

    missing_s: float
    """What the parts leave of it; below zero: what they are too much."""
    variance: float
    """Of the sum of all parts and of the token's time."""

    @classmethod
    def of(cls, decode: Decode, stages: Mapping[int, Guess], hops: Mapping[int, Guess]) -> _Sums:
        parts = [*stages.values(), *hops.values()]
        variance = sum(part.doubt_s**2 for part in parts) + (_TOKEN_DOUBT * decode.token_s) ** 2
        return cls(decode.token_s - sum(part.seconds for part in parts), variance)

    @property
    def surprising(self) -> bool:
        """More is missing than all doubts together explain."""
        return self.missing_s > _SURPRISE * sqrt(self.variance)

    def corrected(self, guess: Guess) -> Guess:
        """Of what is missing or too much each takes by how unsure it is."""
        part = guess.doubt_s**2 / self.variance
        seconds = max(guess.seconds + part * self.missing_s, guess.seconds / 10)
        return Guess(seconds, guess.doubt_s * sqrt(max(1 - part, 0.0)))

    def left(self, guess: Guess) -> Guess:
        """The same, as unsure as what the others leave, but not more than it was."""
        return Guess(self.corrected(guess).seconds, min(self._others_s(guess), guess.doubt_s))

    def alone(self, guess: Guess) -> Guess:
        """All that is missing, as unsure as everything else: what follows from it together with what was known is
        `corrected`, however often the same split is measured."""
        return Guess(max(guess.seconds + self.missing_s, 0.0), self._others_s(guess))

    def _others_s(self, guess: Guess) -> float:
        return sqrt(max(self.variance - guess.doubt_s**2, 0.0))


def _open(guess: Guess, decode: Decode, told: Mapping[int, Guess], device: int) -> Guess:
    """What was expected of a device without a share: where others have one, nothing of theirs shall make up for it."""
    part = _EXCUSED_OPEN if device in decode.excused else _SILENT_OPEN if told else 0.0
    return Guess(guess.seconds, max(guess.doubt_s, part * decode.token_s))


def without_spinning(decode: Decode, hops_s: float) -> dict[int, Share]:
    """The shares less what threads spin after their work, which is not sure, and as far as there is room for them."""
    shares = {i: _less_spin(share, decode.token_s) if share.spins else share for i, share in decode.shares.items()}
    room = max(1 - hops_s / decode.token_s, 0.5)
    total = sum(s.busy for s in shares.values())
    if total > room:
        shares = {i: Share(s.busy * room / total, s.doubt, s.spins) for i, s in shares.items()}
    return shares


def _less_spin(share: Share, token_s: float) -> Share:
    spin = min(_SPIN_S / token_s, _MOST_SPIN_PART * share.busy)
    likely = _LIKELY_SPIN * spin
    return Share(share.busy - likely, sqrt(share.doubt**2 + (_SPIN_DOUBT * spin) ** 2), True)
