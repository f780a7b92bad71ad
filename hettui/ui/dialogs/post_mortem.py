"""After an unplanned end: what happened, what to do about it, and the keys that do it."""

from __future__ import annotations

from typing import Literal

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from hettui.domain.cluster.postmortem import PostMortem
from hettui.domain.plan.plan import Plan
from hettui.domain.session.rescue import Rescue, without
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line
from hettui.domain.units import format_rate

Choice = Literal["same", "without", "clean", "log"]
_MOST_LINE_CHARS = 300


class PostMortemScreen(ModalScreen["tuple[Choice, Rescue | None] | None"]):
    """Esc answers None: nothing is done."""

    BINDINGS = [
        Binding("escape,q,w", "dismiss(None)", "Close"),
        Binding("r", "choose('same')", "Relaunch"),
        Binding("o", "choose('without')", "Without it"),
        Binding("x", "choose('clean')", "Clean up"),
        Binding("g", "choose('log')", "Log"),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("left,h", "app.focus_previous", show=False),
        Binding("right,l", "app.focus_next", show=False),
    ]
    DEFAULT_CSS = """
    PostMortemScreen { align: center middle; }
    PostMortemScreen > Vertical {
        width: 96%; max-width: 100; height: auto; max-height: 94%; padding: 0 1;
        background: $surface; border: round $hettui-crit; border-title-color: $hettui-crit;
    }
    PostMortemScreen VerticalScroll { height: auto; max-height: 14; }
    PostMortemScreen #rescue { max-height: 3; margin-top: 1; }
    PostMortemScreen Static { height: auto; }
    PostMortemScreen Horizontal { height: 1; margin-top: 1; align-horizontal: right; }
    PostMortemScreen Button { margin-left: 1; }
    """

    def __init__(
        self, found: PostMortem, session: Session, plan: Plan, *, leftovers: bool, read_only: bool, comes_back: str = ""
    ) -> None:
        """`leftovers`: processes of it live on, so cleaning up is offered. `comes_back`: what a relaunch reads back."""
        super().__init__()
        self._found = found
        self._session = session
        self._plan = plan
        self._leftovers = leftovers
        self._read_only = read_only
        self._comes_back = comes_back
        self._rescue: Rescue | None = None
        self._fits = Static(id="rescue", markup=False)
        self._without = Button(Content("Without it (o)"), id="without", compact=True, disabled=True)
        self._scroll = VerticalScroll(can_focus=False)

    def compose(self) -> ComposeResult:
        found = self._found
        with Vertical() as box:
            where = "" if found.host == "local" else f" on {clean_line(found.host, 40)}"
            box.border_title = Content(f" {clean_line(found.process, 60)}{where} ended ")
            with self._scroll:
                yield Static(_story(found), markup=False)
            if self._comes_back:
                yield Static(Content(self._comes_back), id="comes-back", markup=False)
            yield self._fits
            with Horizontal():
                if not self._read_only:
                    yield Button(Content("Relaunch the same (r)"), id="same", compact=True)
                    if found.device is not None:
                        yield self._without
                    if self._leftovers:
                        yield Button(Content("Clean up (x)"), id="clean", compact=True)
                yield Button(Content("Its log (g)"), id="log", compact=True)

    def on_mount(self) -> None:
        if self._found.device is not None:
            self._search(self._found.device)

    @work(thread=True, group="rescue", exit_on_error=False)
    def _search(self, device: str) -> None:
        """A search of the planner's: not between two keys."""
        rescue = without(self._session, self._plan, device)
        self.app.call_later(self._offer, rescue)

    def _offer(self, rescue: Rescue | None) -> None:
        self._rescue = rescue
        self._fits.update(Content(_what_fits(rescue, self._found.device or "")))
        self._without.disabled = rescue is None or not rescue.fits

    def action_scroll(self, lines: int) -> None:
        self._scroll.scroll_relative(y=lines, animate=False)

    def action_choose(self, choice: Choice) -> None:
        if choice != "log" and self._read_only:
            return
        if choice == "without" and (self._rescue is None or not self._rescue.fits):
            return
        if choice == "clean" and not self._leftovers:
            return
        self.dismiss((choice, self._rescue))

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.action_choose(event.button.id)  # type: ignore[arg-type]


def _story(found: PostMortem) -> Content:
    """What happened, in the order in which one asks."""
    when = f" {clean_line(found.moment, 80)}" if found.moment else ""
    parts: list[str | tuple[str, str]] = [(f"{_sentence(found.what)}\n", "bold")]
    parts.append(f"It ended{when}: {clean_line(found.how, _MOST_LINE_CHARS)}.\n")
    parts += [f"{_sentence(line)}\n" for line in found.consequences]
    parts += [("What to do: ", "bold"), f"{_sentence(found.remedy)}\n"]
    if found.hopeless:
        parts.append("Relaunching the same without a change will end the same way.\n")
    if found.lines:
        parts.append(("What its log says:", "$hettui-muted"))
        parts += [f"\n  {clean_line(line, _MOST_LINE_CHARS)}" for line in found.lines]
    return Content.assemble(*parts)


def _sentence(text: str) -> str:
    text = clean_line(text, _MOST_LINE_CHARS)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def _what_fits(rescue: Rescue | None, device: str) -> str:
    name = clean_line(device, 40)
    if rescue is None:
        return f"Nothing can be run without {name}: it is the only device."
    if not rescue.fits:
        return f"Without {name} the model does not fit: {clean_line(rescue.missing)}."
    held = zip(rescue.plan.devices, rescue.plan.split.layers, strict=True)
    layers = ", ".join(f"{clean_line(d.name, 30)} {n}" for d, n in held if n)
    host = rescue.plan.split.host_layers
    layers += f", CPU of this machine {host}" if host else ""
    speed = rescue.tokens_per_second
    expected = f", about {format_rate(speed)}" if speed else ", its speed is not known"
    return f"Without {name} it fits: {layers}{expected}."
