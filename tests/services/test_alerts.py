"""The watcher of readings: alerts as events and as lines of the log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hettui.domain.devices.device import Device
from hettui.domain.telemetry.alerts import Alert
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot
from hettui.ports import TelemetryTarget
from hettui.services.engine import Engine
from hettui.services.events import Event, LogLines, TelemetryUpdated
from hettui.services.telemetry.alerts import AlertWatcher
from tests.fakes import FakeWorld, workers
from tests.services.test_engine import Heard

CARD = Device("g0", backend="cuda")
HOT, COOL = DeviceSample(temperature_c=95.0, slowdown_c=93.0), DeviceSample(temperature_c=60.0, slowdown_c=93.0)


def round_of(second: float, **samples: DeviceSample) -> TelemetrySnapshot:
    return TelemetrySnapshot(second, 1.0, samples)


def test_an_alert_is_an_event_and_a_line_with_its_time() -> None:
    events: list[Event] = []
    watcher = AlertWatcher(events.append, lambda: "14:03:07")
    watcher.watch([CARD])
    for second, sample in enumerate((HOT, HOT, COOL)):
        watcher.feed(round_of(second, g0=sample))
    assert [(e.kind, e.raised) for e in events if isinstance(e, Alert)] == [("heat", True), ("heat", False)]
    assert [e for e in events if isinstance(e, LogLines)] == [
        LogLines("hettui", ("14:03:07 g0 is hot: 95 °C, slows down at 93",)),
        LogLines("hettui", ("14:03:07 g0 has cooled down: 60 °C",)),
    ]


def test_cpus_are_left_alone() -> None:
    events: list[Event] = []
    watcher = AlertWatcher(events.append, lambda: "")
    (cpu,) = workers(100)
    watcher.watch([cpu])
    full = replace(HOT, used_bytes=100, total_bytes=100)
    for second in range(20):
        watcher.feed(round_of(second, **({"d0": full} if second < 5 else {})))
    assert events == []


def test_a_card_of_another_host_is_looked_after_too() -> None:
    events: list[Event] = []
    watcher = AlertWatcher(events.append, lambda: "")
    watcher.watch([replace(CARD, name="g1", host="attic")])
    for second in range(20):
        watcher.feed(round_of(second, **({"g1": COOL} if second < 5 else {})))
    assert [(e.kind, e.raised) for e in events if isinstance(e, Alert)] == [("lost", True)]


class Oven:
    """A source whose card is hot."""

    def sample(self, targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        return {target.name: HOT for target in targets}

    def close(self) -> None:
        pass


def test_the_engine_tells_after_the_readings() -> None:
    heard = Heard()
    with Engine(FakeWorld().world(), [Oven], 0.02, lambda: "14:03:07") as engine:
        engine.subscribe(heard)
        engine.watch((CARD,))
        heard.wait(LogLines, lambda e: e.process == "hettui")
    kinds = [type(e) for e in heard.events]
    assert kinds.index(TelemetryUpdated) < kinds.index(Alert) < kinds.index(LogLines)
    assert kinds.count(Alert) == 1
