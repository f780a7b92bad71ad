"""What is exported works on a machine without hettui: only the engine and the model are there."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests import own_ports
from tests.e2e.conftest import engine_processes
from tests.hettui import HETTUI
from tests.patience import patience

pytestmark = pytest.mark.engine


def test_the_scripts_serve_an_answer_and_leave_nothing(
    home: dict[str, str], nothing_left: None, tmp_path: Path, model: Path
) -> None:
    # From the end of this process's own block: hettui takes from its beginning.
    port, worker = own_ports.first() + 44, own_ports.first() + 45
    (tmp_path / "cluster.toml").write_text(f"""
[model]
path = "{model}"
[serving]
port = {port}
ctx-size = 512
[[devices]]
name = "one"
id = "cpu"
via = "worker"
threads = 1
port = {worker}
layers = 31
""")
    folder = tmp_path / "without hettui"
    words = [*HETTUI, "export", "sh", str(folder), "--config", str(tmp_path / "cluster.toml")]
    made = subprocess.run(words, env=home, capture_output=True, text=True, timeout=patience(60))
    assert made.returncode == 0, made.stderr
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TEST_RUN": os.environ["TEST_RUN"]}

    def script(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(folder / name)], env=bare, capture_output=True, text=True, timeout=patience(120), cwd="/"
        )

    before = engine_processes()
    try:
        started = script("start.sh")
        assert started.returncode == 0, started.stderr
        assert started.stdout.strip() == f"ready at http://127.0.0.1:{port}"
        assert len(engine_processes() - before) == 2
        assert script("start.sh").returncode == 1, "it runs already"
        assert script("status.sh").returncode == 0
        body = json.dumps({"prompt": "Hello", "n_predict": 4}).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/completion", body)
        with urllib.request.urlopen(asked, timeout=patience(60)) as answer:  # noqa: S310
            assert json.load(answer)["tokens_predicted"] >= 1
    finally:
        stopped = script("stop.sh")
    assert stopped.returncode == 0, stopped.stderr
    assert engine_processes() - before == set()
    assert list((folder / "run").iterdir()) == []
    assert script("status.sh").returncode == 1
