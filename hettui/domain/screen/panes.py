"""The panes, once; which of them stand in front, which are to be seen, and how somebody left the screen."""

from __future__ import annotations

from dataclasses import replace

from hettui.domain.records import dataclass

DEVICES = "devices"
CHAT, REQUESTS, LOGS, BENCH, COMMANDS, EXPLAIN = PANES = (
    "chat", "requests", "logs", "bench", "commands", "explain",
)  # fmt: skip
"""Beside the devices. Names are the ids of the widgets."""
ALL_PANES = (DEVICES, *PANES)
"""As digits choose them, from 1."""


@dataclass(frozen=True, slots=True)
class PanesState:
    """Names are panes' ids."""

    front: str = DEVICES
    """Where the keyboard was."""
    side: str = CHAT
    """The pane beside the devices, or the last one that took their place."""
    second: str = LOGS
    """The last one other than the chat: where there is room, both are shown."""
    zoomed: bool = False

    def known(self) -> PanesState:
        """With what this version does not know replaced by what it begins with."""
        usual = PanesState()
        side = self.side if self.side in PANES else usual.side
        return PanesState(
            self.front if self.front in ALL_PANES else usual.front,
            side,
            self.second if self.second in PANES and self.second != CHAT else usual.second,
            self.zoomed,
        )

    def with_front(self, pane: str) -> PanesState:
        """The keyboard goes to a pane, which then stands beside the devices or in their place."""
        if pane == DEVICES:
            return replace(self, front=pane)
        return replace(self, front=pane, side=pane, second=self.second if pane == CHAT else pane)

    def shown(self, *, narrow: bool, both: bool) -> frozenset[str]:
        """The panes that are to be seen. `narrow`: there is room for one alone; `both`: for the chat and a second."""
        side = {CHAT, self.second} if both and not self.zoomed else {self.side}
        if narrow or self.zoomed:
            return frozenset({DEVICES} if self.front == DEVICES else side)
        return frozenset({DEVICES, *side})
