"""Chat and bench on the real engine: crashes, what is kept, and numbers that agree with the server's own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from tests import in_process
from tests.e2e.conftest import Terminal, engine_processes
from tests.hettui import HETTUI
from tests.patience import patience, until

pytestmark = pytest.mark.engine


@pytest.mark.tmux
def test_an_answer_cut_off_by_a_crash_is_kept_and_asked_again(terminal: Terminal, nothing_left: None) -> None:
    before = engine_processes()
    terminal.run("demo")
    terminal.wait("s starts it")
    terminal.send("s")
    terminal.wait("● ready")
    terminal.type("cTell me a very long story")
    terminal.wait("very long story")
    terminal.send("Enter")
    terminal.wait(" tok · Esc stops")
    master = next(p for p in map(psutil.Process, engine_processes() - before) if p.name() == "llama-server")
    master.kill()
    terminal.wait("Relaunch the same")
    terminal.send("Escape")
    terminal.wait("Relaunch the same", gone=True)
    shown = terminal.wait("cut off: the connection to llama-server broke off")
    assert "Tell me a very long story" in shown
    terminal.type("and a draft")
    terminal.wait("and a draft")
    terminal.send("Escape")
    terminal.wait("▶1")
    terminal.send("s")
    terminal.wait("● ready")
    terminal.send("c")
    # With a draft in the prompt Enter would send it: what is offered goes with what is typed.
    terminal.wait("⏎ sends")
    terminal.send("C-r")
    terminal.wait("cut off", gone=True)
    terminal.wait("· first token")
    terminal.send("Escape")
    terminal.wait("▶1")
    terminal.send("x")
    terminal.wait("○ stopped")
    terminal.send("q")
    terminal.wait("EXIT=0")


@pytest.mark.tmux
def test_conversation_and_draft_outlive_the_screen(
    terminal: Terminal, home: dict[str, str], nothing_left: None
) -> None:
    terminal.run("demo")
    terminal.wait("s starts it")
    terminal.send("s")
    terminal.wait("● ready")
    terminal.send("c")
    terminal.send("C-t")
    terminal.wait("· first token")
    terminal.type("half a question")
    kept = Path(home["XDG_STATE_HOME"]) / "hettui" / "chats"
    terminal.wait("half a question")
    shell = psutil.Process(terminal.pane_pid())
    hettui = next(p for p in shell.children(recursive=True) if "hettui" in " ".join(p.cmdline()))

    def typed() -> bool:
        return any("half a question" in f.read_text() for f in kept.rglob("prompts.json"))

    until(typed)
    hettui.terminate()
    terminal.wait("EXIT=")
    again = Terminal(f"again-{terminal.pane_pid()}", home)
    try:
        again.run("demo")
        again.wait("s starts it")
        again.send("c")
        again.wait("half a question")
        shown = again.wait("· first token")
        assert "def fibonacci(n):" in shown
    finally:
        again.close()


def test_a_bench_of_the_demo_cluster(home: dict[str, str], nothing_left: None) -> None:
    command = [*HETTUI, "bench", "--demo", "-p", "64", "-n", "64", "--parallel", "1,2", "--json"]
    result = subprocess.run(command, env=home, capture_output=True, text=True, timeout=patience(120))
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    by_test = {(r["n_prompt"], r["n_gen"], r["n_streams"]): r for r in document["results"]}
    assert set(by_test) == {(64, 0, 1), (0, 64, 1), (0, 64, 2)}
    assert all(r["complete"] for r in document["results"])
    generated = by_test[0, 64, 1]
    # The server counts the first token, which takes no time of decoding: 65 tokens in the time of 64. A run in which
    # this machine had something else to do arrives late here: the one that was disturbed least has to agree.
    pairs = zip(generated["samples_ts"], generated["samples_server_ts"], strict=True)
    assert min(abs(ours / (theirs * 64 / 65) - 1) for ours, theirs in pairs) < 0.01
    run = document["run"]
    assert [d["name"] for d in run["devices"]] == ["big", "middle", "small", "host"]
    assert all(d["peak_used_bytes"] > 0 for d in run["devices"])
    setting = run["setting"]
    assert setting["model_sha256"] == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert len(setting["commands"]) == 4
    assert sum(setting["split"]) == 31
    assert {"llama.cpp", "llama-server", "hettui"} == set(setting["builds"])


def test_one_chat_without_a_screen(home: dict[str, str], nothing_left: None) -> None:
    command = [*HETTUI, "chat", "Name three colours.", "--demo", "--temperature", "0", "--max-tokens", "24"]
    result = subprocess.run(command, env=home, capture_output=True, text=True, timeout=patience(60))
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert "· first token" in result.stderr


def test_a_cluster_on_a_free_port_is_asked_and_not_started_again(
    home: dict[str, str], nothing_left: None, tmp_path: Path, model: Path
) -> None:
    """`port = 0`: the configuration does not say where it is; the record does. And it is below a prefix, behind a front
    door, past which a bench measures."""
    path = tmp_path / "cluster.toml"
    path.write_text(f"""
[model]
path = "{model}"
[serving]
port = 0
ctx-size = 512
hold-requests = true
extra-args = ["--api-prefix", "/lab/llm", "--no-slots"]
[[devices]]
name = "one"
id = "cpu"
via = "worker"
threads = 1
layers = 31
""")

    def hettui(*words: str, folder: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        return in_process.hettui(*words, environment=home, folder=folder)

    before = engine_processes()
    try:
        up = [*HETTUI, "up", "cluster.toml"]
        assert subprocess.run(up, env=home, cwd=tmp_path, timeout=patience(120)).returncode == 0
        running = engine_processes() - before
        running_now = json.loads(hettui("status", "--json").stdout)
        assert running_now["api"].endswith("/lab/llm")
        assert [p["name"] for p in running_now["processes"]] == ["front door", "worker one", "master"]
        assert httpx.get(f"{running_now['api']}/health", timeout=patience(20)).json() == {"status": "ok"}
        (tmp_path / "elsewhere").mkdir()
        for folder, name in ((tmp_path, "cluster.toml"), (tmp_path / "elsewhere", "../cluster.toml")):
            answer = hettui("chat", "--max-tokens", "2", "--json", "One colour.", name, folder=folder)
            assert answer.returncode == 0, answer.stderr
            assert json.loads(answer.stdout)["problem"] is None
        offered = hettui("agents", "--json")
        assert offered.returncode == 0, offered.stderr
        told = json.loads(offered.stdout)
        assert {one["api"]: one["answers"] for one in told["tried"]} == dict.fromkeys(
            ("/v1/chat/completions", "/v1/messages", "/v1/responses"), True
        )
        assert told["url"].endswith("/lab/llm")
        plan = ("plan", str(model), "cluster.toml", "--json")
        assert json.loads(hettui(*plan).stdout)["expected"]["prefill_tps"] is None
        run = hettui("bench", "-p", "256", "-n", "4", "-r", "1", "--parallel", "1", "--no-sum", "--json", str(path))
        assert run.returncode == 0, run.stderr
        # What was measured is expected of this very plan from now on.
        assert json.loads(hettui(*plan).stdout)["expected"]["prefill_tps"] > 0
        commands = json.loads(run.stdout)["run"]["setting"]["commands"]
        assert engine_processes() - before == running
        assert any("llama-server" in line for line in commands)
    finally:
        assert hettui("down").returncode == 0
