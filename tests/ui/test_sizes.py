"""The main screen in every size with few and many devices, looked at through the compositor's own regions."""

from __future__ import annotations

from itertools import combinations

import pytest
from textual.geometry import Region
from textual.scrollbar import ScrollBar
from textual.widget import Widget

from hettui.domain.screen.panes import PanesState
from hettui.ui.dialogs.jump import JumpScreen
from hettui.ui.drawing import gauges
from hettui.ui.drawing.layout import Form
from hettui.ui.widgets.device_card import DeviceCard, DeviceDetails, DevicePart
from hettui.ui.widgets.key_footer import KeyFooter
from hettui.ui.widgets.layer_bar import LayerBar
from hettui.ui.widgets.prompt import Prompt
from tests.ui.stage import Stage, card_session, farm_readings, farm_session, stage

pytestmark = pytest.mark.matrix

SIZES = [(80, 24), (100, 30), (120, 40), (200, 60), (300, 80)]
COUNTS = [1, 3, 8, 16]


def seen(s: Stage) -> list[tuple[Widget, Region]]:
    """Widgets that hold no others, with what is to be seen of them."""
    found = []
    for widget, (region, clip) in s.screen._compositor.visible_widgets.items():
        shown = region.intersection(clip)
        # A scrollbar lies on the widget that it belongs to.
        alone = not any(child.display for child in widget.children) and not isinstance(widget, ScrollBar)
        if alone and shown.area:
            found.append((widget, shown))
    return found


def assert_in_order(s: Stage) -> None:
    """Nothing lies on anything else, and nothing outside of the terminal."""
    widgets = seen(s)
    whole = s.screen.region
    assert all(whole.contains_region(region) for _, region in widgets)
    for (one, here), (other, there) in combinations(widgets, 2):
        assert not here.overlaps(there), (one, other)


def lines_of(s: Stage, widget: Widget) -> list[str]:
    region = widget.region
    rows = s.text().split("\n")[region.y : region.bottom]
    return [row[region.x : region.right] for row in rows]


def in_view(card: DeviceCard) -> bool:
    parent = card.parent
    assert isinstance(parent, Widget)
    return parent.region.contains_region(card.region)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_everything_has_its_place_and_the_focus_is_followed(size: tuple[int, int], count: int) -> None:
    async with stage(farm_session(count), size=size) as s:
        await s.run_plan()
        await s.emit(farm_readings(s.plan.devices))
        assert_in_order(s)
        assert s.screen.body.devices.content_size == s.screen.places.expected_room(), "its first frame is right already"
        cards = s.screen.body.devices.cards
        assert all(in_view(card) for card in cards), "all of them are on the screen at once"
        for index, card in enumerate(cards):
            assert s.app.focused is card
            held = s.layers[index] if index < count else s.plan.split.host_layers
            shown = " ".join(lines_of(s, card))
            assert f" {held} " in shown
            assert "▶" in shown
            assert (s.plan.devices[index].name.split()[-1] if index < count else "CPU") in shown
            await s.press("down")
        await s.press("home", "up", "right")
        assert_in_order(s)
        footer = "".join(lines_of(s, s.screen.query_one(KeyFooter)))
        assert "? Help  q Quit" in footer
        for pane in "cgbve" if count == 16 else "":
            await s.press("escape", pane)
            assert_in_order(s)


@pytest.mark.parametrize(
    "size", [(20, 5), (40, 12), (12, 3), (30, 4), (300, 6), (20, 60)], ids=lambda s: f"{s[0]}x{s[1]}"
)
@pytest.mark.parametrize("count", [1, 16])
async def test_a_tiny_terminal_shows_the_most_important_lines(size: tuple[int, int], count: int) -> None:
    async with stage(farm_session(count), size=size) as s:
        await s.run_plan()
        for key in (
            "right",
            "down",
            "down",
            "c",
            "escape",
            "g",
            "z",
            "z",
            "escape",
            "o",
            "escape",
            "1",
            "escape",
            "up",
        ):
            await s.press(key)
        focused = s.app.focused
        assert isinstance(focused, DeviceCard)
        if size[1] >= 5:
            assert in_view(focused)
            assert "▶" in "".join(lines_of(s, focused))
            assert "ready" in s.text().split("\n")[0]


async def test_another_size_another_form_and_the_same_device() -> None:
    async with stage(farm_session(8), size=(200, 60)) as s:
        await s.press("down", "down")
        forms = []
        for size in ((80, 24), (40, 10), (300, 80), (120, 40), (200, 60)):
            await s.pilot.resize_terminal(*size)
            await s.pilot.pause()
            assert_in_order(s)
            forms.append(s.screen.body.devices.arrangement.form.value)
            focused = s.app.focused
            assert isinstance(focused, DeviceCard)
            assert focused.view.index == 2
            assert in_view(focused)
        assert forms == ["row", "row", "tall", "row", "card"]


