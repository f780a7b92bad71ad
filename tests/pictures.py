"""Makes the pictures of README from the program itself: `make pictures`.

`h100` is a recording of a real cluster (see tests/bench/real_card.py), played to a moment. The others are scripted: the
three cards of README's story on the stage that the screen's tests use, with readings that no real card gave.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from textual.pilot import Pilot

from hettui.domain.bench.run import (
    BenchOutcome,
    BenchPlan,
    BenchResult,
    BenchSample,
    BenchTest,
    DeviceFigures,
)
from hettui.domain.chat.figures import ClientClock
from hettui.domain.chat.wire import ServerFacts, Timings
from hettui.domain.doctor.checks import examined
from hettui.domain.errors import HettuiError
from hettui.services.events import BenchEnded, ChatEnded, ChatProgressed
from hettui.services.recording.replay import ReplayEngine
from hettui.ui.app import HettuiApp
from hettui.ui.screens.replay import ReplayScreen
from hettui.wiring.replay import ReplayBackend, open_recording
from tests.doctor_facts import SEED
from tests.gguf_files import write_gguf
from tests.truth.models import MODELS
from tests.ui.stage import (
    Stage,
    card_readings,
    card_session,
    farm_readings,
    farm_session,
    shipped_themes,
    stage,
)
from tests.ui.test_model_picker import HomeFinder

HERE = Path(__file__).parent
H100 = HERE / "fixtures" / "h100.jsonl"
FOLDER = HERE.parent / "pictures"
SIZE = (120, 34)

QUESTION = "A Python function that splits n layers over cards by weight?"
ANSWER = """Round the running sum, not each share, so that nothing is lost:

```python
def split(layers: int, weights: list[float]) -> list[int]:
    total, reached, ends = sum(weights), 0.0, []
    for weight in weights:
        reached += weight
        ends.append(round(layers * reached / total))
    return [b - a for a, b in zip([0, *ends], ends)]
```

- `split(49, [16, 12, 6])` gives `[23, 17, 9]`
- the counts always sum to `layers`
"""

# Textual points to a font on the web; whoever looks at the picture has one of their own.
_FONT_FACES = re.compile(r"@font-face \{.*?\}", re.DOTALL)


class StoppedClock:
    """A recording is then where it was put and stays there."""

    def monotonic(self) -> float:
        return 0.0


@asynccontextmanager
async def replayed(
    recording: Path, moment_s: float, size: tuple[int, int] = SIZE
) -> AsyncIterator[tuple[HettuiApp, Pilot[HettuiError | None]]]:
    """The screen on a recording at a moment."""
    with ReplayEngine(open_recording(str(recording)), StoppedClock()) as engine:
        app = HettuiApp(ReplayBackend(engine), shipped_themes(), player=engine)
        async with app.run_test(size=size) as pilot:
            await app.workers.wait_for_complete()
            await pilot.pause()
            engine.go(moment_s)
            while engine.moved.position_s < int(moment_s) or not _has_readings(app):
                await pilot.pause(0.02)
            yield app, pilot


def _has_readings(app: HettuiApp) -> bool:
    return isinstance(app.screen, ReplayScreen) and app.screen.facts.telemetry is not None


def draw(app: HettuiApp, name: str, shown_as: tuple[str, str] = ("", "")) -> None:
    """`shown_as`: a temporary folder, and what stands for it in the picture."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.svg"
    drawn = _FONT_FACES.sub("", app.export_screenshot(title="hettui"))
    path.write_text(drawn.replace(*shown_as) if shown_as[0] else drawn, encoding="utf-8")
    print(path.name)


async def recorded(name: str, moment_s: float, *keys: str) -> None:
    async with replayed(H100, moment_s) as (app, pilot):
        await pilot.press(*keys)
        await pilot.pause()
        draw(app, name)


@asynccontextmanager
async def three_cards(size: tuple[int, int] = SIZE) -> AsyncIterator[Stage]:
    """The cards with the planner's fastest split, running for a minute."""
    async with stage(card_session(), size) as s:
        await s.choose_plan("down")
        await s.run_plan()
        for second in range(0, 60, 2):
            await s.emit(card_readings(second))
        s.app.clear_notifications()
        yield s


async def planned() -> None:
    """A plan that does not fit any more, and why the planner's was better."""
    async with three_cards() as s:
        await s.press("down", "L", "e")
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        draw(s.app, "plan")


