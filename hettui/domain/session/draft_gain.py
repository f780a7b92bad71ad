"""Whether a draft model brings more than it costs: an answer with it against what these devices do without."""

from __future__ import annotations

from hettui.domain.chat.wire import Timings
from hettui.domain.records import dataclass
from hettui.domain.speed.pace import Expected
from hettui.domain.units import figures

FEWEST_TOKENS = 16
"""Of an answer: fewer say little about the speed."""
_WORTH_TELLING = 0.05


@dataclass(frozen=True, slots=True)
class DraftGain:
    """One answer that was drafted."""

    accepted: float
    """Of the tokens that were proposed: a part."""
    tokens_per_step: float
    """That came of one look of the model at what was proposed."""
    per_second: float
    without_per_second: float | None = None
    """As measured on these devices; None is not known."""
    off_per_second: float = 0.0
    """Of the latter, a standard deviation."""

    @property
    def costs(self) -> bool:
        """It is slower with the draft than it surely would be without."""
        without = self.without_per_second
        return without is not None and self.per_second < (1 - _WORTH_TELLING) * (without - self.off_per_second)

    @property
    def words(self) -> str:
        """`27 % of what it proposed was right, 2.0 tokens a step: 1.8 tokens a second, 22.7 ± 1.1 without it`"""
        said = f"{self.accepted:.0%} of what it proposed was right, {self.tokens_per_step:.1f} tokens a step"
        said += f": {figures(self.per_second)} tokens a second"
        if self.without_per_second is None:
            return f"{said}; how many it is without it was never measured here"
        return f"{said}, {figures(self.without_per_second)} ± {figures(self.off_per_second, 2)} without it"


def draft_gain(timings: Timings | None, without: Expected | None) -> DraftGain | None:
    """None for an answer that was not drafted, or too short. `without`: what the plan does without a draft."""
    if timings is None or not timings.drafted_tokens or not timings.generated_per_second:
        return None
    tokens, accepted = timings.generated_tokens or 0, timings.accepted_tokens or 0
    if tokens < FEWEST_TOKENS or accepted >= tokens:
        return None
    rate = timings.generated_per_second
    known = without is not None and without.measured
    return DraftGain(
        accepted / timings.drafted_tokens,
        tokens / (tokens - accepted),
        rate,
        without.per_second if without is not None and known else None,
        without.off_per_second if without is not None and known else 0.0,
    )
