"""Other machines: those of ~/.ssh/config and what is typed, asked what they are, logged in to, given llama.cpp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from hettui.domain.devices.device import Host
from hettui.domain.errors import HettuiError, UsageError
from hettui.domain.hosts.facts import HostFacts
from hettui.domain.hosts.push import Progress
from hettui.domain.session.session import Session
from hettui.services.backend import Backend
from hettui.ui.drawing.gauges import Runs
from hettui.ui.drawing.host_rows import HostEntry, detail, host_row
from hettui.ui.terminal.slow_line import SlowLineApp
from hettui.ui.widgets.pick_list import PickList

_PLACEHOLDER = "another one: me@attic, an alias of ~/.ssh/config, ssh://…"
_KEYS = "⏎ ask, then take · ↑↓ choose · tab type one · p push llama.cpp · esc closes"


class EntryChanged(Message):
    """Something was learned of one host."""

    def __init__(self, key: str, entry: HostEntry) -> None:
        super().__init__()
        self.key = key
        self.entry = entry


class Offered(Message):
    """Which hosts there are."""

    def __init__(self, hosts: tuple[Host, ...]) -> None:
        super().__init__()
        self.hosts = hosts


class HostsScreen(ModalScreen[Session | None]):
    """Answers the session with what was taken into it; None: nothing was."""

    BINDINGS = [
        Binding("escape", "leave", "Close", priority=True),
        # Not before what was typed ahead of it: no priority, and from the field as its own message.
        Binding("enter", "go_on", "Ask"),
        Binding("tab", "type", "Type", priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("p", "push", "Push llama.cpp"),
    ]
    DEFAULT_CSS = """
    HostsScreen { align: center middle; }
    HostsScreen > Vertical {
        width: 100%; max-width: 120; height: 100%; max-height: 26; padding: 0 1;
        background: $surface; border: round $primary; border-title-color: $foreground;
    }
    HostsScreen Static { height: 1; }
    HostsScreen #detail { height: 4; padding: 1 0 0 0; }
    HostsScreen #keys { color: $hettui-muted; }
    HostsScreen Input { background: $panel; }
    """

    def __init__(self, backend: Backend, session: Session) -> None:
        super().__init__()
        self._backend = backend
        self._session = session
        self._taken = False
        self._entries: dict[str, HostEntry] = {}
        """By where ssh goes."""
        self._pick = PickList()
        self._field = Input(placeholder=_PLACEHOLDER, compact=True)
        self._detail = Static("", id="detail", markup=False)
        self._keys = Static(_KEYS, id="keys", markup=False)

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Other machines"
            yield from (self._pick, self._field, self._detail, self._keys)

    def on_mount(self) -> None:
        self._pick.can_focus = True
        self._pick.focus()
        self._in_thread(self._look)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _in_thread(self, work: Callable[[], None]) -> None:
        self.run_worker(work, thread=True, exit_on_error=False)

    # -- what there is -------------------------------------------------------------------------------------

    def _look(self) -> None:
        self.post_message(Offered(self._backend.hosts.offered(self._session)))

    @on(Offered)
    def _offered(self, message: Offered) -> None:
        taken = {host.ssh for host in self._session.config.hosts}
        for host in message.hosts:
            self._entries.setdefault(host.ssh or host.name, HostEntry(host, taken=host.ssh in taken))
        self._draw()

    @property
    def _chosen(self) -> tuple[str, HostEntry] | None:
        entries = list(self._entries.items())
        return entries[self._pick.cursor] if 0 <= self._pick.cursor < len(entries) else None

    def _draw(self) -> None:
        entries = list(self._entries.values())
        cursor = min(max(self._pick.cursor, 0), len(entries) - 1)
        self._pick.show(len(entries), partial(self._row, entries), cursor)
        chosen = self._chosen
        can_take = self._session.config.path is None
        self._detail.update(detail(None if chosen is None else chosen[1], can_take=can_take))

    @staticmethod
    def _row(entries: list[HostEntry], index: int, width: int) -> Runs:
        return host_row(entries[index], width)

    @on(EntryChanged)
    def _changed(self, message: EntryChanged) -> None:
        self._entries[message.key] = message.entry
        self._draw()

    def _tell(self, key: str, entry: HostEntry) -> None:
        """From any thread."""
        self.post_message(EntryChanged(key, entry))

    # -- keys ----------------------------------------------------------------------------------------------

    def action_leave(self) -> None:
        if self.focused is self._field:
            self._field.value = ""
            self._pick.focus()
        else:
            self.dismiss(self._session if self._taken else None)

    def action_type(self) -> None:
        (self._pick if self.focused is self._field else self._field).focus()

    def action_move(self, by: int) -> None:
        if self._entries:
            self._pick.move(self._pick.cursor + by)
            self._draw()

    @on(PickList.Clicked)
    def _clicked(self, message: PickList.Clicked) -> None:
        self._pick.move(message.index)
        self._draw()
        if message.again:
            self.action_go_on()

    @on(Input.Submitted)
    def action_go_on(self) -> None:
        """The next step with the host under the cursor, or the one that was typed."""
        if self.focused is self._field:
            self._add_typed()
            return
        chosen = self._chosen
        if chosen is None or chosen[1].asking:
            return
        key, entry = chosen
        if entry.asks:
            self._log_in(key, entry)
        elif entry.facts is None or entry.problem is not None or entry.bare:
            self._ask(key, entry)
        elif not entry.taken and self._session.config.path is None:
            self._take(key, entry, entry.facts)

    def action_push(self) -> None:
        chosen = self._chosen
        if chosen is not None and chosen[1].facts is not None and not chosen[1].asking:
            key, entry = chosen
            self._entries[key] = entry = replace(entry, asking=True)
            self._draw()
            self._in_thread(partial(self._push, key, entry))

    def _add_typed(self) -> None:
        typed = self._field.value.strip()
        if not typed:
            return
        try:
            host = self._backend.hosts.named(typed)
        except UsageError as error:
            self._detail.update(str(error))
            return
        self._field.value = ""
        self._entries.setdefault(typed, HostEntry(host))
        self._pick.focus()
        self._draw()
        self._pick.move(list(self._entries).index(typed))
        self._ask(typed, self._entries[typed])

    # -- what is done --------------------------------------------------------------------------------------

    def _ask(self, key: str, entry: HostEntry) -> None:
        self._entries[key] = entry = HostEntry(entry.host, asking=True, taken=entry.taken)
        self._draw()
        self._in_thread(partial(self._asked, key, entry))

    def _asked(self, key: str, entry: HostEntry) -> None:
        try:
            facts = self._backend.hosts.ask(entry.host)
        except HettuiError as error:
            self._tell(key, replace(entry, asking=False, problem=error))
        else:
            self._tell(key, replace(entry, asking=False, facts=facts))

    def _log_in(self, key: str, entry: HostEntry) -> None:
        def work() -> None:
            self._backend.hosts.log_in(entry.host)
            self.call_later(self._ask, key, entry)

        app = self.app
        if isinstance(app, SlowLineApp):
            app.step_aside(work)

    def _push(self, key: str, entry: HostEntry) -> None:
        def tell(progress: Progress) -> None:
            self._tell(key, replace(entry, progress=progress))

        try:
            self._backend.hosts.push(self._session, entry.host, tell)
            facts = self._backend.hosts.ask(entry.host)
        except HettuiError as error:
            self._tell(key, replace(entry, asking=False, facts=None, problem=error))
        else:
            self._tell(key, replace(entry, asking=False, facts=facts))

    def _take(self, key: str, entry: HostEntry, facts: HostFacts) -> None:
        try:
            self._session = self._backend.hosts.with_host(self._session, entry.host, facts)
        except HettuiError as error:
            self._entries[key] = replace(entry, problem=error)
        else:
            self._taken = True
            self._entries[key] = replace(entry, taken=True)
        self._draw()
