"""`hettui bench` and `hettui chat` as they are typed, against a scripted server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.in_process import hettui
from tests.patience import patience
from tests.scripted_server import Script, ScriptedServer, scripted

HETTUI = [sys.executable, "-m", "hettui"]
SMALL = ["-p", "32", "-n", "8", "--parallel", "1,2", "-r", "2"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.delenv("LLAMA_API_KEY", raising=False)
    return tmp_path


def test_measured_kept_listed_and_compared(home: Path) -> None:
    with scripted(Script(tokens_per_second=300)) as server:
        first = hettui("bench", "--url", server.url, *SMALL, "--json")
        second = hettui("bench", "--url", server.url, *SMALL, "--markdown")
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    document = json.loads(first.stdout)
    assert document["complete"] is True
    assert [(r["n_prompt"], r["n_gen"], r["n_streams"]) for r in document["results"]] == [
        (32, 0, 1),
        (0, 8, 1),
        (0, 8, 2),
    ]
    assert document["run"]["setting"]["builds"]["llama-server"] == "b10068-abc"
    assert "pp32, run 1 of 2" in first.stderr
    assert "| tg8 x2" in " ".join(second.stdout.split())
    kept = list((home / "state" / "hettui" / "bench").iterdir())
    assert len(kept) == 2
    assert {p.stat().st_mode & 0o777 for p in kept} == {0o600}
    assert hettui("bench", "--list").stdout.count("tg8") == 4
    compared = hettui("bench", "--compare", "last-1", str(kept[0]))
    assert compared.returncode == 0, compared.stderr
    assert "tg8 x2" in compared.stdout
    assert "a tie is where" in compared.stdout


def test_interrupted_it_prints_and_keeps_what_there_is(home: Path) -> None:
    with scripted(Script(tokens_per_second=20)) as server:
        run = subprocess.Popen(
            [*HETTUI, "bench", "--url", server.url, "-p", "0", "-n", "30", "--parallel", "1", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert run.stderr is not None
        for line in run.stderr:
            if "run 2 of 3" in line:
                break
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=patience(30))
    assert run.returncode == 1
    document = json.loads(out)
    assert document["problem"] == "stopped before the end"
    assert len(document["results"][0]["samples_ts"]) == 1
    assert len(list((home / "state" / "hettui" / "bench").iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--url", "http://127.0.0.1:9", "--json", "--csv"], "exclude each other"),
        (["-p", "many"], "--n-prompt many: it must be whole numbers"),
        (["-p", "0", "-n", "0"], "nothing to measure"),
        (["--demo", "--url", "x"], "leave CONFIG and --url out"),
        (["--compare", "last", "last-1"], "there are 0 runs"),
        ([], "which cluster?"),
    ],
)
def test_wrong_usage_is_a_sentence(home: Path, words: list[str], says: str) -> None:
    result = hettui("bench", *words)
    assert result.returncode == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_nobody_there(home: Path) -> None:
    result = hettui("bench", "--url", "http://127.0.0.1:9")
    assert (result.returncode, result.stdout) == (1, "")
    assert "llama-server does not answer at http://127.0.0.1:9" in result.stderr


def test_one_chat(home: Path) -> None:
    with scripted(Script(words=["Red", "\x1b[31m, ", "blue"], answer_tokens=3)) as server:
        plain = hettui("chat", "colours?", "--url", server.url, "--system", "Be brief.", "--temperature", "0.2")
        document = hettui("chat", "def f", "--url", server.url, "--raw", "--max-tokens", "2", "--json")
    assert plain.returncode == document.returncode == 0, plain.stderr + document.stderr
    assert plain.stdout == "Red, blue\n"
    assert "answer 3 tok" in plain.stderr
    assert server.script.requests[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert server.script.requests[0]["temperature"] == 0.2
    answer = json.loads(document.stdout)
    assert answer["answer"] == "Red, "
    assert answer["server"]["generated_tokens"] == 2


def errors(server: ScriptedServer, status: int, message: str, kind: str, **more: object) -> str:
    server.script.status, server.script.error = status, {"code": status, "message": message, "type": kind, **more}
    result = hettui("chat", "hello", "--url", server.url)
    assert result.returncode == 1
    return result.stderr


def test_errors_are_sentences_with_the_next_step(home: Path) -> None:
    with scripted() as server:
        assert "set [serving] api-key-file or LLAMA_API_KEY" in errors(
            server, 401, "Invalid API Key", "authentication_error"
        )
        too_long = errors(server, 400, "x", "exceed_context_size_error", n_prompt_tokens=5000, n_ctx=4096)
        assert "has 5000 tokens, a slot's context holds 4096, 904 too many" in too_long
        assert "Loading model. Send again when it is" in errors(server, 503, "Loading model", "unavailable_error")
        assert "failed with 500" in errors(server, 500, "boom", "server_error")
        server.script.status, server.script.dies_after = 200, 5
        began = time.monotonic()
        result = hettui("chat", "hello", "--url", server.url)
        assert time.monotonic() - began < patience(20)
        assert result.stdout.startswith("Some **bold** words")
        assert "closed the connection in the middle of the answer" in result.stderr
