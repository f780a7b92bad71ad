"""`hettui devices --speeds`: what is known of the devices, and how it is forgotten."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hettui.adapters.files.learned_file import save_learned
from hettui.adapters.files.paths import memory_dir
from hettui.cli import main
from hettui.domain.plan.split import Split
from hettui.domain.planner.learned import Learned
from hettui.domain.speed.report import age
from hettui.domain.speed.shares import Decode, Share
from tests.fakes import shape, workers


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_what_is_known_is_shown_and_can_be_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--speeds"]) == 0
    assert "Nothing is known" in capsys.readouterr().out
    learned = Learned()
    decode = Decode(0.05, {0: Share(0.6, 0.01, True), 1: Share(0.3, 0.01, True)}, at_unix_s=time.time() - 7200)
    learned.add_decode(shape(), workers(400, 400), Split((16, 15), 31), decode)
    save_learned(memory_dir(), learned)
    assert main(["devices", "--speeds"]) == 0
    told = capsys.readouterr().out
    assert "worker" in told
    assert "2 h" in told
    assert "dense q4" in told
    assert max(map(len, told.splitlines())) <= 100
    assert main(["devices", "--speeds", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["speeds"]
    assert (row["host"], row["via"], row["answers"]) == ("local", "worker", 1)
    assert {work["kind"] for work in row["work"]} >= {"dense q4", "layer", "hop"}
    assert all(work["ms"] >= 0 and work["doubt_ms"] > 0 for work in row["work"])
    assert main(["devices", "--forget-speeds"]) == 0
    assert "1 device." in capsys.readouterr().out
    assert main(["devices", "--speeds", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"speeds": []}


def test_what_an_earlier_hettui_measured_is_set_aside_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    memory_dir().mkdir(parents=True, exist_ok=True)
    (memory_dir() / "measured.json").write_text('{"speeds": {"local GPU-1 master": {"factor": 3.2, "doubt": 0.1}}}')
    assert main(["devices", "--speeds"]) == 0
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "set aside" in x]
    assert line.startswith("hettui: ")


@pytest.mark.parametrize(("seconds", "words"), [(-5, "0 min"), (119, "2 min"), (7300, "2 h"), (90000 * 3, "3 d")])
def test_ages_are_short(seconds: float, words: str) -> None:
    assert age(seconds) == words
