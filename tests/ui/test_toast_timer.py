"""A toast whose time is over when it is made goes away, and holds up nothing."""

from __future__ import annotations

import asyncio

from textual.notifications import Notification
from textual.widgets import _toast

from tests.patience import patience
from tests.ui.stage import stage


async def test_a_toast_that_is_made_too_late_ends() -> None:
    late = Notification("late", timeout=-0.003, markup=False)
    async with stage() as s:
        # As Textual's rack makes it, once the last milliseconds have passed since it looked.
        toast = _toast.Toast(late)
        await s.app.screen.mount(_toast.ToastHolder(toast))
        async with asyncio.timeout(patience(20)):
            while toast.is_attached:
                await asyncio.sleep(0.005)
