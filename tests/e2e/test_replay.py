"""A cluster is recorded while it runs, and the recording is shown: real engine, real screen."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from hettui.adapters.files.recording_file import recorded_lines
from hettui.domain.cluster.snapshot import ClusterState
from hettui.services.events import ChatEnded, ChatProgressed, ClusterChanged, LogLines, TelemetryUpdated
from hettui.services.recording.replay import read_recording
from tests.e2e.conftest import Terminal
from tests.hettui import HETTUI
from tests.patience import patience

pytestmark = [pytest.mark.engine, pytest.mark.tmux]


def test_what_was_recorded_is_shown_again(terminal: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    terminal.run("demo", "--record", str(path))
    assert "DEMO REC" in terminal.wait("s starts it")
    terminal.send("s")
    terminal.wait("● ready")
    terminal.type("cName three colours")
    terminal.wait("Name three colours")
    terminal.send("Enter")
    terminal.wait("· first token")
    terminal.send("Escape")
    terminal.wait("▶1")
    terminal.send("x")
    terminal.wait("○ stopped")
    terminal.send("q")
    terminal.wait("EXIT=0")
    terminal.close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = path.read_text()
    assert "Name three colours" not in written
    assert f"{Path.home()}/" not in written
    events = [event for _, event in read_recording(recorded_lines(path), "run").entries]
    assert {TelemetryUpdated, ClusterChanged, LogLines, ChatProgressed, ChatEnded} <= {type(e) for e in events}
    assert {e.text for e in events if isinstance(e, ChatProgressed)} == {"·"}

    states = [e.snapshot.state for e in events if isinstance(e, ClusterChanged)]
    assert ClusterState.READY in states
    terminal.run("--replay", str(path), size=(80, 24))
    shown = terminal.wait("● ready")
    assert "REPLAY 00:0" in shown
    assert "▶ 1×" in shown
    assert "DEMO" not in shown
    terminal.wait("  now ")
    terminal.send("Space")
    terminal.wait("⏸ 1×")
    terminal.send("End")
    shown = terminal.wait("○ stopped")
    assert "big" in shown
    assert "MiB" in shown
    terminal.send("s")
    terminal.wait("this is a recording of")
    terminal.send("Home")
    terminal.wait("REPLAY 00:00")
    terminal.send("q")
    assert "EXIT=0" in terminal.wait("EXIT=")


def test_without_a_screen_too_and_never_over_another_file(home: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("something else")
    command = [*HETTUI, "demo", "--headless", "--record", str(path)]
    refused = subprocess.run(command, env=home, capture_output=True, text=True, timeout=patience(120))
    assert refused.returncode == 2
    assert "exists and is no recording" in refused.stderr
    assert path.read_text() == "something else"
    path.unlink()
    done = subprocess.run(command, env=home, capture_output=True, text=True, timeout=patience(120))
    assert done.returncode == 0, done.stderr
    events = [event for _, event in read_recording(recorded_lines(path), "run").entries]
    # Sensors are read until the very end.
    last = [event for event in events if not isinstance(event, TelemetryUpdated)][-1]
    assert isinstance(last, ClusterChanged)
    assert last.snapshot.state is ClusterState.DOWN
    assert any(isinstance(e, ChatEnded) for e in events)
