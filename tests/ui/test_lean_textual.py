"""Textual's app can be imported without the command palette, and opens it all the same."""

from __future__ import annotations

import subprocess
import sys

_APP = """
import asyncio, sys
from hettui.ui.terminal.lean_textual import import_without_palette

import_without_palette()
assert "textual.app" in sys.modules
assert not {"textual.command", "textual.widgets._input", "textual.widgets._select"} & sys.modules.keys()

from tests.patience import patience
from tests.ui.stage import StageBackend, build, session

async def until(condition):
    async with asyncio.timeout(patience(20)):
        while not condition():
            await asyncio.sleep(0.01)

async def drive():
    backend = StageBackend(session())
    app = build(backend, "ember")
    async with app.run_test() as pilot:
        assert "textual.command" not in sys.modules
        await until(lambda: app.focused is not None)
        await pilot.press("ctrl+p")
        await until(lambda: "textual.command" in sys.modules)
        from textual.command import CommandPalette
        await until(lambda: isinstance(app.screen, CommandPalette) and CommandPalette.is_open(app))
        await pilot.press("ctrl+p")
        await pilot.press("escape")
        await until(lambda: not CommandPalette.is_open(app))
    backend.chats.close()

asyncio.run(drive())
print("well")
"""

_TOO_LATE = """
import textual.command, textual.app
from hettui.ui.terminal.lean_textual import import_palette, import_without_palette

before = textual.app.CommandPalette
import_without_palette()
import_palette()
assert textual.app.CommandPalette is before is textual.command.CommandPalette
print("well")
"""


def test_the_palette_comes_when_it_is_opened() -> None:
    assert _said_by(_APP) == "well\n"


def test_where_textual_is_there_already_nothing_changes() -> None:
    assert _said_by(_TOO_LATE) == "well\n"


def _said_by(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout
