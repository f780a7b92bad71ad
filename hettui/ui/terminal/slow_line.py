"""Less to write and less to draw when little changes, as with every reading: for slow lines and small machines.

What is drawn goes into a picture of the terminal; what is written is how that differs from what was written before
(`cells`), when the line has room for it (`pacing`). On a slow line frames so merge, and nothing piles up before the
answer to a key.

What Textual 8.2.8 does for one number that changes in a card: it writes the row from the widget's left edge on, with
a line feed behind it (`ChopsUpdate.render_segments` crops on the right only), some 250 bytes instead of 60; and it
renders every widget of the screen (`Compositor._get_renders` looks at clips, which are the containers').
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from rich.color import ColorSystem
from rich.console import Console, RenderableType
from rich.control import Control
from textual import events
from textual._compositor import ChopsUpdate, Compositor, LayoutUpdate
from textual.app import App
from textual.binding import ActiveBinding
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Region, Size
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import AwaitMount, Widget
from textual.widgets._toast import ToastRack

from hettui.ui.terminal.begun import Begun, SteadyDriver, driver_for
from hettui.ui.terminal.cells import Picture, cells_of
from hettui.ui.terminal.collector import RestingCollector
from hettui.ui.terminal.key_order import KeyOrder
from hettui.ui.terminal.pacing import QUERY, Pacer

_ReturnType = TypeVar("_ReturnType")
_QUEUED_WRITES = 2
"""So many wait for Textual's writing thread before no more are added: with thirty the loop itself would wait."""
_LOOK_AGAIN_S = 0.05
_FAREWELL_S = 1.0
"""So long an answer is waited for at the end."""
_HEAR_AGAIN_S = 0.01
_SIZES_AT_START = 2
"""So often the size is told at the start: by Textual itself, and by its driver, whose message comes late."""
_SYNC_FROM_BYTES = 400
"""A smaller frame is on the terminal at once anyway."""


class FrugalCompositor(Compositor):
    """A screen's compositor whose partial updates are as small as the regions that were asked for."""

    _asked: tuple[Region, ...] | None = None
    """What a partial update is made of."""

    def render_partial_update(self) -> ChopsUpdate | None:
        self._asked = tuple(self._dirty_regions)
        update = super().render_partial_update()
        self._asked = None
        return None if update is None else FrugalUpdate(update.chops, update.spans, update.chop_ends)

    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        """As its parent, front to back, but only of widgets that are asked for, and none behind one that covers it all.

        `crop` lies around all of what is asked for: with a row above and one below it is the whole screen.
        """
        if crop is None:
            yield from super()._get_renders()
            return
        for widget, (region, clip) in self.visible_widgets.items():
            shown = region.intersection(clip)
            if not shown.overlaps(crop):
                continue
            band = shown if self._asked is None else self._band(shown)
            if band:
                yield region, band, widget.render_lines(band.translate(-region.offset))
            if shown.contains_region(crop):
                return

    def _band(self, shown: Region) -> Region:
        """The rows of a widget from the first that is asked for to the last, in its whole width: where strips are cut
        depends on what lies before it."""
        asked = [region for region in self._asked or () if shown.overlaps(region)]
        if not asked:
            return Region()
        top = max(shown.y, min(region.y for region in asked))
        bottom = min(shown.bottom, max(region.bottom for region in asked))
        return Region(shown.x, top, shown.width, bottom - top)


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


