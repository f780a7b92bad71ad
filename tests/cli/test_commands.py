"""The command line in this process: options, exit codes, and one line on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hettui.cli import main
from hettui.cli.commands import COMMANDS
from hettui.cli.described import commands_of
from hettui.cli.parser import build_parser
from hettui.domain.errors import HettuiError
from tests.gguf_files import header, llama
from tests.recordings import lines
from tests.ui.stage import session


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("LLAMA_CPP_BIN", raising=False)


@pytest.fixture
def model(tmp_path: Path) -> str:
    head, size = header(*llama(blocks=4, vocabulary=32))
    path = tmp_path / "m.gguf"
    path.write_bytes(head + bytes(size))
    return str(path)


def test_plan_says_layers_and_budgets_without_a_terminal(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", model, "--devices", "a=4GiB,b=2GiB", "--split", "3,2", "-c", "512", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tensor_split"] == [3, 2]
    assert [d["budget_bytes"] for d in found["devices"]] == [4 << 30, 2 << 30]
    assert found["settings"]["ctx_size"] == 512


def test_fractions_get_llama_cpps_rounding(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", model, "--split", "0.6667/0.3333", "-ngl", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tensor_split"] == [3, 0]
    assert found["devices"][0]["name"] == "d0"
    assert found["devices"][0]["budget_bytes"] is None


def test_a_plan_that_does_not_fit_ends_with_1_and_says_what_is_missing(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", model, "--devices", "a=1MiB", "--split", "5"]) == 1
    assert "a is short by" in capsys.readouterr().out


def test_model_as_text_and_as_json(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", model]) == 0
    assert "4 blocks and the output layer" in capsys.readouterr().out
    assert main(["model", model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["blocks"] == 4


def test_init_writes_once_and_the_file_opens(tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "c.toml"
    assert main(["init", str(target), "--model", model]) == 0
    assert main(["init", str(target)]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["plan", model, str(target), "--split", "1", "--json"]) == 2, "a machine without cards has no devices"


@pytest.mark.parametrize(
    "words",
    [
        ["plan"],
        ["plan", "m.gguf", "--split", "a,b"],
        ["plan", "m.gguf", "--split", "nan"],
        ["plan", "m.gguf", "--devices", "a=1GiB,a=2GiB"],
        ["plan", "m.gguf", "--devices", "a=1GiB@"],
        ["plan", "m.gguf", "--devices", "a=1GiB@fast"],
        ["plan", "m.gguf", "--devices", "a=1GiB@0"],
        ["plan", "m.gguf", "--cache-type-k", "q3"],
        ["plan", "m.gguf", "--parallel", "0"],
        ["--unknown"],
        ["demo", "--json"],
        ["screen"],
        ["--record"],
        ["--record", "a.jsonl", "--replay", "b.jsonl"],
        ["c.toml", "--replay", "b.jsonl"],
        ["demo", "--replay", "b.jsonl"],
    ],
)
def test_bad_usage_ends_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(words)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else -1
    assert code == 2
    assert capsys.readouterr().out == ""


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", str(tmp_path / "\x1b]0;x\x07no.gguf")]) == 1
    assert "\x1b" not in capsys.readouterr().err


def test_a_fault_of_our_own_is_a_line_and_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError("seven [/] \x1b[31m")

    monkeypatch.setattr("hettui.cli.plan.run_devices", broken)
    assert main(["devices"]) == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError: seven [/]" in said
    assert "Traceback" not in said
    assert "Traceback" in (tmp_path / "state" / "hettui" / "crash.log").read_text()


def test_an_error_of_a_command_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*_: object) -> int:
        raise HettuiError("nothing is here: look there")

    monkeypatch.setattr("hettui.cli.plan.run_devices", refused)
    assert main(["devices"]) == 1
    assert capsys.readouterr().err == "hettui: nothing is here: look there\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (b"\x7fELF" + bytes(1000), "this is no recording of hettui"),
        (b'{"hettui":"recording","format":7,"version":"9.0"}\n', "its format is 7, written by hettui 9.0"),
    ],
)
def test_a_recording_that_cannot_be_shown_ends_with_1_and_a_reason(
    tmp_path: Path, content: bytes | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bug.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert main(["--replay", str(path)]) == 1
    found = capsys.readouterr().err
    assert found.startswith(f"hettui: {path}")
    assert said in found
    assert len(found.splitlines()) == 1


def test_a_sound_recording_needs_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bug.jsonl"
    path.write_bytes(b"".join(lines(session(), [])))
    assert main(["--replay", str(path)]) == 2
    assert "the screen needs a terminal" in capsys.readouterr().err


def test_help_has_an_example_of_recording(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["screen", "--help"])
    assert "hettui --replay bug.jsonl" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_own_parser_knows_it_as_the_parser_of_all_does(name: str) -> None:
    everything = {command.name: command for command in commands_of(build_parser())}
    own = {command.name: command for command in commands_of(build_parser(name))}
    assert own[name] == everything[name]
    assert set(everything) == set(COMMANDS)
    assert len(own) <= 5
