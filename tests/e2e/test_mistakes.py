"""Mistakes of every day: one line, the promised exit code, nothing started and nothing changed."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.e2e.conftest import Terminal, engine_processes
from tests.in_process import hettui

pytestmark = pytest.mark.engine


def config(folder: Path, model: Path, more: str = "", port: int = 0) -> Path:
    path = folder / "c.toml"
    devices = "".join(f'[[devices]]\nname = "{n}"\nid = "cpu"\nvia = "worker"\nthreads = 1\n' for n in ("one", "two"))
    path.write_text(f'[model]\npath = "{model}"\n[serving]\nport = {port}\nctx-size = 512\n{more}\n{devices}')
    return path


def check(home: dict[str, str], words: list[str], code: int, says: str) -> None:
    before = engine_processes()
    result = hettui(*words, environment=home)
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert says in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert engine_processes() == before
    assert sorted(p.name for p in Path(home["TMPDIR"]).iterdir()) == []


def test_wrong_model_paths_and_files(home: dict[str, str], tmp_path: Path, model: Path) -> None:
    text = tmp_path / "text.gguf"
    text.write_text("hello, I am a text file\n")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model.read_bytes()[:50_000_000])
    for command in ("plan", "model"):
        check(home, [command, str(tmp_path / "none.gguf")], 1, "does not exist")
        check(home, [command, str(text)], 1, "no GGUF file")
        check(home, [command, str(cut)], 1, "the download is incomplete")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["plan", "m.gguf", "--devices", "a=lots"], 2, "not a size"),
        (["plan", "m.gguf", "--devices", "a"], 2, ""),
        (["plan", "m.gguf", "--split", "0,0"], 2, "above 0"),
        (["plan", "m.gguf", "--ctx-size", "-5"], 2, "--ctx-size -5"),
        (["demo", "--json"], 2, "--headless"),
        (["none.toml"], 2, "hettui init"),
    ],
)
def test_wrong_usage(home: dict[str, str], words: list[str], code: int, says: str) -> None:
    check(home, words, code, says)


def test_a_typo_in_the_configuration(home: dict[str, str], tmp_path: Path, model: Path) -> None:
    path = config(tmp_path, model, "ctx-sise = 4096")
    check(home, [str(path)], 2, f"{path}:6: [serving] ctx-sise: unknown key; did you mean ctx-size?")
    check(home, ["plan", str(model), str(path)], 2, "did you mean ctx-size?")


def test_a_missing_binary(home: dict[str, str], tmp_path: Path, model: Path) -> None:
    path = config(tmp_path, model, f'[llama-cpp]\nbin = "{tmp_path / "nowhere"}"')
    check(home, ["plan", str(model), str(path), "--json"], 1, "no llama-server is there")


def test_a_plan_that_does_not_fit_names_device_and_mib(home: dict[str, str], model: Path) -> None:
    words = ["plan", str(model), "--devices", "big=400MiB,small=20MiB", "--split", "20,11"]
    result = hettui(*words, environment=home)
    assert result.returncode == 1
    assert "small is short by" in result.stdout
    assert "MiB" in result.stdout


@pytest.mark.tmux
def test_a_screen_that_cannot_open_says_why_below_the_prompt(terminal: Terminal, tmp_path: Path) -> None:
    terminal.run(str(config(tmp_path, tmp_path / "gone.gguf")))
    shown = terminal.wait("EXIT=1")
    assert "gone.gguf does not exist" in shown.replace("\n", "")


@pytest.mark.tmux
def test_a_port_in_use_is_refused_and_nothing_is_started(terminal: Terminal, tmp_path: Path, model: Path) -> None:
    before = engine_processes()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        terminal.run(str(config(tmp_path, model, port=port)))
        terminal.wait("s starts it")
        terminal.send("s")
        shown = terminal.wait("is in use")
        assert str(port) in shown
        assert engine_processes() <= before
    # The port is free again: the same key now starts the cluster.
    terminal.send("s")
    terminal.wait("● ready")
    terminal.send("x")
    terminal.wait("○ stopped")
    assert engine_processes() <= before
    terminal.send("q")
    terminal.wait("EXIT=0")
