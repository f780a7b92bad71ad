"""What is imported after the first frame, and what only once a cluster runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hettui.domain.cluster.process import ProcessState
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState, ProcessSnapshot
from hettui.services.events import ClusterChanged, Notice
from hettui.wiring import later
from hettui.wiring.later import Later, import_for_what_runs, import_the_rest

MASTER = ProcessSnapshot("master", "master", ProcessState.STARTING)
RUNS = ClusterChanged(ClusterSnapshot(ClusterState.STARTING, (MASTER,)))


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    found: list[Callable[[], None]] = []
    monkeypatch.setattr(later, "_begin", found.append)
    monkeypatch.setattr(later, "calm_collector", lambda: None)
    return found


def test_what_a_cluster_needs_comes_with_it(begun: list[Callable[[], None]]) -> None:
    imports = Later()
    imports.when_shown()
    assert begun == [import_the_rest]
    imports.hear(ClusterChanged(ClusterSnapshot()))
    imports.hear(Notice("nothing"))
    assert begun == [import_the_rest]
    imports.hear(RUNS)
    imports.hear(RUNS)
    assert begun == [import_the_rest, import_for_what_runs]


def test_where_one_runs_already_the_first_frame_comes_first(begun: list[Callable[[], None]]) -> None:
    imports = Later()
    imports.hear(RUNS)
    assert begun == []
    imports.when_shown()
    assert begun == [import_the_rest, import_for_what_runs]
