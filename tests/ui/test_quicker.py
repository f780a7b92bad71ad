"""What is kept between screens answers as Textual does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from inspect import signature
from typing import Any

import pytest
from rich.segment import Segment
from textual import events
from textual.cache import FIFOCache
from textual.css.model import RuleSet
from textual.css.styles import RULE_NAMES
from textual.css.stylesheet import Stylesheet
from textual.dom import NoScreen
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, OptionList

from hettui.ui.widgets.prompt import Prompt
from tests.ui import quicker
from tests.ui.stage import Stage, stage


def _pumps(s: Stage) -> list[Any]:
    return [s.app, *(one for screen in s.app.screen_stack for one in (screen, *screen.walk_children()))]


def _messages(s: Stage) -> list[Message]:
    typed, listed = Input(), OptionList("one")
    return [
        events.Key("a", "a"),
        events.Mount(),
        events.Focus(),
        events.Blur(),
        events.Idle(),
        events.Compose(),
        events.Unmount(),
        events.MouseMove(s.screen, 1, 1, 0, 0, 0, False, False, False),
        events.Click(s.screen, 1, 1, 0, 0, 1, False, False, False),
        Input.Changed(typed, "a"),
        Prompt.Changed(s.screen.query_one(Prompt)),
        OptionList.OptionHighlighted(listed, listed.get_option_at_index(0), 0),
    ]


def _told(
    found: Callable[[MessagePump, str, Message], Any], pump: MessagePump, message: Message, after: int
) -> list[Any]:
    """Who is told of it, where the one of that number forbids what comes by itself."""
    message._no_default_action = False
    told = []
    for cls, method in found(pump, message.handler_name, message):
        told.append((cls, method))
        if len(told) == after:
            message.prevent_default()
    message._no_default_action = False
    return told


async def test_a_screen_answers_the_same() -> None:
    async with stage() as s:
        await s.press("c")
        handled = 0
        for pump in _pumps(s):
            for message in _messages(s):
                for after in (0, 1):
                    told = _told(quicker.dispatch_methods, pump, message, after)
                    assert told == _told(quicker.DISPATCH_METHODS, pump, message, after), (pump, message)
                    handled += len(told)
            for name, reactive in type(pump)._reactives.items():
                expected = quicker.REACTIVE_GET(reactive, pump, type(pump))
                assert quicker.reactive_get(reactive, pump, type(pump)) == expected, (pump, name)
        assert handled > 500
        for widget in _pumps(s)[1:]:
            assert quicker.screen(widget) is quicker.SCREEN.__get__(widget)
            for rule in RULE_NAMES:
                assert quicker.get_rule(widget.styles, rule, 5) == quicker.GET_RULE(widget.styles, rule, 5), rule
        for name in (s.app.theme, "nothing", f" nothing, {s.app.theme}", "", "textual-dark"):
            assert quicker.get_theme(s.app, name) is quicker.GET_THEME(s.app, name)


def said(rule: RuleSet) -> tuple[object, ...]:
    return rule.selectors, str(rule.styles._rules), rule.is_default_rules, rule.tie_breaker, rule.pseudo_classes


async def test_a_sheet_has_the_same_rules_and_shares_no_list() -> None:
    async with stage() as s:
        sheets = s.app.stylesheet
        again = Stylesheet(variables=sheets._variables)
        # Another name, so that each sheet is read anew.
        again.source = {(f"{name} again", place): css for (name, place), css in sheets.source.items()}
        quicker.PARSE(again)
        once, twice = sheets.copy(), sheets.copy()
        for sheet in (once, twice):
            sheet.source = dict(sheets.source)
            quicker.parse(sheet)
        assert [said(rule) for rule in once._rules] == [said(rule) for rule in again._rules]
        assert len(once._rules) > 100
        assert once._rules == twice._rules
        assert once._rules is not twice._rules
        by_name = once.rules_map
        assert by_name == twice.rules_map
        assert by_name is not twice.rules_map
        once._rules_map = None
        assert once.rules_map == by_name


async def test_a_sheet_with_a_mistake_is_refused_every_time() -> None:
    wrong = Stylesheet()
    wrong.add_source("Label { colour: ", read_from=("wrong", ""))
    with pytest.raises(Exception, match="."):
        quicker.parse(wrong)
    fresh = Stylesheet()
    fresh.add_source("Label { colour: ", read_from=("wrong", ""))
    with pytest.raises(Exception, match="."):
        quicker.parse(fresh)


def test_a_strip_has_the_same_caches() -> None:
    whole, lazy = Strip.__new__(Strip), Strip.__new__(Strip)
    quicker.STRIP_INIT(whole, [Segment("ab")], 2)
    quicker.strip_init(lazy, [Segment("ab")], 2)
    assert {name for name in Strip.__slots__ if name.endswith("_cache")} == {*quicker._STRIP_CACHES, "_render_cache"}
    for name in Strip.__slots__:
        expected, found = getattr(whole, name), getattr(lazy, name)
        if isinstance(expected, FIFOCache):
            assert found._maxsize == expected._maxsize, name
            assert getattr(lazy, name) is found
        else:
            assert found == expected, name
    with pytest.raises(AttributeError):
        lazy.nothing  # type: ignore[attr-defined] # noqa: B018


def test_who_is_on_no_screen_has_none() -> None:
    with pytest.raises(NoScreen):
        quicker.screen(Widget())
    alone = Screen[None]()
    assert quicker.screen(alone) is alone


def test_parameters_are_those_of_the_signature() -> None:
    def several(a: int, /, b: int, *rest: int, c: int, d: int = 0, **more: int) -> None: ...

    @wraps(several)
    def wrapped() -> None: ...

    class With:
        def method(self, a: int) -> None: ...

    for func in (several, wrapped, lambda: None, lambda a, b=0: None, partial(several, 1), With, With.method, len):
        assert quicker.count_parameters(func) == len(signature(func).parameters), func
    assert quicker.count_parameters(With().method) == 1
