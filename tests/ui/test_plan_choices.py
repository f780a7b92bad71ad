"""`p` opens plans to choose from: looked at on the bar and the cards, taken with a key, and never in the keys' way."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from hettui.domain.plan.aim import Objective
from hettui.domain.session import choices
from hettui.ui.dialogs.choices import ChoicesScreen
from hettui.ui.dialogs.model_picker import ModelPicker
from hettui.ui.presenting.choices import WORKING
from hettui.ui.screens.main import MainScreen
from tests.fakes import workers
from tests.patience import patience
from tests.truth.compare import shape_of
from tests.ui.stage import Stage, card_session, session, stage


async def listed(s: Stage) -> ChoicesScreen:
    await s.press("p")
    await s.app.workers.wait_for_complete()
    await s.pilot.pause()
    dialog = s.app.screen
    assert isinstance(dialog, ChoicesScreen)
    return dialog


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 15)])
async def test_the_highlighted_plan_is_looked_at_and_esc_goes_back(size: tuple[int, int]) -> None:
    async with stage(card_session(), size) as s:
        before = s.plan
        await listed(s)
        await s.press("p")
        looked_at = s.main.facts.plan
        assert looked_at != before
        assert s.main.body.layer_bar.view.layers == looked_at.split.layers
        assert [c.view.layers for c in s.main.body.devices.cards[:-1]] == list(looked_at.split.layers)
        assert "best for many streams" in s.text()
        await s.press("escape")
        assert s.plan == before
        assert s.main.body.layer_bar.view.layers == before.split.layers


async def test_enter_takes_it_and_undo_goes_back() -> None:
    async with stage(card_session()) as s:
        before = s.plan
        dialog = await listed(s)
        await s.press("down", "down")
        looked_at = s.main.facts.plan
        assert "13 → 18" in s.text()
        await s.press("enter")
        assert not dialog.is_attached
        assert s.plan == looked_at
        assert s.toasts()[-1] == "most even; u goes back"
        await s.press("u")
        assert s.plan == before
        assert "undone: the plan “most even”" in s.toasts()[-1]


async def test_p_and_enter_in_one_packet_take_the_fastest_when_it_is_worked_out() -> None:
    async with stage(card_session()) as s:
        fastest = s.plan
        await s.press("L", "L", "p", "enter")
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert isinstance(s.app.screen, MainScreen)
        assert s.layers == fastest.split.layers


async def test_the_keyboard_stays_with_the_device_where_the_order_is_another() -> None:
    async with stage(card_session()) as s:
        await s.press("right_square_bracket")
        name = s.plan.devices[s.main.known.editor.selected].name
        await s.choose_plan()
        assert s.plan.devices[s.main.known.editor.selected].name == name
        assert s.app.focused is s.main.body.devices.cards[s.main.known.editor.selected]


async def test_a_slow_search_holds_no_key_up_is_marked_and_ends_with_esc(monkeypatch: pytest.MonkeyPatch) -> None:
    going, begun, asked = threading.Event(), threading.Event(), list[str]()
    real = choices._Asking.aimed

    def slow(self: choices._Asking, title: str, objective: Objective) -> list[choices.Choice]:
        asked.append(title)
        begun.set()
        assert going.wait(patience(20))
        return real(self, title, objective)

    monkeypatch.setattr(choices._Asking, "aimed", slow)
    async with stage(card_session()) as s:
        await s.press("p")
        while WORKING not in s.text() or not begun.is_set():
            await s.pilot.pause(0.01)
        assert "to work out · esc stops" in s.text()
        before = s.main.known.plan
        await s.press("down", "escape")
        assert isinstance(s.app.screen, MainScreen)
        await s.press("right")
        assert s.plan != before, "keys go on"
        going.set()
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert asked == ["fastest for one stream"], "what nobody wants is not asked any more"
        assert isinstance(s.app.screen, MainScreen)


async def test_the_planner_is_never_asked_between_two_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set[bool]()
    real = choices._Asking.choice

    def where(self: choices._Asking, *args: object, **more: object) -> choices.Choice:
        threads.add(threading.current_thread() is threading.main_thread())
        return real(self, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(choices._Asking, "choice", where)
    async with stage(card_session()) as s:
        await listed(s)
        assert threads == {False}


async def test_a_smaller_model_is_chosen_from_the_models() -> None:
    async with stage(session(workers(9000, 3000, 2000), shape_of("qwen3moe", 48))) as s:
        dialog = await listed(s)
        rows = [row.title for row in dialog._rows]
        place = next(i for i, title in enumerate(rows) if title.startswith("the model quantised"))
        await s.press(*["down"] * place, "enter")
        await s.pilot.pause()
        assert isinstance(s.app.screen, ModelPicker)


async def test_without_a_model_the_key_says_why() -> None:
    async with stage(replace(session(), shape=None, cluster=None, problem="no model")) as s:
        await s.press("p")
        assert "no model is chosen" in s.toasts()[-1]
        assert isinstance(s.app.screen, MainScreen)
