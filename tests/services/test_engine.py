"""The engine's thread: commands in, events out, and an end that leaves nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from hettui.domain.bench.run import BenchPlan
from hettui.domain.chat.wire import ChatTurn
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.errors import HettuiError, ServerError
from hettui.domain.plan.split import Split
from hettui.domain.telemetry.readings import DeviceSample
from hettui.ports import TelemetryTarget
from hettui.services.cluster.world import Request, Supervision
from hettui.services.engine import Engine
from hettui.services.events import ChatEnded, ChatProgressed, Event, Notice, TelemetryUpdated
from tests.fakes import ANSWER, FakeClock, FakeWorld, cluster, workers
from tests.garbage import collected
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


COMMANDS: dict[str, Callable[[Engine], Future[Any]]] = {
    "start": lambda engine: engine.start(request()),
    "stop": Engine.stop,
    "settled": Engine.settled,
    "busy": Engine.busy,
    "take over": Engine.take_over,
    "chat": lambda engine: engine.chat([ChatTurn("user", "hello?")]),
    "complete": lambda engine: engine.complete("hello?"),
    "cancel chat": Engine.cancel_chat,
    "parallel": lambda engine: engine.parallel("hello?", 1, {}),
    "bench": lambda engine: engine.bench(BenchPlan()),
    "cancel bench": Engine.cancel_bench,
}
"""As a screen or a command line would give them."""


def use_outside(engine: Engine) -> None:
    """What a screen may do before and after the engine runs, without harm."""
    engine.subscribe(heard := Heard())
    engine.watch(workers(None))
    engine.sample_every(2.0)
    engine.unsubscribe(heard)
    assert engine.snapshot.state is ClusterState.DOWN
    assert engine.model_path is None


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_after_the_end_every_command_is_refused_with_a_sentence(command: Callable[[Engine], Future[Any]]) -> None:
    """A screen that is being closed may ask for a moment yet. Nothing is left behind that was never awaited."""
    with collected():
        with Engine(FakeWorld().world(), []) as engine:
            pass
        refused = command(engine)
        with pytest.raises(HettuiError, match="hettui is ending"):
            refused.result(0)
        use_outside(engine)
        del engine, refused


def test_while_it_ends_nothing_new_is_begun() -> None:
    """Between the wish to end and the end lies the stop of all processes, which may take a while."""
    world = FakeWorld(stubborn={"master"})
    with Engine(world.world(), []) as engine:
        engine.start(replace(request(), supervision=Supervision(stop_grace_s=30.0))).result(DEADLINE_S)
        closing = threading.Thread(target=engine.close)
        closing.start()
        while not world.children["master"].signals:
            time.sleep(0.001)
        with pytest.raises(HettuiError, match="hettui is ending"):
            engine.start(request()).result(0)
        started = len(world.starts)
        engine._soon(lambda: world.children["master"].end(0))
        closing.join(DEADLINE_S)
    assert len(world.starts) == started


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_before_it_runs_every_command_is_refused_with_a_sentence(command: Callable[[Engine], Future[Any]]) -> None:
    with collected():
        engine = Engine(FakeWorld().world(), [])
        use_outside(engine)
        with pytest.raises(HettuiError, match="has not begun"):
            command(engine).result(0)
        engine.close()
        del engine


def test_what_was_said_before_it_runs_holds_when_it_does() -> None:
    sensor, heard = Sensor(), Heard()
    engine = Engine(FakeWorld().world(), [lambda: sensor], interval_s=9.0)
    engine.subscribe(heard)
    engine.watch(workers(None))
    engine.sample_every(0.25)
    with engine:
        event = heard.wait(TelemetryUpdated, lambda e: "d0" in e.snapshot.samples)
    assert isinstance(event, TelemetryUpdated)
    assert event.snapshot.interval_s == 0.25


def test_an_engine_that_was_never_begun_ends_at_once() -> None:
    engine = Engine(FakeWorld().world(), [])
    engine.close()
    engine.close(leave=True)


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
    monkeypatch.setattr("hettui.services.telemetry.memory_back.MEMORY_BACK_S", 0.5)
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
