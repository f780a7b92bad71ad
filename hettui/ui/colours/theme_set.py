"""All themes by name, kept up to date with their files. A file that breaks leaves what it was before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.theme import Theme

from hettui.domain.errors import ConfigError
from hettui.ports import ThemeFiles
from hettui.ui.colours.themes import build_theme


class ThemeSet:
    """Later files go before earlier ones of the same name: the user's before the shipped."""

    def __init__(self) -> None:
        self._good: dict[str, Theme] = {}
        """The last good version of each file."""
        self._told: set[str] = set()

    @property
    def themes(self) -> Mapping[str, Theme]:
        return {theme.name: theme for theme in self._good.values()}

    def update(self, files: ThemeFiles) -> Sequence[str]:
        """Takes the files as they are now; sentences about what is wrong and was not so the last time."""
        good: dict[str, Theme] = {}
        problems: list[str] = []
        # A file that has become unreadable keeps its place: at the end, as those of the user are.
        for path in [*files.parsed, *(path for path in files.unreadable if path not in files.parsed)]:
            before = self._good.get(path)
            problem: str | None = files.unreadable.get(path)
            if problem is None:
                try:
                    good[path] = build_theme(path, files.parsed[path])
                except ConfigError as error:
                    problem = str(error)
            if problem is not None:
                problems.append(problem + ("; the theme stays as it was" if before else ""))
                if before:
                    good[path] = before
        self._good = good
        fresh = [problem for problem in problems if problem not in self._told]
        self._told = set(problems)
        return fresh
