"""`hettui models quantize` and `convert` on a scripted llama-quantize and converter: sizes, names, faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hettui.adapters.files.fetched_file import load_fetched
from hettui.adapters.files.paths import memory_dir
from hettui.cli import main
from tests.gguf_files import header, llama

SERVER = """#!/bin/sh
[ "$1" = --help ] && echo "--rpc SERVERS"
[ "$1" = --version ] && echo "version: 11434 (x)"
exit 0
"""
QUANTIZE = """#!/bin/sh
echo "$@" >> "$FAULTS/asked"
case "$*" in *--dry-run*) echo "x: quant size  =     2.00 MiB (8.00 BPW)"; exit 0 ;; esac
while :; do case "$1" in --imatrix) shift 2 ;; --*) shift ;; *) break ;; esac; done
[ -e "$FAULTS/full" ] && { : > "$2"; echo "failed to write: No space left on device"; exit 1; }
[ -e "$FAULTS/again" ] && {
  echo "llama_model_quantize: failed to quantize: requantizing from type q4_1 is disabled"; exit 1; }
[ -e "$FAULTS/garbage" ] && { echo "GGUF no model" > "$2"; exit 0; }
echo "[   1/   2]  a - [ 1, 1, 1, 1], type = f16, size = 1 MiB"
/bin/cp "$1" "$2"
"""
PYTHON = """#!/bin/sh
case "$*" in *find_spec*) [ -e "$FAULTS/bare" ] && echo torch transformers; exit 0 ;; esac
[ "$2" = "$FAULTS/hf" ] || exit 9
/bin/cp "$FAULTS/m.F16.gguf" "$4"
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("STATE", "CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    engine = tmp_path / "engine"
    engine.mkdir()
    for name, text in {"llama-server": SERVER, "llama-quantize": QUANTIZE, "python": PYTHON}.items():
        (engine / name).write_text(text)
        (engine / name).chmod(0o755)
    monkeypatch.setenv("LLAMA_CPP_BIN", str(engine))
    monkeypatch.setenv("FAULTS", str(tmp_path))
    head, size = header(*llama(blocks=1, vocabulary=32))
    (tmp_path / "m.F16.gguf").write_bytes(head + bytes(size))
    return tmp_path


def made(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if "gguf" in path.name)


def test_a_model_is_quantised_beside_its_source_and_is_hettuis_own(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = place / "m.F16.gguf", place / "m.Q6_K.gguf"
    assert main(["models", "quantize", str(source), "q6_k", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(target)
    assert made(place) == ["m.F16.gguf"]
    assert main(["models", "quantize", str(source), "Q6_K", "--threads", "3", "--imatrix", "i.dat"]) == 0
    asked = (place / "asked").read_text().splitlines()[-1]
    assert asked == f"--imatrix i.dat {source} {place}/.m.Q6_K.gguf.part Q6_K 3"
    assert made(place) == ["m.F16.gguf", "m.Q6_K.gguf"]
    assert load_fetched(memory_dir())[str(target)].source == "quantised from m.F16.gguf"
    capsys.readouterr()
    assert main(["models", "verify", str(target)]) == 0
    assert "sum are right" in capsys.readouterr().out
    assert main(["models", "quantize", str(source), "Q6_K"]) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert main(["models", "remove", str(target)]) == 0
    assert made(place) == ["m.F16.gguf"]


@pytest.mark.parametrize(
    ("fault", "words"), [("full", "the disk is full"), ("again", "--allow-requantize"), ("garbage", "no sound model")]
)
def test_what_fails_leaves_nothing_that_looks_like_a_model(
    place: Path, capsys: pytest.CaptureFixture[str], fault: str, words: str
) -> None:
    (place / fault).touch()
    assert main(["models", "quantize", str(place / "m.F16.gguf"), "Q8_0"]) == 1
    assert words in capsys.readouterr().err
    assert made(place) == ["m.F16.gguf"]


def test_an_engine_without_the_tool_says_which_has_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "engine" / "llama-quantize").unlink()
    assert main(["models", "quantize", str(place / "m.F16.gguf"), "Q8_0"]) == 1
    assert "hettui engine build --use" in capsys.readouterr().err


def test_a_folder_is_converted_by_the_source_of_the_engine_in_use(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, python = place / "hf", str(place / "engine" / "python")
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    text = json.dumps({"w": {"shape": [1024, 1024], "dtype": "BF16"}}).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    script = place / "cache" / "hettui" / "engines" / "b11434" / "source" / "llama.cpp" / "convert_hf_to_gguf.py"
    script.parent.mkdir(parents=True)
    (script.parent / "CMakeLists.txt").touch()
    assert main(["models", "convert", str(folder), "--outtype", "f16", "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["path"] == str(place / "hf.F16.gguf")
    assert said["size_bytes"] == 18 << 20
    assert main(["models", "convert", str(folder), "--outtype", "q4_0"]) == 2
    (place / "bare").touch()
    assert main(["models", "convert", str(folder), "--python", python]) == 1
    assert "needs torch, transformers" in capsys.readouterr().err
    (place / "bare").unlink()
    assert main(["models", "convert", str(folder), "--python", python]) == 0
    assert made(place) == ["hf.gguf", "m.F16.gguf"]
