"""Every read from outside has a size and a time, and what is over it is one sentence."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hettui.adapters.files.bounded import read_file, read_text_file
from hettui.adapters.files.config_toml import load
from hettui.adapters.files.json_file import read_json_file
from hettui.adapters.files.key_file import first_key
from hettui.adapters.files.recording_file import recorded_lines
from hettui.adapters.files.theme_files import read_themes
from hettui.adapters.library.ollama import ollama_models
from hettui.adapters.llama.bench import run_llama_bench
from hettui.adapters.llama.binaries import find_engine
from hettui.adapters.processes.log_files import FileTail
from hettui.adapters.processes.run_folder import RunFolder
from hettui.adapters.processes.said import TooLong, TooMuch, await_words, run_for_words
from hettui.domain.errors import ConfigError, EngineError, HettuiError, RecordingError
from hettui.domain.library.places import ModelPlace
from tests import readers
from tests.patience import patience

HUGE = 1 << 32
"""Of a file with a hole instead of data."""


def test_nobody_reads_without_an_end() -> None:
    assert list(readers.unbounded()) == []


@pytest.mark.parametrize(
    "line",
    [
        "path.read_text(encoding='utf-8')",
        "path.read_bytes()",
        "file.read()",
        "file.read(-1)",
        "sys.stdin.read()",
        "stream.readline()",
        "file.readlines()",
        "json.load(file)",
        "tomllib.load(file)",
        "response.json()",
        "x = response.content",
        "x = (await get()).response.text",
        "await response.aread()",
        "await self._client.get('/health')",
        "httpx.client.post(url)",
        "await process.communicate()",
        "subprocess.run(argv, capture_output=True)",
        "subprocess.Popen(argv, stdout=subprocess.PIPE)",
        "subprocess.check_output(argv)",
        "shutil.copyfileobj(a, b)",
        "with open(path) as file:\n    for line in file: pass",
        "with path.open() as file:\n    x = [line for line in file]",
        "async def f():\n    async for chunk in response.aiter_bytes(): pass",
        "urllib.request.urlopen(url)",
    ],
)
def test_the_walk_finds_what_has_no_end(line: str) -> None:
    source = line if line.startswith("async") else f"async def f():\n    {line}" if "await" in line else line
    assert list(readers.in_source("somewhere.py", source))


@pytest.mark.parametrize(
    "line",
    ["file.read(4096)", "os.read(descriptor, 10)", "stream.readline(1 + MOST)", "self._tail.read()", "x = answer.text",
     "subprocess.Popen(argv, stdout=log)", "for line in lines: pass", "values.get('client')"],
)  # fmt: skip
def test_the_walk_lets_be_what_has_one(line: str) -> None:
    assert list(readers.in_source("somewhere.py", line)) == []


def test_the_lists_name_what_is_there() -> None:
    assert all((readers.ROOT / name).exists() for name in readers.READERS)
    assert all((readers.ROOT / name.partition(":")[0]).exists() for name in readers.ALLOWED)


# -- files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    path = tmp_path / "huge"
    path.touch(mode=0o600)
    os.truncate(path, HUGE)
    return path


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Nobody ever writes into it."""
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    return path


def test_a_file_over_its_size_a_pipe_and_a_folder_are_sentences(huge: Path, pipe: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="it is larger than 1 MiB"):
        read_file(huge, 1 << 20)
    with pytest.raises(OSError, match="it is larger than 4 KiB"):
        read_text_file("/dev/zero" if os.path.isfile("/dev/zero") else huge, 4096)  # noqa: PTH113
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(OSError, match="it is no ordinary file"):
            read_file(path, 1 << 20)
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path, 1 << 20)
    small = tmp_path / "small"
    small.write_bytes(b"x" * 4096)
    assert len(read_file(small, 4096)) == 4096
    with pytest.raises(OSError, match="larger"):
        read_file(small, 4095)
    assert read_file("/proc/self/stat", 4096).startswith(f"{os.getpid()} ".encode())


