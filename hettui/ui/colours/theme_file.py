"""A theme's file as colours by the names that widgets use: pure, so that a first frame need not wait for Textual.

Every colour is parsed here: one that does not parse would later crash the style sheet with a message about
something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hettui.domain.errors import ConfigError
from hettui.domain.records import dataclass
from hettui.ui.colours.colour_math import luminance, rgb_of

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
_EVEN_LUMINANCE = 0.1791
"""Where black and white have the same contrast: (L + 0.05)² = 1.05 × 0.05."""


@dataclass(frozen=True, slots=True)
class ThemeColours:
    """Each as `#RRGGBB`, with two digits more where it is not opaque."""

    name: str
    dark: bool
    colors: Mapping[str, str]
    """Those that every Textual theme has."""
    variables: Mapping[str, str]
    """Our own."""

    @property
    def all(self) -> Mapping[str, str]:
        return {**self.colors, **self.variables}


def read_theme(source: str, data: Mapping[str, Any], parse: Callable[[Any], str]) -> ThemeColours:
    """A theme of a parsed file. `parse` makes `#RRGGBB` of what stands for a colour, or raises ValueError. Raises
    ConfigError that names file and key."""
    name = data.get("name")
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigError(f"theme {source}: name must be a word, found {name!r}")
    reading = _Reading(source, parse)
    colors = reading.colours("colors", data.get("colors"), COLORS)
    semantic = reading.colours("hettui", data.get("hettui"), SEMANTIC)
    variables = {f"hettui-{key}": value for key, value in semantic.items()}
    for n, value in enumerate(reading.of_devices(data.get("devices")), 1):
        variables[f"hettui-device-{n}"] = value
        variables[f"hettui-device-{n}-text"] = ink(value)
    variables["hettui-primary-text"] = ink(colors["primary"])
    return ThemeColours(name, bool(data.get("dark", True)), colors, variables)


def plain_colour(value: Any) -> str:
    """Of a colour that stands as `#RRGGBB`. Raises ValueError for all others: Textual knows more of them."""
    if not isinstance(value, str) or len(value) != 7:
        raise ValueError(value)
    rgb_of(value)
    return value.upper()


def ink(ground: str) -> str:
    """Black or white, whichever reads better on `ground`, which is `#RRGGBB`: at least 4.58 to 1."""
    return "#000000" if luminance(rgb_of(ground)) > _EVEN_LUMINANCE else "#FFFFFF"


class _Reading:
    """What every error names, and how a colour is read."""

    def __init__(self, source: str, parse: Callable[[Any], str]) -> None:
        self._source = source
        self._parse = parse

    def colours(self, section: str, table: Any, wanted: tuple[str, ...]) -> dict[str, str]:
        if not isinstance(table, Mapping):
            raise ConfigError(f"theme {self._source}: the table [{section}] is missing")
        unknown = [key for key in table if key not in wanted]
        missing = [key for key in wanted if key not in table]
        if unknown or missing:
            what = f"unknown key {unknown[0]}" if unknown else f"{missing[0]} is missing"
            raise ConfigError(f"theme {self._source}: [{section}]: {what}")
        return {key: self._parsed(f"[{section}] {key}", table[key]) for key in wanted}

    def of_devices(self, table: Any) -> list[str]:
        colors = table.get("colors") if isinstance(table, Mapping) else None
        if not isinstance(colors, list) or len(colors) != DEVICES:
            raise ConfigError(f"theme {self._source}: [devices] colors must be a list of {DEVICES} colours")
        return [self._parsed(f"[devices] colour {n}", value) for n, value in enumerate(colors, 1)]

    def _parsed(self, key: str, value: Any) -> str:
        try:
            return self._parse(value)
        except ValueError:
            raise ConfigError(
                f'theme {self._source}: {key}: found {value!r}, allowed: a colour such as "#F2994A"'
            ) from None
