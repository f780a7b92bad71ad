"""Theme files' data as Textual themes with hettui's own variables.

Every colour is parsed here: one that does not parse would later crash the style sheet with a message about
something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

from hettui.domain.errors import ConfigError

COLORS = (
    "primary", "secondary", "accent", "foreground", "background", "surface", "panel", "success", "warning", "error",
)  # fmt: skip
SEMANTIC = (
    "weights", "kv", "compute", "overhead", "foreign", "temp-ok", "temp-warn", "temp-crit",
    "ok", "warn", "crit", "ghost", "muted",
)  # fmt: skip
DEVICES = 16
DEFAULT_THEME = "ember"
_EVEN_LUMINANCE = 0.1791
"""Where black and white have the same contrast: (L + 0.05)² = 1.05 × 0.05."""

# Needed before any theme is set, and by Textual's own themes, which do not know these names.
THEME_VARIABLE_DEFAULTS: dict[str, str] = {f"hettui-{name}": "#808080" for name in SEMANTIC} | {
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
    return Theme(name=name, dark=bool(data.get("dark", True)), variables=variables, **colors)  # type: ignore[arg-type]


def ink(ground: str) -> str:
    """Black or white, whichever reads better on `ground` (WCAG's relative luminance): at least 4.58 to 1."""

    def linear(value: int) -> float:
        part = value / 255
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    color = Color.parse(ground)
    luminance = 0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)
    return "#000000" if luminance > _EVEN_LUMINANCE else "#FFFFFF"


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
