"""`hettui report` and what takes one: `hettui plan --rig`, `hettui bench --compare`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hettui.adapters.files.bench_store import BenchFolder
from hettui.cli import main
from tests.domain.test_rig import opened, rig, run, written
from tests.gguf_files import header, llama


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOME", str(tmp_path / "somebodys-home"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("LLAMA_CPP_BIN", raising=False)


@pytest.fixture
def model(tmp_path: Path) -> str:
    head, size = header(*llama(blocks=4, vocabulary=32))
    path = tmp_path / "m.gguf"
    path.write_bytes(head + bytes(size))
    return str(path)


def test_a_report_of_this_machine_gives_the_plan_of_this_machine(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.toml"
    devices = '[[devices]]\nname = "a"\nid = "cpu"\nvia = "worker"\nbudget = "1GiB"\n'
    config.write_text(f'[model]\npath = "{model}"\n[serving]\nctx-size = 512\n{devices}')
    target = tmp_path / "rig.md"
    assert main(["report", str(config), "-o", str(target)]) == 0
    assert "read it before you send it" in capsys.readouterr().err
    assert target.stat().st_mode & 0o777 == 0o600
    assert main(["report", str(config), "-o", str(target)]) == 2
    assert "--force" in capsys.readouterr().err
    told = target.read_text()
    assert str(tmp_path) not in told
    main(["plan", model, str(config), "--json"])
    here = json.loads(capsys.readouterr().out)
    main(["plan", model, "--rig", str(target), "--json"])
    there = json.loads(capsys.readouterr().out)
    for told_plan in (here, there):
        # Command lines name files of a machine; what is free was looked at twice.
        del told_plan["commands"], told_plan["host"]["free_bytes"]
    assert json.dumps(there) == json.dumps(here)
    assert there["devices"][0]["weights_bytes"] > 0


def test_a_rig_that_was_never_here_is_planned_for(
    tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "seed.md"
    path.write_text(written(opened()))
    assert main(["plan", model, "--rig", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(d["name"] for d in found["devices"]) == sorted(d.name for d in rig(opened()).devices)
    assert found["settings"]["ctx_size"] == 4096
    assert main(["plan", model, "--rig", str(path), "-c", "512", "--split", "1,2,2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tensor_split"] == [1, 2, 2]


@pytest.mark.parametrize(
    "words", [["c.toml", "--rig", "x"], ["--devices", "a=1GiB", "--rig", "x"], ["--rig", "none.md"]]
)
def test_bad_usage_is_a_sentence(words: list[str], model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", model, *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_report_can_be_compared_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rig.md"
    path.write_text(written(opened()))
    BenchFolder(tmp_path / "state/hettui/bench").save(run("2026-kept"))
    assert main(["bench", "--compare", str(path), str(path)]) == 0
    (tmp_path / "none.md").write_text("# nothing")
    assert main(["bench", "--compare", str(path), str(tmp_path / "none.md")]) == 2
    assert "holds no rig" in capsys.readouterr().err
