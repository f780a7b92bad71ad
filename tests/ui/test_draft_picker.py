"""The picker of draft models by keys: those whose vocabulary suits, on real files and the real search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hettui.adapters.llama.gguf import read_model
from hettui.domain.llama.params import Drafting
from hettui.domain.model.shape import ModelShape
from hettui.ui.dialogs.draft_picker import DraftPicker
from hettui.ui.screens.main import MainScreen
from tests.gguf_files import llama, with_tokenizer, write_gguf
from tests.ui.stage import Stage, session, stage
from tests.ui.test_model_picker import HomeFinder, complete, names, opens


def model(path: Path, blocks: int, vocabulary: int = 640, **tokenizer: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata, tensors = llama(blocks, vocabulary=vocabulary)
    said = {f"tokenizer.ggml.{key}": value for key, value in tokenizer.items()}
    return write_gguf(path, with_tokenizer(metadata, vocabulary) | said, tensors)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    model(tmp_path / "models/large.gguf", 8)
    model(tmp_path / "models/small.gguf", 2)
    model(tmp_path / "models/close.gguf", 2, 700)
    model(tmp_path / "models/far.gguf", 2, 900)
    model(tmp_path / "models/other-tokenizer.gguf", 2, model="gpt2")
    (tmp_path / "models/torn.gguf").write_bytes(b"GGUF\x03")
    return tmp_path


def opened(home: Path) -> Any:
    shape = ModelShape.of(read_model(str(home / "models/large.gguf")))
    return session(model=shape)


def drafting(s: Stage) -> Drafting | None:
    screen = s.app.screen
    assert isinstance(screen, MainScreen)
    return screen.known.session.config.params.draft


async def test_only_models_with_the_models_vocabulary_are_offered(home: Path) -> None:
    async with stage(opened(home), finder=HomeFinder(home)) as s:
        opens(s, home / "models/small.gguf")
        await s.press("D")
        assert isinstance(s.app.screen, DraftPicker)
        await complete(s)
        assert set(names(s)) == {"large", "small", "close"}
        assert "A draft model for" in s.text()
        # There is none yet that could be taken away.
        assert "ctrl+x" not in s.text()
        await s.type("nothing like it")
        assert "Nothing with the model's vocabulary matches" in s.text()
        await s.press("escape")
        await s.type("small")
        await s.press("enter")
        await s.app.workers.wait_for_complete()
        await s.until(lambda: isinstance(s.app.screen, MainScreen) and drafting(s) is not None)
        found = drafting(s)
        assert found is not None
        assert found.model.endswith("small.gguf")
        assert "the draft model" in s.text()

        await s.press("D")
        assert "ctrl+x without a draft" in s.text()
        await s.press("ctrl+x")
        await s.app.workers.wait_for_complete()
        await s.until(lambda: isinstance(s.app.screen, MainScreen) and drafting(s) is None)
        assert "the draft model" not in s.text()


async def test_escape_changes_nothing(home: Path) -> None:
    async with stage(opened(home), finder=HomeFinder(home)) as s:
        await s.press("D")
        await s.press("escape")
        assert isinstance(s.app.screen, MainScreen)
        assert drafting(s) is None
