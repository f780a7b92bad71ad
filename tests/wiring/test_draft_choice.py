"""A draft model of the configuration, or chosen on the screen: read, placed, planned with, refused, taken away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hettui.adapters.files.config_toml import load
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Device
from hettui.domain.errors import ConfigError, ModelFileError
from hettui.domain.llama.params import Drafting, RuntimeParams
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.session.session import Session
from hettui.domain.units import GIB, MIB
from hettui.wiring.planning import plan_report
from hettui.wiring.sessions import drafted_by, read_shape, with_draft, with_model
from tests.fakes import cluster
from tests.gguf_files import llama, with_tokenizer, write_gguf

CARD = Device("card", "pci:0000:02:00.0", backend="cuda", engine_name="CUDA0", budget_bytes=GIB)
OTHER = replace(CARD, name="other", id="pci:0000:03:00.0", engine_name="CUDA1")


def model(path: Path, blocks: int = 4, **tokenizer: Any) -> str:
    metadata, tensors = llama(blocks, vocabulary=640)
    said = {f"tokenizer.ggml.{key}": value for key, value in tokenizer.items()}
    return str(write_gguf(path, with_tokenizer(metadata, 640) | said, tensors))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    bare = Session(Config(), (), (CARD, OTHER), cluster((CARD, OTHER)), None)
    return with_model(bare, model(tmp_path / "m.gguf"))


def test_a_chosen_draft_comes_with_a_place_and_keeps_the_plan_that_still_fits(session: Session, tmp_path: Path) -> None:
    plan = Plan((CARD, OTHER), Split((2, 3), 5))
    drafted = drafted_by(session, plan, model(tmp_path / "d.gguf", 2))
    assert drafted.initial_plan == plan
    assert drafted.config.params.draft == Drafting(model=str(tmp_path / "d.gguf"), device="card")
    assert drafted.cluster is not None
    assert drafted.cluster.params == drafted.config.params
    outlook = drafted.forecast(plan)
    assert outlook is not None
    assert outlook.devices[0].draft_bytes
    without = drafted_by(drafted, plan, None)
    assert (without.config.params.draft, without.draft, without.initial_plan) == (None, None, plan)


def test_where_the_plan_has_no_room_for_it_the_planner_makes_another(session: Session, tmp_path: Path) -> None:
    need = session.forecast(Plan((CARD, OTHER), Split((5, 0), 5)))
    assert need is not None
    tight = replace(CARD, budget_bytes=need.devices[0].total_bytes + MIB)
    narrow = replace(session, devices=(tight,))
    drafted = drafted_by(narrow, Plan((tight,), Split((5,), 5)), model(tmp_path / "d.gguf", 2))
    # The only card holds the model and nothing more: the draft goes to the CPU, and the plan stays.
    assert drafted.config.params.draft is not None
    assert drafted.config.params.draft.device == "host"


def test_another_vocabulary_is_refused_and_another_model_drops_a_draft_that_does_not_suit(
    session: Session, tmp_path: Path
) -> None:
    plan = Plan((CARD, OTHER), Split((2, 3), 5))
    stranger = model(tmp_path / "s.gguf", 2, model="gpt2")
    with pytest.raises(ModelFileError, match="its tokenizer is gpt2"):
        drafted_by(session, plan, stranger)
    drafted = drafted_by(session, plan, model(tmp_path / "d.gguf", 2))
    assert with_model(drafted, model(tmp_path / "n.gguf", 6)).draft is not None
    other = with_model(drafted, stranger)
    assert (other.draft, other.config.params.draft) == (None, None)


def test_of_a_configuration_it_is_read_and_placed_or_refused(session: Session, tmp_path: Path) -> None:
    assert session.shape is not None
    config = Config(params=RuntimeParams(draft=Drafting(model=model(tmp_path / "d.gguf", 2))))
    placed, shape = with_draft(config, session.shape, session.devices, None)
    assert shape is not None
    assert placed.params.draft is not None
    assert placed.params.draft.device == "card"
    stranger = Config(params=RuntimeParams(draft=Drafting(model=model(tmp_path / "s.gguf", 2, model="gpt2"))))
    with pytest.raises(ConfigError, match="cannot propose tokens"):
        with_draft(stranger, session.shape, session.devices, None)


def test_a_plan_counts_it_in_text_and_in_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "c.toml"
    draft = model(tmp_path / "d.gguf", 2)
    path.write_text(f'[draft]\nmodel = "{draft}"\nn-max = 5\n[[devices]]\nname = "w"\nid = "cpu"\n')
    report = plan_report(
        model=str(tmp_path / "m.gguf"), config_path=str(path), devices=None, weights=None, n_gpu_layers=None,
        override=lambda params: params,
    )  # fmt: skip
    told: Any = report.as_json()
    assert told["draft"]["device"] == "host"
    assert told["draft"]["n_max"] == 5
    assert told["host"]["draft_bytes"] == sum(told["draft"]["host_bytes"].values()) > 0
    assert told["exact"]
    master = next(c for c in told["commands"] if c["role"] == "master")["argv"]
    assert master[master.index("--spec-draft-n-max") + 1] == "5"
    text = report.as_text()
    assert "proposes up to 5 tokens at once, on this machine's CPU" in text
    assert "draft" in text.splitlines()[2]
    assert load(path).params.draft == Drafting(model=str(tmp_path / "d.gguf"), n_max=5)
    assert read_shape(str(tmp_path / "d.gguf")).blocks == 2
