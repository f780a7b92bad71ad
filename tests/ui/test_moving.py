"""Panes by Tab and digits, what Enter does where something could be lost, and logs that open at their end."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from hettui.domain.screen.panes import ALL_PANES, LOGS, PanesState
from hettui.services.events import LogLines
from hettui.ui.dialogs.ask import ChoiceScreen
from hettui.ui.widgets.device_card import DeviceCard
from hettui.ui.widgets.log_lines import LogLines as Lines
from tests.ui.stage import stage


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_tab_goes_through_all_panes_and_comes_back(size: tuple[int, int]) -> None:
    async with stage(size=size) as s:
        seen = []
        for _ in ALL_PANES:
            seen.append(s.main.front)
            await s.press("tab")
        assert tuple(seen) == ALL_PANES
        assert isinstance(s.app.focused, DeviceCard)
        await s.press("shift+tab")
        assert s.main.front == ALL_PANES[-1]
        await s.press("1")
        assert s.main.front == ALL_PANES[0]


async def test_tab_leaves_the_prompt_and_what_was_typed_stays() -> None:
    async with stage() as s:
        await s.press("c", *"draft", "tab", "shift+tab")
        assert s.main.front == "chat"
        assert s.main.body.chat.prompt.text == "draft"


async def test_enter_in_the_quit_dialog_leaves_everything_running() -> None:
    async with stage() as s:
        await s.run_plan()
        await s.press("q", "enter")
        assert s.backend.leaves
        assert "stop" not in s.engine.calls


async def test_enter_where_an_answer_is_being_written_lets_it_end() -> None:
    async with stage() as s:
        await s.run_plan()
        s.engine.running = 1
        await s.press("x")
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert isinstance(s.app.screen, ChoiceScreen)
        await s.press("enter")
        assert s.engine.calls[-1].startswith("stop within")
        assert isinstance(s.engine.busy(), Future)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
@pytest.mark.parametrize("panes", [PanesState(), PanesState(LOGS, LOGS, LOGS)], ids=["as usual", "left in the logs"])
async def test_logs_open_at_their_end(size: tuple[int, int], panes: PanesState) -> None:
    async with stage(size=size, panes=panes) as s:
        for n in range(0, 200, 25):
            await s.emit(LogLines("master", tuple(f"line {m}" for m in range(n, n + 25))))
        if s.main.front != LOGS:
            await s.press("g")
        await s.pilot.pause()
        assert "line 199" in s.text()
        await s.press("escape")
        await s.emit(LogLines("master", ("line 200",)))
        await s.press("g")
        await s.pilot.pause()
        assert "line 200" in s.text()
        assert s.main.query_one(Lines).is_vertical_scroll_end
