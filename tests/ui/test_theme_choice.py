"""Choosing a theme, and files that change while the screen is open."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from textual.widgets import OptionList

from hettui.adapters.files.config_toml import load
from hettui.domain.config.values import Config
from hettui.ports import ThemeFiles
from hettui.ui.app import HettuiApp
from hettui.ui.dialogs.themes import ThemeScreen
from hettui.ui.screens.main import MainScreen
from hettui.wiring.backend import ScreenBackend
from tests.ui.stage import Stage, StageBackend, session, shipped_themes, stage, text_of

MINE = "/config/themes/mine.toml"


@dataclass
class Shelf:
    """Implements ThemeShelf."""

    tellers: list[Callable[[ThemeFiles], None]] = field(default_factory=list)

    def read(self) -> ThemeFiles:
        return shipped_themes()

    def watch(self, tell: Callable[[ThemeFiles], None]) -> Callable[[], None]:
        self.tellers.append(tell)
        return lambda: self.tellers.remove(tell)


def with_mine(**colors: str) -> ThemeFiles:
    parsed = dict(shipped_themes().parsed)
    data: dict[str, Any] = copy.deepcopy(dict(next(t for t in parsed.values() if t["name"] == "ember")))
    data["name"] = "mine"
    data["colors"].update(colors)
    return ThemeFiles({**parsed, MINE: data}, {})


@contextmanager
def shelved() -> Iterator[tuple[HettuiApp, StageBackend, Shelf]]:
    shelf = Shelf()
    backend = StageBackend(session())
    yield HettuiApp(backend, shelf.read(), shelf=shelf), backend, shelf
    backend.chats.close()


def grounds(app: HettuiApp) -> set[str]:
    """Of all cells."""
    styles = {style for strip in app.screen._compositor.render_strips() for _, style, _ in strip if style}
    return {style.bgcolor.get_truecolor().hex for style in styles if style.bgcolor is not None}


async def chooser(s: Stage) -> OptionList:
    await s.press("T")
    assert isinstance(s.app.screen, ThemeScreen)
    return s.app.screen.query_one(OptionList)


async def test_the_highlight_shows_a_theme_at_once_and_esc_gives_the_old_one_back() -> None:
    async with stage() as s:
        assert s.app.theme == "ember"
        before = grounds(s.app)
        choices = await chooser(s)
        assert choices.highlighted is not None
        assert choices.get_option_at_index(choices.highlighted).id == "ember"
        await s.press("down")
        assert s.app.theme == "moss"
        # The main screen behind, not the dialog alone.
        await s.until(lambda: "#111611" in grounds(s.app) and "#16130f" not in grounds(s.app))
        await s.press("j", "k", "k", "k")
        assert s.app.theme == "contrast"
        await s.press("escape")
        assert s.app.theme == "ember"
        await s.until(lambda: grounds(s.app) == before)
        assert s.backend.kept_themes == []


async def test_enter_keeps_it_and_says_where() -> None:
    opened = replace(session(), config=replace(session().config, path="/config/config.toml"))
    async with stage(opened) as s:
        await chooser(s)
        await s.press("end", "enter")
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert isinstance(s.app.screen, MainScreen)
        assert s.app.theme == "paper"
        assert s.backend.kept_themes == ["paper"]
        assert any("/config/config.toml" in toast for toast in s.toasts())


async def test_every_theme_can_be_chosen_on_a_small_terminal() -> None:
    async with stage(size=(80, 24)) as s:
        choices = await chooser(s)
        shown = s.text()
        for option in choices.options:
            assert str(option.id) in shown
        assert "Esc the one before" in shown


def test_the_configuration_keeps_its_comments(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('# mine\n[ui]\ntheme = "ember"  # warm\nbell = true\n')
    opened = replace(session(), config=load(file))
    backend = cast(ScreenBackend, None)  # nothing of it is needed
    assert ScreenBackend.keep_theme(backend, opened, "tide") == str(file)
    assert file.read_text() == '# mine\n[ui]\ntheme = "tide"  # warm\nbell = true\n'
    assert ScreenBackend.keep_theme(backend, replace(opened, config=Config()), "tide") is None


async def test_a_new_a_changed_and_a_removed_file_apply_at_once() -> None:
    with shelved() as (app, _, shelf):
        async with app.run_test(size=(100, 30)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            shelf.tellers[0](with_mine())
            await pilot.pause()
            await pilot.press("T")
            assert "mine" in text_of(app)
            app.theme = "mine"
            shelf.tellers[0](with_mine(background="#102030"))
            await pilot.pause()
            assert "#102030" in grounds(app)
            assert isinstance(app.screen, ThemeScreen)
            shelf.tellers[0](shipped_themes())
            await pilot.pause()
            assert "mine" not in [str(o.id) for o in app.screen.query_one(OptionList).options]
            await pilot.press("escape")
            assert app.theme == "ember"
            assert "#102030" not in grounds(app)
            assert any("mine is gone" in n.message for n in app._notifications)
        assert shelf.tellers == []


async def test_a_broken_file_is_told_once_and_changes_nothing() -> None:
    with shelved() as (app, _, shelf):
        async with app.run_test(size=(100, 30)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            shelf.tellers[0](with_mine(background="#102030"))
            await pilot.pause()
            app.theme = "mine"
            await pilot.pause()
            for broken in (with_mine(background="bleu-ish"), with_mine(background="bleu-ish")):
                shelf.tellers[0](broken)
                await pilot.pause()
            (toast,) = [n.message for n in app._notifications if "bleu-ish" in n.message]
            for part in (MINE, "[colors] background", "allowed: a colour such as", "stays as it was"):
                assert part in toast
            assert "#102030" in grounds(app)
            shelf.tellers[0](ThemeFiles(shipped_themes().parsed, {MINE: f"theme {MINE}: Invalid value"}))
            await pilot.pause()
            assert app.theme == "mine"
            assert "#102030" in grounds(app)
            # Mended: and the next mistake is told again.
            shelf.tellers[0](with_mine(background="#203040"))
            await pilot.pause()
            assert "#203040" in grounds(app)


async def test_a_user_may_have_another_ember() -> None:
    with shelved() as (app, _, shelf):
        async with app.run_test(size=(100, 30)) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            files = with_mine(background="#102030")
            own = {**files.parsed[MINE], "name": "ember"}
            shelf.tellers[0](ThemeFiles({**shipped_themes().parsed, MINE: own}, {}))
            await pilot.pause()
            assert "#102030" in grounds(app)
            shelf.tellers[0](shipped_themes())
            await pilot.pause()
            assert "#16130f" in grounds(app)
