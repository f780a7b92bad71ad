"""For tests of the screen: a style sheet is parsed once, not once for every screen."""

from __future__ import annotations

from typing import Any

import pytest
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet


@pytest.fixture(autouse=True, scope="session")
def _sheets_are_parsed_once() -> None:
    """Hundreds of screens have the same few sheets: an eighth of the time of every screen.

    Textual keeps what it has parsed for as long as one app lives, by the same key but for the theme's variables.
    """
    parse = Stylesheet._parse_rules
    kept: dict[tuple[Any, ...], list[RuleSet]] = {}

    def parsed(self: Stylesheet, *words: Any, **named: Any) -> list[RuleSet]:
        key = (tuple(self._variables.items()), words, tuple(named.items()))
        if key not in kept:
            kept[key] = parse(self, *words, **named)
        return kept[key]

    Stylesheet._parse_rules = parsed  # type: ignore[method-assign]