async def test_nothing_moves_when_the_selection_or_the_values_change() -> None:
    async with stage(farm_session(8), size=(80, 24)) as s:
        await s.run_plan()
        places = [w.region for w, _ in seen(s)]
        for second in range(1, 4):
            await s.emit(farm_readings(s.plan.devices, second * 17))
            await s.press("down", "L")
            assert [w.region for w, _ in seen(s)] == places


# -- the mouse ---------------------------------------------------------------------------------------------------

FORMS = [
    (Form.ROW, (80, 24), 8),
    (Form.ROW, (120, 40), 16),
    (Form.COMPACT, (120, 40), 7),
    (Form.CARD, (100, 30), 3),
    (Form.ROOMY, (100, 34), 3),
    (Form.TALL, (200, 60), 3),
]


async def drag(s: Stage, card: DevicePart, from_: int, to: int) -> None:
    """Over its slider, from one value to another."""
    row, start, track = card.frame.slider
    left, top = card.content_region.x - card.region.x, card.content_region.y - card.region.y
    cells = [left + start + gauges.slider_cell(track, value, card.view.maximum) for value in (from_, to)]
    await s.pilot.mouse_down(card, offset=(cells[0], top + row))
    await s.drag_on(card, (cells[1], top + row))
    await s.pilot.mouse_up(card, offset=(cells[1], top + row))


@pytest.mark.parametrize(("form", "size", "count"), FORMS, ids=lambda v: getattr(v, "value", str(v)))
async def test_a_slider_is_dragged_wheeled_and_typed_in_every_form(
    form: Form, size: tuple[int, int], count: int
) -> None:
    async with stage(farm_session(count), size=size) as s:
        await s.run_plan()
        card = s.screen.body.devices.cards[1]
        assert card.form is form
        held = s.layers[1]
        await drag(s, card, held, 60)
        assert s.app.focused is card
        assert s.app.mouse_captured is None
        _, _, track = card.frame.slider
        assert abs(s.layers[1] - 60) <= 95 / (track - 1)
        shown = " ".join(lines_of(s, card))
        assert "┆" in shown, "where the running cluster is"
        assert f"{s.layers[1] - held:+d}" in shown
        row, start, _ = card.frame.slider
        at = (card.content_region.x - card.region.x + start + 1, card.content_region.y - card.region.y + row)
        before = s.layers[1]
        await s.pilot._post_mouse_events([_scroll("up")], card, at)
        assert s.layers[1] == before + 1
        await s.pilot._post_mouse_events([_scroll("down")], card, at)
        assert s.layers[1] == before
        await s.press("3", "1")
        assert " 31▏" in lines_of(s, card)[row]
        await s.press("enter")
        assert s.layers[1] == 31


def _scroll(direction: str) -> type:
    from textual import events

    return events.MouseScrollUp if direction == "up" else events.MouseScrollDown


async def test_the_wheel_over_another_device_changes_nothing() -> None:
    async with stage(farm_session(8), size=(80, 24)) as s:
        before = s.layers
        card = s.screen.body.devices.cards[4]
        _, start, _ = card.frame.slider
        await s.pilot._post_mouse_events([_scroll("up")], card, (start + 4, 0))
        assert s.layers == before


async def test_a_click_on_a_row_selects_and_its_details_follow() -> None:
    async with stage(farm_session(8), size=(80, 24)) as s:
        before = s.layers
        await s.pilot.click(s.screen.body.devices.cards[5], offset=(8, 0))
        assert s.app.focused is s.screen.body.devices.cards[5]
        assert s.layers == before
        details = s.screen.query_one(DeviceDetails)
        assert s.plan.devices[5].name in lines_of(s, details)[0]
        await drag(s, details, s.layers[5], 40)
        assert abs(s.layers[5] - 40) <= 2
        assert s.app.focused is s.screen.body.devices.cards[5]


async def test_the_planners_ghost_stands_on_rows_too() -> None:
    async with stage(farm_session(8), size=(100, 30)) as s:
        await s.choose_plan()
        await s.press("9", "0", "enter")
        assert gauges.GHOST in lines_of(s, s.screen.body.devices.cards[0])[0]


@pytest.mark.parametrize("size", [(80, 24), (100, 30)])
@pytest.mark.parametrize("count", [3, 16])
async def test_a_boundary_is_dragged_in_one_row_and_in_two(size: tuple[int, int], count: int) -> None:
    async with stage(farm_session(count), size=size) as s:
        bar = s.screen.query_one(LayerBar)
        assert bar.size.height == (2 if size[1] >= 28 else 1)
        assert lines_of(s, bar)[0].count(gauges.CHOSEN) == 1
        holders = bar._holders()
        left, right = holders[0][0], holders[1][0]
        x, before, y = holders[1][1], s.layers, bar.size.height - 1
        await s.pilot.hover(bar, offset=(x, y))
        assert gauges.HELD in lines_of(s, bar)[0], "it says that it can be taken"
        await s.pilot.mouse_down(bar, offset=(x, y))
        await s.drag_on(bar, (x - 3, y))
        assert lines_of(s, bar)[y].count(gauges.HELD) == 1
        await s.pilot.mouse_up(bar, offset=(x - 3, y))
        held = [s.plan.split.host_layers, *s.layers]
        was = [sum(held) - sum(before), *before]
        assert held[left + 1] < was[left + 1]
        assert held[right + 1] > was[right + 1]
        assert sum(held) == sum(was)
        assert s.app.mouse_captured is None


