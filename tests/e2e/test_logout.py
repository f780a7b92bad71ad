"""The last session of the user ends and `/run/user/UID` goes; the cluster runs on, and the next login finds it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import in_process
from tests.e2e.conftest import engine_processes
from tests.hettui import HETTUI
from tests.patience import patience

pytestmark = pytest.mark.engine

ROUNDS = int(os.environ.get("LOGOUT_ROUNDS", "3"))


def start(home: dict[str, str], config: Path) -> None:
    """By a process of its own, which is gone by the time of a logout."""
    argv = [*HETTUI, "up", str(config)]
    done = subprocess.run(argv, env=home, capture_output=True, text=True, timeout=patience(60))
    assert done.returncode == 0, done.stderr


def hettui(home: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Of what runs already."""
    return in_process.hettui(*words, environment=home)


def logged_out(home: dict[str, str], number: int = 0) -> dict[str, str]:
    """The next login: its runtime folder is empty, another one, or there is none."""
    shutil.rmtree(home["XDG_RUNTIME_DIR"], ignore_errors=True)
    after = home | {"XDG_RUNTIME_DIR": f"{home['TMPDIR']}/../run-{number}"}
    match number % 3:
        case 0:
            Path(after["XDG_RUNTIME_DIR"]).mkdir(mode=0o700)
        case 1:
            Path(home["XDG_RUNTIME_DIR"]).mkdir(mode=0o700)
            return home
        case _:
            del after["XDG_RUNTIME_DIR"]
    return after


@pytest.fixture
def config(home: dict[str, str], model: Path, tmp_path: Path, nothing_left: None) -> Iterator[Path]:
    """A cluster of one processor that is to run, and is ended with the test."""
    path = tmp_path / "c.toml"
    path.write_text(
        f'[model]\npath = "{model}"\n[serving]\nport = 0\nctx-size = 512\n'
        f'[[devices]]\nname = "cpu"\nid = "cpu"\nbudget = "600MiB"\n'
    )
    yield path
    hettui(home, "down")


def pids(home: dict[str, str]) -> list[int]:
    status = hettui(home, "status", "--json")
    assert status.returncode == 0, status.stdout + status.stderr
    return [process["pid"] for process in json.loads(status.stdout)["processes"]]


def test_a_cluster_outlives_logouts_and_every_login_finds_it(home: dict[str, str], config: Path) -> None:
    start(home, config)
    first = pids(home)
    assert len(first) == 2
    login = home
    for number in range(ROUNDS):
        login = logged_out(login | {"XDG_RUNTIME_DIR": home["XDG_RUNTIME_DIR"]}, number)
        assert pids(login) == first
        again = hettui(login, "up", str(config))
        assert again.returncode == 0, again.stderr
        assert "It runs already" in again.stdout
        assert pids(login) == first
        assert "listening" in hettui(login, "logs", "-n", "50").stdout
    assert hettui(login, "down").stdout == "Stopped 2 processes.\n"
    assert hettui(home, "status").stdout == "Nothing runs.\n"


def test_up_refuses_to_start_over_a_cluster_without_a_record(home: dict[str, str], config: Path) -> None:
    start(home, config)
    first = pids(home)
    shutil.rmtree(Path(home["XDG_STATE_HOME"]) / "hettui")
    shutil.rmtree(home["XDG_RUNTIME_DIR"])
    for words in (("status",), ("up", str(config))):
        said = hettui(home, *words)
        assert said.returncode == 1
        assert said.stderr.count("Traceback") == 0
        assert all(f"(pid {pid})" in said.stdout + said.stderr for pid in first)
        assert "hettui down" in said.stdout + said.stderr
    assert set(first) <= engine_processes()
    assert hettui(home, "down").stdout == "Stopped 2 processes.\n"
