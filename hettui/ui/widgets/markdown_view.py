"""One answer as rendered Markdown, in one widget, drawn row by row.

Textual's own Markdown makes a widget of every paragraph and lays all of them out again while the answer grows. Here
closed blocks are rendered once into rows; the open end is plain text, wrapped as it comes. Of a fence that is open
each line is highlighted at its end. A token so costs the same in a long answer as in a short one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from textual.geometry import Region, Size
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from hettui.ui.drawing.markdown_blocks import Block, BlockSplitter
from hettui.ui.drawing.wrapping import GrowingRows

if TYPE_CHECKING:
    from hettui.ui.widgets.markdown_rows import OpenCode, Renderer

_GAP = Strip([])
_CODE_MARGIN = "  "
"""As Markdown's rows have it left and right of code."""
_AT_ONCE_CHARS = 4000
"""So much is rendered within two or three frames."""


class MarkdownView(Widget):
    """`feed` text as it comes, `finish` when it is complete. The text must be clean already."""

    DEFAULT_CSS = """
    MarkdownView { height: auto; }
    """

    def __init__(self, *, plain: bool = False) -> None:
        """`plain` shows the text as it is: a raw completion is no Markdown."""
        super().__init__()
        self._plain = plain
        self._splitter = BlockSplitter()
        self._blocks: list[Block] = []
        self._renderer: Renderer | None = None
        self._rows: list[Strip] = []
        self._tail = GrowingRows(1, cell_len)
        self._code: OpenCode | None = None
        """The lines of an open fence, where one is: the tail then is only the line that is being written."""
        self._coded = 0
        """How many of the splitter's lines of it are there."""
        self._laying_out = False
        """A thread renders all blocks anew."""

    # -- text ----------------------------------------------------------------------------------------------

    def feed(self, text: str) -> None:
        """More text. Costs as much as the text is long, and the rendering of what it closes."""
        before = self._height
        blocks = [] if self._plain else self._splitter.feed(text)
        changed = 0
        if self._plain:
            self._blocks.append(Block(text))
        elif blocks:
            self._add(blocks)
        if blocks or ("\n" in text and (self._code is None) is not (self._splitter.code is None)):
            changed = len(self._rows)
            self._restart_tail()
        elif "\n" in text and self._code is not None:
            changed = self._above + len(self._code.rows)
            self._follow_code()
        elif self._renderer is not None:
            changed = self._tail.feed(text if self._tail.rows or self._plain else text.lstrip("\n"))
            changed += self._above + self._code_rows
        self._grown(before, changed)

    def finish(self) -> None:
        """Nothing more comes: the open end is rendered too."""
        if self._plain:
            return
        before = self._height
        self._add(self._splitter.finish())
        self._restart_tail()
        self._grown(before)

    def _add(self, blocks: Iterable[Block]) -> None:
        from hettui.ui.widgets.markdown_rows import append

        for block in blocks:
            self._blocks.append(block)
            if self._renderer is not None and not self._laying_out:
                append(self._rows, self._renderer, block)

    def _restart_tail(self) -> None:
        """What is open, anew: after a block was closed, or a fence opened."""
        code = self._splitter.code
        if code is not None and self._renderer is not None:
            from hettui.ui.widgets.markdown_rows import OpenCode

            self._code, self._coded = OpenCode(self._renderer, code[0]), 1
            self._follow_code()
            return
        self._code = None
        self._tail = GrowingRows(self._width, cell_len)
        text = self._splitter.tail
        if text.strip("\n"):
            self._tail.feed(text.lstrip("\n"))

    def _follow_code(self) -> None:
        """Lines of the open fence are complete."""
        code = self._splitter.code or []
        if self._code is not None:
            for line in code[self._coded :]:
                self._code.feed(line)
        self._coded = len(code)
        self._tail = GrowingRows(self._width - 2 * len(_CODE_MARGIN), cell_len)
        if self._splitter.line:
            self._tail.feed(self._splitter.line)

    @property
    def _code_rows(self) -> int:
        return len(self._code.rows) if self._code is not None else 0

    @property
    def _width(self) -> int:
        return 1 if self._renderer is None else self._renderer.width

    # -- rows ----------------------------------------------------------------------------------------------

    @property
    def _height(self) -> int:
        is_open = self._code_rows + len(self._tail.rows)
        return self._above + is_open if is_open else len(self._rows)

    @property
    def _above(self) -> int:
        """Rows above the open end, with the gap between the two; none where a long fence goes on."""
        gap = 1 if self._rows and not self._splitter.joined else 0
        return len(self._rows) + gap

    def _grown(self, before: int, changed: int = 0) -> None:
        """Repaints the rows from `changed` on; only a new height lays the screen out anew."""
        if self._renderer is None:
            return
        if self._height != before:
            self.refresh(layout=True)
        else:
            self.refresh(Region(0, changed, self.size.width, max(1, self._height - changed)))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        if self._renderer is None or self._renderer.width != width:
            self._lay_out(width)
        return self._height

    def _lay_out(self, width: int) -> None:
        """Everything anew, at another width or in other colours. A long text on a thread: keys go on meanwhile."""
        from hettui.ui.widgets.markdown_rows import Renderer, rendered

        renderer = Renderer(width, self.app.theme_variables, dark=self.app.current_theme.dark)
        self._renderer = renderer
        if self._plain:
            self._tail = GrowingRows(width, cell_len)
            self._tail.feed("".join(block.text for block in self._blocks))
            return
        blocks = tuple(self._blocks)
        self._restart_tail()
        self._laying_out = sum(len(block.text) for block in blocks) > _AT_ONCE_CHARS
        if not self._laying_out:
            self._rows = rendered(renderer, blocks)
            return

        def render() -> None:
            rows = rendered(renderer, blocks)
            self.app.call_later(self._laid_out, renderer, rows, len(blocks))

        self.run_worker(render, group="layout", exclusive=True, thread=True, exit_on_error=False)

    def _laid_out(self, renderer: Renderer, rows: list[Strip], count: int) -> None:
        if renderer is not self._renderer or not self.is_attached:
            return
        from hettui.ui.widgets.markdown_rows import append

        self._laying_out = False
        self._rows = rows
        # What was closed meanwhile.
        for block in self._blocks[count:]:
            append(rows, renderer, block)
        self.refresh(layout=True)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        if self._renderer is not None:
            self._lay_out(self._renderer.width)

    def _row(self, y: int) -> Strip:
        if y < len(self._rows):
            return self._rows[y]
        y -= self._above
        code = self._code.rows if self._code is not None else []
        if 0 <= y < len(code):
            return code[y]
        y -= len(code)
        margin = "" if self._code is None else _CODE_MARGIN
        return Strip([Segment(margin + self._tail.rows[y])]) if 0 <= y < len(self._tail.rows) else _GAP

    def render_line(self, y: int) -> Strip:
        strip = self._row(y).apply_style(self.rich_style).adjust_cell_length(self.size.width, self.rich_style)
        if (selection := self.text_selection) is not None and (span := selection.get_span(y)) is not None:
            start, end = span
            end = strip.cell_length if end == -1 else end
            style = self.screen.get_component_rich_style("screen--selection")
            chosen = strip.crop(start, end)
            strip = Strip.join(
                [strip.crop(0, start), Strip(Segment.apply_style(chosen, post_style=style)), strip.crop(end)]
            )
        return strip.apply_offsets(0, y)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """What is selected with the mouse, as it stands on the screen."""
        return selection.extract("\n".join(self._row(y).text.rstrip() for y in range(self._height))), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()
