"""How the work grows with its size: whether anything falls off a cliff.

    python -m tests.bench.growth [plan] [keys] [chat] [logs] [models] [week]

`plan`: the first best plan of a fresh model, the next ones, and a forecast, for 2 to 32 cards and 32 to 256 blocks.
`keys`: what a slider's key costs until all numbers stand, on the real screen (headless). `chat`: a conversation of up
to 500 turns and 5 MB is opened, then a key is typed into the prompt. `logs`: up to a million lines, and a filter's
letter. `models`: up to 10,000 files in the picker, then a letter that filters. `week`: the readings of seven days.
All times are of the processor, not of the clock: other work beside it changes them little.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import statistics
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator, Sequence

from hettui.domain.chat.conversation import Conversation, Exchange
from hettui.domain.errors import ModelFileError
from hettui.domain.library.found import FoundModel
from hettui.domain.library.places import Completion, ModelPlace
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.planner.objectives import best_plan
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.domain.units import GIB
from hettui.services.events import LogLines, TelemetryUpdated
from hettui.ui.dialogs.model_picker import ModelPicker
from tests.bench.planner import PARAMS, cards
from tests.bench.scene import opened, reading
from tests.truth.compare import shape_of
from tests.ui.stage import MemoryStore, stage

CARDS, BLOCKS = (2, 4, 8, 16, 32), (32, 64, 128, 256)
SEEDS = 8
KEYS = 30


def cpu_ms(work: Callable[[], object]) -> float:
    begun_s = time.process_time()
    work()
    return 1e3 * (time.process_time() - begun_s)


async def awaited_ms(work: Callable[[], Awaitable[object]]) -> float:
    begun_s = time.process_time()
    await work()
    return 1e3 * (time.process_time() - begun_s)


def heading(*columns: str) -> None:
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)


def row(*cells: object) -> None:
    print(f"| {' | '.join(f'{c:.1f}' if isinstance(c, float) else str(c) for c in cells)} |", flush=True)


def plan() -> None:
    heading("cards × blocks", "first plan of a model, ms", "a plan, median", "largest", "forecast, ms")
    for blocks in BLOCKS:
        for count in CARDS:
            shape = ModelShape.of(shape_of("llama-70b", blocks).file)
            sets = [cards(count, shape, seed) for seed in range(SEEDS)]
            workload = Workload(shape, PARAMS)
            found = list[Plan]()
            first = cpu_ms(lambda: found.append(best_plan(workload, sets[0], "latency").plan))  # noqa: B023
            times = [cpu_ms(lambda: best_plan(workload, devices, "latency")) for devices in sets]  # noqa: B023
            once = cpu_ms(lambda: [forecast(workload, found[0].split, found[0].devices) for _ in range(20)]) / 20  # noqa: B023
            row(f"{count} × {blocks}", first, statistics.median(times), max(times), once)


async def keys() -> None:
    heading("cards × blocks", "a slider's key, median ms", "largest", "a reading of all cards, median ms")
    for blocks in BLOCKS:
        for count in CARDS:
            async with stage(opened(count, blocks), size=(120, 40)) as s:
                await s.run_plan()
                # The plan of the start has the layers where they fit: one goes forth and back.
                times = [await awaited_ms(lambda: s.press("right" if n % 2 else "left")) for n in range(KEYS)]  # noqa: B023
                dice = random.Random(1)
                names = [device.name for device in s.plan.devices]
                told = []
                for second in range(10):
                    samples = {name: reading(dice, i) for i, name in enumerate(names)}
                    event = TelemetryUpdated(TelemetrySnapshot(float(second), 1.0, samples))
                    told.append(await awaited_ms(lambda: s.emit(event)))  # noqa: B023
                row(f"{count} × {blocks}", statistics.median(times), max(times), statistics.median(told))


async def chat() -> None:
    heading("turns", "MB", "opened, ms", "a key in the prompt, median ms")
    for turns, answer_chars in ((10, 1_000), (100, 10_000), (500, 1_000), (500, 10_000)):
        words = ("**bold** words and `code` that go on. " * (answer_chars // 38 + 1))[:answer_chars]
        exchanges = tuple(Exchange(f"question {n}?", words) for n in range(turns))
        kept = Conversation("20260101-000000-aaaa", "smol.gguf", "2026-01-01T00:00:00", exchanges=exchanges)
        async with stage(store=MemoryStore()) as s:
            await s.run_plan()
            await s.press("c")
            pane = s.screen.body.chat

            async def shown() -> None:
                pane._show(kept)  # noqa: B023
                await s.pilot.pause()

            opening = await awaited_ms(shown)
            times = [await awaited_ms(lambda: s.press("x")) for _ in range(KEYS)]
            row(turns, turns * answer_chars / 1e6, opening, statistics.median(times))


async def logs() -> None:
    heading("lines so far", "1,000 lines, ms", "a filter's letter, ms", "Python's objects, MB")
    async with stage() as s:
        await s.press("l")
        tracemalloc.start()
        told = 0
        for most in (1_000, 10_000, 100_000, 1_000_000):
            times = []
            while told < most:
                lines = tuple(f"srv  update_slots: line {told + n} of what a server prints" for n in range(1000))
                event = LogLines("master", lines)
                told += 1000
                times.append(await awaited_ms(lambda: s.emit(event)))  # noqa: B023
            await s.press("slash")
            letter = await awaited_ms(lambda: s.press("7"))
            await s.press("escape")
            row(f"{told:,}", statistics.median(times[-200:]), letter, tracemalloc.get_traced_memory()[0] / 1e6)
        tracemalloc.stop()


class ManyModels:
    """A finder of so many models."""

    def __init__(self, count: int) -> None:
        self._count = count

    def places(self, folders: Sequence[str], current: str | None) -> tuple[ModelPlace, ...]:
        return (ModelPlace("~/models", "/home/me/models"),)

    def look(self, place: ModelPlace, stopped: Callable[[], bool], note: Callable[[str], None]) -> Iterator[FoundModel]:
        for n in range(self._count):
            path = f"/home/me/models/model-{n:05}-Q4_K_M.gguf"
            yield FoundModel(path, f"model-{n:05}", "~/models", 4 * GIB + n, float(n), ((1, n),))

    def read(self, path: str) -> ModelShape:
        raise ModelFileError(f"{path} is not read here")

    def complete(self, typed: str) -> Completion:
        return Completion(typed)


async def models() -> None:
    heading("models", "stand in the list", "until then, ms", "a letter that filters, median ms", "an arrow, median ms")
    for count in (100, 1_000, 10_000):
        async with stage(finder=ManyModels(count)) as s:

            async def found() -> None:
                await s.press("m")
                screen = s.app.screen_stack[-1]
                assert isinstance(screen, ModelPicker)
                while screen._searched.looking or not screen._entries or screen._pause is not None:
                    await s.pilot.pause(0.05)

            finding = await awaited_ms(found)
            listed = f"{len(s.app.screen_stack[-1]._entries):,}"  # type: ignore[attr-defined]
            letters = [await awaited_ms(lambda: s.press("7" if n % 2 == 0 else "backspace")) for n in range(10)]  # noqa: B023
            arrows = [await awaited_ms(lambda: s.press("down")) for _ in range(10)]
            row(f"{count:,}", listed, finding, statistics.median(letters), statistics.median(arrows))


async def week() -> None:
    heading("readings so far, three cards", "one of them told and drawn, mean ms", "Python's objects, MB")
    async with stage() as s:
        await s.run_plan()
        names, dice, second = [device.name for device in s.plan.devices], random.Random(1), 0
        tracemalloc.start()
        for days in (1 / 24, 1, 7):
            begun_s, before = time.process_time(), second
            while second < days * 86_400:
                second += 1
                samples = {name: reading(dice, i) for i, name in enumerate(names)}
                s.engine.emit(TelemetryUpdated(TelemetrySnapshot(float(second), 1.0, samples)))
                if second % 60 == 0:
                    # What a screen would have drawn in between is drawn once a minute: the week passes in minutes.
                    await s.pilot.pause()
            await s.pilot.pause()
            each = 1e3 * (time.process_time() - begun_s) / max(1, second - before)
            row(f"{second:,}", round(each, 3), tracemalloc.get_traced_memory()[0] / 1e6)
        tracemalloc.stop()


PARTS: dict[str, Callable[[], object]] = {
    "plan": plan, "keys": keys, "chat": chat, "logs": logs, "models": models, "week": week,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all unless some are named")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; processor time")
    for name in options.parts or PARTS:
        made = PARTS[name]()
        if asyncio.iscoroutine(made):
            asyncio.run(made)


if __name__ == "__main__":
    main()
