"""The doctor on the screen: the dialog, and what is said on the plan line before a start."""

from __future__ import annotations

from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.doctor.checks import before_a_start, examined
from hettui.domain.doctor.report import in_short
from hettui.domain.errors import ConfigError
from hettui.services.events import ClusterChanged
from tests.doctor_facts import SEED, WRONG
from tests.ui.stage import Stage, session, stage


async def opened(s: Stage) -> str:
    await s.press("d")
    await s.app.workers.wait_for_complete()
    await s.pilot.pause()
    return s.text()


async def test_the_most_urgent_stands_first_and_its_command_is_copied() -> None:
    async with stage(session(), (100, 30)) as s:
        s.backend.findings = list(examined(WRONG["driver.versions"]))
        text = await opened(s)
        assert "1 fault" in text
        assert text.index("✗ driver.versions") < text.index("· ")
        await s.press("y")
        assert s.app.clipboard == "sudo reboot"
        s.backend.findings = list(examined(SEED))
        await s.press("d")
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert "✗" not in s.text()
        await s.press("escape")
        assert "Doctor" not in s.text()


async def test_what_cannot_be_looked_at_is_a_sentence() -> None:
    async with stage(session(), (80, 24)) as s:
        s.backend.findings = ConfigError("c.toml:3: nonsense")
        assert "c.toml:3: nonsense" in await opened(s)


async def test_what_was_found_before_a_start_stands_on_the_plan_line_and_no_dialog_opens() -> None:
    async with stage(session(), (120, 30)) as s:
        s.backend.before_a_start = in_short(before_a_start(WRONG["memory.disk"]))
        await s.press("s")
        await s.app.workers.wait_for_complete()
        await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.STARTING)))
        assert "! logs: 10 MiB are free" in s.text()
        assert "d tells" in s.text()
        assert s.app.screen is s.main
        # The next start finds nothing, and says nothing of the last one.
        s.backend.before_a_start = ""
        await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.DOWN)))
        await s.press("s")
        await s.app.workers.wait_for_complete()
        await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.STARTING)))
        assert "10 MiB" not in s.text()


def test_in_short() -> None:
    assert in_short([]) == ""
    assert in_short(list(examined(SEED))) == ""
    both = [*before_a_start(WRONG["memory.disk"]), *before_a_start(WRONG["driver.versions"])]
    assert in_short(both).startswith("✗ NVIDIA's kernel module is 580.95.05")
    assert " and 1 more: {doctor} tells" in in_short(both)
