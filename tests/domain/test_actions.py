"""The registry of actions, its reasons, and the keymap of a configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.keys import _character_to_key

from hettui.adapters.files.config_toml import load
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.errors import ConfigError
from hettui.domain.screen.actions import ACTIONS, BY_ID
from hettui.domain.screen.keymap import Keymap, _together, character, key_name, key_table, read_keymap, shown
from hettui.domain.screen.situation import Situation

READY, DOWN, LOADING = ClusterState.READY, ClusterState.DOWN, ClusterState.LOADING
FREE = Situation(devices=3, selected_place=1)


def test_every_action_is_named_and_has_a_way_to_it() -> None:
    assert len(BY_ID) == len(ACTIONS)
    for action in ACTIONS:
        assert action.id
        assert action.label
        assert action.sentence
        assert action.call
        # Without a key of its own it is one of the palette's.
        assert action.keys or action.place == "screen"
        # Two keys that follow one another are a chord.
        assert [" ".join(map(key_name, key.split())) for key in action.keys] == list(action.keys)


def test_no_two_actions_share_a_key_in_one_place() -> None:
    both = [
        (a.id, b.id) for a in ACTIONS for b in ACTIONS if a.id < b.id and set(a.keys) & set(b.keys) and _together(a, b)
    ]
    assert both == []


@pytest.mark.parametrize(
    ("action", "changes", "reason"),
    [
        ("layers.more", {}, None),
        ("layers.more", {"pane": "logs"}, "no device has the keyboard: esc goes to the devices"),
        ("layers.more", {"model": False}, "m chooses one"),
        ("layers.more", {"selected_locked": True, "selected_name": "big"}, "big is locked: space unlocks it"),
        ("plan.lock", {"selected_is_host": True}, "cannot be locked"),
        ("plan.earlier", {"selected_place": 0, "selected_name": "big"}, "big is the first device already"),
        ("plan.later", {"selected_place": 2}, "is the last device already"),
        ("plan.later", {"selected_is_host": True}, "no place in the order"),
        ("plan.propose", {"model": False}, "no model is chosen: m chooses one"),
        ("plan.undo", {}, "nothing to undo"),
        ("plan.undo", {"undo": "the even split"}, None),
        ("plan.redo", {}, "nothing to redo"),
        ("model.choose", {}, None),
        ("model.choose", {"state": READY}, "x stops the cluster first"),
        ("model.choose", {"refusal": "another hettui runs it"}, "another hettui runs it"),
        ("cluster.start", {}, None),
        ("cluster.start", {"state": READY}, "this plan runs already"),
        ("cluster.start", {"state": READY, "differs": True}, "a applies the changed plan"),
        ("cluster.start", {"state": LOADING}, "the cluster is loading: x stops it"),
        ("cluster.start", {"problem": "no llama.cpp was found"}, "no llama.cpp was found"),
        ("cluster.start", {"shortage": "big is short by 3 MiB"}, "big is short by 3 MiB"),
        ("cluster.start_anyway", {"shortage": "big is short by 3 MiB"}, None),
        ("cluster.apply", {}, "s starts it"),
        ("cluster.apply", {"state": READY}, "nothing to apply"),
        ("cluster.apply", {"state": READY, "differs": True}, None),
        ("cluster.stop", {}, "nothing runs"),
        ("cluster.stop", {"state": ClusterState.STOPPING}, "stopping already"),
        ("cluster.stop", {"state": ClusterState.STOPPING, "can_cut": True}, None),
        ("cluster.stop", {"state": ClusterState.FAILED, "processes": True}, None),
        ("cluster.tune", {}, None),
        ("cluster.tune", {"state": READY}, None),
        ("cluster.tune", {"state": READY, "chat_busy": True}, "still being written"),
        ("cluster.tune", {"bench_busy": True}, "a bench is running"),
        ("cluster.tune", {"devices": 1}, "only one device"),
        ("cluster.tune", {"refusal": "another hettui runs it"}, "another hettui runs it"),
        ("cluster.post_mortem", {}, "nothing to tell"),
        ("commands.copy", {"model": False}, "there are no command lines yet"),
        ("sensors.faster", {"fastest": True}, "as often as can be"),
        ("sensors.slower", {"recording": True}, "a recording"),
        ("filter", {"pane": "bench"}, "in the logs (g)"),
        ("filter", {"pane": "logs"}, None),
        ("logs.process", {"processes_logged": 1}, "fewer than two"),
        ("chat.retry", {}, "nothing was asked yet"),
        ("chat.retry", {"asked": True, "chat_busy": True}, "esc stops it"),
        ("chat.retry", {"asked": True, "no_chat": "the cluster is stopped"}, "the cluster is stopped"),
        ("chat.open", {}, "no other conversation"),
        ("chat.copy", {}, "no answer to copy"),
        ("chat.settings", {"recording": True}, "a recording"),
        ("bench.run", {"bench_busy": True}, "a bench is running"),
        ("bench.copy", {}, "nothing was measured yet: ⏎"),
    ],
)
def test_why_not(action: str, changes: dict[str, object], reason: str | None) -> None:
    found = BY_ID[action].why_not(replace(FREE, **changes))  # type: ignore[arg-type]
    if reason is None:
        assert found is None
    else:
        assert found is not None
        assert reason in Keymap().fill(found)


def test_key_names_are_textuals() -> None:
    for text in map(chr, range(32, 127)):
        assert key_name(text) == _character_to_key(text)
        assert character(key_name(text)) == text
    assert key_name("shift+s") == "S"
    assert key_name("Ctrl+Shift+Left") == "ctrl+shift+left"
    assert key_name("esc") == "escape"
    assert [shown(k) for k in ("question_mark", "shift+left", "f2", "ctrl+o")] == ["?", "shift+←", "f2", "ctrl+o"]


def test_a_keymap_changes_keys_and_words() -> None:
    changed, problems = read_keymap({"cluster": {"start": "f2"}, "plan.undo": ["n", "U"], "help": "", "quit": False})
    assert problems == []
    assert changed == {"cluster.start": ("f2",), "plan.undo": ("n", "U"), "help": (), "quit": ()}
    keymap = Keymap(changed)
    assert keymap.fill("{cluster.start} starts it, {model.choose} too, {nobody}") == "f2 starts it, m too, {nobody}"
    assert keymap.fill("{help}") == '"Help" in the palette (ctrl+p)'
    assert ("Cluster", "f2", "cluster.start", "start the cluster with this plan") in key_table(keymap)


def test_two_actions_may_swap_their_keys() -> None:
    assert read_keymap({"cluster.start": "a", "cluster.apply": "s"})[1] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('"cluster.strt" = "f2"', "[keys] cluster.strt: there is no such action; did you mean cluster.start?"),
        ('cluster.start = "f99"', '[keys] cluster.start: "f99": there is no such key'),
        ("cluster.start = 3", "found 3, allowed: a key such as"),
        ('cluster.start = "a"', '"a" is the key of cluster.apply'),
        ('cluster.start = "right"', '"→" is the key of layers.more'),
        ('"bench.deep" = "g"', '"g" is the key of pane.logs'),
        ('"chat.new" = "n"', "the prompt needs it for typing"),
        ('"chat.new" = "enter"', "the prompt needs it for typing"),
        ('cluster.start = "5"', "digits are layer counts"),
        ('cluster.start = "ctrl+i"', "a terminal sends tab for it"),
        ('cluster.start = "ctrl+q"', "it always leaves hettui"),
        ('"app.quit" = ""', "its key stays ctrl+q ctrl+c"),
        ('back = "z"', "its key stays esc"),
        ('cluster.start = "super+a"', 'there is no "super+"'),
    ],
)
def test_a_wrong_keymap_says_file_line_and_key(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'[ui]\ntheme = "ember"\n\n[keys]\n# mine\n{line}\n')
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert str(raised.value).startswith(f"{file}:6: [keys] ")
    assert said in str(raised.value)
