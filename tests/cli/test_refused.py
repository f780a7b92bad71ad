"""A driver that says no: in `hettui devices`, `plan` and `up`, and on the welcome, each time with its remedy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hettui.adapters.machine.psutil_host import cpu_hardware
from hettui.cli import main
from hettui.domain.devices.device import Hardware
from hettui.domain.devices.found import Found
from hettui.ui.drawing.model_rows import hardware_in_words
from hettui.wiring import sessions
from tests.gguf_files import header, llama
from tests.ui.stage import session

WHY = "NVIDIA's driver cannot be used: its library and the loaded kernel module are of different versions: reboot"
LOST = Hardware("pci:0000:01:00.0", "NVIDIA X", "cuda", trouble="it fell off the bus: see dmesg")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("LLAMA_CPP_BIN", raising=False)
    monkeypatch.setattr(sessions, "look_around", lambda engine, listed=None: Found((LOST, cpu_hardware()), (WHY,)))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    head, size = header(*llama(blocks=4, vocabulary=32))
    (tmp_path / "m.gguf").write_bytes(head + bytes(size))
    path = tmp_path / "config" / "hettui" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'[model]\npath = "{tmp_path}/m.gguf"\n[[devices]]\nname = "big"\nid = "0000:04:00.0"\n')
    return path


def test_devices_says_why_and_fails_only_where_a_configured_card_is_missing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["devices"]) == 1
    said = capsys.readouterr()
    assert WHY in said.err
    assert "NVIDIA X, pci:0000:01:00.0: it fell off the bus" in said.out
    config.unlink()
    assert main(["devices"]) == 0
    assert WHY in capsys.readouterr().err
    assert main(["devices", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == [WHY]


def test_a_plan_for_a_card_that_is_refused_fails_with_the_reason(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(config.parent.parent.parent / "m.gguf")
    assert main(["plan", model, str(config)]) == 1
    assert f'! device "big": nothing with id 0000:04:00.0 is here. {WHY}' in capsys.readouterr().out
    assert main(["plan", model]) == 0
    assert f"! {WHY}" in capsys.readouterr().out


def test_the_welcome_says_it_too() -> None:
    refused = replace(session(), hardware=(LOST, cpu_hardware()), refused=(WHY,))
    lines = hardware_in_words(refused)
    assert lines[0] == f"! {WHY}"
    assert "(it fell off the bus: see dmesg)" in lines[1]
