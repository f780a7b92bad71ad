"""What Textual looks up anew for every message, style and cell, kept instead: a sixth of the time of every screen.

Each of these answers as Textual 8.2.8 does; `test_quicker` asks both the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, MethodType
from typing import Any

from rich.segment import Segment
from textual import _callback
from textual.app import App
from textual.cache import FIFOCache
from textual.css.model import RuleSet
from textual.css.styles import RenderStyles
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode, NoScreen
from textual.message import Message
from textual.message_pump import MessagePump
from textual.reactive import Reactive
from textual.screen import Screen
from textual.strip import Strip
from textual.theme import Theme

PARSE_RULES = Stylesheet._parse_rules
PARSE = Stylesheet.parse
COUNT_PARAMETERS = _callback._count_parameters
DISPATCH_METHODS = MessagePump._get_dispatch_methods
REACTIVE_GET = Reactive.__get__
SCREEN = DOMNode.screen
GET_RULE = RenderStyles.get_rule
GET_THEME = App.get_theme
STRIP_INIT = Strip.__init__

_VARIADIC = 0x04, 0x08
"""Flags of a function's code: it takes any number of arguments, by place or by name."""


_SHEETS: dict[tuple[Any, ...], list[RuleSet]] = {}
_SETS_OF_SHEETS: dict[tuple[Any, ...], tuple[list[RuleSet], dict[str, list[RuleSet]]]] = {}
"""What stands in a set of sheets, and the same by the names that it is looked up by."""


def parse_rules(self: Stylesheet, *words: Any, **named: Any) -> list[RuleSet]:
    """Textual keeps what it has parsed for as long as one app lives, by the same key but for the theme's variables."""
    key = (tuple(self._variables.items()), words, tuple(named.items()))
    if key not in _SHEETS:
        _SHEETS[key] = PARSE_RULES(self, *words, **named)
    return _SHEETS[key]


def parse(self: Stylesheet) -> None:
    key = (tuple(self._variables.items()), tuple(self.source.items()), frozenset(self._invalid_css))
    if key not in _SETS_OF_SHEETS:
        PARSE(self)
        _SETS_OF_SHEETS[key] = self._rules, self.rules_map
    rules, by_name = _SETS_OF_SHEETS[key]
    # Their own, and the same rules.
    self._rules, self._rules_map = list(rules), dict(by_name)
    self._require_parse = False


def count_parameters(func: Callable[..., Any]) -> int:
    """Textual remembers how many a method has, but not where a `partial` calls it; and a function's code knows."""
    if isinstance(func, MethodType):
        return _callback.count_parameters(func)
    if isinstance(func, FunctionType) and not func.__dict__.keys() & {"__wrapped__", "__signature__"}:
        code = func.__code__
        return code.co_argcount + code.co_kwonlyargcount + sum(bool(code.co_flags & flag) for flag in _VARIADIC)
    return COUNT_PARAMETERS(func)


_Step = tuple[type, Callable[..., Any]]
_STEPS: dict[tuple[type, type, str], list[_Step] | None] = {}


def _steps(pump: type, message: type, name: str) -> list[_Step] | None:
    """Which classes of a pump answer such a message, and how; None where that depends on who sent it."""
    kinds = [kind for kind in message.__mro__ if issubclass(kind, Message)]
    steps = list[_Step]()
    for cls in pump.__mro__:
        decorated = cls.__dict__.get("_decorated_handlers") or {}
        if any(decorated.get(kind) for kind in kinds):
            return None
        method = cls.__dict__.get(f"_{name}") or cls.__dict__.get(name)
        if method is not None and not getattr(method, "_textual_on", None):
            steps.append((cls, method))
    return steps


def dispatch_methods(
    self: MessagePump, method_name: str, message: Message
) -> Iterator[tuple[type, Callable[[Message], Any]]]:
    key = (type(self), type(message), method_name)
    if key not in _STEPS:
        _STEPS[key] = _steps(*key)
    steps = _STEPS[key]
    if steps is None:
        yield from DISPATCH_METHODS(self, method_name, message)
        return
    for cls, method in steps:
        if message._no_default_action:
            return
        yield cls, method.__get__(self, cls)


_COMPUTED: dict[tuple[type, str], bool] = {}


def reactive_get(self: Reactive[Any], obj: Any, obj_type: type) -> Any:
    if obj is None:
        return self
    try:
        value = obj.__dict__[self.internal_name]
    except KeyError:
        return REACTIVE_GET(self, obj, obj_type)
    key = (obj_type, self.compute_name)
    if key not in _COMPUTED:
        _COMPUTED[key] = hasattr(obj_type, self.compute_name)
    return REACTIVE_GET(self, obj, obj_type) if _COMPUTED[key] else value


def screen(self: DOMNode) -> Screen[Any]:
    node: MessagePump | None = self
    while node is not None and not isinstance(node, Screen):
        node = node._parent
    if node is None:
        raise NoScreen("node has no screen")
    return node


def get_rule(self: RenderStyles, rule_name: str, default: object = None) -> object:
    inline: Any = self._inline_styles._rules
    if rule_name in inline:
        return inline[rule_name]
    return self._base_styles._rules.get(rule_name, default)


def get_theme(self: App[Any], theme_name: str) -> Theme | None:
    for name in theme_name.split(","):
        if (theme := self._registered_themes.get(name.strip())) is not None:
            return theme
    return None


_STRIP_CACHES = {
    "_divide_cache": 4,
    "_crop_cache": 16,
    "_style_cache": 16,
    "_filter_cache": 4,
    "_line_length_cache": 4,
    "_crop_extend_cache": 4,
    "_offsets_cache": 4,
}
"""How much each keeps. A strip has seven of them, and most are never asked."""


def strip_init(self: Strip, segments: Iterable[Segment], cell_length: int | None = None) -> None:
    self._segments = list(segments)
    self._cell_length = cell_length
    self._render_cache = self._link_ids = self._cell_count = None


def strip_cache(self: Strip, name: str) -> FIFOCache[Any, Any]:
    """Of the name that is not there yet."""
    if (size := _STRIP_CACHES.get(name)) is None:
        raise AttributeError(name, name=name, obj=self)
    made: FIFOCache[Any, Any] = FIFOCache(size)
    setattr(self, name, made)
    return made


def install() -> None:
    """For as long as this process lives."""
    _callback._count_parameters = count_parameters
    changes: dict[tuple[type, str], Any] = {
        (Stylesheet, "_parse_rules"): parse_rules,
        (Stylesheet, "parse"): parse,
        (MessagePump, "_get_dispatch_methods"): dispatch_methods,
        (Reactive, "__get__"): reactive_get,
        (DOMNode, "screen"): property(screen),
        (RenderStyles, "get_rule"): get_rule,
        (App, "get_theme"): get_theme,
        (Strip, "__init__"): strip_init,
        (Strip, "__getattr__"): strip_cache,
        # Textual's says the same in Python, for every rule that a widget might have.
        (RuleSet, "__hash__"): object.__hash__,
    }
    for (cls, name), quick in changes.items():
        setattr(cls, name, quick)
