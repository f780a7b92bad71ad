"""How somebody left the screen: which panes stood in front, and whether one had it all."""

from __future__ import annotations

from dataclasses import dataclass

DEVICES = "devices"
PANES = ("chat", "logs", "bench", "commands", "explain")


@dataclass(frozen=True, slots=True)
class PanesState:
    """Names are panes' ids."""

    front: str = DEVICES
    """Where the keyboard was."""
    side: str = "chat"
    """The pane beside the devices, or the last one that took their place."""
    second: str = "logs"
    """The last one other than the chat: where there is room, both are shown."""
    zoomed: bool = False

    def known(self) -> PanesState:
        """With what this version does not know replaced by what it begins with."""
        usual = PanesState()
        side = self.side if self.side in PANES else usual.side
        return PanesState(
            self.front if self.front in (DEVICES, *PANES) else usual.front,
            side,
            self.second if self.second in PANES[1:] else usual.second,
            self.zoomed,
        )
