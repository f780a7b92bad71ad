"""Themes: the shipped ones are complete and readable, a broken one says where and costs nothing else."""

from __future__ import annotations

import copy
import tomllib
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from textual.color import Color

from hettui.adapters.files.resources import resource_folder
from hettui.adapters.files.theme_files import read_themes
from hettui.domain.errors import ConfigError
from hettui.ui.colours.colour_math import RGB, contrast
from hettui.ui.colours.theme_file import DEFAULT_THEME, TEXT_CONTRAST, ink
from hettui.ui.colours.themes import build_theme, terminal_theme
from tests.ui.colour_vision import difference

FILES = sorted(resource_folder("themes").glob("*.toml"))
GRAPHIC_CONTRAST = 3.0
"""WCAG AA for graphics."""
APART = 14.0
"""ΔE between things that stand beside each other: six times what one just notices."""
STATES_APART = 12.0
FILLS = ("weights", "kv", "compute", "overhead", "foreign")


def theme(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def rgb(colour: str) -> RGB:
    return Color.parse(colour).rgb


def between(one: str, other: str) -> float:
    return contrast(rgb(one), rgb(other))


def test_the_promised_kinds_are_there() -> None:
    found = {t["name"]: t for t in map(theme, FILES)}
    assert DEFAULT_THEME in found
    assert len(found) >= 8
    assert sum(not t["dark"] for t in found.values()) >= 2
    assert {"contrast", "beacon"} <= set(found)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_text_and_gauges_can_be_read(path: Path) -> None:
    data = theme(path)
    built = build_theme(str(path), data)
    colors, own = data["colors"], data["hettui"]
    for ground in ("background", "surface", "panel"):
        assert between(colors["foreground"], colors[ground]) >= TEXT_CONTRAST, ground
        for name in ("muted", "ok", "warn", "crit"):
            assert between(own[name], colors[ground]) >= TEXT_CONTRAST, (name, ground)
    for ground in ("background", "surface"):
        for name in (*FILLS, "temp-ok", "temp-warn", "temp-crit"):
            assert between(own[name], colors[ground]) >= GRAPHIC_CONTRAST, (name, ground)
    for number, value in enumerate(data["devices"]["colors"], 1):
        assert between(ink(value), value) >= TEXT_CONTRAST, f"device {number}"
        assert between(value, colors["background"]) >= GRAPHIC_CONTRAST, f"device {number} on the background"
    for number, named in enumerate(terminal_theme(built).ansi_colors._colors[1:], 1):
        assert contrast(named, rgb(colors["background"])) >= TEXT_CONTRAST, f"the terminal's colour {number}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_devices_are_told_apart_in_red_green_blindness_too(path: Path) -> None:
    devices = [rgb(value) for value in theme(path)["devices"]["colors"]]
    for (i, one), (j, other) in combinations(enumerate(devices[:8], 1), 2):
        assert difference(one, other) >= APART, f"devices {i} and {j}"
    for i, one in enumerate(devices):
        assert difference(one, devices[(i + 1) % len(devices)]) >= APART, f"device {i + 1} and the next"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_fills_and_states_are_told_apart_in_red_green_blindness_too(path: Path) -> None:
    own = theme(path)["hettui"]
    for one, other in combinations(FILLS, 2):
        assert difference(rgb(own[one]), rgb(own[other])) >= APART, (one, other)
    for one, other in combinations(("ok", "warn", "crit"), 2):
        assert difference(rgb(own[one]), rgb(own[other])) >= STATES_APART, (one, other)


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
