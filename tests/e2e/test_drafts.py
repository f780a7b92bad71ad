"""A draft model on the demo cluster, by keys alone: chosen, started, exact on every device, and a worker that dies."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import psutil
import pytest

from hettui.adapters.llama.gguf import read_model
from hettui.domain.llama.params import Drafting, RuntimeParams
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.split import Split
from hettui.domain.units import MIB
from tests.e2e.conftest import Terminal, engine_processes
from tests.hettui import HETTUI
from tests.smaller_model import smaller

pytestmark = [pytest.mark.engine, pytest.mark.tmux]

_BUFFER = re.compile(r"(\S+)\s+(?:model|KV|compute) buffer size = +([\d.]+) MiB")
DRAFTS = "loading draft model '"
_PRINTED_MIB = 0.02
"""Of a buffer, with two decimals, and of two on one device."""


def answer(home: dict[str, str], *words: str) -> dict[str, object]:
    command = [*HETTUI, "chat", "Name three colours.", "--json", "--temperature", "0", "--max-tokens", "16", *words]
    said = subprocess.run(command, env=home, capture_output=True, text=True, check=True, timeout=300).stdout
    found: dict[str, object] = json.loads(said)
    return found


def reserved(log: str) -> tuple[dict[str, float], dict[str, float]]:
    """MiB by llama.cpp's name of the device: of the model, and of the draft."""
    found: list[dict[str, float]] = []
    for part in log.split(DRAFTS)[:2]:
        sums: dict[str, float] = {}
        for name, mib in _BUFFER.findall(part):
            name = "host" if name.startswith("CPU") else name
            sums[name] = sums.get(name, 0.0) + float(mib)
        found.append(sums)
    return found[0], found[1]


def test_a_smaller_quantisation_drafts_on_the_demo_cluster(
    terminal: Terminal, home: dict[str, str], model: Path, tmp_path: Path, nothing_left: None
) -> None:
    draft = smaller(model, tmp_path / "smaller.gguf")
    terminal.run("demo")
    terminal.wait("s starts it")
    terminal.send("s")
    terminal.wait("● ready")
    before = engine_processes()
    plain = answer(home, "--url", address(terminal))

    # Chosen while it runs: only the master restarts.
    terminal.send("D")
    terminal.wait("A draft model for")
    terminal.type(str(draft))
    terminal.wait("tab completes")
    terminal.wait(f"│ {draft}"[:60])
    terminal.send("Enter")
    terminal.wait("the plan differs")
    terminal.send("a")
    terminal.wait("the plan is what runs")
    assert len(before & engine_processes()) == 3
    drafted = answer(home, "--url", address(terminal))
    assert drafted["answer"] == plain["answer"]
    server = drafted["server"]
    assert isinstance(server, dict)
    assert server["drafted_tokens"] >= server["accepted_tokens"] > 0

    (master,) = [p for p in map(psutil.Process, engine_processes()) if p.name() == "llama-server"]
    argv = master.cmdline()
    assert argv[argv.index("--spec-draft-device") + 1] == "none"
    logs = [path.read_text() for path in Path(home["XDG_STATE_HOME"]).glob("hettui/logs/*")]
    check_bytes(argv, model, draft, next(log for log in logs if DRAFTS in log))

    worker = next(p for p in map(psutil.Process, engine_processes()) if p.name() == "ggml-rpc-server")
    worker.kill()
    shown = terminal.wait("What to do")
    assert re.search(r"worker \w+ ended", shown)
    assert "SIGKILL" in shown
    terminal.send("Escape")
    terminal.wait("What to do", gone=True)
    terminal.send("q")
    terminal.wait("EXIT=0")


def address(terminal: Terminal) -> str:
    found = re.search(r"http://[\d.]+:\d+", terminal.screen())
    assert found, terminal.screen()
    return found[0]


def check_bytes(argv: list[str], model: Path, draft: Path, log: str) -> None:
    """All buffers of the last start, as they are forecast for that command line."""
    counts = tuple(map(int, argv[argv.index("-ts") + 1].split(",")))
    shape, drafted = (ModelShape.of(read_model(str(path))) for path in (model, draft))
    params = RuntimeParams(ctx_size=8192, draft=Drafting(model=str(draft), device="host"))
    outlook = forecast(Workload(shape, params, 10068, draft=drafted), Split(counts, shape.layers))
    of_model, of_draft = reserved(log[log.rindex("load_model: loading model '") :])
    assert outlook.draft is not None
    expected = [(m, m.own_bytes) for m in outlook.devices if m.own_bytes]
    on_devices = sorted(mib for name, mib in of_model.items() if name != "host")
    for mib, (_, size) in zip(on_devices, sorted(expected, key=lambda e: e[1]), strict=True):
        assert abs(mib - size / MIB) <= _PRINTED_MIB
    assert abs(of_model["host"] - outlook.host.own_bytes / MIB) <= 2 * _PRINTED_MIB
    assert set(of_draft) == {"host"}
    assert abs(of_draft["host"] - outlook.draft.host.own_bytes / MIB) <= 2 * _PRINTED_MIB
