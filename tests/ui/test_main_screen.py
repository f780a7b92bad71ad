"""The main screen by keys and mouse, on a scripted engine."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState, LoadProgress
from hettui.domain.devices.device import Device
from hettui.domain.errors import ConfigError
from hettui.domain.model.header import ModelFile
from hettui.domain.model.shape import ModelShape
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot, Throttle
from hettui.domain.units import MIB
from hettui.services.events import Alert, ChatEnded, ChatProgressed, ClusterChanged, LogLines, Notice, TelemetryUpdated
from hettui.ui.dialogs.ask import ChoiceScreen
from hettui.ui.dialogs.model_picker import ModelPicker
from hettui.ui.widgets.device_card import DeviceCard
from hettui.ui.widgets.prompt import Prompt
from tests.fakes import shape, workers
from tests.patience import patience
from tests.ui.stage import readings, running, session, stage


async def test_one_layer_goes_to_the_neighbour_and_the_sum_stays() -> None:
    async with stage() as s:
        before = s.layers
        await s.press("right")
        assert s.layers == (before[0] + 1, before[1] - 1, before[2])
        await s.press("left", "left")
        assert s.layers == (before[0] - 1, before[1] + 1, before[2])
        assert sum(s.layers) == 31


async def test_every_slider_key() -> None:
    async with stage() as s:
        start = s.layers
        await s.press("L")
        assert s.layers[0] == start[0] + 4
        await s.press("H", "h")
        assert s.layers[0] == start[0] - 1
        await s.press("end")
        assert s.layers == (31, 0, 0)
        await s.press("home")
        assert s.layers == (0, 31, 0)
        await s.press("equals_sign")
        assert s.layers == (11, 10, 10)
        await s.choose_plan("end", "home", "down", "down")
        assert s.layers == start


async def test_a_typed_number_is_shown_set_and_dropped() -> None:
    async with stage() as s:
        await s.press("1", "4")
        assert "14 layers: Enter sets" in s.text()
        await s.press("escape")
        assert "Enter sets" not in s.text()
        await s.press("2", "5", "backspace", "enter")
        assert s.layers[0] == 2
        await s.press("9", "9", "9", "enter")
        assert s.layers[0] == 31
        await s.press("0")
        assert s.layers[0] == 0


async def test_undo_and_redo_walk_the_plan() -> None:
    async with stage() as s:
        seen = [s.layers]
        for key in ("right", "L", "equals_sign"):
            await s.press(key)
            seen.append(s.layers)
        for expected in reversed(seen[:-1]):
            await s.press("u")
            assert s.layers == expected
        await s.press("u")
        assert s.layers == seen[0]
        await s.press("ctrl+r", "ctrl+r")
        assert s.layers == seen[2]


async def test_a_locked_device_is_left_alone_and_says_so() -> None:
    async with stage() as s:
        await s.press("down", "space")
        assert "locked" in s.text()
        middle = s.layers[1]
        await s.press("up", "right", "L")
        assert s.layers[1] == middle
        await s.press("down", "right")
        assert s.layers[1] == middle


async def test_a_device_moves_in_the_order_and_keeps_its_layers() -> None:
    async with stage() as s:
        before = s.layers
        await s.press("right_square_bracket", "right_square_bracket", "right_square_bracket")
        assert [d.name for d in s.plan.devices] == ["middle", "small", "big"]
        assert s.layers == (before[1], before[2], before[0])
        focused = s.app.focused
        assert isinstance(focused, DeviceCard)
        assert focused.view.name == "big"
        assert focused.view.output
        await s.press("left_square_bracket")
        assert [d.name for d in s.plan.devices] == ["middle", "big", "small"]


async def test_the_host_has_a_slider_of_its_own() -> None:
    async with stage() as s:
        await s.press("down", "down", "down", "down", "3", "enter")
        assert s.plan.split.host_layers == 3
        assert sum(s.layers) == 28
        await s.press("home")
        assert s.plan.split.host_layers == 0


async def test_the_mouse_moves_a_slider_and_a_boundary() -> None:
    async with stage() as s:
        cards = list(s.screen.query(DeviceCard))
        row, start, track = cards[0].frame.slider
        left = cards[0].content_region.x - cards[0].region.x + start
        await s.pilot.mouse_down(cards[0], offset=(left, row))
        await s.drag_on(cards[0], (left + track - 1, row))
        await s.pilot.mouse_up(cards[0], offset=(left + track - 1, row))
        assert s.layers == (31, 0, 0)
        assert s.app.mouse_captured is None
        await s.press("equals_sign")
        assert s.layers == (11, 10, 10)
        bar = s.screen.query_one("LayerBar")
        boundary = round(bar.size.width * 11 / 31)
        await s.pilot.mouse_down(bar, offset=(boundary, 0))
        moved = boundary + round(bar.size.width * 4 / 31)
        await s.drag_on(bar, (moved, 0))
        await s.pilot.mouse_up(bar, offset=(moved, 0))
        assert s.layers == (15, 6, 10)


async def test_a_flick_out_of_a_card_leaves_nothing_held() -> None:
    async with stage() as s:
        card, other = list(s.screen.query(DeviceCard))[:2]
        row, start, track = card.frame.slider
        left = card.content_region.x - card.region.x + start
        await s.pilot.mouse_down(card, offset=(left + 2, row))
        # The release went to another widget: the card had not taken the mouse yet.
        assert s.app.mouse_captured is card
        before = s.layers
        await s.pilot.hover(card, offset=(left + track - 1, row))
        assert s.app.mouse_captured is None
        assert s.layers == before
        await s.pilot.hover(other, offset=(left + track - 1, row))
        assert s.layers == before


async def test_what_does_not_fit_is_planned_in_red_and_refused() -> None:
    async with stage() as s:
        await s.press("down", "down", "end")
        assert "does not fit: small is short by" in s.text()
        assert "MiB over" in s.text()
        await s.press("s")
        assert s.engine.requests == []
        assert any("small is short by" in toast for toast in s.toasts())
        # The palette's way round it.
        s.screen.action_start(force=True)
        await s.pilot.pause()
        assert len(s.engine.requests) == 1


async def test_start_apply_and_stop_reach_the_engine() -> None:
    async with stage() as s:
        await s.press("s")
        await s.app.workers.wait_for_complete()
        assert s.engine.requests[0].split == s.plan.split
        assert s.backend.saved == [s.plan]
        await s.run_plan()
        assert "the plan is what runs" in s.text()
        await s.press("a", "s")
        assert len(s.engine.requests) == 1, "nothing to apply, and it runs already"
        await s.press("right")
        assert "the plan differs" in s.text()
        assert "(+1)" in s.text()
        await s.press("a")
        assert s.engine.requests[1].split == s.plan.split
        await s.press("x")
        assert "stop" in s.engine.calls


async def test_loading_shows_bytes_and_time_left() -> None:
    async with stage() as s:
        load = LoadProgress(0.25, 400 * MIB, 10.0)
        await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.LOADING, load=load)))
        assert "25% · 100 MiB of 400 MiB · 30 s left" in s.text()


async def test_a_failure_stands_on_the_screen() -> None:
    async with stage() as s:
        problem = "worker small ended (killed by SIGKILL): out of memory"
        await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.FAILED, problem=problem)))
        assert problem in s.text()
        assert "✗ failed" in s.text()


async def test_a_question_is_asked_answered_and_timed() -> None:
    async with stage() as s:
        await s.run_plan()
        await s.press("c")
        await s.type("hello you")
        await s.press("ctrl+j")
        await s.type("there")
        await s.press("enter")
        assert [t.content for t in s.engine.chats[0]] == ["hello you\nthere"]
        await s.emit(ChatProgressed("Good ", "", 1, 0.0))
        await s.emit(ChatProgressed("day [/] [Q4_K_M]", "", 21, 0.5))
        assert "40.0 tok/s" in s.text()
        await s.emit(ChatEnded(Timings(prompt_tokens=9, generated_tokens=21, generated_per_second=41.5)))
        assert "Good day [/] [Q4_K_M]" in s.text()
        assert "answer 21 tok, 41.5 tok/s" in s.text()
        await s.type("and")
        await s.press("enter")
        assert [t.role for t in s.engine.chats[1]] == ["user", "assistant", "user"]


async def test_a_question_that_failed_is_back_in_the_prompt() -> None:
    async with stage() as s:
        await s.run_plan()
        await s.press("c")
        await s.type("hello")
        await s.press("enter")
        assert s.screen.query_one(Prompt).text == ""
        await s.emit(ChatEnded(None, problem="the server answered 503: it is still loading"))
        assert s.screen.query_one(Prompt).text == "hello"
        assert "the server answered 503" in s.text()


async def test_nothing_is_sent_while_nothing_runs_and_the_prompt_stays() -> None:
    async with stage() as s:
        await s.press("c")
        await s.type("hello")
        await s.press("enter")
        assert s.engine.chats == []
        assert s.screen.query_one(Prompt).text == "hello"
        assert "the cluster is stopped" in s.text()


async def test_esc_stops_an_answer_first_and_leaves_the_pane_then() -> None:
    async with stage() as s:
        await s.run_plan()
        await s.press("c")
        await s.type("hello")
        await s.press("enter", "escape")
        assert s.engine.calls[-1] == "cancel"
        await s.emit(ChatProgressed("Well", "", 1, 0.0))
        await s.emit(ChatEnded(None, cancelled=True))
        assert "stopped" in s.text()
        await s.press("escape")
        assert isinstance(s.app.focused, DeviceCard)


async def test_keys_of_the_screen_are_letters_in_the_prompt() -> None:
    async with stage() as s:
        before = s.layers
        await s.press("c")
        await s.type("hjklsaxqcgvm?=p 1")
        assert s.screen.query_one(Prompt).text == "hjklsaxqcgvm?=p 1"
        assert s.layers == before


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_panes_by_letters_and_numbers(size: tuple[int, int]) -> None:
    async with stage(size=size) as s:
        await s.press("g")
        await s.emit(LogLines("worker big", ("a line [/] [Q4_K_M]", "\u2013 another")))
        assert "a line [/] [Q4_K_M]" in s.text()
        await s.press("4")
        assert "What start would run" not in s.text()
        await s.press("6")
        assert "What start would run" in s.text()
        await s.press("1")
        assert isinstance(s.app.focused, DeviceCard)


async def test_slider_keys_change_nothing_in_the_panes() -> None:
    async with stage() as s:
        before = s.plan
        for pane in ("g", "v"):
            await s.press(pane, "end", "home", "right", "L", "space", "left_square_bracket", "right_square_bracket")
            assert s.plan == before
        await s.press("escape", "end")
        assert s.layers == (31, 0, 0)


async def test_a_late_focus_message_does_not_undo_the_next_key() -> None:
    async with stage(size=(80, 24)) as s:
        await s.press("g")
        s.screen.show_pane("devices")
        s.screen.show_pane("commands")
        await s.pilot.pause()
        assert "What start would run" in s.text()


async def test_commands_are_copied_as_they_are_shown() -> None:
    async with stage() as s:
        await s.press("y")
        assert "# worker big\n" in s.app.clipboard
        assert "llama-server" in s.app.clipboard
        await s.run_plan()
        await s.press("y")
        assert "run master" in s.app.clipboard


async def test_leaving_asks_when_something_runs() -> None:
    async with stage() as s:
        s.engine.snapshot = running(s.plan)
        await s.emit(ClusterChanged(s.engine.snapshot))
        await s.press("q")
        assert isinstance(s.app.screen, ChoiceScreen)
        await s.press("escape")
        assert not isinstance(s.app.screen, ChoiceScreen)
        await s.press("ctrl+q", "s")
        assert "stop" in s.engine.calls
        assert not s.app._exit
        await s.emit(ClusterChanged(ClusterSnapshot()))
        assert s.app._exit
        assert not s.backend.leaves


async def test_leaving_an_idle_screen_asks_nothing() -> None:
    async with stage() as s:
        await s.press("q")
        assert s.app._exit


async def test_another_model_replaces_the_plan_and_a_bad_one_does_not() -> None:
    async with stage() as s:
        s.backend.models["/models/other.gguf"] = shape(blocks=12)
        before = s.plan
        await s.press("m")
        assert isinstance(s.app.screen, ModelPicker)
        await s.type("/nowhere.gguf")
        await s.press("enter")
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert s.plan == before
        assert any("does not exist" in toast for toast in s.toasts())
        await s.press("m")
        await s.type("/models/other.gguf")
        await s.press("enter")
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert s.plan.split.total_layers == 13


async def test_a_session_that_cannot_be_opened_ends_with_its_reason() -> None:
    problem = ConfigError("c.toml:3: [serving] port: found 0.5, allowed: 0 to 65535")
    async with stage(problem) as s:
        assert s.app._exit
        assert s.app.return_value is problem


async def test_help_lists_every_key_and_closes() -> None:
    async with stage() as s:
        await s.press("question_mark")
        assert "one layer less" in s.text()
        await s.press("escape")
        assert isinstance(s.app.focused, DeviceCard)


HOSTILE = ["[/]", "[Q4_K_M]", "\x1b]0;title\x07x", "\u202etxt", "[bold", "a" * 300, "漢字" * 40, "\x9b31m", "-1"]


@pytest.mark.many
@pytest.mark.parametrize(
    ("name", "size"), [*((name, (80, 24)) for name in HOSTILE), (HOSTILE[2], (200, 60)), ("漢[/]" * 9, (30, 8))]
)
async def test_hostile_names_neither_crash_nor_reach_the_terminal(name: str, size: tuple[int, int]) -> None:
    devices = tuple(replace(d, name=f"{name}{i}", missing=name) for i, d in enumerate(workers(240, 180)))
    model = shape()
    named = ModelFile(
        (f"/models/{name}.gguf",), 1, dict(model.file.metadata) | {"general.name": name}, {}, model.file.tensors
    )
    async with stage(session(devices, ModelShape.of(named)), size=size) as s:
        await s.emit(readings(devices))
        await s.emit(Notice(name, "warning"))
        await s.emit(LogLines(f"worker {name}", (name,)))
        await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.FAILED, problem=name)))
        for pane in ("g", "v", "escape"):
            await s.press(pane)
            shown = s.text()
            assert not set(shown) & {"\x1b", "\x9b", "\x07", "\u202e"}
        if name.startswith("["):
            assert name in shown


async def test_a_burst_of_events_is_one_state_at_the_end() -> None:
    async with stage() as s:
        for second in range(300):
            s.engine.emit(readings(s.plan.devices, second))
        await s.emit(ClusterChanged(running(s.plan)))
        async with asyncio.timeout(patience(5)):
            while "● ready" not in s.text():
                await s.pilot.pause()


async def test_old_readings_are_called_old() -> None:
    async with stage() as s:
        await s.emit(readings(s.plan.devices, 1))
        assert "now" in s.text()
        later = readings(s.plan.devices, 20)
        samples = {k: v for k, v in later.snapshot.samples.items() if k != "big"}
        await s.emit(replace(later, snapshot=type(later.snapshot)(20.0, 1.0, samples)))
        assert "no reading for 19 s" in s.text()


async def test_the_sensors_are_asked_more_or_less_often_and_rest_while_no_card_is_seen() -> None:
    async with stage(size=(80, 24)) as s:
        await s.press("minus", "minus")
        assert s.engine.calls[-1] == "sample every 5 s"
        await s.press("plus", "plus", "plus", "plus")
        assert s.engine.calls[-1] == "sample every 0.25 s"
        await s.press("g")
        assert s.engine.calls[-1] == "sample every 5 s"
        await s.press("escape")
        assert s.engine.calls[-1] == "sample every 0.25 s"


@pytest.mark.parametrize("bell", [True, False])
async def test_an_alert_is_a_toast_and_rings_only_when_asked_to(monkeypatch: pytest.MonkeyPatch, bell: bool) -> None:
    opened = session()
    async with stage(replace(opened, config=replace(opened.config, bell=bell))) as s:
        rings: list[str] = []
        monkeypatch.setattr(s.app, "bell", lambda: rings.append("ring"))
        await s.emit(Alert("big", "heat", "[/]big is hot: 95 °C", "warning"))
        assert s.toasts() == ["[/]big is hot: 95 °C"]
        assert rings == ["ring"] * bell
        await s.emit(Alert("big", "heat", "[/]big has cooled down: 60 °C", "information", raised=False))
        await s.emit(Notice("something else", "error"))
        assert len(s.toasts()) == 3
        assert rings == ["ring"] * bell


def two_cards() -> tuple[Device, ...]:
    return tuple(
        # Not the fastest split: somebody asked for it.
        Device(name, backend="cuda", budget_bytes=3000 * MIB, bandwidth_bytes_per_s=speed, layers=layers)
        for name, speed, layers in (("fast", 960e9, 16), ("[/]slow", 200e9, 15))
    )


def at(second: float, **changes: object) -> TelemetryUpdated:
    """Both cards at work; the changes are of the first."""
    fine = DeviceSample(
        used_bytes=1000 * MIB, total_bytes=6000 * MIB, utilisation_percent=20.0, clock_mhz=2400.0, clock_max_mhz=2500.0
    )
    samples = {"fast": replace(fine, **changes), "[/]slow": fine}  # type: ignore[arg-type]
    return TelemetryUpdated(TelemetrySnapshot(second, 1.0, samples))


async def test_a_throttled_card_says_so_after_a_while_and_until_it_is_over() -> None:
    line = "at its power limit, 1.4 of 2.5 GHz"
    limited = {"throttles": (Throttle.POWER_LIMIT,), "clock_mhz": 1400.0, "utilisation_percent": 90.0}
    async with stage(session(two_cards())) as s:
        seen = []
        for second in range(4):
            await s.emit(at(second, **limited))
            seen.append(line in s.text())
        assert seen == [False, False, False, True]
        card = next(c for c in s.screen.query(DeviceCard) if c.view.name == "fast")
        assert card.view.note == line
        seen = []
        for second in range(4, 8):
            await s.emit(at(second, throttles=()))
            seen.append(line in s.text())
        assert seen == [True, True, False, False]


async def test_the_brake_and_who_waits_are_told_with_the_move_until_the_sliders_make_it() -> None:
    async with stage(session(two_cards(), shape(30, 60 * MIB, 180 * MIB)), size=(180, 40)) as s:
        await s.run_plan()
        await s.emit(ChatProgressed("word", "", 2, 0.1))
        for second in range(4):
            await s.emit(at(second))
        assert "waits: " in s.text()
        assert "layers from [/]slow: −" in s.text()
        assert "brake: " in s.text()
        assert "layers to fast: −" in s.text()
        await s.emit(ChatEnded(None))
        for second in range(4, 8):
            await s.emit(at(second))
        assert "waits: " not in s.text()
        assert "layers to fast: −" in s.text()
        await s.press("right")
        await s.emit(at(8))
        assert "layers to fast: −" not in s.text()
        assert "% of the model" in s.text()


async def test_what_was_slow_is_forgotten_when_the_cluster_stops() -> None:
    async with stage(session(two_cards(), shape(30, 60 * MIB, 180 * MIB))) as s:
        await s.run_plan()
        for second in range(4):
            await s.emit(at(second))
        assert "brake: " in s.text()
        await s.emit(ClusterChanged(ClusterSnapshot()))
        assert "brake: " not in s.text()


async def test_an_explanation_that_comes_after_the_end_is_nobodys() -> None:
    async with stage() as s:
        main = s.screen
    main.body.show_explanation([("This plan", ["a line"])])


async def test_what_the_pane_explains_does_not_stand_under_the_cards_as_well() -> None:
    async with stage(size=(120, 40)) as s:
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert s.text().count("This plan") == 1
        for key in ("e", "c", "e"):
            await s.press(key)
            await s.app.workers.wait_for_complete()
            await s.pilot.pause()
            assert s.text().count("This plan") == 1
