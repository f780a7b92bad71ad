"""A model that was chosen on the screen: what it is opened with, what is kept of it, and what is not opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from hettui.adapters.files.chat_store import ChatFolder
from hettui.adapters.files.config_toml import load
from hettui.adapters.files.paths import config_file, last_config, last_model, remember_model
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Device
from hettui.domain.errors import ModelFileError, UsageError
from hettui.domain.planner.learned import Learned
from hettui.domain.session.session import Session
from hettui.domain.units import GIB
from hettui.services.chat.keeper import ChatKeeper
from hettui.services.learner import Learner
from hettui.wiring import start
from hettui.wiring.backend import ScreenBackend
from hettui.wiring.sessions import with_model
from tests.fakes import cluster
from tests.gguf_files import llama, write_gguf
from tests.ui.stage import StageEngine

CARD = Device("RTX 3060", "pci:0000:02:00.0", backend="cuda", engine_name="CUDA0", budget_bytes=GIB)


def bare(config: Config | None = None, asked: object = None) -> Session:
    return Session(config or Config(), (), (CARD,), cluster((CARD,)), None)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CONFIG", "STATE", "CACHE", "RUNTIME"):
        monkeypatch.setenv(f"XDG_{name}_{'DIR' if name == 'RUNTIME' else 'HOME'}", str(tmp_path / name.lower()))
    return tmp_path


@pytest.fixture
def model(home: Path) -> str:
    return str(write_gguf(home / "m.gguf", *llama(4)))


@pytest.fixture
def backend(home: Path) -> Iterator[ScreenBackend]:
    with closing(ChatKeeper(ChatFolder(home / "chats", home))) as chats, closing(Learner(lambda _: None)) as learner:
        yield ScreenBackend(StageEngine(), bare, learner, chats)  # type: ignore[arg-type]


def test_another_model_comes_with_the_planners_plan_and_without_old_locks(model: str) -> None:
    locked = replace(bare(), devices=(replace(CARD, layers=3, locked=True),), learned=Learned())
    session = with_model(locked, model)
    plan = session.initial_plan
    assert plan is not None
    assert plan.split.layers == (5,)
    assert not plan.devices[0].locked
    assert session.config.model_path == model


def test_a_model_that_fits_with_less_context_is_opened_with_it(model: str) -> None:
    session = bare(Config(params=replace(Config().params, ctx_size=2_000_000)))
    plan = with_model(session, model).initial_plan
    assert plan is not None
    assert plan.ctx_size is not None
    assert 1024 <= plan.ctx_size < 2_000_000
    assert plan.split.host_layers == 0


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"general.architecture": "clip"}, "is a vision projector and no model"),
        ({"general.architecture": "llama", "general.type": "adapter"}, "is a LoRA adapter and no model"),
        ({"general.architecture": "flux"}, "is no language model"),
    ],
)
def test_what_is_no_model_is_refused(home: Path, metadata: dict[str, str], said: str) -> None:
    path = write_gguf(home / "x.gguf", metadata, [("v", (32, 32), "f16")])
    with pytest.raises(ModelFileError, match=said):
        with_model(bare(), str(path))


def test_the_first_choice_is_remembered_until_it_is_gone(backend: ScreenBackend, model: str) -> None:
    session = backend.open()
    assert backend.first_run(session)
    chosen = backend.with_model(session, model)
    assert last_model() == model
    assert not backend.first_run(session)
    assert not backend.first_run(chosen)
    Path(model).unlink()
    assert last_model() is None


def test_the_next_start_opens_it_and_a_broken_one_is_passed_over(
    home: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "open_session", bare)
    assert start.open_configured(Config()).shape is None
    remember_model(model)
    opened = start.open_configured(Config())
    assert opened.shape is not None
    assert opened.shape.blocks == 4
    Path(model).write_bytes(b"GGUF")
    assert start.open_configured(Config()).shape is None


def test_a_configuration_is_written_once_and_opened_next(backend: ScreenBackend, model: str) -> None:
    session = backend.with_model(backend.open(), model)
    kept = backend.write_config(session)
    assert kept.config.path == str(config_file())
    assert last_config() == config_file()
    written = load(config_file())
    assert written.model_path == model
    assert [(d.name, d.id) for d in written.devices] == [(CARD.name, CARD.id)]
    with pytest.raises(UsageError, match="exists already"):
        backend.write_config(session)


def test_saved_layers_belong_to_the_model_they_are_saved_with(home: Path, backend: ScreenBackend, model: str) -> None:
    path = home / "c.toml"
    path.write_text(f'[model]\npath = "old.gguf"  # mine\n[[devices]]\nname = "{CARD.name}"\nid = "{CARD.id}"\n')
    backend._opener = lambda: bare(load(path))
    session = backend.with_model(backend.open(), model)
    assert last_model() is None, "a configuration keeps its model itself"
    plan = session.initial_plan
    assert plan is not None
    backend.save(session, plan)
    saved = load(path)
    assert saved.model_path == model
    assert saved.devices[0].layers == 5
    assert "# mine" in path.read_text()
    text = path.read_text()
    backend.save(session, plan)
    assert path.read_text() == text


def test_the_search_of_the_real_backend_looks_where_the_configuration_says(
    home: Path, backend: ScreenBackend, model: str
) -> None:
    folders = (str(home),)
    search = backend.find_models(bare(Config(model_folders=folders)), lambda: None)
    seen: set[str] = set()
    while model not in seen:
        seen |= set(search.take()[0])
    search.cancel()
