"""The registry of actions, once: footer, help, palette, keymap, bindings and the table in docs/keys.md come from here.

A place is where an action's keys work: on the whole screen, only while a device has the keyboard (`card`), in a pane,
or in whatever is being read (`reading`: logs, other panes, lists, help). A pane's keys go before the screen's.

Where the product's keys collide: a digit begins a number while a device is selected (so `0` empties the device only
when nothing is being typed, and panes have letters); in the panes, where nothing can be typed, `1`–`6` choose a pane.
`g` is the logs from everywhere, and in the logs themselves, where one is already, their first line.
"""

from __future__ import annotations

from typing import Literal

from hettui.domain.records import dataclass
from hettui.domain.screen import situation as why

Group = Literal["Devices", "Plan", "Cluster", "Panes", "Reading", "Logs", "Chat", "Bench", "Recording", "Screen"]
Place = Literal["screen", "card", "reading", "logs", "chat", "bench", "recording", "app"]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a key does."""

    id: str
    keys: tuple[str, ...]
    """As `keymap.key_name` spells them; the first one is shown in sentences."""
    call: str
    """Textual's action of the widget that does it."""
    label: str
    """One or two words, for the footer."""
    sentence: str
    group: Group
    place: Place
    why_not: why.WhyNot = why.possible
    shown: bool = False
    """In the footer."""
    moves_focus: bool = False
    """The next key belongs to another widget, or is text. An ordinary key is queued to the widget that had the focus
    when it was read: of `c` and a question sent in one packet, as slow lines do, the question would be lost. So these
    are priority bindings."""
    fixed: bool = False
    """Not for a keymap: there must always be a way out, and a prompt without Enter would be none."""


_SLIDER = why.first(why.no_card, why.no_model, why.locked)
_EXPERTS = why.first(why.no_card, why.no_model, why.no_experts)
_START = why.first(why.refused, why.on_the_way, why.runs_already, why.nothing_to_start, why.does_not_fit)
_APPLY = why.first(why.refused, why.on_the_way, why.nothing_to_apply, why.nothing_to_start, why.does_not_fit)
_TUNE = why.first(
    why.refused, why.on_the_way, why.nothing_to_start, why.does_not_fit, why.chat_busy, why.bench_busy, why.one_device
)
_FORCED_START = why.first(why.refused, why.on_the_way, why.runs_already, why.nothing_to_start)
_FORCED_APPLY = why.first(why.refused, why.on_the_way, why.nothing_to_apply, why.nothing_to_start)
_ASK = why.first(why.chat_busy, why.chat_closed)
_SAID = why.first(why.nothing_asked, why.chat_busy)
_MEASURE = why.first(why.bench_busy, why.chat_closed)


_OF_A_DEVICE = (
    Action("select.up", ("up", "k"), "select(-1)", "Up", "the device above", "Devices", "card", why.no_card),
    Action("select.down", ("down", "j"), "select(1)", "Down", "the device below", "Devices", "card", why.no_card),
    Action("layers.less", ("left", "h"), "layers(-1)", "One less", "one layer less", "Devices", "card", _SLIDER),
    Action("layers.more", ("right", "l"), "layers(1)", "One more", "one layer more", "Devices", "card", _SLIDER),
    Action(
        "layers.less4", ("shift+left", "H"), "layers(-4)", "Four less", "four layers less", "Devices", "card", _SLIDER
    ),
    Action(
        "layers.more4", ("shift+right", "L"), "layers(4)", "Four more", "four layers more", "Devices", "card", _SLIDER
    ),
    Action(
        "experts.less",
        ("comma",),
        "layers(-1, True)",
        "Experts off",
        "experts or FFN of one block less on the device",
        "Devices",
        "card",
        _EXPERTS,
    ),
    Action(
        "experts.more",
        ("full_stop",),
        "layers(1, True)",
        "Experts on",
        "experts or FFN of one block more on the device",
        "Devices",
        "card",
        _EXPERTS,
    ),
    Action("layers.none", ("home",), "layers_set(0)", "None", "no layers", "Devices", "card", _SLIDER),
    Action("layers.all", ("end",), "layers_set(-1)", "All", "all layers", "Devices", "card", _SLIDER),
    Action(
        "plan.lock",
        ("space",),
        "lock",
        "Lock",
        "lock or unlock the device: others leave its layers alone",
        "Devices",
        "card",
        why.first(why.no_card, why.host_has_no_lock),
    ),
    Action(
        "plan.earlier",
        ("left_square_bracket",),
        "order(-1)",
        "Earlier",
        "move the device up in the order",
        "Devices",
        "card",
        why.first(why.no_card, why.host_has_no_place, why.is_first),
    ),
    Action(
        "plan.later",
        ("right_square_bracket",),
        "order(1)",
        "Later",
        "move the device down in the order",
        "Devices",
        "card",
        why.first(why.no_card, why.host_has_no_place, why.is_last),
    ),
)

