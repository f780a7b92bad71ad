"""Theme files' data as Textual themes with hettui's own variables.

Every colour is parsed here: one that does not parse would later crash the style sheet with a message about
something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.terminal_theme import TerminalTheme
from textual.color import Color, ColorParseError
from textual.theme import Theme

from hettui.domain.errors import ConfigError
from hettui.ui.colours.colour_math import contrast, luminance

COLORS = (
    "primary", "secondary", "accent", "foreground", "background", "surface", "panel", "success", "warning", "error",
)  # fmt: skip
SEMANTIC = (
    "weights", "kv", "compute", "overhead", "foreign", "temp-ok", "temp-warn", "temp-crit",
    "ok", "warn", "crit", "ghost", "muted",
)  # fmt: skip
DEVICES = 16
DEFAULT_THEME = "ember"
TEXT_CONTRAST = 4.5
"""WCAG AA for text."""
_FOCUS_TINT = 0.06
"""Of the foreground, in the ground of a pane that has the keyboard."""
_EVEN_LUMINANCE = 0.1791
"""Where black and white have the same contrast: (L + 0.05)² = 1.05 × 0.05."""

# Needed before any theme is set, and by Textual's own themes, which do not know these names.
THEME_VARIABLE_DEFAULTS: dict[str, str] = {f"hettui-{name}": "#808080" for name in (*SEMANTIC, "primary-text")} | {
    f"hettui-device-{n}{suffix}": colour
    for n in range(1, DEVICES + 1)
    for suffix, colour in (("", "#808080"), ("-text", "#000000"))
}


def build_theme(source: str, data: Mapping[str, Any]) -> Theme:
    """A theme from a parsed file. Raises ConfigError that names file and key."""
    name = data.get("name")
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigError(f"theme {source}: name must be a word, found {name!r}")
    colors = _colours(source, "colors", data.get("colors"), COLORS)
    semantic = _colours(source, "hettui", data.get("hettui"), SEMANTIC)
    variables = {f"hettui-{key}": value for key, value in semantic.items()}
    for n, value in enumerate(_device_colours(source, data.get("devices")), 1):
        variables[f"hettui-device-{n}"] = value
        variables[f"hettui-device-{n}-text"] = ink(value)
    variables["hettui-primary-text"] = ink(colors["primary"])
    return Theme(name=name, dark=bool(data.get("dark", True)), variables=variables, **colors)  # type: ignore[arg-type]


def ink(ground: str) -> str:
    """Black or white, whichever reads better on `ground`: at least 4.58 to 1."""
    return "#000000" if luminance(Color.parse(ground).rgb) > _EVEN_LUMINANCE else "#FFFFFF"


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


def _colours(source: str, section: str, table: Any, wanted: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(table, Mapping):
        raise ConfigError(f"theme {source}: the table [{section}] is missing")
    unknown = [key for key in table if key not in wanted]
    missing = [key for key in wanted if key not in table]
    if unknown or missing:
        what = f"unknown key {unknown[0]}" if unknown else f"{missing[0]} is missing"
        raise ConfigError(f"theme {source}: [{section}]: {what}")
    return {key: _parsed(source, f"[{section}] {key}", table[key]) for key in wanted}


def _device_colours(source: str, table: Any) -> list[str]:
    colors = table.get("colors") if isinstance(table, Mapping) else None
    if not isinstance(colors, list) or len(colors) != DEVICES:
        raise ConfigError(f"theme {source}: [devices] colors must be a list of {DEVICES} colours")
    return [_parsed(source, f"[devices] colour {n}", value) for n, value in enumerate(colors, 1)]


def _parsed(source: str, key: str, value: Any) -> str:
    try:
        return Color.parse(value).hex
    except (ColorParseError, TypeError, AttributeError):
        raise ConfigError(f'theme {source}: {key}: found {value!r}, allowed: a colour such as "#F2994A"') from None