def test_every_kept_file_over_its_size_is_refused_in_a_sentence(huge: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than a configuration can be"):
        load(huge)
    with pytest.raises(ConfigError, match="it is larger than 1 MiB"):
        first_key(str(huge))
    assert read_json_file(huge, 1 << 20) is None
    with pytest.raises(RecordingError, match="larger than any recording"):
        next(recorded_lines(huge))
    huge.rename(tmp_path / "cluster.json")
    with pytest.raises(HettuiError, match="it is larger than 4 MiB"):
        RunFolder(tmp_path).load()


@pytest.mark.parametrize("kind", ["huge", "pipe"])
def test_a_theme_and_a_manifest_that_are_none(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found: Path = request.getfixturevalue(kind)
    manifest = tmp_path / "models/manifests/registry.ollama.ai/library/llama/latest"
    manifest.parent.mkdir(parents=True)
    (tmp_path / "themes").mkdir()
    manifest.symlink_to(found)
    (tmp_path / "themes/odd.toml").symlink_to(found)
    says = "it is larger than" if kind == "huge" else "no ordinary file"
    parsed, unreadable = read_themes([tmp_path / "themes"])
    assert parsed == {}
    assert says in unreadable[0]
    place = ModelPlace("Ollama", str(tmp_path / "models"), "ollama")
    models = list(ollama_models(place, lambda: False, lambda _: None))
    # A pipe is no file to begin with.
    assert [m.problem for m in models if says not in (m.problem or "")] == []
    assert len(models) == (1 if kind == "huge" else 0)


def test_one_line_of_a_log_without_an_end_takes_no_memory(huge: Path) -> None:
    tail = FileTail(huge, 0)
    for _ in range(8):
        lines, partial = tail.read()
        assert lines == []
        assert len(partial) <= 4096


# -- programs ------------------------------------------------------------------------------------------------


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


FLOOD = "import os\nwhile True: os.write(1, b'x' * 65536)"
HANGS = "import time; time.sleep(3600)"


def test_what_a_program_prints_has_a_size_and_a_time() -> None:
    environment = dict(os.environ)
    said = run_for_words(python("import sys; print('a'); sys.exit('b')"), environment, patience(30), 1 << 20)
    assert (said.returncode, said.out, said.err) == (1, b"a\n", b"b\n")
    with pytest.raises(TooMuch):
        run_for_words(python(FLOOD), environment, patience(30), 1 << 20)
    with pytest.raises(TooMuch):
        run_for_words(python(FLOOD.replace("(1,", "(2,")), environment, patience(30), 1 << 20)
    with pytest.raises(TooLong):
        run_for_words(python(HANGS), environment, 0.2, 1 << 20)
    with pytest.raises(OSError, match="No such file"):
        run_for_words(["/no/such/program"], environment, 1, 1)


async def test_the_same_without_blocking() -> None:
    environment = dict(os.environ)
    said = await await_words(python("import sys; print('a'); sys.exit('b')"), environment, patience(30), 1 << 20)
    assert (said.returncode, said.out, said.err) == (1, b"a\n", b"b\n")
    with pytest.raises(TooMuch):
        await await_words(python(FLOOD), environment, patience(30), 1 << 20)
    with pytest.raises(TooLong):
        await await_words(python(HANGS), environment, 0.2, 1 << 20)


def program(folder: Path, name: str, code: str) -> Path:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(0o755)
    return path


async def test_a_binary_that_prints_without_an_end_is_a_sentence(tmp_path: Path) -> None:
    program(tmp_path, "llama-server", FLOOD)
    with pytest.raises(EngineError, match="--help prints more than 4 MiB: is it really llama-server"):
        find_engine(str(tmp_path), {})
    with pytest.raises(EngineError, match="prints more than 8 MiB: is it really llama-bench"):
        await run_llama_bench([str(program(tmp_path, "llama-bench", FLOOD))], {})
