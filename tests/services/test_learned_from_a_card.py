"""What hettui would have learned from an H100 beside a CPU worker of 8 threads, from the recording of that screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from hettui.domain.llama.beside import mark
from hettui.domain.session.session import Session
from hettui.domain.speed.pace import expected, stages_s
from hettui.services.events import ClusterChanged, Event
from hettui.services.learner import Learner, Times
from hettui.wiring.replay import open_recording

RECORDING = Path(__file__).parent.parent / "fixtures" / "h100.jsonl"


def events(recording: str) -> Iterator[tuple[float, Event]]:
    """With what recordings of that time did not keep of a cluster: its model, its settings, what was said besides."""
    found = open_recording(recording)
    session = found.header.session
    for at_s, event in found.entries:
        if isinstance(event, ClusterChanged) and event.snapshot.applied is not None and session.cluster is not None:
            applied = replace(
                event.snapshot.applied,
                model_path=session.cluster.model_path,
                params=session.config.params,
                beside=mark(session.cluster.serving.extra_args),
            )
            event = replace(event, snapshot=replace(event.snapshot, applied=applied))
        yield found.header.monotonic_s + at_s, event


def taught() -> Session:
    session = open_recording(str(RECORDING)).header.session
    now_s = [0.0]
    with closing(Learner(lambda learned: None, Times(lambda: now_s[0], lambda: 1e9, cpu_threads=8))) as learner:
        learner.expect(session)
        for at_s, event in events(str(RECORDING)):
            now_s[0] = at_s
            learner(event)
    return session


def test_the_card_and_the_worker_are_told_apart() -> None:
    """Measured by hand on that machine: 26.1 ms a token, the card busy for 12 %, the worker's 8 threads for 97 %. One
    answer had 300 tokens of context and one 4,200, which took 31.9 ms."""
    session = taught()
    assert session.shape is not None
    devices = session.learned.with_measured(session.devices)
    assert [d.speed.windows for d in devices if d.speed is not None] == [2, 2]
    told = expected(session.shape, devices, (29, 4))
    assert told is not None
    assert told.measured
    assert 1e3 * told.token_s == pytest.approx(26.1, rel=0.1)
    stages = stages_s(session.shape, devices, (29, 4))
    assert 1e3 * stages[0] == pytest.approx(0.12 * 26.1, rel=0.2)
    # All of it on the card, which had done 202 tokens a second on another day; by its data it would be 218.
    alone = expected(session.shape, devices, (33, 0))
    assert alone is not None
    assert 180 < alone.per_second < 320