# -- zoom, jump, and what is remembered --------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_a_zoomed_pane_has_the_whole_body(size: tuple[int, int]) -> None:
    async with stage(farm_session(8), size=size) as s:
        await s.press("g")
        logs = s.screen.query_one("#logs")
        small = logs.region
        await s.press("z")
        assert_in_order(s)
        assert logs.region.width == size[0]
        assert logs.region.height == size[1] - 3
        assert "zoomed: z" in s.text()
        await s.press("escape")
        assert s.screen.body.devices.region.width == size[0]
        await s.press("c")
        assert "zoomed: f9" in s.text(), "a letter would be typed"
        await s.press("f9")
        assert not s.screen.places.zoomed, "by a key that is no letter, from the prompt"
        await s.press("escape", "g")
        assert logs.region == small


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_a_letter_jumps_to_a_device_or_a_pane(size: tuple[int, int]) -> None:
    async with stage(farm_session(16), size=size) as s:
        before = s.plan
        await s.press("o")
        assert isinstance(s.app.screen, JumpScreen)
        await s.press("f")
        assert s.app.focused is s.screen.body.devices.cards[3]
        await s.press("o", "g")
        assert s.app.focused is s.screen.query_one("#logs")
        await s.press("o", "c", "x", "ctrl+f", "escape")
        assert isinstance(s.app.focused, Prompt)
        assert s.screen.query_one(Prompt).text == "x"
        await s.press("ctrl+f", "b")
        assert s.app.focused is s.screen.query_one("#bench")
        await s.press("escape", "o", "n")
        assert s.app.focused is s.screen.body.devices.cards[16]
        assert s.plan == before
        await s.press("o")
        await s.pilot.resize_terminal(90, 25)
        await s.pilot.pause()
        assert not isinstance(s.app.screen, JumpScreen)


async def test_the_letters_stand_where_they_jump_to() -> None:
    async with stage(farm_session(8), size=(200, 60)) as s:
        regions = [card.region for card in s.screen.body.devices.cards]
        logs = s.screen.query_one("#logs").region
        await s.press("o")
        rows = s.text().split("\n")
        for letter, region in zip("asdfhjkl", regions, strict=False):
            assert rows[region.y][region.x : region.x + 3] == f" {letter} "
        assert rows[logs.y][logs.x : logs.x + 3] == " g "


async def test_panes_are_as_they_were_left() -> None:
    async with stage(card_session(), size=(120, 40)) as s:
        await s.press("g", "z")
        left = PanesState("logs", "logs", "logs", zoomed=True)
        while s.backend.panes != left:
            await s.pilot.pause(0.1)
        kept = s.backend.panes
    async with stage(card_session(), size=(120, 40), panes=kept) as s:
        assert s.app.focused is s.screen.query_one("#logs")
        assert s.screen.query_one("#logs").region.width == 120
        await s.press("z", "escape", "e")
    assert s.backend.panes == PanesState("explain", "explain", "explain"), "kept at the end, without waiting"


async def test_what_is_left_beside_the_devices_comes_back_without_the_keyboard() -> None:
    async with stage(card_session(), size=(120, 40), panes=PanesState("bench", "bench", "bench")) as s:
        assert isinstance(s.app.focused, DeviceCard)
        assert s.screen.query_one("#bench").region.area
    async with stage(card_session(), size=(80, 24), panes=PanesState("bench", "bench", "bench")) as s:
        assert s.app.focused is s.screen.query_one("#bench")


async def test_a_read_only_screen_keeps_nothing() -> None:
    async with stage(card_session(), read_only="another hettui runs") as s:
        await s.press("g", "z")
    assert s.backend.panes == PanesState()


async def test_three_columns_keep_the_chat_and_one_other_pane() -> None:
    async with stage(card_session(), size=(200, 60)) as s:
        chat, places = s.screen.query_one("#chat").region, []
        for key in "gbve":
            await s.press("escape", key)
            assert s.app.focused is not None
            places.append(s.app.focused.region)
            assert s.screen.query_one("#chat").region == chat
        assert len(set(places)) == 1
        await s.press("escape", "c")
        assert isinstance(s.app.focused, Prompt)
        assert s.screen.query_one("#explain").region == places[0]
