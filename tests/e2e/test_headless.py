"""`hettui demo --headless` on the real engine: figures, and nothing left behind, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import DEADLINE_S, engine_processes
from tests.hettui import HETTUI
from tests.in_process import hettui
from tests.patience import patience

pytestmark = pytest.mark.engine
MIB = 1024 * 1024


def test_the_figures_of_a_whole_run(home: dict[str, str], nothing_left: None) -> None:
    result = subprocess.run(
        [*HETTUI, "demo", "--headless", "--json"], env=home, capture_output=True, timeout=patience(60)
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == b""
    figures = json.loads(result.stdout)
    assert [d["name"] for d in figures["devices"]] == ["big", "middle", "small"]
    assert sum(figures["split"]) == figures["model"]["layers"] == 31
    assert figures["tokens_per_second"] > 0
    assert figures["time_to_first_token_seconds"] > 0
    assert figures["generated_tokens"] > 0
    assert figures["answer"].strip()
    for device in [*figures["devices"], figures["host"]]:
        predicted, measured = device["predicted"], device["measured"]
        # llama.cpp prints MiB with two decimals.
        assert abs(predicted["weights_bytes"] - measured["weights_bytes"]) < 0.006 * MIB
        assert abs(predicted["context_bytes"] - measured["context_bytes"]) < 0.006 * MIB
    for device in figures["devices"]:
        assert device["resident_bytes"] > device["measured"]["weights_bytes"]
    assert list(Path(home["TMPDIR"]).iterdir()) == []
    # Contexts are kept there of the cluster that runs beside it, perhaps.
    assert not (Path(home["XDG_STATE_HOME"]) / "hettui" / "contexts").exists()


def test_the_text_for_people(home: dict[str, str], nothing_left: None) -> None:
    result = hettui("demo", "--headless", environment=home)
    assert result.returncode == 0, result.stderr
    assert "tok/s" in result.stdout
    assert "big" in result.stdout


def children(pid: int) -> list[str]:
    try:
        return [p.name() for p in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["ggml-rpc-server", "llama-server"])
def test_a_signal_in_the_middle_leaves_nothing(
    home: dict[str, str], nothing_left: None, number: signal.Signals, moment: str
) -> None:
    before = engine_processes()
    run = subprocess.Popen([*HETTUI, "demo", "--headless", "--json"], env=home, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + patience(DEADLINE_S)
    # The binary is also asked for its options before: only with a worker beside it is it the cluster's.
    while time.monotonic() < deadline and not {moment, "ggml-rpc-server"} <= set(children(run.pid)):
        time.sleep(0.002)
    run.send_signal(number)
    _, said = run.communicate(timeout=patience(30))
    assert run.returncode == 128 + number
    assert said == f"hettui: stopped by {number.name}; nothing was left running\n"
    assert engine_processes() - before == set()
    assert list(Path(home["TMPDIR"]).iterdir()) == []


def test_without_an_engine_one_line_says_what_to_install(home: dict[str, str], tmp_path: Path) -> None:
    result = hettui("demo", "--headless", environment=home | {"LLAMA_CPP_BIN": str(tmp_path)})
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "LLAMA_CPP_BIN" in result.stderr


def test_output_into_a_closed_pipe_is_no_traceback(home: dict[str, str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = subprocess.run(
        [*HETTUI, "devices"], env=home, stdout=write_end, stderr=subprocess.PIPE, timeout=patience(60)
    )
    os.close(write_end)
    assert b"Traceback" not in result.stderr