class CalmScreen(Screen[_ReturnType]):
    """A screen that draws what was asked for alone, and whose footer is made anew only when it would be another one.

    Textual's makes a widget for each of its keys and lays everything out again, twice the work of a slider's key. It
    also lays everything out a second time as soon as it has: every widget is told its new size, the screen as well.
    """

    _told_of: object = None
    _composing = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.told_bindings: dict[str, ActiveBinding] = {}
        """What works now, as it was told last: to find it out takes a millisecond."""
        self._compositor = FrugalCompositor()

    async def _compose(self) -> None:
        # Textual sets them when the first layout is done: everything would be styled, laid out and drawn twice.
        width, height = self.app.size
        by_size = (
            *self._get_breakpoint_classes(width, self.HORIZONTAL_BREAKPOINTS or []),
            *self._get_breakpoint_classes(height, self.VERTICAL_BREAKPOINTS or []),
        )
        self.update_classes(dict.fromkeys(by_size, True), update=False)
        self._composing = True
        try:
            await super()._compose()
        finally:
            self._composing = False

    def call_next(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        # What is composed was waited for: waited for again, all of it is laid out and drawn again.
        if not (self._composing and isinstance(callback, AwaitMount)):
            super().call_next(callback, *args, **kwargs)

    def _extend_compose(self, widgets: list[Widget]) -> None:
        super()._extend_compose(widgets)
        for widget in widgets:
            if isinstance(widget, ToastRack):
                # As Textual sets it in the first frame, which is laid out once more then.
                widget.display = bool(self.app._notifications)

    def _screen_resized(self, size: Size) -> None:
        if size != self._compositor.size:
            super()._screen_resized(size)

    def _on_timer_update(self) -> None:
        if self._layout_required and self._repaint_required:
            # Textual draws once what moved, and then all of it.
            self._repaint_required = False
            self._dirty_widgets.add(self)
        super()._on_timer_update()

    def refresh_bindings(self) -> None:
        bindings = self.active_bindings
        shown = tuple((key, b.binding, b.enabled, b.tooltip) for key, b in bindings.items())
        state = shown, self.app.app_focus, len(self.bindings_updated_signal._subscriptions)
        if state != self._told_of:
            self._told_of, self.told_bindings = state, bindings
            super().refresh_bindings()


class SlowLineApp(App[_ReturnType]):
    """An app that writes to its terminal only what differs, and only as fast as the line takes it."""

    def __init__(self, begun: Begun | None = None) -> None:
        """`begun`: the early frame stands on the terminal already."""
        # Textual asks for its driver's class while it begins.
        self._begun = begun
        self.holds_early_frame = begun is not None
        """It stands alone until there is more to be seen than a screen without anything."""
        super().__init__()
        self.key_order = KeyOrder(self, super().on_event, held=begun is not None)
        self.collector = RestingCollector()
        self._picture = Picture() if begun is None else begun.picture
        self._pacer = Pacer()
        self._sizes_told = 0
        self._waiting = False
        """A timer looks whether the line has room."""
        self._leaving = False

    def get_default_screen(self) -> Screen[Any]:
        return CalmScreen(id="_default")

    def get_driver_class(self) -> type[Driver]:
        if self._begun is not None:
            return driver_for(self._begun)
        usual = super().get_driver_class()
        return SteadyDriver if usual is LinuxDriver else usual

    def let_go_of_early_frame(self, screen: Screen[Any]) -> None:
        """This screen shows it too, and is pushed now. Keys wait until it has mounted: those that come before would
        find nothing that has the keyboard, and overtake one another."""
        self.holds_early_frame = False
        screen.call_later(self.call_later, self.key_order.let_go)

    async def on_event(self, event: events.Event) -> None:
        typed = isinstance(event, events.InputEvent | events.Paste) and not event.is_forwarded
        if typed:
            self.collector.heard()
        await (self.key_order.take if typed else super().on_event)(event)

    def call_next(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        if isinstance(callback, AwaitMount) and callback._widgets == [callback._parent]:
            # A screen lays itself out when it is shown. Textual has it do so again as soon as it has mounted.
            super().call_next(callback._widgets[0]._mounted_event.wait)
        else:
            super().call_next(callback, *args, **kwargs)

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if self.holds_early_frame:
            self.post_display_hook()
            return
        known = isinstance(renderable, LayoutUpdate | ChopsUpdate)
        if not known or self._batch_count or self.is_headless or self.is_inline or self._driver is None:
            super()._display(screen, renderable)
            return
        try:
            if self._running and not self._closed:
                assert isinstance(renderable, LayoutUpdate | ChopsUpdate)  # noqa: S101 - for the type checker
                self._draw_into_picture(renderable)
                self._write_what_differs()
        finally:
            self.post_display_hook()

    def _draw_into_picture(self, update: LayoutUpdate | ChopsUpdate) -> None:
        self._picture.resize(*self.size)
        system = self.console._color_system or ColorSystem.TRUECOLOR
        if isinstance(update, LayoutUpdate):
            for y, line in enumerate(update.strips, update.region.y):
                segments = [segment for strip in line for segment in strip]
                self._picture.put(update.region.x, y, cells_of(segments, system))
            return
        for y, x1, x2 in update.spans:
            for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                if strip is not None and x < x2 and end > x1:
                    first = max(x, x1)
                    part = strip.crop(first - x, min(end, x2) - x)
                    self._picture.put(first, y, cells_of(part, system))

    def _write_what_differs(self) -> None:
        if not self._picture.pending or self._driver is None or self._leaving or self.holds_early_frame:
            return
        now_s = time.monotonic()
        if not self._pacer.answers and not self._pacer.mute and not self._pacer.under_way_bytes:
            # Alone and first: how long the way is, and whether the terminal answers at all.
            self._pacer.write(now_s, 0)
            self._driver.write(QUERY)
        elif not self._pacer.may_write(now_s) or self._queued_writes > _QUEUED_WRITES:
            self._look_again(self._pacer.wait_s(now_s))
            return
        text = self._picture.difference(self._pacer.piece_bytes())
        if not text:
            return
        place = self.screen.outer_size.clamp_offset(self.cursor_position)
        if place:
            # Where one types: there the terminal's own input methods open.
            text += Control.move_to(*place).segment.text
        if self._pacer.write(now_s, len(text.encode("utf-8", "replace"))):
            text += QUERY
        if len(text) >= _SYNC_FROM_BYTES:
            self._begin_update()
            self._driver.write(text)
            self._end_update()
        else:
            self._driver.write(text)
        self._driver.flush()
        if self._picture.pending:
            # The next piece, as soon as there is room; keys that have come meanwhile go first.
            self.call_later(self._write_what_differs)

    @property
    def _queued_writes(self) -> int:
        writer = getattr(self._driver, "_writer_thread", None)
        return 0 if writer is None else int(writer._queue.qsize())

    def _look_again(self, wait_s: float) -> None:
        if self._waiting:
            return
        self._waiting = True
        full = self._queued_writes > _QUEUED_WRITES
        self.set_timer(_LOOK_AGAIN_S if full else max(_LOOK_AGAIN_S, wait_s), self._looked_again)

    def _looked_again(self) -> None:
        self._waiting = False
        self._write_what_differs()

    def on_cursor_position(self, event: events.CursorPosition) -> None:
        """The terminal's answer: all that was written before the question has arrived."""
        event.stop()
        self._pacer.answered(time.monotonic())
        self._write_what_differs()

    def exit(
        self, result: _ReturnType | None = None, return_code: int = 0, message: RenderableType | None = None
    ) -> None:
        """Once the terminal has answered what it was asked: what comes later would be typed into the shell."""
        self._leaving = True
        self._exit_when_heard(time.monotonic() + _FAREWELL_S, result, return_code, message)

    def _exit_when_heard(
        self, until_s: float, result: _ReturnType | None, return_code: int, message: RenderableType | None
    ) -> None:
        if self.is_running and self._pacer.expects_answer and time.monotonic() < until_s:
            again = partial(self._exit_when_heard, until_s, result, return_code, message)
            self.set_timer(_HEAR_AGAIN_S, again)
        else:
            super().exit(result, return_code, message)

    def step_aside(self, work: Callable[[], None]) -> None:
        """Gives the terminal to `work`, which blocks and talks with the user there, and takes it back. Begins once the
        terminal has answered what it was asked: what comes later would be typed into what runs there."""
        self._leaving = True
        self._aside_when_heard(time.monotonic() + _FAREWELL_S, work)

    def _aside_when_heard(self, until_s: float, work: Callable[[], None]) -> None:
        if self._pacer.expects_answer and time.monotonic() < until_s:
            self.set_timer(_HEAR_AGAIN_S, partial(self._aside_when_heard, until_s, work))
            return
        try:
            with self.suspend():
                work()
        finally:
            self._leaving = False
            self._picture.forget()
            self.call_after_refresh(self._write_what_differs)

    def on_resize(self) -> None:
        """Also after a stop with SIGTSTP: the terminal shows what others wrote meanwhile."""
        self._sizes_told += 1
        if self._sizes_told <= _SIZES_AT_START and self._picture.size == self.size:
            # No news: what stands was drawn for it. The whole screen would be written twice.
            return
        self._picture.forget()
        self.call_after_refresh(self._write_what_differs)
