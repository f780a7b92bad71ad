"""The engine's thread: commands in, events out, and an end that leaves nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from hettui.domain.chat.wire import ChatTurn
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.errors import ServerError
from hettui.domain.plan.split import Split
from hettui.domain.telemetry.readings import DeviceSample
from hettui.ports import TelemetryTarget
from hettui.services.cluster.controller import Request
from hettui.services.engine import Engine
from hettui.services.events import ChatEnded, ChatProgressed, Event, Notice, TelemetryUpdated
from tests.fakes import ANSWER, FakeClock, FakeWorld, cluster, workers
from tests.patience import patience

DEADLINE_S = 10.0


class Sensor:
    """A source that answers, fails or hangs."""

    def __init__(self) -> None:
        self.mode = "answer"
        self.release = threading.Event()
        self.seen: list[tuple[str, ...]] = []

    def sample(self, targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        if self.mode == "hang":
            self.release.wait(patience(DEADLINE_S))
        if self.mode == "fail":
            raise RuntimeError("driver \x1b[31mgone")
        self.seen.append(tuple(t.name for t in targets))
        return {t.name: DeviceSample(used_bytes=len(t.pids)) for t in targets}

    def close(self) -> None:
        pass


class Heard:
    """Waits for events."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait(self, kind: type[Event], check: object = None) -> Event:
        def found() -> Event | None:
            matching = (e for e in self.events if isinstance(e, kind) and (check is None or check(e)))  # type: ignore
            return next(matching, None)

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, patience(DEADLINE_S))
        event = found()
        assert event is not None
        return event


def request() -> Request:
    return Request(cluster(workers(None, None)), Split((20, 11), 31))


def test_a_cluster_from_start_to_answer_to_end() -> None:
    world, sensor, heard = FakeWorld(deltas=list(ANSWER)), Sensor(), Heard()
    with Engine(world.world(), [lambda: sensor], interval_s=0.02) as engine:
        engine.subscribe(heard)
        engine.watch(request().cluster.devices)
        engine.start(request()).result(patience(DEADLINE_S))
        assert engine.snapshot.state is ClusterState.READY
        engine.chat([ChatTurn("user", "colours?")]).result(patience(DEADLINE_S))
        heard.wait(ChatEnded)
        heard.wait(TelemetryUpdated, lambda e: e.snapshot.samples.get("d0") == DeviceSample(used_bytes=1))
    assert "".join(e.text for e in heard.events if isinstance(e, ChatProgressed)) == "Red, blue"
    assert not any(child.alive for child in world.children.values())
    assert not any(t.name == "engine" for t in threading.enumerate())


def test_chat_without_a_cluster_says_so() -> None:
    with Engine(FakeWorld().world(), []) as engine, pytest.raises(ServerError, match="is stopped"):
        engine.chat([ChatTurn("user", "hello?")]).result(patience(DEADLINE_S))


def test_a_sensor_that_fails_is_quoted_clean() -> None:
    sensor, heard = Sensor(), Heard()
    sensor.mode = "fail"
    with Engine(FakeWorld().world(), [lambda: sensor], interval_s=0.02) as engine:
        engine.subscribe(heard)
        engine.watch(workers(None))
        event = heard.wait(TelemetryUpdated, lambda e: e.snapshot.errors)
    assert isinstance(event, TelemetryUpdated)
    assert event.snapshot.errors == {"d0": "its sensors failed: driver gone"}
    assert event.snapshot.samples == {}


def test_a_sensor_that_hangs_stops_neither_the_others_nor_the_end() -> None:
    hung, well, heard = Sensor(), Sensor(), Heard()
    hung.mode = "hang"
    try:
        with Engine(FakeWorld().world(), [lambda: hung, lambda: well], interval_s=0.02) as engine:
            engine.subscribe(heard)
            engine.watch(workers(None))
            heard.wait(TelemetryUpdated, lambda e: "d0" in e.snapshot.samples)
        assert hung.seen == []
    finally:
        hung.release.set()


def test_closing_twice_is_closing_once() -> None:
    with Engine(FakeWorld().world(), []) as engine:
        engine.close()


class Card(Sensor):
    """A card with 3 GiB of somebody else's, and of ours what the cluster holds while it runs and `stuck` afterwards."""

    stuck = 0

    def sample(self, targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        found = {}
        for target in targets:
            own = (8 << 30) if target.pids else self.stuck
            found[target.name] = DeviceSample(used_bytes=(3 << 30) + own, own_bytes=own if target.pids else None)
        return found


@pytest.mark.parametrize(
    ("stuck", "says"), [(0, "The memory is back: 8.0 GiB on d0"), (5 << 30, "d0 still holds 5.0 GiB")]
)
def test_a_stop_tells_whether_the_card_has_its_memory_back(
    stuck: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hettui.services.engine.MEMORY_BACK_S", 0.5)
    world, card, heard = FakeWorld(), Card(), Heard()
    world.clock = RealClock()
    card.stuck = stuck
    (device,) = workers(None)
    with Engine(world.world(), [lambda: card], interval_s=0.02) as engine:
        engine.subscribe(heard)
        engine.watch((replace(device, backend="cuda"),))
        engine.start(Request(cluster(workers(None)), Split((31,), 31))).result(patience(DEADLINE_S))
        heard.wait(TelemetryUpdated, lambda e: e.snapshot.samples.get("d0", DeviceSample()).own_bytes)
        engine.stop().result(patience(DEADLINE_S))
        notice = heard.wait(Notice)
    assert isinstance(notice, Notice)
    assert says in notice.text


class RealClock(FakeClock):
    """Time that passes by itself."""

    def monotonic(self) -> float:
        return time.monotonic()
