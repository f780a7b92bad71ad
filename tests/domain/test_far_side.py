"""What a host's shell is told: whatever the login shell is, and whatever stands in it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hettui.domain.hosts.far_side import BOOT, marked, marker, script
from hettui.domain.hosts.worker import RemoteWorker, exit_in_signals
from tests import examples

SHELLS = [shell for shell in ("sh", "bash", "dash", "fish", "tcsh", "csh", "zsh", "ksh") if shutil.which(shell)]
NASTY = ("a b", "it's", "$HOME", "`id`", "!x\\", "\n two", "é", "~", "", '"', "##hettui-0##", "-n", "%s", "*")
PRINTS = 'for a do printf "[%s]" "$a"; done; IFS= read -r x; echo "then $x, $Y"'


@pytest.mark.parametrize("shell", SHELLS)
def test_every_login_shell_runs_the_same_script_and_leaves_the_rest_of_stdin(shell: str) -> None:
    text = script([PRINTS], NASTY, {"Y": "it's\n!"})
    done = subprocess.run([shell, "-c", BOOT], input=text + b"a beat\nmore\n", capture_output=True)
    assert done.stderr == b""
    assert done.stdout.decode() == "".join(f"[{word}]" for word in NASTY) + "then a beat, it's\n!\n"


@settings(max_examples=examples.of(25), deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20), max_size=5))
def test_arguments_arrive_as_they_are(words: list[str]) -> None:
    text = script(['for a do printf "%s\\0" "$a"; done'], words)
    done = subprocess.run(["sh", "-c", BOOT], input=text, capture_output=True)
    assert done.stdout.decode() == "".join(f"{word}\0" for word in words)


def test_bytes_that_are_no_text_arrive_too() -> None:
    done = subprocess.run(["sh", "-c", BOOT], input=script(['printf %s "$1"'], ["a\udcff"]), capture_output=True)
    assert done.stdout == b"a\xff"


def test_a_name_of_a_variable_is_a_name() -> None:
    with pytest.raises(ValueError, match="no name"):
        script([], [], {"A;rm": "x"})


def test_what_a_login_says_before_a_marker_is_cut_off() -> None:
    mark = marker("0a1b")
    lines = ["*** be nice ***", f"no newline{mark} worker 12 345 18052 /opt/x y", "##hettui-ffff## worker 1 2 3 /evil"]
    assert marked(lines, mark) == [["worker", "12", "345", "18052", "/opt/x", "y"]]


WORKER = RemoteWorker(
    "worker big one", "attic", "ssh://me@attic:22", 18052, ("-d", "CUDA0", "--", "x"), {"A": "b=c", "B": ""}, "~/l l",
    30, 20, True, 1 << 30,
)  # fmt: skip


@pytest.mark.parametrize("worker", [WORKER, RemoteWorker("n", "h", "s", 1)])
def test_a_worker_comes_back_from_its_words(worker: RemoteWorker) -> None:
    assert RemoteWorker.of(worker.words()) == worker


@pytest.mark.parametrize(
    "words",
    [(), ("a", "b", "c"), ("a", "b", "c", "x", "--"), ("a", "b", "c", "1"), ("a", "b", "c", "1", "odd=2", "--")],
)
def test_other_words_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        RemoteWorker.of(words)


@pytest.mark.parametrize(("code", "python"), [(0, 0), (1, 1), (127, 127), (128, 128), (137, -9), (134, -6), (255, 255)])
def test_a_shells_exit_status_is_a_signal_where_it_says_one(code: int, python: int) -> None:
    assert exit_in_signals(code) == python
