"""Markdown blocks into rows.

With its parser and its highlighter this costs a tenth of the time to the first frame, and nothing is to be rendered
before the first answer: `MarkdownView` imports it when it is needed, and the program on a thread once it is shown.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from markdown_it import MarkdownIt
from pygments.lexer import ExtendedRegexLexer, LexerContext, RegexLexer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement
from rich.padding import Padding
from rich.segment import Segment
from rich.style import Style
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme
from textual.strip import Strip

from hettui.ui.drawing.markdown_blocks import Block

_GAP = Strip([])

_PARSER = (
    MarkdownIt("commonmark", {"html": False}).disable(["html_block", "html_inline"]).enable(["strikethrough", "table"])
)


class _LeftHeading(Heading):
    """Rich centres headings and draws a box around the first kind: too loud for a chat."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _Code(CodeBlock):
    """Highlighted, on the widget's own ground; a long line is wrapped, for nobody can scroll sideways here."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).rstrip()
        # Not the Syntax itself, which renders line by line and takes several times as long.
        text = Syntax(code, self.lexer_name, theme=self.theme, background_color="default").highlight(code)
        text.rstrip()
        yield _padded(text)


def _padded(code: Text) -> Padding:
    code.no_wrap, code.overflow = False, "fold"
    return Padding(code, (0, 2))


class _ChatMarkdown(Markdown):
    """Markdown in which HTML is text: it is shown, and not swallowed as Rich does."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _LeftHeading,
        "fence": _Code,
        "code_block": _Code,
    }

    def __init__(self, text: str, code_theme: str) -> None:
        # Not Rich's own __init__, which builds a parser each time: that takes longer than a short block does.
        self.markup = text
        self.parsed = _PARSER.parse(text)
        self.code_theme = self.inline_code_theme = code_theme
        self.justify = self.inline_code_lexer = None
        self.style = "none"
        self.hyperlinks = False


class Renderer:
    """Blocks into rows of one width, in the colours of one theme."""

    def __init__(self, width: int, variables: Mapping[str, str], *, dark: bool) -> None:
        muted = variables.get("hettui-muted", "")
        accent = variables.get("accent", "")
        primary = variables.get("primary", "")
        styles: dict[str, Any] = {
            "markdown.code": f"bold {accent}",
            "markdown.code_block": accent,
            "markdown.block_quote": muted,
            "markdown.list": "",
            "markdown.item.bullet": f"bold {primary}",
            "markdown.item.number": f"bold {primary}",
            "markdown.hr": muted,
            "markdown.h1": f"bold underline {primary}",
            "markdown.h2": f"bold {primary}",
            "markdown.h3": f"bold {primary}",
            "markdown.h4": f"italic {primary}",
            "markdown.link": "underline",
            "markdown.link_url": f"{muted} underline",
            "markdown.table.border": muted,
            "markdown.table.header": "bold",
        }
        self.width = max(1, width)
        self._code_theme = "monokai" if dark else "xcode"
        self._console = Console(
            width=self.width,
            file=io.StringIO(),
            force_terminal=True,
            color_system="truecolor",
            legacy_windows=False,
            theme=Theme({name: style.strip() for name, style in styles.items()}),
        )

    def rows(self, block: Block) -> list[Strip]:
        rows = self._strips(_ChatMarkdown(block.text, self._code_theme))
        while rows and not rows[0].text.strip():
            rows.pop(0)
        while rows and not rows[-1].text.strip():
            rows.pop()
        return rows

    def code_rows(self, line: Text) -> list[Strip]:
        """Of one line of code."""
        return self._strips(_padded(line))

    def _strips(self, shown: Padding | Markdown) -> list[Strip]:
        lines = self._console.render_lines(shown, pad=False)
        return [Strip([Segment(s.text, _on_own_ground(s.style)) for s in line if not s.control]) for line in lines]

    def syntax(self, language: str) -> Syntax:
        return Syntax("", language or "text", theme=self._code_theme, background_color="default")


class OpenCode:
    """Lines of a fence that is still open, highlighted one by one as they come: what was before a line is only known by
    the lexer's state at its end. What a lexer says otherwise of the whole, the closed block shows.
    """

    def __init__(self, renderer: Renderer, opening: str) -> None:
        self._renderer = renderer
        # As Rich's CodeBlock reads it.
        self._syntax = renderer.syntax(opening.strip().lstrip("`~").partition(" ")[0])
        self._lexer = self._syntax.lexer
        self._state = ["root"]
        self.rows: list[Strip] = []

    def feed(self, line: str) -> None:
        """One more line, without its end."""
        if line.strip():
            text = self._highlighted(line)
            text.rstrip()
            self.rows += self._renderer.code_rows(text)
        elif self.rows:
            self.rows.append(_GAP)

    def _highlighted(self, line: str) -> Text:
        if not isinstance(self._lexer, RegexLexer):
            return self._syntax.highlight(line)
        style_of = self._syntax._theme.get_style_for_token
        context = LexerContext(line + "\n", 0, self._state)
        # Any lexer of this kind can be run so, which tells where it has come to; only the class says it of itself.
        tokens = ExtendedRegexLexer.get_tokens_unprocessed(self._lexer, context=context)
        text = Text(style=self._syntax._get_base_style(), tab_size=4)
        try:
            for _, kind, piece in tokens:
                text.append(piece.rstrip("\n"), style_of(kind))
        except (TypeError, AttributeError):
            # One whose own callbacks know no context.
            self._lexer = None
            return self._syntax.highlight(line)
        self._state = context.stack
        text.stylize("on default")
        return text


def append(rows: list[Strip], renderer: Renderer, block: Block) -> None:
    """The block's rows, after a gap unless it continues the one before."""
    if rows and not block.joined:
        rows.append(_GAP)
    rows.extend(renderer.rows(block))


def rendered(renderer: Renderer, blocks: Iterable[Block]) -> list[Strip]:
    """All of them, one under the other."""
    rows: list[Strip] = []
    for block in blocks:
        append(rows, renderer, block)
    return rows


def _on_own_ground(style: Style | None) -> Style | None:
    """Without the terminal's default ground, which is not this screen's: it would stand behind the words as patches."""
    if style is None or style.bgcolor is None or not style.bgcolor.is_default:
        return style
    return style.without_color + Style(color=style.color)