_OF_THE_PLAN = (
    Action(
        "plan.propose",
        ("p",),
        "propose",
        "Plans",
        "plans to choose from: fastest, even, largest context, without a device, what makes it fit",
        "Plan",
        "screen",
        why.no_model,
        shown=True,
    ),
    Action(
        "plan.settings",
        ("S",),
        "settings",
        "Settings",
        "llama-server's settings: context, slots, cache, batches, threads, with what they cost at once",
        "Plan",
        "screen",
        why.no_model,
    ),
    Action(
        "devices.look",
        ("R",),
        "look",
        "Look again",
        "look for devices again: one that was missing may be there now",
        "Plan",
        "screen",
    ),
    Action(
        "devices.add",
        ("A",),
        "add_card",
        "Add a card",
        "plan with a card that you do not have: name, GiB, GB/s and link, or one of the table; or take it away",
        "Plan",
        "screen",
        why.another_machine,
    ),
    Action(
        "plan.even",
        ("equals_sign",),
        "even",
        "Even",
        "the same number of layers for every unlocked device",
        "Plan",
        "screen",
        why.no_model,
    ),
    Action(
        "plan.undo", ("u",), "undo", "Undo", "undo the last change of the plan", "Plan", "screen", why.nothing_undone
    ),
    Action("plan.redo", ("ctrl+r",), "redo", "Redo", "do again what was undone", "Plan", "screen", why.nothing_redone),
    Action(
        "hosts",
        (),
        "hosts",
        "Hosts",
        "other machines: what they are, a login that may ask, llama.cpp brought there",
        "Plan",
        "screen",
        why.refused,
        moves_focus=True,
    ),
    Action(
        "model.choose",
        ("m",),
        "model",
        "Model",
        "choose a model file",
        "Plan",
        "screen",
        why.first(why.refused, why.model_in_use),
        shown=True,
        moves_focus=True,
    ),
    Action(
        "model.draft",
        ("D",),
        "model(True)",
        "Draft",
        "choose a draft model, which proposes tokens, or take it away",
        "Plan",
        "screen",
        why.first(why.refused, why.no_model, why.on_the_way),
        moves_focus=True,
    ),
)

_OF_THE_CLUSTER = (
    Action(
        "cluster.start",
        ("s",),
        "start",
        "Start",
        "start the cluster with this plan",
        "Cluster",
        "screen",
        _START,
        shown=True,
    ),
    Action(
        "cluster.apply",
        ("a",),
        "apply",
        "Apply",
        "apply the plan: only the master restarts",
        "Cluster",
        "screen",
        _APPLY,
        shown=True,
    ),
    Action(
        "cluster.stop",
        ("x",),
        "stop",
        "Stop",
        "stop all processes",
        "Cluster",
        "screen",
        why.first(why.refused, why.nothing_to_stop),
        shown=True,
    ),
    Action(
        "cluster.tune",
        ("t",),
        "tune",
        "Tune",
        "search for the best split by measuring: launches several",
        "Cluster",
        "screen",
        _TUNE,
        shown=True,
    ),
    Action(
        "cluster.start_anyway",
        (),
        "start(True)",
        "Force start",
        "start although the plan does not fit",
        "Cluster",
        "screen",
        _FORCED_START,
    ),
    Action(
        "cluster.apply_anyway",
        (),
        "apply(True)",
        "Force apply",
        "apply although the plan does not fit",
        "Cluster",
        "screen",
        _FORCED_APPLY,
    ),
    Action(
        "cluster.post_mortem",
        ("w",),
        "post_mortem",
        "What happened",
        "what ended, why, and what can be run now",
        "Cluster",
        "screen",
        why.nothing_ended,
    ),
    Action(
        "cluster.own",
        (),
        "own",
        "Take over",
        "take over a cluster that is only watched here, when its owner has left",
        "Cluster",
        "screen",
        why.owned_already,
    ),
    Action(
        "commands.copy",
        ("y",),
        "copy",
        "Copy",
        "copy the command lines (OSC 52)",
        "Cluster",
        "screen",
        why.no_commands,
    ),
    Action(
        "sensors.faster",
        ("plus",),
        "rate(1)",
        "Faster",
        "ask the sensors more often",
        "Cluster",
        "screen",
        why.first(why.recorded_readings, why.most_often),
    ),
    Action(
        "sensors.slower",
        ("minus",),
        "rate(-1)",
        "Slower",
        "ask the sensors less often",
        "Cluster",
        "screen",
        why.first(why.recorded_readings, why.most_seldom),
    ),
)


