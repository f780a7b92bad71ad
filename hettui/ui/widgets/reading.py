"""Whatever is read is scrolled by the same keys: arrows, vim's letters, half and whole pages."""

from __future__ import annotations

from textual.widget import Widget


class Reading(Widget, can_focus=True):
    """Mixed into panes, behind the container: Textual takes styles from a class's first base only.

    The keys are those of the place `reading` in the registry.
    """

    @property
    def scrolled(self) -> Widget:
        """What moves."""
        return self

    def action_move(self, how: str) -> None:
        """One of the registry's `move.…`."""
        moved = self.scrolled
        page = max(1, moved.scrollable_content_region.height)
        lines = {"up": -1, "down": 1, "half_up": -(page // 2), "half_down": page // 2, "page_up": -page}
        if how == "first":
            moved.scroll_home(animate=False)
        elif how == "last":
            moved.scroll_end(animate=False)
        elif how in ("left", "right"):
            moved.scroll_relative(x=-4 if how == "left" else 4, animate=False)
        else:
            moved.scroll_relative(y=lines.get(how, page), animate=False)
