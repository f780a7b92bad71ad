"""Fetching, converting, quantising, verifying and removing by the picker's keys, with the plan following."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from textual import events

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from hettui.adapters.llama.gguf import read_model
from hettui.domain.errors import HettuiError
from hettui.domain.model.shape import ModelShape
from hettui.domain.session.session import Session
from hettui.services.model_desk import Done, Tell, Told
from hettui.ui.dialogs.model_picker import ModelPicker
from hettui.ui.dialogs.model_work import ModelWorkScreen
from hettui.wiring.model_desk import ModelDeskAdapter
from tests.cli.test_making import place as place_fixture
from tests.patience import patience
from tests.ui.stage import Stage, StageBackend, session, stage
from tests.ui.test_model_picker import HomeFinder, complete, names

place = place_fixture
"""A scripted llama-quantize and converter."""


def said(s: Stage) -> str:
    """What is shown, wherever its lines are broken."""
    return " ".join(s.text().replace("│", " ").split())


def dialog(s: Stage) -> ModelWorkScreen:
    assert isinstance(s.app.screen, ModelWorkScreen)
    return s.app.screen


class Opener:
    """Reads what is opened, as the program does."""

    def __init__(self, backend: StageBackend) -> None:
        self.opened: list[str] = []
        backend.with_model = self  # type: ignore[method-assign, assignment]

    def __call__(self, opened: Session, path: str) -> Session:
        self.opened.append(path)
        shape = ModelShape.of(read_model(path))
        return session(opened.devices, shape)


def gather(folder: Path) -> Path:
    """Where the picker looks."""
    models = folder / "models"
    models.mkdir()
    shutil.copy(folder / "m.F16.gguf", models / "m.F16.gguf")
    return models


async def test_enter_comes_after_what_was_typed_before_it(place: Path) -> None:
    """All in one packet, as over a slow line: the field has not seen its keys yet when the screen sees Enter."""
    gather(place)
    async with stage(finder=HomeFinder(place)) as s:
        await s.press("m", "f3")
        dialog(s)
        for character in "/nowhere/at/all":
            s.app.post_message(events.Key({"/": "slash"}.get(character, character), character))
        s.app.post_message(events.Key("enter", None))
        await s.until(lambda: "no folder" in said(s))
        assert "/nowhere/at/all is no folder" in said(s)


async def test_from_a_folder_to_a_quantised_model_in_the_plan(place: Path) -> None:
    models = gather(place)
    (models / "m.F16.gguf").unlink()
    (place / "hf").mkdir()
    (place / "hf" / "config.json").write_text("{}")
    script = place / "cache" / "hettui" / "engines" / "b11434" / "source" / "llama.cpp" / "convert_hf_to_gguf.py"
    script.parent.mkdir(parents=True)
    (script.parent / "CMakeLists.txt").touch()
    async with stage(finder=HomeFinder(place), size=(80, 24)) as s:
        opener = Opener(s.backend)
        await s.press("m", "f3")
        dialog(s)._field.value = f"{place}/hf --python {place}/engine/python --to {models}/hf.F16.gguf"
        await s.press("enter")
        await s.until(lambda: "the plan follows" in said(s))
        # Back to the list: what was made is there, under the cursor.
        await s.press("escape")
        await complete(s)
        assert isinstance(s.app.screen, ModelPicker)
        picker = s.app.screen
        await s.until(lambda: picker._selected == str(models / "hf.F16.gguf"))
        await s.press("f4")
        assert "Quantise hf.F16" in s.text()
        dialog(s)._field.value = "q6_k"
        await s.press("enter")
        await s.until(lambda: "the plan follows" in said(s))
        await s.press("enter")
        await s.until(lambda: opener.opened == [str(models / "hf.Q6_K.gguf")])
        await s.until(lambda: s.app.screen is s.main and sum(s.layers) == 2)


async def test_verify_says_what_is_well_and_remove_asks_twice_for_what_is_not_hettuis(place: Path) -> None:
    models = gather(place)
    async with stage(finder=HomeFinder(place)) as s:
        await s.press("m")
        await complete(s)
        await s.press("f6", "enter")
        await s.until(lambda: "header and tensors are sound" in said(s))
        await s.press("enter")
        # The folders are looked through again: until then no model is chosen, and the key would say so.
        await complete(s)
        await s.press("f8", "enter")
        await s.until(lambda: "was not fetched by hettui" in said(s))
        assert (models / "m.F16.gguf").exists()
        await s.press("enter")
        await s.until(lambda: "removed m.F16.gguf" in said(s))
        assert not (models / "m.F16.gguf").exists()
        await s.press("enter")
        await complete(s)
        assert names(s) == []


REFUSED = (
    ("f4", "Q4_K_N", "is no type of llama-quantize: did you mean"),
    ("f4", "Q8_0 --imatrx x", "did you mean --imatrix?"),
    ("f4", "Q8_0 --threads 0", "must be at least 1"),
    ("f4", "", "a type is needed"),
    ("f3", "/nowhere", "it has no config.json"),
    ("f2", "'", "it cannot be read"),
    ("f2", "no-repo", "user/repo"),
)


async def test_what_cannot_be_is_a_sentence_and_can_be_mended(place: Path) -> None:
    gather(place)
    async with stage(finder=HomeFinder(place)) as s:
        await s.press("m")
        await complete(s)
        for key, typed, says in REFUSED:
            await s.press(key)
            shown = dialog(s)
            shown._field.value = typed
            await s.press("enter")
            await s.until(lambda shown=shown: not shown._at_work)  # type: ignore[misc]
            assert says in said(s)
            assert not shown._field.disabled
            await s.press("escape")
            assert isinstance(s.app.screen, ModelPicker)


class Endless(ModelDeskAdapter):
    """Never done, but for whoever has had enough."""

    def quantize(self, session: Session, path: str, text: str, tell: Tell) -> Done:
        end = time.monotonic() + patience(20)
        while time.monotonic() < end:
            tell(Told("quantising", 0.25, 75.0))
            time.sleep(0.001)
        raise HettuiError("nobody stopped it")


async def test_esc_stops_it_and_progress_was_told(place: Path) -> None:
    gather(place)
    async with stage(finder=HomeFinder(place)) as s:
        s.backend.desk = Endless()
        await s.press("m")
        await complete(s)
        await s.press("f4", "enter")
        await s.until(lambda: "25%" in said(s) and "left" in said(s))
        await s.press("escape")
        await s.until(lambda: "stopped: nothing half-made" in said(s))


TOOLS = Path(os.environ.get("LLAMA_CPP_BIN", "/nowhere"))


@pytest.mark.engine
@pytest.mark.skipif(not (TOOLS / "llama-quantize").is_file(), reason="no llama-quantize in LLAMA_CPP_BIN")
async def test_a_real_model_is_quantised_by_keys_with_the_real_tool(tmp_path: Path) -> None:
    """SmolLM2 of the demo to Q8_0, then it is the plan's."""
    models, source = tmp_path / "models", demo_model(cache_dir(), lambda done, total: None)
    models.mkdir()
    (models / "smol.Q4_1.gguf").symlink_to(source)
    async with stage(finder=HomeFinder(tmp_path)) as s:
        opener = Opener(s.backend)
        await s.press("m")
        await complete(s)
        await s.press("f4")
        dialog(s)._field.value = f"Q8_0 --allow-requantize --to {models}/smol.Q8_0.gguf"
        await s.press("enter")
        await s.until(lambda: "the plan follows" in said(s))
        await s.press("enter")
        await s.until(lambda: opener.opened == [str(models / "smol.Q8_0.gguf")])
        await s.until(lambda: s.app.screen is s.main and sum(s.layers) == 31)
    assert read_model(opener.opened[0]).file_bytes > read_model(str(source)).file_bytes
