"""Which keys an action has: the registry's, unless the configuration's `[keys]` says otherwise.

Key names are Textual's (`question_mark`, `shift+left`, `f2`); a file may also spell a key as it is printed (`?`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import field

from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.screen.actions import ACTIONS, BY_ID, Action
from hettui.domain.text import clean_line, nearest

_NAMED = (
    "up down left right home end pageup pagedown insert delete backspace enter escape tab space "
    + " ".join(f"f{n}" for n in range(1, 25))
).split()
_SPELLINGS = {
    "esc": "escape",
    "return": "enter",
    "del": "delete",
    "ins": "insert",
    "pgup": "pageup",
    "pgdn": "pagedown",
    "pagedn": "pagedown",
}
_MODIFIERS = ("alt", "ctrl", "shift")
_SHORTER = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
"""Textual's names where they are not Unicode's."""
_SENT_AS = {"ctrl+i": "tab", "ctrl+m": "enter", "ctrl+h": "backspace", "ctrl+left_square_bracket": "escape"}
_SYMBOLS = {"up": "↑", "down": "↓", "left": "←", "right": "→", "escape": "esc", "enter": "⏎", "delete": "del"}
_SYMBOLS |= {"pageup": "pgup", "pagedown": "pgdn", "backspace": "⌫"}


def key_name(spelling: str) -> str:
    """Textual's name of a key. Raises ValueError with the reason."""
    text = spelling if len(spelling) == 1 else spelling.strip()
    *modifiers, key = text.split("+") if len(text) > 1 and not text.endswith("+") else (text,)
    if len(text) > 1 and text.endswith("+"):
        *modifiers, key = *text[:-2].split("+"), "+"
    known = [m.strip().lower() for m in modifiers]
    wrong = next((m for m in known if m not in _MODIFIERS), None)
    if wrong is not None:
        raise ValueError(f'there is no "{wrong}+": allowed are ctrl+, alt+ and shift+')
    name = _plain(key)
    if "shift" in known and len(name) == 1 and name.isalpha():
        # Terminals send the capital letter and nothing else.
        known.remove("shift")
        name = name.upper()
    if "ctrl" in known:
        name = name.lower()
    whole = "+".join([*sorted(set(known)), name])
    if whole in _SENT_AS:
        raise ValueError(f"a terminal sends {_SENT_AS[whole]} for it: take another key")
    return whole


def _plain(key: str) -> str:
    if len(key) == 1 and key.isprintable():
        return _of_character(key)
    name = _SPELLINGS.get(key.lower(), key.lower())
    if name in _NAMED or character(name):
        return name
    raise ValueError("there is no such key: a character, or " + ", ".join(_NAMED[:15]) + ", f1 to f24")


def _of_character(key: str) -> str:
    name = key if key.isalnum() else unicodedata.name(key, "").lower().replace("-", "_").replace(" ", "_")
    return _SHORTER.get(name, name)


_ASCII = {_of_character(key): key for key in map(chr, range(33, 127))}
"""Unicode spells some of their names with hyphens, which a key's name has not."""


def character(name: str) -> str | None:
    """What the key types; None for one that types nothing."""
    if len(name) == 1:
        return name
    if name == "space":
        return " "
    if "+" in name:
        return None
    try:
        return _ASCII.get(name) or unicodedata.lookup(name.replace("_", " "))
    except KeyError:
        return None


def shown(name: str) -> str:
    """The key as it is printed: `?`, `shift+←`, `esc`."""
    *modifiers, key = name.split("+")
    text = _SYMBOLS.get(key) or (key if key == "space" else character(key)) or key
    return "+".join([*modifiers, text])


_MARK = late_pattern(r"\{([a-z_]+(?:\.[a-z_0-9]+)?)\}")


