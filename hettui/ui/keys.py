"""The registry of actions: every key of the main screen, for the bindings, the footer and the help.

Where the product's keys collide: a digit begins a number while a device is selected (so `0` empties the device
only when nothing is being typed, and panes have letters: `c` chat, `g` logs, `v` commands, Esc devices); in
the panes, where nothing can be typed, `1`–`6` choose a pane as well.

Keys that move the focus are priority bindings: an ordinary key is queued to the widget that had the focus when it
was read, so that of `c` and a question sent in one packet, as slow lines do, the question would be lost. Where text
is typed `MainScreen.check_action` turns them off again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual.binding import Binding

DIGITS = "0123456789"


MOVES_FOCUS = ("pane", "back", "model", "jump")
"""Actions after which the next key belongs to another widget."""

OF_A_CARD = ("layers", "layers_set", "lock", "order")
"""Actions on the selected device: keys only while its card has the focus."""


def _key(keys: str, action: str, short: str, id: str, tooltip: str, *, show: bool = False) -> Binding:
    priority = action.partition("(")[0] in MOVES_FOCUS
    return Binding(keys, action, short, id=id, tooltip=tooltip, show=show, priority=priority)


BINDINGS: list[Binding] = [
    _key("left,h", "layers(-1)", "one less", "layers.less", "one layer less"),
    _key("right,l", "layers(1)", "one more", "layers.more", "one layer more"),
    _key("shift+left,H", "layers(-4)", "four less", "layers.less4", "four layers less"),
    _key("shift+right,L", "layers(4)", "four more", "layers.more4", "four layers more"),
    _key("home", "layers_set(0)", "none", "layers.none", "no layers"),
    _key("end", "layers_set(-1)", "all", "layers.all", "all layers"),
    _key("up,k", "select(-1)", "up", "select.up", "the device above"),
    _key("down,j", "select(1)", "down", "select.down", "the device below"),
    _key("equals_sign", "even", "Even", "plan.even", "the same number of layers for every unlocked device"),
    _key("p", "propose", "Planner", "plan.propose", "let the planner share out the layers", show=True),
    _key("space", "lock", "Lock", "plan.lock", "lock or unlock the device: others leave its layers alone"),
    _key("left_square_bracket", "order(-1)", "Earlier", "plan.earlier", "move the device up in the order"),
    _key("right_square_bracket", "order(1)", "Later", "plan.later", "move the device down in the order"),
    _key("u", "undo", "Undo", "plan.undo", "undo the last change of the plan"),
    _key("ctrl+r", "redo", "Redo", "plan.redo", "redo it"),
    _key("s", "start", "Start", "cluster.start", "start the cluster with this plan", show=True),
    _key("a", "apply", "Apply", "cluster.apply", "apply the plan: only the master restarts", show=True),
    _key("x", "stop", "Stop", "cluster.stop", "stop all processes", show=True),
    # The tabs show these: the footer would not have room for Help and Quit on 80 columns.
    _key("c", "pane('chat')", "Chat", "pane.chat", "chat with the model"),
    _key("g", "pane('logs')", "Logs", "pane.logs", "what the processes print"),
    _key("b", "pane('bench')", "Bench", "pane.bench", "measure what runs, and compare with before"),
    _key("v", "pane('commands')", "Commands", "pane.commands", "the command lines of llama.cpp"),
    _key("e", "pane('explain')", "Explain", "pane.explain", "why this plan, and what would change it"),
    _key("plus", "rate(1)", "Faster", "sensors.faster", "ask the sensors more often"),
    _key("minus", "rate(-1)", "Slower", "sensors.slower", "ask the sensors less often"),
    _key("w", "post_mortem", "What happened", "cluster.post_mortem", "what ended, why, and what can be run now"),
    _key("y", "copy", "Copy", "commands.copy", "copy the command lines (OSC 52)"),
    _key("T", "app.themes", "Theme …", "app.themes", "another theme, shown at once while you choose"),
    _key("m", "model", "Model", "model.choose", "choose a model file", show=True),
    _key("o", "jump", "Jump", "jump", "a letter on every pane and device: it jumps there"),
    _key("ctrl+f", "jump(True)", "Jump", "jump.anywhere", "the same, also from the prompt"),
    _key("z,f9", "zoom", "Zoom", "pane.zoom", "the pane with the keyboard takes the whole screen, or gives it back"),
    _key("escape", "back", "Devices", "back", "back to the devices; stops an answer, drops a typed number"),
    _key("question_mark,f1", "help", "Help", "help", "this page", show=True),
    _key("q", "quit", "Quit", "quit", "leave hettui", show=True),
]

_REPLAY = [
    _key("space", "playback", "Pause", "replay.pause", "pause the recording, or go on", show=True),
    _key("comma", "seek(-10)", "−10 s", "replay.back", "ten seconds back", show=True),
    _key("full_stop", "seek(10)", "+10 s", "replay.forward", "ten seconds forward", show=True),
    _key("less_than_sign", "speed(-1)", "Slower", "replay.slower", "play at half the speed", show=True),
    _key("greater_than_sign", "speed(1)", "Faster", "replay.faster", "play at twice the speed", show=True),
    _key("home", "seek_to(False)", "Begin", "replay.begin", "to the beginning of the recording"),
    _key("end", "seek_to(True)", "End", "replay.end", "to its end"),
]

_IN_REPLAY = ("help", "quit", "pane('chat')", "pane('logs')", "pane('commands')", "pane('explain')")
"""Actions of the main screen that the footer of a replay shows, behind those of time; what comes last goes first."""


def _for_replay(bindings: Sequence[Binding]) -> list[Binding]:
    taken = {binding.key for binding in _REPLAY}
    rest = [replace(b, show=b.action in _IN_REPLAY) for b in bindings if b.key not in taken]
    shown = sorted((b for b in rest if b.show), key=lambda b: _IN_REPLAY.index(b.action))
    return [*_REPLAY, *shown, *(b for b in rest if not b.show)]


REPLAY_BINDINGS = _for_replay(BINDINGS)
"""Of a recording: the keys of time take the place of what the same keys do to a card."""


def _chat(keys: str, action: str, short: str, id: str, tooltip: str) -> Binding:
    return Binding(keys, action, short, id=f"chat.{id}", tooltip=tooltip)


CHAT_BINDINGS: list[Binding] = [
    _chat("ctrl+r", "retry", "Again", "retry", "send the last question again"),
    _chat("ctrl+b", "edit_last", "Edit", "edit", "take the last question back into the prompt"),
    _chat("ctrl+n", "new", "New", "new", "a new conversation"),
    _chat("ctrl+o", "open", "Open", "open", "another conversation with this model"),
    _chat("ctrl+g", "settings", "Settings", "settings", "system prompt, sampling, chat or raw"),
    _chat("ctrl+t", "article", "Test", "test", "the article's test: raw `def fibonacci(n):`, 100 tokens"),
    _chat("ctrl+s", "save", "Save", "save", "save the conversation as Markdown"),
    _chat("ctrl+l", "reasoning", "Thinking", "thinking", "open or fold what the model thought"),
    _chat("f5", "parallel", "Parallel", "parallel", "the prompt in all slots at once"),
]
"""Keys of the chat pane: where a prompt is typed, no letter can be one."""

_SHOWN = {
    "equals_sign": "=",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "question_mark": "?",
    "plus": "+",
    "minus": "-",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "shift+left": "shift+←",
    "shift+right": "shift+→",
    "escape": "esc",
    "comma": ",",
    "full_stop": ".",
    "less_than_sign": "<",
    "greater_than_sign": ">",
}


def help_rows(bindings: Sequence[Binding] = BINDINGS) -> list[tuple[str, str]]:
    """Keys and meanings for the help screen."""
    rows = [(" ".join(_SHOWN.get(k, k) for k in b.key.split(",")), b.tooltip) for b in bindings]
    after = 1 + max(i for i, b in enumerate(bindings) if b.action.startswith("layers"))
    rows.insert(after, ("a number, ⏎", "sets the layers; 0 alone empties the device"))
    rows += [(" ".join(b.key.split(",")), f"in the chat: {b.tooltip}") for b in CHAT_BINDINGS if bindings is BINDINGS]
    return [*rows, ("1 … 6", "choose a pane, where no device is selected"), ("ctrl+p", "the palette: every action")]
