"""What every key comes through: an action of the registry is done, or the screen says why it cannot be now."""

from __future__ import annotations

from textual.binding import ActiveBinding
from textual.notifications import Notification, Notify
from textual.widget import Widget

from hettui.domain.screen.actions import BY_ID, Action
from hettui.domain.screen.keymap import Keymap
from hettui.domain.screen.situation import Situation
from hettui.domain.text import clean
from hettui.ui.terminal.slow_line import CalmScreen

_REMARK_S = 4.0


class ActingScreen(CalmScreen[None]):
    """Knows the keys and asks its heirs for the situation."""

    def __init__(self, keymap: Keymap) -> None:
        super().__init__()
        self.keymap = keymap
        self._remark: Notification | None = None

    @property
    def situation(self) -> Situation:
        """What decides which actions make sense now."""
        raise NotImplementedError

    def actor(self, action: Action) -> Widget:
        """The widget that does it: the screen itself unless it is a pane's matter."""
        return self

    def say(self, text: str, severity: str = "information") -> None:
        """A toast; the text is clean and never markup."""
        self.notify(clean(text), severity=severity, markup=False, timeout=8)  # type: ignore[arg-type]

    def remark(self, text: str, severity: str = "information") -> None:
        """A short toast that takes the place of the last remark: a key that is held down does not stack them."""
        if self._remark is not None:
            self.app._unnotify(self._remark, refresh=False)
        self._remark = Notification(clean(text), severity=severity, markup=False, timeout=_REMARK_S)  # type: ignore[arg-type]
        self.app.post_message(Notify(self._remark))

    def why_not(self, action: str) -> str | None:
        """Why it cannot be done now, with the keys that help; None when it can."""
        reason = BY_ID[action].why_not(self.situation)
        return None if reason is None else self.keymap.fill(reason)

    def refuse(self, action: Action, reason: str) -> None:
        """Says why not."""
        self.remark(f"{action.label}: {reason}", "warning")

    async def action_perform(self, action: str) -> None:
        """By a key or by the palette."""
        wanted = BY_ID[action]
        reason = self.why_not(action)
        if reason is None:
            await self.actor(wanted).run_action(wanted.call)
        else:
            self.refuse(wanted, reason)

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """As Textual's; what cannot be done now is marked, so that the footer dims it. Its key still works: it says
        why."""
        situation = self.situation
        found = super().active_bindings
        for key, active in found.items():
            action = BY_ID.get(active.binding.id or "")
            if active.binding.show and action is not None and action.why_not(situation) is not None:
                found[key] = active._replace(enabled=False)
        return found
