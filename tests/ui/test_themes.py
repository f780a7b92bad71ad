"""Themes: the shipped ones are complete and readable, a broken one says where and costs nothing else."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from textual.color import Color

from hettui.adapters.resources import resource_folder
from hettui.adapters.theme_files import read_themes
from hettui.domain.errors import ConfigError
from hettui.domain.plan import Plan
from hettui.domain.split import Split
from hettui.services.events import ClusterChanged
from hettui.ui.themes import DEFAULT_THEME, build_theme, ink
from tests.ui.stage import StageBackend, build, readings, running, session

FILES = sorted(resource_folder("themes").glob("*.toml"))
TEXT_CONTRAST = 4.5
"""WCAG AA for text."""
GRAPHIC_CONTRAST = 3.0
"""WCAG AA for graphics."""


def theme(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def luminance(color: Color) -> float:
    def channel(value: int) -> float:
        part = value / 255
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    return 0.2126 * channel(color.r) + 0.7152 * channel(color.g) + 0.0722 * channel(color.b)


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(Color.parse(one)), luminance(Color.parse(other))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_promised_kinds_are_there() -> None:
    found = {t["name"]: t for t in map(theme, FILES)}
    assert DEFAULT_THEME in found
    assert {t["dark"] for t in found.values()} == {True, False}
    assert "contrast" in found


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_text_and_gauges_can_be_read(path: Path) -> None:
    data = theme(path)
    build_theme(str(path), data)
    colors, own = data["colors"], data["hettui"]
    for ground in ("background", "surface", "panel"):
        for name in ("foreground",):
            assert contrast(colors[name], colors[ground]) >= TEXT_CONTRAST, (name, ground)
        for name in ("muted", "ok", "warn", "crit"):
            assert contrast(own[name], colors[ground]) >= TEXT_CONTRAST, (name, ground)
    for ground in ("background", "surface"):
        for name in ("weights", "kv", "compute", "overhead", "temp-ok", "temp-warn", "temp-crit"):
            assert contrast(own[name], colors[ground]) >= GRAPHIC_CONTRAST, (name, ground)
    for number, value in enumerate(data["devices"]["colors"], 1):
        assert contrast(ink(value), value) >= TEXT_CONTRAST, f"device {number}"
        assert contrast(value, colors["background"]) >= 1.5, f"device {number} on the background"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("name"), "name must be a word"),
        (lambda t: t.pop("colors"), "the table [colors] is missing"),
        (lambda t: t["colors"].pop("panel"), "[colors]: panel is missing"),
        (lambda t: t["colors"].update(primaryy="#fff"), "unknown key primaryy"),
        (lambda t: t["hettui"].update(kv="bleu-ish"), "[hettui] kv: found 'bleu-ish'"),
        (lambda t: t["hettui"].update(kv=7), "[hettui] kv: found 7"),
        (lambda t: t["devices"]["colors"].pop(), "a list of 16 colours"),
    ],
)
def test_a_broken_theme_says_where(change: Any, says: str) -> None:
    data = copy.deepcopy(theme(FILES[0]))
    change(data)
    with pytest.raises(ConfigError) as caught:
        build_theme("mine.toml", data)
    assert says in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_unreadable_files_cost_only_themselves(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text(FILES[0].read_text())
    (tmp_path / "bad.toml").write_text("name = ")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    (tmp_path / "folder.toml").mkdir()
    themes, problems = read_themes([tmp_path / "missing", tmp_path])
    assert [Path(p).name for p in themes] == ["good.toml"]
    assert len(problems) == 3
    assert all("\n" not in p for p in problems)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
async def test_every_character_on_the_screen_can_be_read(path: Path) -> None:
    backend = StageBackend(session())
    app = build(backend, theme(path)["name"])
    async with app.run_test(size=(120, 40)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.press("down", "down", "L", "L")
        devices = session().devices
        backend.engine.emit(ClusterChanged(running(Plan(devices, Split((18, 12, 1), 31)))))
        backend.engine.emit(readings(devices))
        await pilot.pause()
        for key in ("c", "escape", "v", "g"):
            await pilot.press(key)
            for strip in app.screen._compositor.render_strips():
                for text, style, _ in strip:
                    if not any(map(str.isalnum, text)) or style is None or style.color is None or style.bgcolor is None:
                        continue
                    ink_, ground = style.color.get_truecolor().hex, style.bgcolor.get_truecolor().hex
                    # A key that does nothing now is greyed on purpose.
                    assert contrast(ink_, ground) >= 2.0, f"{text!r}: {ink_} on {ground}"