async def chatted(size: tuple[int, int] = SIZE, name: str = "chat") -> None:
    async with three_cards(size) as s:
        await s.press("c")
        await s.type(QUESTION)
        await s.press("enter")
        await s.emit(ChatProgressed(ANSWER, "", 96, 1.0))
        timings = Timings(27, 412.0, 96, 104.3, 0.12)
        clock = ClientClock(0.12, 96, 0.911, 0.0094, 0.013)
        await s.emit(ChatEnded(timings, clock=clock, context_tokens=16384))
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        draw(s.app, name)


def bench_results(decode: float) -> tuple[BenchResult, ...]:
    spread = (-0.4, 0.1, 0.3)
    prompt = tuple(BenchSample(512, 512 / (2210.0 + 40 * d), 0.24) for d in spread)
    tests = {BenchTest(512): prompt}
    for streams, rate in ((1, decode), (2, 1.62 * decode), (4, 2.31 * decode)):
        runs = tuple(BenchSample(128, 128 / (rate + d), 0.03, streams / rate, 1.3 * streams / rate) for d in spread)
        tests[BenchTest(generate=128, streams=streams)] = runs
    return tuple(BenchResult(test, runs) for test, runs in tests.items())


async def measured() -> None:
    """A bench after a few others of the same model."""
    async with three_cards() as s:
        await s.press("b")
        # Measured one after the other, as after some changes of the plan.
        for decode in (88.0, 97.5, 96.9, 104.2):
            figures = tuple(
                DeviceFigures(device.name, used << 20, peak_c, watts, watts / decode)
                for device, used, peak_c, watts in zip(
                    s.plan.devices, (7_050, 14_757, 350), (61.0, 74.0, 36.0), (104.0, 231.0, 12.0), strict=True
                )
            )
            await s.press("enter")
            await s.emit(BenchEnded(BenchOutcome(BenchPlan(), ServerFacts(), bench_results(decode), figures)))
            await s.app.workers.wait_for_complete()
            await s.pilot.pause()
        draw(s.app, "bench")


SHELF = {
    "models/qwen3-coder-30b-a3b.Q4_K_M.gguf": "qwen3moe",
    "models/llama-3.3-70b.Q4_K_M.gguf": "llama-70b",
    ".cache/huggingface/hub/models--ggml-org--gpt-oss-20b-GGUF/snapshots/1/gpt-oss-20b-mxfp4.gguf": "gpt-oss-20b",
    ".lmstudio/models/lmstudio-community/gemma-3-12b-it-GGUF/gemma-3-12b-it-Q4_K_M.gguf": "gemma3-12b",
    ".cache/llama.cpp/glm-4.5-air.Q4_K_M.gguf": "glm4moe",
    ".cache/llama.cpp/llama-3.1-8b.Q4_K_M.gguf": "llama-8b",
}
"""Headers of real models with a hole for the weights, as they may lie about."""


async def picked() -> None:
    """The models of a machine, judged for the three cards."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for n, (name, model) in enumerate(SHELF.items()):
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_gguf(path, *MODELS[model]())
            changed = 1_780_000_000 - 86_400 * n
            os.utime(path, (changed, changed))
        async with stage(card_session(), SIZE, finder=HomeFinder(home)) as s:
            await s.press("m")
            while "llama-3.1" not in s.text() or "…" in s.text() or "looking" in s.text():
                await s.pilot.pause(0.05)
            draw(s.app, "models", shown_as=(str(home), "/home/me"))


async def many() -> None:
    """Sixteen cards of a few machines in 80 columns."""
    async with stage(farm_session(16), (80, 24)) as s:
        await s.choose_plan()
        await s.run_plan()
        for second in range(0, 20, 2):
            await s.emit(farm_readings(s.plan.devices, second))
        s.app.clear_notifications()
        await s.pilot.pause()
        draw(s.app, "many")


async def examined_rig() -> None:
    """The doctor's findings about the three cards."""
    async with stage(card_session(), SIZE) as s:
        s.backend.findings = list(examined(SEED))
        await s.press("d")
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        draw(s.app, "doctor")


async def main() -> None:
    await recorded("h100", 29.5)
    await recorded("logs", 14.0, "g")
    await recorded("commands", 29.5, "v")
    await planned()
    await chatted()
    await chatted((80, 24), "narrow")
    await measured()
    await picked()
    await many()
    await examined_rig()


if __name__ == "__main__":
    asyncio.run(main())