def _pane(id: str, key: str, label: str, sentence: str) -> Action:
    return Action(f"pane.{id}", (key,), f"pane('{id}')", label, sentence, "Panes", "screen", moves_focus=True)


# The tabs show their keys: the footer would not have room for Help and Quit on 80 columns.
_OF_PANES = (
    _pane("chat", "c", "Chat", "chat with the model"),
    _pane("requests", "r", "Requests", "what every client's requests did, and why a prompt was read again"),
    _pane("logs", "g", "Logs", "what the processes print; in the logs: their first line"),
    _pane("bench", "b", "Bench", "measure what runs, and compare with before"),
    _pane("commands", "v", "Commands", "the command lines of llama.cpp"),
    _pane("explain", "e", "Explain", "why this plan, and what would change it"),
    Action(
        "back",
        ("escape",),
        "back",
        "Devices",
        "back to the devices; stops an answer, drops what is typed",
        "Panes",
        "screen",
        moves_focus=True,
        fixed=True,
    ),
    Action(
        "pane.next",
        ("tab",),
        "pane_step(1)",
        "Next pane",
        "the pane to the right, round and round; also from the prompt",
        "Panes",
        "screen",
        moves_focus=True,
        fixed=True,
    ),
    Action(
        "pane.previous",
        ("shift+tab",),
        "pane_step(-1)",
        "Pane before",
        "the pane to the left",
        "Panes",
        "screen",
        moves_focus=True,
        fixed=True,
    ),
    Action("jump", ("o",), "jump", "Jump", "a letter on every pane and device: it jumps there", "Panes", "screen"),
    Action(
        "jump.anywhere",
        ("ctrl+f",),
        "jump(True)",
        "Jump",
        "the same, also from the prompt",
        "Panes",
        "screen",
        moves_focus=True,
    ),
    Action(
        "pane.zoom",
        ("z", "f9"),
        "zoom",
        "Zoom",
        "the pane with the keyboard takes the whole screen, or gives it back",
        "Panes",
        "screen",
    ),
    Action(
        "filter",
        ("slash",),
        "filter",
        "Filter",
        "type a part of a name: finds a device, in the logs the lines with it",
        "Panes",
        "screen",
        why.nothing_to_filter,
        moves_focus=True,
    ),
)


def _move(id: str, keys: tuple[str, ...], sentence: str) -> Action:
    return Action(f"move.{id}", keys, f"move('{id}')", sentence.capitalize(), sentence, "Reading", "reading")


_OF_READING = (
    _move("up", ("up", "k"), "a line up"),
    _move("down", ("down", "j"), "a line down"),
    _move("left", ("left", "h"), "to the left, where lines are longer than the pane"),
    _move("right", ("right", "l"), "to the right"),
    _move("half_up", ("ctrl+u",), "half a page up"),
    _move("half_down", ("ctrl+d",), "half a page down"),
    _move("page_up", ("pageup",), "a page up"),
    _move("page_down", ("pagedown",), "a page down"),
    _move("first", ("home",), "to the beginning"),
    _move("last", ("end", "G"), "to the end; the logs follow it from then on"),
)

_OF_THE_LOGS = (
    Action(
        "logs.process",
        ("f",),
        "process",
        "One process",
        "only one process's lines: the next one's, at last all again",
        "Logs",
        "logs",
        why.one_process,
        shown=True,
    ),
)


def _chat(id: str, key: str, call: str, label: str, sentence: str, reason: why.WhyNot) -> Action:
    why_not = why.first(why.recorded_chat, reason)
    return Action(f"chat.{id}", (key,), call, label, sentence, "Chat", "chat", why_not, shown=True)


