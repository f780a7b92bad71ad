"""hettui's real screen and driver on a scripted cluster, as a program to be measured from outside.

    python -m tests.bench.scene --cards 8                     a cluster that runs, without readings
    python -m tests.bench.scene --cards 8 --readings          all readings of all cards change every second
    python -m tests.bench.scene --cards 3 --stream 100        a server that answers at 100 tokens a second
    python -m tests.bench.scene --plain …                     written as Textual writes: every repaint, at once

Nothing but the engine is scripted. The answer comes over HTTP from a process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import threading
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

from textual.app import App
from textual.events import Key
from textual.message import Message

from hettui.domain.devices.device import Device
from hettui.domain.session.session import Session
from hettui.domain.telemetry.readings import DeviceSample, Holder, Link, TelemetrySnapshot
from hettui.domain.units import GIB, MIB
from hettui.services.events import ClusterChanged, TelemetryUpdated
from hettui.ui.app import HettuiApp
from hettui.ui.terminal.collector import calm_collector
from hettui.ui.terminal.slow_line import SlowLineApp
from hettui.ui.widgets.device_card import DeviceCard
from tests.scripted_server import Script, ScriptedServer
from tests.truth.compare import shape_of
from tests.ui.stage import StageBackend, running, session, shipped_themes
from tests.ui.url_engine import UrlEngine

ANSWER_S = 60.0
WORDS = (
    "the river ", "runs **down** ", "from the ", "mountain and ", "`turns` ", "a wheel ", "for ", "those who ", "live ",
    "there.\n\n",
)  # fmt: skip


def opened(cards: int, blocks: int) -> Session:
    """So many cards of unlike size, with a model that needs them all."""
    devices = tuple(
        Device(
            f"Scripted RTX {50 - n}{n % 3 + 6}0",
            f"pci:0000:{n + 1:02x}:00.0",
            backend="cuda",
            engine_name=f"CUDA{n}",
            pci_address=f"0000:{n + 1:02x}:00.0",
            budget_bytes=(72 + 8 * (n % 3)) * GIB // cards,
            bandwidth_bytes_per_s=4e11 + n * 1e10,
        )
        for n in range(cards)
    )
    return session(devices, shape_of("llama-70b", blocks))


def reading(dice: random.Random, index: int) -> DeviceSample:
    used = (9 * 1024 + dice.randint(0, 3)) * MIB
    return DeviceSample(
        used_bytes=used,
        total_bytes=16 * GIB,
        own_bytes=used - 300 * MIB,
        holders=(Holder(4000 + index, "llama-server", used - 300 * MIB),),
        utilisation_percent=dice.randint(40, 60),
        temperature_c=dice.randint(60, 64),
        slowdown_c=90,
        fan_percent=dice.randint(40, 44),
        power_w=dice.randint(180, 220),
        power_limit_w=360,
        clock_mhz=dice.randint(2400, 2600),
        clock_max_mhz=2900,
        link_now=Link(4, 16),
        link_max=Link(4, 16),
        throttles=(),
    )


def tell_readings(engine: UrlEngine, devices: tuple[Device, ...], over: threading.Event) -> None:
    dice, second = random.Random(1), 0
    while not over.wait(1.0):
        second += 1
        samples = {device.name: reading(dice, i) for i, device in enumerate(devices)}
        engine.emit(TelemetryUpdated(TelemetrySnapshot(float(second), 1.0, samples)))


def serve(pipe: Connection, rate: float) -> None:
    script = Script(tokens_per_second=rate, answer_tokens=int(rate * ANSWER_S), words=list(WORDS))
    with ScriptedServer(script) as server:
        pipe.send(server.url)
        pipe.recv()


def write_plainly() -> None:
    """As before there was `SlowLineApp`: Textual's own way to the terminal."""
    SlowLineApp._display = App._display  # type: ignore[method-assign]


class SceneApp(HettuiApp):
    """Says when it is there."""

    backend: StageBackend
    key_s: float | None = None
    times: list[float]
    """From a key to its answer."""

    def post_message(self, message: Message) -> bool:
        if isinstance(message, Key):
            self.key_s = time.perf_counter()
        return super().post_message(message)

    def post_display_hook(self) -> None:
        if self.key_s is not None:
            self.times.append(time.perf_counter() - self.key_s)
            self.key_s = None

    def on_ready(self) -> None:
        threading.Thread(target=self._begin, daemon=True).start()

    def _begin(self) -> None:
        while self._main is None or not self._main.is_running or not self._main.query(DeviceCard):
            time.sleep(0.01)
        engine = self.backend.engine
        engine.snapshot = running(self._main.facts.plan)
        engine.emit(ClusterChanged(engine.snapshot))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cards", type=int, default=8)
    parser.add_argument("--blocks", type=int, default=80)
    parser.add_argument("--readings", action="store_true")
    parser.add_argument("--stream", type=float, default=0.0, help="tokens a second")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--times", help="a file for the seconds from each key to its answer")
    options = parser.parse_args()
    if options.plain:
        write_plainly()

    with ExitStack() as stack:
        url, pipe, server = "http://127.0.0.1:9", None, None
        if options.stream:
            pipe, there = multiprocessing.Pipe()
            server = multiprocessing.get_context("spawn").Process(target=serve, args=(there, options.stream))
            server.start()
            url = pipe.recv()
        engine = stack.enter_context(UrlEngine(url=url))
        backend = StageBackend(opened(options.cards, options.blocks), engine)
        stack.callback(backend.chats.close)
        app = SceneApp(backend, shipped_themes(), when_shown=calm_collector)
        app.backend = backend
        over = threading.Event()
        if options.readings:
            devices = backend.open().devices
            threading.Thread(target=tell_readings, args=(engine, devices, over), daemon=True).start()
        app.times = []
        app.run()
        over.set()
        if options.times:
            Path(options.times).write_text(json.dumps(app.times))
        if pipe is not None and server is not None:
            pipe.send("end")
            server.join(5)


if __name__ == "__main__":
    main()
