"""The search for the best split on the screen: asked first, watched, stopped, and its answer is the plan."""

from __future__ import annotations

from dataclasses import replace

from hettui.domain.plan.plan import Plan
from hettui.domain.statistics import Spread
from hettui.domain.tuning.report import TuneOutcome, TuneProgress
from hettui.domain.tuning.search import Trial
from hettui.services.events import TuneChanged, TuneEnded
from hettui.ui.dialogs.ask import ChoiceScreen
from hettui.ui.dialogs.tune import TuneScreen
from tests.ui.stage import Stage, session, stage


async def begun(s: Stage) -> TuneScreen:
    await s.press("t")
    assert isinstance(s.app.screen, ChoiceScreen)
    await s.press("y")
    assert isinstance(s.app.screen, TuneScreen)
    return s.app.screen


async def test_trials_are_shown_and_the_best_becomes_the_plan() -> None:
    async with stage(session()) as s:
        main = s.screen
        await begun(s)
        assert s.engine.calls.count("tune") == 1
        (job,) = s.engine.jobs
        start: Plan = main.known.plan
        better = start.with_layers(0, 20)
        assert job.tuning.start == start
        tuning = job.tuning.with_trial(
            Trial(start, Spread(10.0, 0.1, 3), None, "the plan as it is", (("big", 0.06), ("middle", 0.04)))
        )
        await s.emit(TuneChanged(TuneProgress(tuning, "launching: the best by what is known now", better)))
        shown = s.text()
        assert "10 ± 0.1" in shown
        assert "60% 40%" in shown
        assert "launching: the best" in shown
        tuning = tuning.with_trial(Trial(better, Spread(14.0, 0.1, 3), 13.2, "the best by what is known now"))
        await s.emit(TuneEnded(TuneOutcome(tuning, "noise", "no other split is expected to be better")))
        shown = s.text()
        assert "14 tok/s instead of 10 (+40%)" in shown
        assert "13.2" in shown
        assert main.known.plan.split == better.split
        await s.press("escape")
        await s.press("u")
        assert main.known.plan.split == start.split


async def test_it_is_asked_first_and_can_be_stopped_at_any_moment() -> None:
    async with stage(session()) as s:
        await s.press("t")
        await s.press("n")
        assert "tune" not in s.engine.calls
        await begun(s)
        await s.press("escape", "escape")
        assert s.engine.calls.count("cancel tune") == 1
        assert isinstance(s.app.screen, TuneScreen)
        assert "stopping: going to the best split so far" in s.text()
        (job,) = s.engine.jobs
        tuning = job.tuning.with_trial(Trial(job.tuning.start, Spread(10.0, None, 1)))
        await s.emit(TuneEnded(TuneOutcome(tuning, "stopped", "it was stopped")))
        assert "The split it began with stays" in s.text()
        await s.press("escape")
        assert not isinstance(s.app.screen, TuneScreen)


async def test_what_goes_wrong_is_said_and_nothing_measured_changes_nothing() -> None:
    async with stage(session()) as s:
        main, before = s.screen, s.screen.known.plan
        await begun(s)
        (job,) = s.engine.jobs
        await s.emit(TuneEnded(TuneOutcome(job.tuning, "failed", "a split did not come up", "no \x1b[31mmemory")))
        shown = s.text()
        assert "Nothing was measured." in shown
        assert "no memory" in shown
        assert main.known.plan == before


async def test_with_one_device_there_is_nothing_to_search() -> None:
    one = session()
    alone = replace(one, devices=one.devices[:1], chosen=None)
    async with stage(alone) as s:
        await s.press("t")
        assert not isinstance(s.app.screen, ChoiceScreen)
