"""What becomes of the slots' contexts: with this plan, after an end, and what requests did to them."""

from __future__ import annotations

from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.devices.device import LOCAL
from hettui.domain.records import dataclass
from hettui.domain.slots.keeping import KeepPlan, plan_keeping, rate_of
from hettui.domain.slots.report import heading, line, notes, totals
from hettui.services.events import SlotsChanged
from hettui.ui.presenting.facts import Facts


def keeping(facts: Facts) -> KeepPlan | None:
    """What applying the plan would do to what the slots hold; None where that is not known, or nothing runs."""
    slots = facts.slots
    if slots is None or slots.terms is None or facts.cluster.state is not ClusterState.READY:
        return None
    after = facts.session.terms(facts.plan)
    if after is None:
        return None
    rate = slots.bytes_per_s or rate_of([d.host for d in facts.plan.devices], LOCAL)
    held = [(one, slots.terms) for one in slots.held]
    return plan_keeping(held, after, facts.session.config.keeping, slots.free_bytes, rate)


def comes_back(slots: SlotsChanged | None) -> str:
    """What a relaunch reads back, for whoever looks at what ended; empty when nothing was held or saved."""
    if slots is None or not (slots.saved or slots.held):
        return ""
    saved, held = sum(one.tokens for one in slots.saved), sum(one.tokens for one in slots.held)
    if not saved:
        return f"The context of {held:,} tokens is lost: no snapshot of it had been saved yet."
    where = "" if len(slots.saved) == 1 else f" in {len(slots.saved)} slots"
    later = max(0, held - saved)
    lost = f" What came after that, {later:,} tokens, is read again." if later else ""
    return f"A relaunch brings {saved:,} tokens of context back{where}, as they were saved last.{lost}"


def explained(facts: Facts) -> list[str]:
    """For the pane that explains the plan: slot by slot."""
    plan = keeping(facts)
    if plan is None or not plan.all_tokens:
        return []
    lines = [f"Applying it {plan.words}." if plan.kept else f"{plan.words}."]
    for one in plan.kept:
        to = "" if one.to_slot == one.held.slot else f", in slot {one.to_slot}"
        lines.append(f"  Slot {one.held.slot}: {one.held.tokens:,} tokens are kept{to}.")
    lines += [f"  Slot {one.held.slot}: {one.held.tokens:,} tokens are not kept: {one.reason}." for one in plan.left]
    if plan.kept and plan.only_extended:
        lines.append("A model with a recurrent state: of use only to a prompt that begins with all that was saved.")
    return lines


@dataclass(frozen=True, slots=True)
class RequestsView:
    """Lines with what they are; the newest last."""

    heading: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    """`row`, `live`, `why` or `remedy`."""
    state: str = "no request yet: every client's is listed here, with what of its prompt was read again and why"


def requests(slots: SlotsChanged | None) -> RequestsView:
    if slots is None or not slots.requests:
        return RequestsView()
    lines: list[tuple[str, str]] = []
    for request in slots.requests:
        lines.append((line(request), "row" if request.ended else "live"))
        lines += [(note, "remedy" if "→" in note else "why") for note in notes(request)]
    held, saved = (sum(one.tokens for one in rows) for rows in (slots.held, slots.saved))
    on_disk = f", {saved:,} saved" if saved else ""
    return RequestsView(heading(), tuple(lines), f"{totals(slots.requests)} · holds {held:,}{on_disk}")
