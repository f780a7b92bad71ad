"""`hettui doctor` in this process: on this machine as it is, on a configuration that is wrong, and its repairs."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from hettui.cli import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("LLAMA_CPP_BIN", str(tmp_path / "no-engine"))


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    found = json.loads(capsys.readouterr().out)
    return {one["id"]: one for one in reversed(found["findings"])}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    key = tmp_path / "keys"
    key.write_text("secret\n")
    key.chmod(0o644)
    path = tmp_path / "c.toml"
    path.write_text(f'[model]\npath = "none.gguf"\n[serving]\napi-key-file = "{key}"\n[machine]\npsu = "1.2kW"\n')
    return path


def test_without_an_engine_and_without_a_card_it_is_a_page_and_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json"]) == 1
    found = told(capsys)
    assert found["engine.found"]["severity"] == "fault"
    assert "LLAMA_CPP_BIN" in str(found["engine.found"]["words"])
    assert found["config.file"]["severity"] == "unchecked", "told once"
    assert found["memory.ram"]["severity"] in ("good", "note")
    assert main(["doctor"]) == 1
    page = capsys.readouterr().out
    assert "✗ engine.found" in page
    assert "secret" not in page
    assert not (tmp_path / "cache").exists()


def test_what_is_wrong_with_a_configuration_is_found_and_a_key_file_is_made_private_after_a_yes(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["doctor", str(config), "--json"]) == 1
    found = told(capsys)
    assert "none.gguf" in str(found["config.model"]["words"])
    assert found["config.keys"]["severity"] == "fault"
    assert found["config.keys"]["fix"]
    keys = config.parent / "keys"
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    main(["doctor", str(config), "--fix"])
    assert "left as it is" in capsys.readouterr().out
    assert keys.stat().st_mode & 0o777 == 0o644
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    main(["doctor", str(config), "--fix"])
    assert keys.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    main(["doctor", str(config), "--fix"])
    assert "nothing that hettui would change" in capsys.readouterr().out


def test_a_configuration_that_cannot_be_read_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[machine]\npsu = "strong"\n')
    assert main(["doctor", str(path), "--json"]) == 1
    assert "c.toml:2: [machine] psu" in str(told(capsys)["config.file"]["words"])


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    from hettui.domain.doctor.finding import Fix
    from hettui.domain.errors import HettuiError
    from hettui.wiring.doctor import mend

    target = tmp_path / "other"
    target.write_text("x")
    target.chmod(0o644)
    (tmp_path / "link").symlink_to(target)
    for path in (tmp_path / "link", tmp_path, tmp_path / "none"):
        with pytest.raises(HettuiError, match="nothing was changed"):
            mend(Fix(str(path), 0o600))
    assert target.stat().st_mode & 0o777 == 0o644


def test_fix_and_json_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--fix", "--json"]) == 2
    assert "asks before" in capsys.readouterr().err


def test_options_that_a_build_does_not_list() -> None:
    from hettui.wiring.doctor import unknown_arguments

    options = frozenset({"--metrics", "--load-mode", "--threads"})
    assert unknown_arguments(["--metrics", "--threads=3", "-t", "3"], options) == ()
    assert unknown_arguments(["--metric"], options) == ("--metric is no option of this build; did you mean --metrics?",)
    assert unknown_arguments(["--zzz"], options) == ("--zzz is no option of this build",)
