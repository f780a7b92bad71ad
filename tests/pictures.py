"""Makes the pictures of README from the program itself, on recordings: `make pictures`.

An H100 under a real cluster (see tests/bench/real_card.py) is played to a moment and the screen drawn there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from textual.pilot import Pilot

from hettui.domain.errors import HettuiError
from hettui.services.replay import ReplayEngine
from hettui.ui.app import HettuiApp
from hettui.ui.screens.replay import ReplayScreen
from hettui.wiring.replay import ReplayBackend, open_recording
from tests.ui.stage import shipped_themes

HERE = Path(__file__).parent
H100 = HERE / "fixtures" / "h100.jsonl"
FOLDER = HERE.parent / "pictures"
SIZE = (120, 34)

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


async def picture(name: str, moment_s: float, *keys: str) -> None:
    async with replayed(H100, moment_s) as (app, pilot):
        await pilot.press(*keys)
        await pilot.pause()
        FOLDER.mkdir(exist_ok=True)
        path = FOLDER / f"{name}.svg"
        path.write_text(_FONT_FACES.sub("", app.export_screenshot(title="hettui")), encoding="utf-8")
        print(path.name)


async def main() -> None:
    await picture("h100", 29.5)


if __name__ == "__main__":
    asyncio.run(main())