@dataclass(frozen=True)
class Keymap:
    """The effective keys."""

    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By action, as `read_keymap` gives them; no keys: only the palette has the action."""

    def keys(self, action: str) -> tuple[str, ...]:
        return self.changed.get(action, BY_ID[action].keys)

    def shown(self, action: str, *, typing: bool = False) -> str:
        """The first key as it is printed; empty for an action without. `typing`: where characters are text."""
        keys = [key for key in self.keys(action) if not typing or character(key) is None]
        return shown(keys[0]) if keys else ""

    def all_shown(self, action: str) -> str:
        """All of them: `← h`."""
        return " ".join(shown(key) for key in self.keys(action))

    def fill(self, text: str) -> str:
        """Keys for `{cluster.start}` and the like. What has no key is named as the palette does."""
        return _MARK.sub(lambda m: self._word(m[1]) if m[1] in BY_ID else m[0], text)

    def _word(self, action: str) -> str:
        return self.shown(action) or f'"{BY_ID[action].label}" in the palette (ctrl+p)'


DEFAULT = Keymap()


def key_table(keymap: Keymap = DEFAULT) -> list[tuple[str, str, str, str]]:
    """Group, keys, id and sentence of every action, in the order in which they are explained."""
    return [(a.group, keymap.all_shown(a.id), a.id, a.sentence) for a in ACTIONS]


# -- the configuration ---------------------------------------------------------------------------------------------

ALLOWED = 'a key such as "f2", several as "f2, ctrl+o" or as a list, "" or false for none'
_TYPED = tuple("0123456789")
_HELD = {
    **dict.fromkeys(("escape",), "esc always goes back"),
    **dict.fromkeys(("ctrl+q", "ctrl+c"), "it always leaves hettui"),
    "ctrl+p": "it always opens the palette",
    **dict.fromkeys(("tab", "shift+tab"), "it moves the keyboard on"),
}
"""Keys that keep their meaning everywhere, and what that is."""
_PROMPT = ("enter", "ctrl+j", "up", "down", "left", "right", "home", "end", "pageup", "pagedown", "backspace", "delete")


def read_keymap(content: Mapping[str, object]) -> tuple[dict[str, tuple[str, ...]], list[tuple[str, str]]]:
    """`[keys]` of a file: keys by action, and what is wrong, by the key in the file."""
    found: dict[str, tuple[str, ...]] = {}
    problems: list[tuple[str, str]] = []
    for name, raw in _flat(content):
        try:
            found[name] = _keys_for(name, raw)
        except ValueError as error:
            problems.append((name, str(error)))
    problems += _clashes(found)
    return found, problems


def _flat(content: Mapping[str, object], before: str = "") -> Iterable[tuple[str, object]]:
    """TOML takes `cluster.start = …` without quotes for a table in a table: both spellings are meant alike."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _keys_for(name: str, raw: object) -> tuple[str, ...]:
    action = BY_ID.get(name)
    if action is None:
        like = nearest(name, BY_ID)
        meant = f"; did you mean {like}?" if like else ""
        raise ValueError(f"there is no such action{meant or ':'} `hettui keys` lists them")
    if action.fixed:
        raise ValueError(f"its key stays {Keymap().all_shown(name)}: {action.sentence}")
    if raw is False:
        return ()
    if isinstance(raw, str):
        spellings = [raw] if len(raw) == 1 else [part for part in raw.split(",") if part.strip()]
    elif isinstance(raw, list) and all(isinstance(part, str) and part for part in raw):
        spellings = list(raw)
    else:
        raise ValueError(f"found {clean_line(str(raw), 60)}, allowed: {ALLOWED}")
    keys = []
    for spelling in spellings:
        try:
            key = key_name(spelling)
        except ValueError as error:
            raise ValueError(f'"{clean_line(spelling.strip(), 30)}": {error}') from None
        if reason := _held(action, key):
            raise ValueError(f'"{clean_line(spelling.strip(), 30)}": {reason}')
        keys.append(key)
    return tuple(dict.fromkeys(keys))


def _held(action: Action, key: str) -> str:
    """Why this action cannot have the key; empty when it can."""
    if key in _HELD:
        return f"{_HELD[key]}: take another key"
    if action.place == "chat":
        typed = character(key) is not None
        if typed or key in _PROMPT:
            return "the prompt needs it for typing: take one with ctrl or alt, or a function key"
    elif key in _TYPED:
        return "digits are layer counts and numbers of panes: take another key"
    elif action.place in ("screen", "card") and key in ("enter", "backspace"):
        return "it ends or mends a number that is typed: take another key"
    return ""


_TOGETHER = (
    ("screen", "card"),
    ("reading", "logs"),
    ("reading", "bench"),
    ("chat",),
    ("recording",),
)
"""Places whose keys work at the same time. A pane's go before those of the screen, but for what moves the focus."""


def _together(a: Action, b: Action) -> bool:
    if any(a.place in places and b.place in places for places in _TOGETHER):
        return True
    return (a.moves_focus and b.place != "app") or (b.moves_focus and a.place != "app")


def _clashes(changed: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Two actions on one key where both would be meant."""
    keymap, problems = Keymap(changed), []
    for name in changed:
        for other in ACTIONS:
            if other.id == name or not _together(BY_ID[name], other):
                continue
            both = set(keymap.keys(name)) & set(keymap.keys(other.id))
            told = other.id in changed and list(changed).index(other.id) > list(changed).index(name)
            if both and not told:
                key = shown(min(both))
                problems.append((name, f'"{key}" is the key of {other.id}: give that one another, or "" for none'))
    return problems
