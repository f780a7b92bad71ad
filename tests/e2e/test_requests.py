"""By keys alone, with a client beside the screen: a new split keeps its context, so does a lost worker; what each
request did stands in the pane, and comes from `hettui requests`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests import own_ports, tiny_models
from tests.e2e.conftest import Terminal, engine_processes
from tests.in_process import hettui
from tests.patience import patience

pytestmark = [pytest.mark.engine, pytest.mark.tmux]

PROMPT = 1200


def written(folder: Path, port: int) -> Path:
    path = folder / "cluster.toml"
    devices = "".join(
        f'[[devices]]\nname = "{name}"\nid = "cpu"\nvia = "worker"\nthreads = 1\nbudget = "1GiB"\nlayers = {layers}\n'
        for name, layers in (("big", 3), ("small", 2))
    )
    path.write_text(
        f'[model]\npath = "{tiny_models.write(folder, "dense")}"\n[serving]\nport = {port}\nctx-size = 2048\n'
        f'context-snapshot-tokens = 100\nextra-args = ["--threads", "1"]\n{devices}'
    )
    return path


def ask(port: int, tokens: int) -> dict[str, Any]:
    """A prompt that begins as every longer one. Its answer never goes on as those do, which would be reused too."""
    prompt = [20 + n % 200 for n in range(tokens + 1)]
    body = {
        "prompt": prompt[:-1],
        "n_predict": 2,
        "cache_prompt": True,
        "ignore_eos": True,
        "logit_bias": [[prompt[-1], False]],
    }
    answer = httpx.post(f"http://127.0.0.1:{port}/completion", json=body, timeout=patience(30))
    timings: dict[str, Any] = answer.json()["timings"]
    return timings


def test_a_new_split_and_a_lost_worker_keep_the_context(
    terminal: Terminal, home: dict[str, str], tmp_path: Path, nothing_left: None
) -> None:
    port = own_ports.first() + 40
    before = engine_processes()
    terminal.run(str(written(tmp_path, port)), size=(120, 40))
    terminal.wait("s starts it")
    terminal.send("s")
    terminal.wait("● ready")
    ask(port, PROMPT)
    terminal.send("Right")
    shown = terminal.wait("the plan differs: a applies it · keeps 1,201 tokens (")
    assert re.search(r"keeps 1,201 tokens \(\d+ MiB, about \d+ s\)", shown)
    terminal.send("a")
    terminal.wait("the plan is what runs")
    assert ask(port, PROMPT + 20)["cache_n"] >= 0.99 * PROMPT
    terminal.send("r")
    shown = terminal.wait("2 requests · ")
    assert re.search(r"▏ +0 +1,200 +0 +1,200 +2 ", shown), shown
    assert re.search(r"▏ +0 +1,220 +1,200 +20 +2 ", shown), shown

    said = hettui("requests", "--json", environment=home)
    (request,) = json.loads(said.stdout)["requests"]
    assert (request["prompt_tokens"], request["reused_tokens"], request["reread"]) == (PROMPT + 20, PROMPT, None)
    lines = hettui("requests", environment=home)
    assert re.search(r"^ +0 +1,220 +1,200 +20 ", lines.stdout, re.MULTILINE), lines

    # Twenty tokens are no snapshot yet. A worker dies, and the key that relaunches brings back what was saved.
    terminal.wait("holds 1,221, 1,201 saved")
    workers = [p for p in map(psutil.Process, engine_processes() - before) if p.name() == "ggml-rpc-server"]
    workers[0].kill()
    terminal.wait("A relaunch brings 1,201 tokens of context back")
    terminal.send("r")
    terminal.wait("● ready")
    assert ask(port, PROMPT + 40)["cache_n"] >= 0.9 * (PROMPT + 21)
    terminal.send("q")
    terminal.wait("What shall become of it")
    terminal.send("s")
    terminal.wait("EXIT=0")
    assert list((Path(home["XDG_STATE_HOME"]) / "hettui" / "contexts").rglob("*.ctx")) == []


def test_requests_without_a_cluster(home: dict[str, str]) -> None:
    said = hettui("requests", environment=home)
    assert said.returncode == 1
    assert "nothing runs" in said.stderr
