"""What shells complete, the manual page, and words that are no command: all from the one parser."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hettui.cli import main
from hettui.cli.completion import script
from hettui.cli.described import commands_of
from hettui.cli.man import page
from hettui.cli.parser import SHELLS, build_parser
from hettui.domain.errors import HettuiError

COMMANDS = commands_of(build_parser())


def written(folder: Path, shell: str) -> Path:
    file = folder / f"hettui.{shell}"
    file.write_text(script(shell, COMMANDS), encoding="utf-8")
    return file


def bash(file: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(f"'{word}'" for word in ("hettui", *words))
    code = f'source "{file}"; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _hettui; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["st"], ["status"]),
        (["plan", "--objec"], ["--objective"]),
        (["plan", "--objective", "la"], ["latency"]),
        (["plan", "m.gguf", "-ctk", "q8"], ["q8_0"]),
        (["models", "f"], ["fetch"]),
        (["completion", ""], list(SHELLS)),
        (["plan", "--rig", ""], []),
        (["up", ""], []),
    ],
)  # fmt: skip
def test_bash_offers_commands_options_and_values(tmp_path: Path, words: list[str], offered: list[str]) -> None:
    assert bash(written(tmp_path, "bash"), *words) == offered


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
def test_fish_offers_them_too(tmp_path: Path) -> None:
    file = written(tmp_path, "fish")

    def offered(line: str) -> list[str]:
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"source {file}; complete -C '{line}'"],
            capture_output=True, text=True, check=True, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        assert done.stderr == ""
        return [row.split("\t")[0] for row in done.stdout.splitlines()]

    assert offered("hettui stat") == ["status"]
    assert set(offered("hettui plan --objective ")) == {"balanced", "latency", "throughput", "fit"}
    assert "--ctx-size" in offered("hettui plan --ct")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh_takes_it_as_its_completion(tmp_path: Path) -> None:
    file = written(tmp_path, "zsh")
    code = f"autoload -U compinit; compinit -u -D; source {file}; print $_comps[hettui]; whence -w _hettui"
    done = subprocess.run(
        ["zsh", "-f", "-c", code], capture_output=True, text=True, check=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout.split() == ["_hettui", "_hettui:", "function"]
    assert done.stderr == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_is_in_every_script(shell: str) -> None:
    text = script(shell, COMMANDS)
    for one in COMMANDS:
        assert one.name in text
        for word in one.options:
            for spelling in word.spellings:
                assert (spelling.lstrip("-") if shell == "fish" else spelling) in text


def test_the_manual_page_has_everything_and_nothing_that_man_would_take_for_its_own() -> None:
    text = page(COMMANDS)
    assert text.isascii()
    for one in COMMANDS:
        assert f"\n.SS {one.name}\n" in text
    own = {line.split()[0] for line in text.splitlines() if line.startswith((".", "'"))}
    assert own == {".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".br"}
    if shutil.which("groff"):
        groff = ["groff", "-man", "-Tutf8", "-ww"]
        assert subprocess.run(groff, input=text, capture_output=True, text=True, check=True).stderr == ""


@pytest.mark.parametrize(
    ("word", "meant"),
    [("stauts", "status"), ("plna", "plan"), ("Doctor", "doctor"), ("hlep", "help"), ("chta", "chat")],
)
def test_a_mistyped_command_is_no_configuration(word: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 2
    assert capsys.readouterr().err == f"hettui: there is no command {word}; did you mean {meant}?\n"


def test_a_file_of_that_name_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stauts").write_text("[nonsense]\n")
    assert main(["stauts"]) == 2
    assert "did you mean status" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-V"], ["--version"], ["version"]])
def test_the_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("hettui ")


@pytest.mark.parametrize("words", [["help"], ["help", "plan"]])
def test_help_is_a_word_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert ("tensor-split" in capsys.readouterr().out) == (len(words) == 2)


class Typed(io.StringIO):
    """A terminal on which somebody has typed."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "starts"), [("n\n", False), ("\n", False), ("y\n", True), ("", False)])
@pytest.mark.parametrize(("words", "what"), [(["chat", "hello"], "answer"), (["bench"], "measurement")])
def test_what_needs_a_cluster_asks_before_it_starts_one(
    words: list[str], what: str, answer: str, starts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STATE", "CACHE", "CONFIG", "RUNTIME"):
        monkeypatch.setenv(f"XDG_{name}_{'DIR' if name == 'RUNTIME' else 'HOME'}", str(tmp_path))
    file = tmp_path / "c.toml"
    file.write_text("[serving]\nport = 0\n")
    started = list[object]()

    def opened(config: object) -> None:
        started.append(config)
        raise HettuiError("it went on")

    monkeypatch.setattr("hettui.wiring.bench.open_session", opened)
    monkeypatch.setattr(sys, "stdin", Typed(answer))
    monkeypatch.setattr(sys, "stderr", terminal := Typed())
    assert main([*words, str(file)]) == (1 if starts else 2)
    if not starts:
        assert "nothing runs: hettui up starts the configured cluster" in terminal.getvalue()
    assert f"Nothing runs. Start {file} for this {what}, and stop it then?" in terminal.getvalue()
    assert bool(started) is starts


def test_without_a_terminal_nothing_is_asked_and_nothing_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("STATE", "CACHE", "CONFIG", "RUNTIME"):
        monkeypatch.setenv(f"XDG_{name}_{'DIR' if name == 'RUNTIME' else 'HOME'}", str(tmp_path))
    file = tmp_path / "c.toml"
    file.write_text("[serving]\nport = 0\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert main(["bench", str(file)]) == 2
    capsys.readouterr()
    assert main(["chat", "hello", str(file)]) == 2
    said = capsys.readouterr().err
    assert "Nothing runs. Start" not in said
    assert "--start starts it for this alone" in said
