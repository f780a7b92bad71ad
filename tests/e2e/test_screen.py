"""The real screen on a real cluster, by keys alone."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import Terminal, engine_processes

pytestmark = [pytest.mark.engine, pytest.mark.tmux]


def master_argv() -> list[str]:
    (master,) = [p for p in map(psutil.Process, engine_processes()) if p.name() == "llama-server"]
    return master.cmdline()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_from_the_first_frame_to_the_last(terminal: Terminal, nothing_left: None, size: tuple[int, int]) -> None:
    terminal.run("demo", size=size)
    terminal.wait("s starts it")
    terminal.send("s")
    shown = terminal.wait("● ready")
    assert "big" in shown
    assert "small" in shown
    before = master_argv()

    # A layer moves, the plan differs, apply restarts the master with the new split.
    workers = engine_processes()
    terminal.send("Right")
    terminal.wait("the plan differs")
    terminal.send("a")
    terminal.wait("the plan is what runs")
    after = master_argv()
    split_before, split_after = (a[a.index("-ts") + 1] for a in (before, after))
    first_before, second_before, *_ = map(int, split_before.split(","))
    first_after, second_after, *_ = map(int, split_after.split(","))
    assert (first_after, second_after) == (first_before + 1, second_before - 1)
    assert len(workers & engine_processes()) == 3

    # The question is typed in one burst with the key that opens the chat, as a slow line delivers it.
    terminal.type("cName three colours")
    terminal.wait("Name three colours")
    terminal.send("Enter")
    shown = terminal.wait("· first token")
    assert re.search(r"answer \d+ tok, [\d.]+ tok/s", shown)

    terminal.send("Escape")
    terminal.wait("▶1")
    terminal.send("v")
    terminal.wait("What runs now")
    # Else the marker of before would be taken for that after Escape, and Escape with the next key for Alt.
    terminal.wait("▶1", gone=True)
    terminal.press_until("End", "--device")
    terminal.send("Escape")
    terminal.wait("▶1")
    terminal.send("x")
    terminal.wait("s starts it")
    terminal.send("q")
    assert "EXIT=0" in terminal.wait("EXIT=")


def test_quitting_a_running_cluster_asks_and_stops_it(terminal: Terminal, nothing_left: None) -> None:
    before = engine_processes()
    terminal.run("demo")
    terminal.wait("s starts it")
    terminal.send("s")
    terminal.wait("● ready")
    terminal.send("q")
    terminal.wait("What shall become of it")
    terminal.send("Escape")
    terminal.wait("What shall become of it", gone=True)
    assert len(engine_processes() - before) == 4
    terminal.send("q")
    terminal.wait("What shall become of it")
    terminal.send("s")
    terminal.wait("EXIT=0")
    assert engine_processes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_screen_and_cluster(terminal: Terminal, nothing_left: None, number: signal.Signals) -> None:
    before = engine_processes()
    terminal.run("demo")
    terminal.wait("s starts it")
    terminal.send("s")
    terminal.wait("● ready")
    shell = psutil.Process(terminal.pane_pid())
    hettui = next(p for p in shell.children(recursive=True) if "hettui" in " ".join(p.cmdline()))
    hettui.send_signal(number)
    terminal.wait(f"EXIT={128 + number}")
    assert engine_processes() == before


def test_a_split_that_does_not_fit_is_refused_by_name(terminal: Terminal, nothing_left: None) -> None:
    terminal.run("demo")
    terminal.wait("s starts it")
    terminal.send("Down", "Down", "End")
    shown = terminal.wait("does not fit")
    assert "small is short by" in shown
    terminal.send("s")
    terminal.wait("Start: it does not fit")
    terminal.send("u")
    terminal.wait("s starts it")
    terminal.send("q")
    terminal.wait("EXIT=0")


def test_a_worker_that_is_killed_is_named(terminal: Terminal, nothing_left: None) -> None:
    before = engine_processes()
    terminal.run("demo")
    terminal.wait("s starts it")
    terminal.send("s")
    terminal.wait("● ready")
    workers = [psutil.Process(p) for p in engine_processes() - before]
    next(w for w in workers if w.name() == "ggml-rpc-server").kill()
    shown = terminal.wait("What to do")
    assert re.search(r"worker \w+ ended", shown)
    assert "SIGKILL" in shown
    assert "✗ failed" in shown
    assert engine_processes() == before
    terminal.send("r")
    terminal.wait("● ready")
    terminal.send("q")
    terminal.wait("What shall become of it")
    terminal.send("s")
    terminal.wait("EXIT=0")


def test_logs_are_private(terminal: Terminal, home: dict[str, str], nothing_left: None) -> None:
    terminal.run("demo")
    terminal.wait("s starts it")
    terminal.send("s")
    terminal.wait("● ready")
    logs = list((Path(home["XDG_STATE_HOME"]) / "hettui" / "logs").iterdir())
    assert len(logs) == 4
    assert {p.stat().st_mode & 0o777 for p in logs} == {0o600}
    terminal.send("x")
    terminal.wait("s starts it")
    terminal.send("q")
    terminal.wait("EXIT=0")
