"""The search for the best split on the real engine: by keys, stopped half-way, and as a command."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.e2e.conftest import Terminal
from tests.hettui import HETTUI
from tests.patience import patience

pytestmark = pytest.mark.engine


@pytest.mark.tmux
def test_tuned_by_keys_and_stopped_half_way(terminal: Terminal, nothing_left: None) -> None:
    terminal.run("demo")
    terminal.wait("s starts it")
    terminal.send("t")
    terminal.wait("Search for the best split?")
    terminal.send("y")
    # The first trial is measured, and with it every device's part of a token is known.
    terminal.wait("big 17, middle 12, small 2")
    terminal.wait("part of a token")
    terminal.send("Escape")
    terminal.wait("Esc closes")
    terminal.wait("Ended: it was stopped")
    terminal.send("Escape")
    terminal.wait("Esc closes", gone=True)
    terminal.wait("● ready")
    terminal.wait("of each token, waits")
    terminal.send("x")
    terminal.wait("○ stopped")
    terminal.send("q")
    terminal.wait("EXIT=0")


def test_tune_as_a_command(home: dict[str, str], nothing_left: None) -> None:
    argv = [*HETTUI, "tune", "--demo", "--trials", "2", "--json"]
    done = subprocess.run(argv, env=home, capture_output=True, text=True, timeout=patience(240))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["reason"] in ("trials", "noise")
    assert found["best_tps"] >= found["start_tps"] > 0
    first = found["trials"][0]
    assert {d["name"] for d in first["devices"]} == {"big", "middle", "small"}
    assert first["repeats"] == 3
    assert sum(s["seconds_per_token"] for s in first["stages"]) == pytest.approx(1 / first["tps"], rel=0.5)
    # What was learned is still right tomorrow.
    told = subprocess.run(
        [*HETTUI, "devices", "--speeds", "--json"], env=home, capture_output=True, text=True, timeout=patience(60)
    )
    assert json.loads(told.stdout)["speeds"]
