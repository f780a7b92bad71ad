"""The cluster's state follows from its processes'; what is written down of them comes back as it was."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.process import ProcessState
from hettui.domain.cluster.snapshot import ClusterState, ProcessSnapshot, derived_state
from hettui.domain.documents.plain import decode, encode
from hettui.domain.llama.build import EngineInfo
from hettui.domain.telemetry.memory_back import in_words, not_back, worth_watching
from hettui.domain.telemetry.readings import DeviceSample
from tests.fakes import ENGINE, cluster, workers

P, C = ProcessState, ClusterState
GIB = 1 << 30


def processes(worker: ProcessState | None, master: ProcessState | None) -> list[ProcessSnapshot]:
    found = [] if worker is None else [ProcessSnapshot("w", "worker", worker), ProcessSnapshot("v", "worker", P.READY)]
    return found if master is None else [*found, ProcessSnapshot("m", "master", master)]


@pytest.mark.parametrize(
    ("worker", "master", "expected"),
    [
        (None, None, C.STARTING),
        (P.STOPPED, None, C.STARTING),
        (P.STARTING, None, C.STARTING),
        (P.READY, None, C.STARTING),
        (P.READY, P.STARTING, C.LOADING),
        (P.READY, P.READY, C.READY),
        (None, P.READY, C.READY),
        (P.READY, P.STOPPING, C.STARTING),
        (P.BACKOFF, P.STOPPED, C.STARTING),
        (P.BACKOFF, P.READY, C.STARTING),
        (P.FAILED, P.READY, C.FAILED),
        (P.READY, P.FAILED, C.FAILED),
    ],
)
def test_a_wanted_cluster(worker: ProcessState | None, master: ProcessState | None, expected: ClusterState) -> None:
    assert derived_state(processes(worker, master), wanted=True, busy=False, problem=None) is expected


@pytest.mark.parametrize(("worker", "master"), list(product([None, *P], [None, *P])))
def test_every_pair_has_a_state_and_ready_means_ready(worker: ProcessState | None, master: ProcessState | None) -> None:
    now = processes(worker, master)
    for wanted, busy, problem in product((True, False), (True, False), (None, "it broke")):
        state = derived_state(now, wanted=wanted, busy=busy, problem=problem)
        if state is C.READY:
            assert wanted
            assert master is P.READY
            assert worker in (None, P.READY)
        if not wanted:
            assert state is (C.STOPPING if busy and now else C.FAILED if problem else C.DOWN)


def test_a_cluster_goes_through_json_and_back() -> None:
    before = cluster(workers(100, None))
    assert decode(Cluster, json.loads(json.dumps(encode(before)))) == before
    assert decode(EngineInfo, encode(ENGINE)) == ENGINE
    assert isinstance(decode(EngineInfo, encode(ENGINE)).server, Path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from(sorted(encode(cluster(workers(100))))))
def test_whatever_stands_in_a_record_is_a_cluster_or_refused(value: object, key: str) -> None:
    try:
        found = decode(Cluster, {**encode(cluster(workers(100))), key: value})
    except ValueError:
        return
    assert isinstance(found, Cluster)
    assert encode(found)[key] == value or isinstance(value, list | dict)


def test_memory_that_is_back_and_memory_that_is_not() -> None:
    before = worth_watching(
        {
            "card": DeviceSample(used_bytes=11 * GIB, own_bytes=8 * GIB),
            "cpu": DeviceSample(used_bytes=GIB, own_bytes=GIB),
            "idle": DeviceSample(used_bytes=GIB, own_bytes=0),
            "blind": DeviceSample(own_bytes=GIB),
        },
        frozenset({"card", "idle", "blind"}),
    )
    assert list(before) == ["card"]
    assert not_back(before, {"card": DeviceSample(used_bytes=3 * GIB + 5)}) == {}
    assert not_back(before, {"card": DeviceSample(used_bytes=7 * GIB)}) == {"card": 4 * GIB}
    assert not_back(before, {}) == {"card": None}
    assert "8.0 GiB on card" in in_words(before, {})
    assert "still holds 4.0 GiB" in in_words(before, {"card": 4 * GIB})
    assert "cannot be read" in in_words(before, {"card": None})
