"""For every test: ports of its own, no size of a terminal that is not there, and seldom a search for garbage."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import psutil
import pytest

from hettui.domain.cluster import launch
from tests import examples, own_ports


def pytest_configure() -> None:
    """A worker of pytest-xdist has the environment of the process that started it, but not its ports."""
    own_ports.claim()
    examples.register()
    # Where pytest imports readline, that leaves the size of no terminal to its children, and Textual believes it.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)


_HERE = Path(__file__).parent
_NEVER_WAIT = "tests/domain/"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who waits for an engine or a terminal stands among those who draw screens, and leaves his core to them.

    One beside the other both cores have work from the beginning to the end, and the end belongs to short tests: after
    hundreds of cases, and after walks through all of hettui, which at the end had a core and left the other one idle.
    """
    together: dict[str, list[pytest.Item]] = {}
    for item in items:
        group = item.get_closest_marker("xdist_group")
        together.setdefault(group.args[0] if group else item.nodeid, []).append(item)
    waiting, drawing, others = list[list[pytest.Item]](), list[list[pytest.Item]](), list[list[pytest.Item]]()
    # Of those that have to run on one worker the longest come first; the others stay as they are.
    for unit in sorted(together.values(), key=len, reverse=True):
        waits = any(unit[0].get_closest_marker(name) for name in ("engine", "tmux"))
        (waiting if waits else drawing if unit[0].nodeid.startswith("tests/ui/") else others).append(unit)
    if not waiting:
        # `make test-fast`: who waits there for sockets, shells and clocks is not among the domain's.
        waiting = [unit for unit in others if not unit[0].nodeid.startswith(_NEVER_WAIT)]
        others = [unit for unit in others if unit[0].nodeid.startswith(_NEVER_WAIT)]
    others.sort(key=lambda unit: not (unit[0].get_closest_marker("many") or unit[0].path.parent == _HERE))
    in_turn, shown, waited, all_waiting = list[list[pytest.Item]](), 0, 0, sum(map(len, waiting))
    for unit in waiting:
        waited += len(unit)
        upto = len(drawing) * waited // all_waiting
        in_turn += [unit, *drawing[shown:upto]]
        shown = upto
    items[:] = [item for unit in (*in_turn, *drawing[shown:], *others) for item in unit]


_ROOM_BYTES = 2 << 30
"""Free memory for each worker, from which on it needs no collector: it comes to half of that."""


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """A screen is tens of thousands of objects in cycles; looking for them all the time is a quarter of the work.

    Looking for them seldom is a twentieth. A test that wants to know what is left says so: `tests.garbage`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(500_000, 20, 50)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if psutil.virtual_memory().available > workers * _ROOM_BYTES:
        gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """What the tests left in cycles is out of reach by now, and says here what it has to say at its end.

    After this pytest and Python look six times and more through all that there is: nothing of it will be gone before.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _ports(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where real processes are started; elsewhere ports are numbers, and 50052 is asserted."""
    if request.node.get_closest_marker("engine"):
        monkeypatch.setattr(launch, "FIRST_RPC_PORT", own_ports.first())
