"""Cuts a growing Markdown text into blocks that will not change any more, and the open end.

Only closed blocks are ever rendered; each is rendered once. What is open is shown as it is, but for an unfinished code
fence, of which the lines that are complete can be had. So a token costs the same at the start and at the end
of a long answer.
"""

from __future__ import annotations

from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass

MAX_BLOCK_CHARS = 1200
"""A block that grows beyond this is cut at a line's end: rendering one must not take longer than a frame or two."""

_FENCE = late_pattern(r"\s*(?P<mark>`{3,}|~{3,})(?P<info>[^`]*)$")
_LIST_ITEM = late_pattern(r"\s*(?:[-*+]|\d{1,9}[.)])\s")


@dataclass(frozen=True, slots=True)
class Block:
    """Markdown that is complete."""

    text: str
    joined: bool = False
    """Goes on where the block before was cut: no space between the two."""


class BlockSplitter:
    """`feed` gives the blocks that a piece of text has closed; `tail` is what is still open."""

    def __init__(self, max_block_chars: int = MAX_BLOCK_CHARS) -> None:
        self._limit = max_block_chars
        self._lines: list[str] = []
        self._chars = 0
        self._partial = ""
        self._fence: str | None = None
        self._opening = ""
        self._blank = False
        self._joined = False

    @property
    def tail(self) -> str:
        """The open block, its unfinished last line included."""
        lines = self._lines
        if self._joined and self._fence and lines:
            # The fence was opened again for the renderer's sake only: nobody wrote that line twice.
            lines = lines[1:]
        return "".join(line + "\n" for line in lines) + self._partial

    @property
    def code(self) -> list[str] | None:
        """The complete lines of a fence that is still open, with the one that opens it; None where none is open, or one
        that stands in a list. No more than a block may have."""
        return None if self._fence is None or self._in_list else self._lines

    @property
    def joined(self) -> bool:
        """What is open goes on where the last block was cut."""
        return self._joined

    @property
    def line(self) -> str:
        """What stands after the last line's end."""
        return self._partial

    def feed(self, text: str) -> list[Block]:
        *ended, rest = text.split("\n")
        blocks: list[Block] = []
        for line in ended:
            self._line(self._partial + line, blocks)
            self._partial = ""
        self._partial += rest
        return blocks

    def finish(self) -> list[Block]:
        """Everything that is left; an open fence is closed."""
        blocks: list[Block] = []
        if self._partial:
            rest, self._partial = self._partial, ""
            self._line(rest, blocks)
        if self._fence:
            self._lines.append(self._fence)
            self._fence = None
        self._close(blocks)
        return blocks

    def _line(self, line: str, blocks: list[Block]) -> None:
        if self._fence is not None:
            self._keep(line)
            stripped = line.strip()
            if stripped.startswith(self._fence) and not stripped.strip(self._fence[0]):
                self._fence = None
                if not self._in_list:
                    self._close(blocks)
            elif self._chars > self._limit:
                self._cut_fence(blocks)
            return
        if not line.strip():
            self._blank = bool(self._lines)
            if self._lines:
                self._keep("")
            return
        indented = line.startswith(("  ", "\t"))
        if self._blank and not (indented and self._in_list):
            self._close(blocks)
        self._blank = False
        fence = _FENCE.match(line)
        if fence:
            if self._lines and not indented:
                self._close(blocks)
            self._fence, self._opening = fence["mark"], line
        self._keep(line)
        if not fence and self._chars > self._limit:
            self._close(blocks)
            self._joined = True

    @property
    def _in_list(self) -> bool:
        return bool(self._lines) and _LIST_ITEM.match(self._lines[0]) is not None

    def _keep(self, line: str) -> None:
        self._lines.append(line)
        self._chars += len(line) + 1

    def _cut_fence(self, blocks: list[Block]) -> None:
        assert self._fence is not None  # noqa: S101 - for the type checker: only called inside one
        fence = self._fence
        self._lines.append(fence)
        self._close(blocks)
        self._keep(self._opening)
        self._joined, self._fence = True, fence

    def _close(self, blocks: list[Block]) -> None:
        text = "\n".join(self._lines).rstrip("\n")
        if text.strip():
            blocks.append(Block(text, self._joined))
        self._lines.clear()
        self._chars, self._blank, self._joined = 0, False, False