_OF_THE_CHAT = (
    Action("chat.send", ("enter",), "send", "Send", "send what is typed", "Chat", "chat", fixed=True),
    Action("chat.newline", ("ctrl+j",), "newline", "New line", "a new line in the prompt", "Chat", "chat", fixed=True),
    _chat(
        "retry",
        "ctrl+r",
        "retry",
        "Again",
        "send the last question again",
        why.first(why.nothing_asked, _ASK),
    ),
    _chat("edit", "ctrl+b", "edit_last", "Edit", "take the last question back into the prompt", _SAID),
    _chat("new", "ctrl+n", "new", "New", "a new conversation", why.chat_busy),
    _chat(
        "open",
        "ctrl+o",
        "open",
        "Open",
        "another conversation with this model",
        why.first(why.chat_busy, why.no_conversations),
    ),
    _chat("settings", "ctrl+g", "settings", "Settings", "system prompt, sampling, chat or raw", why.possible),
    _chat("limit", "f6", "limit", "Limit", "another limit of tokens for answers from now on", why.possible),
    Action(
        "chat.editor",
        ("ctrl+x ctrl+e",),
        "editor",
        "Editor",
        "the prompt in your own editor ($VISUAL or $EDITOR)",
        "Chat",
        "chat",
        why.recorded_chat,
        fixed=True,
    ),
    _chat("test", "ctrl+t", "article", "Test", "the article's test: raw `def fibonacci(n):`, 100 tokens", _ASK),
    _chat("save", "ctrl+s", "save", "Save", "save the conversation as Markdown", why.nothing_asked),
    _chat(
        "copy", "ctrl+y", "copy", "Copy", "copy the last answer (OSC 52), and write it to a file", why.nothing_answered
    ),
    _chat("thinking", "ctrl+l", "reasoning", "Thinking", "open or fold what the model thought", why.possible),
    _chat("parallel", "f5", "parallel", "Parallel", "the prompt in all slots at once", _ASK),
)

_OF_THE_BENCH = (
    Action(
        "bench.run", ("enter",), "run(False)", "Measure", "measure what runs", "Bench", "bench", _MEASURE, shown=True
    ),
    Action(
        "bench.deep",
        ("f",),
        "run(True)",
        "With depths",
        "measure with depths too",
        "Bench",
        "bench",
        _MEASURE,
        shown=True,
    ),
    Action(
        "bench.copy",
        ("y",),
        "copy",
        "Copy",
        "copy the run as Markdown (OSC 52)",
        "Bench",
        "bench",
        why.nothing_measured,
        shown=True,
    ),
)


def _time(id: str, key: str, call: str, label: str, sentence: str, shown: bool = True) -> Action:
    return Action(f"replay.{id}", (key,), call, label, sentence, "Recording", "recording", shown=shown)


_OF_A_RECORDING = (
    _time("pause", "space", "playback", "Pause", "pause the recording, or go on"),
    _time("back", "comma", "seek(-10)", "−10 s", "ten seconds back"),
    _time("forward", "full_stop", "seek(10)", "+10 s", "ten seconds forward"),
    _time("slower", "less_than_sign", "speed(-1)", "Slower", "play at half the speed"),
    _time("faster", "greater_than_sign", "speed(1)", "Faster", "play at twice the speed"),
    _time("begin", "home", "seek_to(False)", "Begin", "to the beginning of the recording", shown=False),
    _time("end", "end", "seek_to(True)", "End", "to its end", shown=False),
)

_OF_THE_SCREEN = (
    Action(
        "help",
        ("question_mark", "f1"),
        "help",
        "Help",
        "every key that works here, and why one does not now",
        "Screen",
        "screen",
        shown=True,
    ),
    Action(
        "doctor",
        ("d",),
        "app.doctor",
        "Doctor",
        "look at this machine: cards, drivers, links, power, memory, hosts, configuration",
        "Screen",
        "screen",
        why.another_machine,
        moves_focus=True,
    ),
    Action(
        "app.themes",
        ("T",),
        "app.themes",
        "Theme …",
        "another theme, shown at once while you choose",
        "Screen",
        "screen",
    ),
    Action("quit", ("q",), "quit", "Quit", "leave hettui; asks when something runs", "Screen", "screen", shown=True),
    Action("app.palette", ("ctrl+p",), "palette", "Palette", "every action by name", "Screen", "app", fixed=True),
    Action(
        "app.quit", ("ctrl+q", "ctrl+c"), "leave", "Quit", "leave hettui, from everywhere", "Screen", "app", fixed=True
    ),
)

ACTIONS: tuple[Action, ...] = (
    *_OF_A_DEVICE,
    *_OF_THE_PLAN,
    *_OF_THE_CLUSTER,
    *_OF_PANES,
    *_OF_READING,
    *_OF_THE_LOGS,
    *_OF_THE_CHAT,
    *_OF_THE_BENCH,
    *_OF_A_RECORDING,
    *_OF_THE_SCREEN,
)

BY_ID = {action.id: action for action in ACTIONS}
