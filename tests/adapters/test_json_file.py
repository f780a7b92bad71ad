"""Damaged files of ours stop nothing: what is nested too deeply is damage like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from hettui.adapters.files.bench_store import BenchFolder
from hettui.adapters.files.chat_store import ChatFolder
from hettui.adapters.files.json_file import read_json_file
from hettui.adapters.files.learned_file import load_learned
from hettui.adapters.files.panes_file import load_panes
from hettui.adapters.files.theme_files import read_themes
from hettui.adapters.machine.facts import model_sum
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.bench.llama_bench import read_llama_bench
from hettui.domain.errors import EngineError, HettuiError, UsageError
from hettui.domain.json_text import parse_json
from hettui.domain.llama.server_errors import http_reason
from hettui.domain.planner.learned import Learned
from hettui.domain.screen.panes import PanesState

DEEP = "[" * 100_000 + "]" * 100_000


def test_too_deep_is_no_json() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(DEEP)
    assert parse_json('{"a": [1]}') == {"a": [1]}


@pytest.mark.parametrize("content", [b"", b"\x00", b"\xff\xfe", b"{", DEEP.encode(), b'"' + b"x" * 999 + b'"'])
def test_a_file_that_is_none_counts_as_missing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    assert read_json_file(path, 900 if content.startswith(b'"') else 1 << 20) is None
    assert path.read_bytes() == content
    assert read_json_file(tmp_path / "missing.json", 10) is None
    assert read_json_file(tmp_path, 10) is None


def test_nested_damage_in_any_kept_file_stops_nothing(tmp_path: Path) -> None:
    for name in ("measured.json", "screen.json", "chats.json", "prompts.json", "model-sums.json"):
        (tmp_path / name).write_text(DEEP)
    assert load_learned(tmp_path) == Learned()
    assert load_panes(tmp_path) == PanesState()
    assert BenchFolder(tmp_path).runs() == []
    with pytest.raises(UsageError):
        BenchFolder(tmp_path).find(str(tmp_path / "chats.json"))
    chats = ChatFolder(tmp_path / "chats", tmp_path)
    chats.save_prompts("m", chats.prompts("m"))
    (kept,) = (tmp_path / "chats").rglob("prompts.json")
    kept.write_text(DEEP)
    assert not chats.prompts("m").history
    (tmp_path / "model").write_bytes(b"x")
    assert model_sum(tmp_path, [str(tmp_path / "model")], lambda done, total: None) is not None


def test_numbers_that_no_machine_has_are_damage(tmp_path: Path) -> None:
    large = "9" * 400
    (tmp_path / "measured.json").write_text(
        f'{{"compute": {{"k": {{"0": {large}}}}}, "overhead": {{"a": {large}}}, "host_bytes_per_s": {large},'
        f' "stages": {{"s": {{"names": ["a"], "information": [[{large}]], "vector": [1], "windows": 1}}}}}}'
    )
    assert load_learned(tmp_path) == Learned()


def test_nested_damage_from_others_is_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no result"):
        read_llama_bench(DEEP)
    assert "llama-server" in http_reason(503, DEEP.encode())
    runs = RunFolder(tmp_path)
    runs.path.write_text(DEEP)
    with pytest.raises(HettuiError, match="is damaged"):
        runs.load()
    (tmp_path / "deep.toml").write_text("a = " + DEEP)
    _, wrong = read_themes([tmp_path])
    assert "nested too deeply" in wrong[0]
