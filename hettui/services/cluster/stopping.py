"""Stop means stopped: a countdown that one can see, and an end to every wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from hettui.domain.cluster.snapshot import Waiting
from hettui.domain.units import format_seconds
from hettui.ports import Clock, LlamaClient
from hettui.services.cluster.supervisor import Supervised

_TELL_S = 0.25
_QUICK_S = 0.6
"""Not worth a countdown."""

Tell = Callable[[Waiting | None], None]


async def stop_all(processes: Sequence[Supervised], grace_s: float, clock: Clock, tell: Tell) -> list[Supervised]:
    """Ends all of them at once. Returns those that live on even after SIGKILL and the time given to it."""
    tasks = {asyncio.create_task(process.stop(grace_s)): process for process in processes}
    pending = set(tasks)
    begun_s = clock.monotonic()
    try:
        while pending:
            _, pending = await asyncio.wait(pending, timeout=_TELL_S)
            if pending and clock.monotonic() - begun_s > _QUICK_S:
                tell(_countdown([tasks[task] for task in pending], clock.monotonic()))
    finally:
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
    return [process for task, process in tasks.items() if not task.result()]


def _countdown(processes: Sequence[Supervised], now_s: float) -> Waiting:
    names = ", ".join(process.spec.name for process in processes)
    times = [p.kill_at_s - now_s for p in processes if p.kill_at_s is not None]
    if times:
        return Waiting(f"stopping: {names} may end by itself, then it is killed", max(0.0, *times))
    return Waiting(f"stopping: {names} was killed and is not gone yet")


async def answers_end(
    client: LlamaClient, answering: Callable[[], bool], patience_s: float, clock: Clock, tell: Tell
) -> None:
    """Returns when no request runs any more, or when the patience is over."""
    until_s = clock.monotonic() + patience_s
    while (left_s := until_s - clock.monotonic()) > 0:
        running = max(await client.busy() or 0, int(answering()))
        if not running:
            break
        answers = "an answer" if running == 1 else f"{running} answers"
        tell(Waiting(f"{answers} may end within {format_seconds(patience_s)}, x cuts", left_s, can_cut=True))
        await asyncio.sleep(_TELL_S)
    tell(None)
