"""An apply on a server that will not save, will not restore, or never answers: it goes through, and says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hettui.adapters.llama.binaries import find_engine
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import Split
from hettui.domain.slots.launch_terms import terms_of
from hettui.domain.slots.policy import KeepPolicy
from hettui.services.cluster import context_keeper
from hettui.services.cluster.world import Request
from hettui.services.engine import Engine
from hettui.services.events import Event, Notice
from hettui.wiring.engine import build_engine
from tests import fake_engine
from tests.fakes import shape
from tests.patience import patience

pytestmark = pytest.mark.engine

WORKERS = tuple(Device(name, via="worker", threads=1) for name in ("one", "two"))


@dataclass
class Rig:
    folder: Path
    engine: Engine
    events: list[Event] = field(default_factory=list)

    def start(self, *layers: int, **faults: object) -> None:
        (self.folder / "faults.json").write_text(json.dumps(faults))
        programs = find_engine(str(self.folder / "bin"), {})
        cluster = Cluster("/models/none.gguf", RuntimeParams(), Serving(port=0), WORKERS, programs)
        terms = terms_of(Workload(shape(), RuntimeParams(), 10068), cluster.model_path, programs)
        keeping = KeepPolicy(folder=str(self.folder / "kept"))
        request = Request(cluster, Split(layers, 31), keeping=keeping, terms=terms)
        self.engine.start(request).result(patience(30))

    def said(self, words: str) -> bool:
        return any(isinstance(e, Notice) and words in e.text for e in self.events)

    @property
    def files(self) -> list[Path]:
        return list((self.folder / "kept" / "hettui-contexts").glob("*.ctx"))


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    fake_engine.install(tmp_path / "bin")
    (tmp_path / "faults.json").write_text("{}")
    monkeypatch.setenv("FAKE_ENGINE", f"@{tmp_path / 'faults.json'}")
    monkeypatch.setattr(context_keeper, "_LEAST_S", 0.3)
    (tmp_path / "kept").mkdir()
    with build_engine(tmp_path / "logs", RunFolder(tmp_path / "run"), sensors=()) as engine:
        made = Rig(tmp_path, engine)
        engine.subscribe(made.events.append)
        yield made


@pytest.mark.parametrize("fault", [400, 500, "hang"])
def test_a_save_that_fails(rig: Rig, fault: object) -> None:
    rig.start(20, 11, slots=fault)
    rig.start(21, 10)
    assert rig.engine.snapshot.state is ClusterState.READY
    assert rig.said("the context of slot 0 was not saved: ")
    assert rig.files == []


@pytest.mark.parametrize("fault", [400, 500, "hang"])
def test_a_restore_that_fails(rig: Rig, fault: object) -> None:
    rig.start(20, 11)
    # The one that is started next reads its faults anew.
    rig.start(21, 10, slots=fault)
    assert rig.engine.snapshot.state is ClusterState.READY
    assert rig.said("the context of slot 0 (900 tokens) was not read back: ")
    assert len(rig.files) == 1


def test_a_link_in_place_of_the_folder_is_not_followed(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "kept" / "hettui-contexts").symlink_to(tmp_path / "elsewhere")
    rig.start(20, 11)
    rig.start(21, 10)
    assert rig.said("contexts are not kept over restarts")
    assert list((tmp_path / "elsewhere").iterdir()) == []
