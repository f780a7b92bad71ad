"""A start from the screen looks at the last readings that were taken while nothing ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hettui.adapters.files.chat_store import ChatFolder
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Device
from hettui.domain.errors import DoesNotFit
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.session.session import Session
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot
from hettui.domain.units import GIB, MIB
from hettui.services.chat.keeper import ChatKeeper
from hettui.services.events import ClusterChanged, TelemetryUpdated
from hettui.services.learner import Learner
from hettui.wiring.backend import ScreenBackend
from tests.fakes import cluster, shape
from tests.ui.stage import StageEngine, running

CARD = Device("RTX 3060", "pci:0000:02:00.0", backend="cuda", engine_name="CUDA0", budget_bytes=9 * GIB)
SESSION = Session(Config(), (), (CARD,), cluster((CARD,)), shape())
PLAN = Plan((CARD,), Split((31,), 31))


@pytest.fixture
def engine() -> StageEngine:
    return StageEngine()


@pytest.fixture
def backend(tmp_path: Path, engine: StageEngine) -> Iterator[ScreenBackend]:
    chats, learner = ChatKeeper(ChatFolder(tmp_path / "chats", tmp_path)), Learner(lambda _: None)
    with closing(chats), closing(learner):
        yield ScreenBackend(engine, lambda: SESSION, learner, chats)  # type: ignore[arg-type]


def read(engine: StageEngine, used_bytes: int, own_bytes: int | None = None) -> None:
    sample = DeviceSample(used_bytes=used_bytes, total_bytes=12 * GIB, own_bytes=own_bytes)
    event = TelemetryUpdated(TelemetrySnapshot(1.0, 1.0, {CARD.name: sample}))
    for subscriber in engine.subscribers:
        subscriber(event)


def test_a_card_that_somebody_filled_is_refused_unless_forced(engine: StageEngine, backend: ScreenBackend) -> None:
    assert backend.request(SESSION, PLAN), "nothing was read yet"
    read(engine, 0)
    assert backend.request(SESSION, PLAN)
    read(engine, 12 * GIB - 100 * MIB)
    with pytest.raises(DoesNotFit, match="RTX 3060 has 100 MiB free"):
        backend.request(SESSION, PLAN)
    assert backend.request(SESSION, PLAN, force=True)
    read(engine, 12 * GIB - 100 * MIB, own_bytes=11 * GIB)
    assert backend.request(SESSION, PLAN), "ours has just ended"


def test_what_runs_is_no_reason_against_another_split_of_it(engine: StageEngine, backend: ScreenBackend) -> None:
    read(engine, 0)
    engine.snapshot = running(PLAN)
    for subscriber in engine.subscribers:
        subscriber(ClusterChanged(engine.snapshot))
    read(engine, 12 * GIB)
    assert backend.request(SESSION, PLAN)
