"""Plans to choose from as rows of a list: name, tokens a second, context, what is left on the fullest device."""

from __future__ import annotations

from hettui.domain.llama.params import RuntimeParams
from hettui.domain.plan.difference import changes
from hettui.domain.plan.plan import Plan
from hettui.domain.records import dataclass
from hettui.domain.session.choices import Choice, same_plan
from hettui.domain.text import clean_line
from hettui.domain.units import UNKNOWN, figures, format_tokens, mib

WORKING = "…"
_AS_IT_IS = "the plan as it is"


@dataclass(frozen=True, slots=True)
class ChoiceView:
    """One row, and what is said of it below the list."""

    title: str
    rate: str = ""
    context: str = ""
    left: str = ""
    """MiB."""
    note: str = ""
    """What would change, or why it cannot be taken."""
    can: bool = False
    """It can be taken."""
    fits: bool = True
    details: tuple[str, ...] = ()
    """What would change, and what is to be known of it."""


def waiting(title: str, mark: str) -> ChoiceView:
    """It is still being worked out."""
    return ChoiceView(clean_line(title, 80), mark)


def row(choice: Choice, now: Plan, configured: RuntimeParams, same: Choice | None = None) -> ChoiceView:
    """`now` is the plan under one's hands; `same`: a choice above this one that comes to the same plan."""
    title = clean_line(choice.title, 120)
    if choice.plan is None:
        said = clean_line(choice.said, 300)
        return ChoiceView(title, UNKNOWN, UNKNOWN, UNKNOWN, said, bool(choice.action), choice.fits, (said,))
    told = ", ".join(changes(now, choice.plan, configured)) or "other devices"
    if same_plan(choice.plan, now):
        told = _AS_IT_IS
    note = f"as {clean_line(same.title, 60)}" if same is not None and told != _AS_IT_IS else told
    more = clean_line(choice.said, 300)
    if not choice.fits:
        more = f"does not fit: {more}"
        note = f"{more} · {note}"
    return ChoiceView(
        title,
        _rate(choice),
        format_tokens(choice.ctx_size),
        UNKNOWN if choice.fullest is None else mib(choice.fullest[1]).replace("-", "−"),
        note,
        True,
        choice.fits,
        tuple(line for line in (told, more, " · ".join(_numbers(choice))) if line),
    )


def _rate(choice: Choice) -> str:
    if choice.speed is None:
        return UNKNOWN
    # By data alone it is about so much.
    return f"{'' if choice.speed.measured else '~'}{figures(choice.speed.per_second)}"


def _numbers(choice: Choice) -> list[str]:
    found, speed = [], choice.speed
    if speed is not None:
        basis = "as measured" if speed.measured else "by data"
        found.append(f"one stream {figures(speed.per_second)} ± {figures(speed.off_per_second, 2)} tok/s {basis}")
    if choice.fullest is not None:
        name, left = choice.fullest
        found.append(f"{mib(left).replace('-', '−')} MiB left on {name}")
    return found
