"""llama-server's settings on the screen: the memory bars move with each key, undo covers it, an apply keeps it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hettui.adapters.files.config_toml import load, save_plan
from hettui.domain.cluster.snapshot import Applied
from hettui.services.events import ClusterChanged
from hettui.ui.dialogs.settings import SettingsScreen
from hettui.ui.screens.main import MainScreen
from tests.ui.stage import Stage, card_session, running, stage


def needs(s: Stage) -> list[int]:
    return [card.view.memory.total_bytes for card in s.main.body.devices.cards]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 15)])
async def test_each_key_moves_the_bars_and_esc_gives_back_what_was(size: tuple[int, int]) -> None:
    async with stage(card_session(), size) as s:
        before, plan = needs(s), s.plan
        await s.press("S")
        assert isinstance(s.app.screen, SettingsScreen)
        assert needs(s) == before
        await s.press("right")
        assert "ctx-size" in s.text()
        assert "16384" in s.text()
        more = needs(s)
        assert more[0] > before[0]
        await s.press("right")
        assert needs(s)[0] > more[0]
        assert "does not fit: RTX 5080 is short by" in s.text()
        await s.press("escape")
        assert isinstance(s.app.screen, MainScreen)
        assert (needs(s), s.plan) == (before, plan)


async def test_enter_takes_them_as_one_step_that_undo_takes_back() -> None:
    async with stage(card_session()) as s:
        before = s.plan
        await s.press("S", "left", "down", "3", "enter", "down", "space", "enter")
        assert isinstance(s.app.screen, MainScreen)
        params = s.main.known.session.params(s.plan)
        assert (params.ctx_size, params.parallel, params.kv_unified) == (4096, 3, True)
        assert s.toasts()[-1].startswith("ctx-size 8192 → 4096, parallel 1 → 3, kv-unified off → on; u goes back")
        await s.press("s")
        assert s.engine.requests[-1].cluster.params == params
        await s.press("u")
        assert s.plan == before
        await s.press("S", "enter")
        assert s.plan == before, "nothing was changed"


async def test_a_number_that_cannot_be_is_refused_with_the_range() -> None:
    async with stage(card_session()) as s:
        await s.press("S", "down", *"9999", "enter")
        assert "9999 cannot be: auto, 1 to 512" in s.text()
        await s.press("r", "enter")
        assert not s.plan.changed


async def test_what_runs_differs_by_a_setting_alone_and_only_the_master_restarts() -> None:
    async with stage(card_session()) as s:
        params = s.main.known.session.params(s.plan)
        applied = Applied(s.plan.devices, s.plan.split, params=params, ctx_size=params.ctx_size)
        await s.emit(ClusterChanged(running(s.plan, applied=applied)))
        assert "the plan is what runs" in s.text()
        await s.press("S", "down", "down", "down", "right", "enter")
        assert "the plan differs: a applies it" in s.text()
        await s.press("a")
        assert s.engine.requests[-1].cluster.params == replace(params, cache_type_k="bf16")


async def test_the_planner_plans_for_the_settings_that_were_chosen() -> None:
    async with stage(card_session()) as s:
        await s.press("S", "left", "enter")
        await s.choose_plan()
        assert s.main.known.session.params(s.plan).ctx_size == 4096
        await s.choose_plan("down", "down", "down")
        assert (s.plan.ctx_size or 0) > 8192


_TEXT = """\
# mine
[serving]
ctx-size = 8192   # enough for me
# quantised it is slower here
port = 8080

[[devices]]
name = "RTX 5080"  # the big one
layers = 36
"""


def test_the_configuration_keeps_them_with_its_comments(tmp_path: Path) -> None:
    file = tmp_path / "hettui.toml"
    file.write_text(_TEXT)
    session = card_session()
    configured = session.config.params
    plan = session.initial_plan
    assert plan is not None
    wanted = replace(configured, ctx_size=4096, cache_type_k="q8_0", parallel=-1, threads=6)
    save_plan(file, plan.with_settings(configured, wanted), wanted)
    text = file.read_text()
    assert "ctx-size = 4096   # enough for me" in text
    assert "# quantised it is slower here" in text
    assert 'parallel = "auto"' in text
    assert "batch-size" not in text, "what is as llama.cpp has it is not written"
    assert load(file).params == wanted
    save_plan(file, plan, configured)
    assert load(file).params == configured, "taken back, it is taken back there, too"
    assert "# the big one" in file.read_text()
