"""Less to write and less to draw when little changes, as with every reading: for slow lines and small machines.

What Textual 8.2.8 does for one number that changes in a card: it writes the row from the widget's left edge on, with
a line feed behind it (`ChopsUpdate.render_segments` crops on the right only), some 250 bytes instead of 60; and it
renders every widget of the screen (`Compositor._get_renders` looks at clips, which are the containers').
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, Compositor
from textual.geometry import Region
from textual.strip import Strip


class FrugalCompositor(Compositor):
    """A screen's compositor whose partial updates are as small as the regions that were asked for."""

    def render_partial_update(self) -> ChopsUpdate | None:
        update = super().render_partial_update()
        return None if update is None else FrugalUpdate(update.chops, update.spans, update.chop_ends)

    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        """As its parent, front to back, but only of widgets that are there, and none behind one that covers it all."""
        if crop is None:
            yield from super()._get_renders()
            return
        for widget, (region, clip) in self.visible_widgets.items():
            shown = region.intersection(clip)
            if shown.overlaps(crop):
                yield region, clip, widget.render_lines(shown.translate(-region.offset))
                if shown.contains_region(crop):
                    return


class FrugalUpdate(ChopsUpdate):
    """The same cells as its parent writes, without those to the left of the change."""

    def render_segments(self, console: Console) -> str:
        written = []
        for y, x1, x2 in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= x2 or end <= x1:
                    continue
                first = max(x, x1)
                part = strip.crop(first - x, min(end, x2) - x).simplify()
                written += [Control.move_to(first, y).segment.text, part.render(console)]
        return "".join(written)
