"""What the dialog of other machines says of each: rows of plain text in roles. Everything in it is clean."""

from __future__ import annotations

from rich.cells import cell_len

from hettui.domain.devices.device import Host
from hettui.domain.errors import HettuiError, HostError
from hettui.domain.hosts.facts import HostFacts
from hettui.domain.hosts.push import Progress
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line
from hettui.domain.units import UNKNOWN, format_bytes, format_seconds
from hettui.ui.drawing.gauges import Runs, fit

_NAME_CELLS = 22
_GAP = "  "


@dataclass(frozen=True, slots=True)
class HostEntry:
    """One host of the list."""

    host: Host
    asking: bool = False
    facts: HostFacts | None = None
    problem: HettuiError | None = None
    progress: Progress | None = None
    taken: bool = False
    """Its devices are in the plan."""

    @property
    def asks(self) -> bool:
        """A login on the terminal would get further."""
        return isinstance(self.problem, HostError) and self.problem.asks

    @property
    def bare(self) -> bool:
        """It is reached, and has no llama.cpp that runs."""
        return self.facts is not None and (self.facts.server is None or bool(self.facts.trouble))


def host_row(entry: HostEntry, width: int) -> Runs:
    """Name, where ssh goes where that is something else, and what is known."""
    name = fit(clean_line(entry.host.name, 60), _NAME_CELLS).ljust(_NAME_CELLS)
    words, role = _state(entry)
    room = max(0, width - cell_len(name) - cell_len(_GAP) * 2)
    return [(f" {name}{_GAP}", "strong" if entry.taken else ""), (fit(words, room), role)]


def _state(entry: HostEntry) -> tuple[str, str]:
    if entry.progress is not None:
        done, total = format_bytes(entry.progress.done_bytes), format_bytes(entry.progress.total_bytes)
        left = "" if entry.progress.left_s is None else f", {format_seconds(entry.progress.left_s)} left"
        return f"sending llama.cpp: {done} of {total}{left}", "muted"
    if entry.asking:
        return "being asked …", "muted"
    if entry.problem is not None:
        return clean_line(str(entry.problem).partition("; ")[0], 200), "warn" if entry.asks else "crit"
    if entry.facts is None:
        return clean_line(entry.host.ssh or "", 80), "muted"
    return facts_in_words(entry.facts), "warn" if entry.bare else "ok"


def facts_in_words(facts: HostFacts) -> str:
    """`2 cards, 24.0 GiB · 0.4 ms, 940 Mbit/s`."""
    hardware = facts.hardware()
    cards = [card for card in hardware if card.backend != "cpu"] or list(hardware)
    total = sum(card.total_bytes or 0 for card in cards)
    kind = "card" if cards[0].backend != "cpu" else "CPU"
    what = f"{len(cards)} {kind}{'' if len(cards) == 1 else 's'}, {format_bytes(total or None)}"
    bare = "" if facts.server else "no llama.cpp there · "
    if facts.trouble:
        bare = "its llama.cpp cannot be run · "
    return clean_line(f"{bare}{what} · {facts.line}", 200)


def detail(entry: HostEntry | None, *, can_take: bool) -> str:
    """What stands under the list: the whole sentence, and the next step."""
    if entry is None:
        return "~/.ssh/config names no host: type where ssh goes, such as me@attic, and press ⏎"
    if entry.problem is not None:
        # First: what does not fit on a narrow screen is the end of the reason.
        step = "⏎ gives the terminal to ssh, for its question" if entry.asks else "⏎ asks again"
        return f"{step} · {clean_line(str(entry.problem), 400)}"
    if entry.facts is None:
        return "⏎ asks it what it is: over ssh, without a question; nothing is started there"
    if entry.facts.trouble:
        return f"{clean_line(entry.facts.trouble, 200)}. p brings this machine's llama.cpp there"
    if entry.bare:
        return f"no rpc server in {clean_line(entry.facts.looked or UNKNOWN, 120)}. p brings this machine's there"
    names = ", ".join(clean_line(card.name, 40) for card in entry.facts.hardware() if card.engine_name)
    if entry.taken:
        return f"in the plan: {names}"
    return f"{names}. ⏎ takes its devices into the plan" if can_take else names
