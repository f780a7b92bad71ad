"""Themes as Textual's, with hettui's own variables, and what named colours look like in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.terminal_theme import TerminalTheme
from textual.color import Color, ColorParseError
from textual.theme import Theme

from hettui.ui.colours.colour_math import contrast
from hettui.ui.colours.theme_file import DEVICES, SEMANTIC, TEXT_CONTRAST, read_theme

_FOCUS_TINT = 0.06
"""Of the foreground, in the ground of a pane that has the keyboard."""

# Needed before any theme is set, and by Textual's own themes, which do not know these names.
THEME_VARIABLE_DEFAULTS: dict[str, str] = {f"hettui-{name}": "#808080" for name in (*SEMANTIC, "primary-text")} | {
    f"hettui-device-{n}{suffix}": colour
    for n in range(1, DEVICES + 1)
    for suffix, colour in (("", "#808080"), ("-text", "#000000"))
}


def build_theme(source: str, data: Mapping[str, Any]) -> Theme:
    """A theme from a parsed file. Raises ConfigError that names file and key."""
    found = read_theme(source, data, _any_colour)
    # The plain ones are variables, too: Textual makes shades of them, and the middle one is a step darker.
    return Theme(name=found.name, dark=found.dark, variables=dict(found.all), **found.colors)  # type: ignore[arg-type]


def _any_colour(value: Any) -> str:
    try:
        return Color.parse(value).hex
    except (ColorParseError, TypeError, AttributeError) as error:
        raise ValueError(value) from error


def terminal_theme(theme: Theme) -> TerminalTheme:
    """What `red` or `cyan` are, where a widget names such a colour: this theme's own, and readable on its ground."""
    variables = theme.variables
    foreground, ground = Color.parse(theme.foreground or "#FFFFFF"), Color.parse(theme.background or "#000000")
    lit = ground.blend(foreground, _FOCUS_TINT)
    named = [theme.error, theme.success, theme.warning, theme.primary, variables.get("hettui-compute"), theme.accent]
    inks = [readable(Color.parse(name or theme.primary), lit, foreground).rgb for name in named]
    muted = Color.parse(variables.get("hettui-muted", theme.primary)).rgb
    row = [ground.rgb, *inks, foreground.rgb]
    return TerminalTheme(ground.rgb, foreground.rgb, row, [muted, *row[1:]])


def readable(color: Color, ground: Color, towards: Color) -> Color:
    """`color`, mixed with as much of `towards` as text in it needs on `ground`."""
    for tenth in range(10):
        mixed = color.blend(towards, tenth / 10)
        if contrast(mixed.rgb, ground.rgb) >= TEXT_CONTRAST:
            return mixed
    return towards
