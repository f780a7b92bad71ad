"""Dialogs about ends: what happened, what fits without the device, what becomes of the cluster at quit."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import replace

import pytest

from hettui.domain.cluster.postmortem import End, PostMortem, examine
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState, Waiting
from hettui.domain.errors import UnrecognisedError
from hettui.domain.session.rescue import without
from hettui.domain.session.session import Session
from hettui.domain.units import MIB
from hettui.services.cluster.world import Request
from hettui.services.events import ClusterChanged, OwnerLeft
from hettui.ui.dialogs.ask import ChoiceScreen
from hettui.ui.dialogs.post_mortem import PostMortemScreen
from tests.fakes import workers
from tests.patience import patience
from tests.ui.stage import Stage, running, session, stage

WORKER = ProcessSpec("worker middle", "worker", (), device="middle")


def found(line: str = "", code: int = -9) -> PostMortem:
    return examine(End(WORKER, code, (line,)), moment="while it answered")


def roomy() -> Session:
    devices = tuple(
        replace(d, name=n, budget_bytes=400 * MIB)
        for d, n in zip(workers(None, None, None), ("big", "middle", "small"), strict=True)
    )
    return session(devices)


async def failed(s: Stage, post_mortem: PostMortem, **more: object) -> None:
    problem = post_mortem.sentence
    snapshot = ClusterSnapshot(ClusterState.FAILED, problem=problem, post_mortem=post_mortem)
    s.engine.snapshot = replace(snapshot, **more)  # type: ignore[arg-type]
    await s.emit(ClusterChanged(s.engine.snapshot))
    await s.app.workers.wait_for_complete()
    await s.pilot.pause()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_story_and_its_keys_fit_the_screen(size: tuple[int, int]) -> None:
    async with stage(roomy(), size) as s:
        await s.run_plan()
        await failed(s, found("Failed to allocate input buffer of size 99", 1))
        assert isinstance(s.app.screen, PostMortemScreen)
        shown = s.text()
        for words in (
            "worker middle ended", "Out of memory while receiving weights", "while it answered: exit code 1",
            "What to do: Give it fewer layers", "will end the same way", "Failed to allocate input buffer",
            "Without middle it fits: big", "Relaunch the same (r)", "Without it (o)", "Its log (g)",
        ):  # fmt: skip
            assert words in shown, (words, shown)


async def test_one_key_relaunches_the_same_and_another_without_the_device() -> None:
    async with stage(roomy()) as s:
        before = s.plan
        await s.run_plan()
        await failed(s, found())
        await s.press("r")
        assert s.engine.requests[-1].split == before.split
        await failed(s, found())
        await s.press("o")
        request = s.engine.requests[-1]
        assert [d.name for d in request.cluster.devices] == ["big", "small"]
        assert sum(request.split.layers) == 31
        # On the screen the device stays, empty, and nothing differs from what runs then.
        assert sorted(d.name for d in s.plan.devices) == ["big", "middle", "small"]
        assert dict(zip((d.name for d in s.plan.devices), s.layers, strict=True))["middle"] == 0
        now = running(s.plan.without(frozenset({"middle"})))
        await s.emit(ClusterChanged(now))
        assert "the plan is what runs" in s.text()
        await s.press("u")
        assert s.plan == before


async def test_a_device_that_was_left_out_comes_back() -> None:
    """With layers at once and for good; without any by the next start after a stop."""
    async with stage(roomy()) as s:
        await s.run_plan()
        await failed(s, found())
        await s.press("o")
        await s.run_plan()

        def asked() -> list[str]:
            return sorted(d.name for d in s.engine.requests[-1].cluster.devices)

        assert asked() == ["big", "small"]
        lost = next(i for i, d in enumerate(s.plan.devices) if d.name == "middle")
        s.screen.choose_device(lost)
        await s.press("3", "enter", "a")
        assert asked() == ["big", "middle", "small"]
        await s.run_plan()
        await s.press("0", "enter", "a")
        assert asked() == ["big", "middle", "small"], "trusted again: it waits empty, as any other"
        await failed(s, found())
        await s.press("o")
        assert asked() == ["big", "small"]
        await s.run_plan()
        await s.press("x")
        await s.app.workers.wait_for_complete()
        await s.emit(ClusterChanged(ClusterSnapshot()))
        await s.press("s")
        assert asked() == ["big", "middle", "small"]


async def test_without_the_only_device_there_is_nothing_to_choose() -> None:
    alone = session(tuple(replace(d, name="middle") for d in workers(400)))
    async with stage(alone) as s:
        await s.run_plan()
        await failed(s, found())
        assert "Nothing can be run without middle" in s.text()
        await s.press("o")
        assert s.engine.requests == []
        await s.press("escape")
        assert "w: what happened" in s.text()
        await s.press("w")
        assert isinstance(s.app.screen, PostMortemScreen)
        await s.press("g")
        assert "▌" in s.text()
        assert not isinstance(s.app.screen, PostMortemScreen)


async def test_leftovers_are_offered_for_cleaning() -> None:
    async with stage(roomy()) as s:
        await s.run_plan()
        left = tuple(p for p in s.engine.snapshot.processes if p.device != "middle")
        await failed(s, found(), processes=left)
        assert "Clean up (x)" in s.text()
        await s.press("x")
        assert s.engine.calls[-1] == "stop"


@pytest.mark.parametrize(("key", "calls"), [("y", ["stop", "start"]), ("n", [])])
async def test_a_start_over_something_that_nobody_knows_asks(
    key: str, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage() as s:
        start, said = s.engine.start, list[str]()

        def refused(request: Request) -> Future[None]:
            said.append("start")
            future: Future[None] = Future()
            future.set_exception(UnrecognisedError("llama-server (pid 7) runs, and no record tells its cluster"))
            return future if len(said) == 1 else start(request)

        def stopped(patience_s: float = 0.0) -> Future[None]:
            said.append("stop")
            future: Future[None] = Future()
            future.set_result(None)
            return future

        monkeypatch.setattr(s.engine, "start", refused)
        monkeypatch.setattr(s.engine, "stop", stopped)
        await s.press("s")
        async with asyncio.timeout(patience(10)):
            while not isinstance(s.app.screen, ChoiceScreen):
                await s.pilot.pause()
        assert "Llama-server (pid 7) runs" in s.text()
        await s.press(key)
        assert said[1:] == calls


async def test_quitting_may_leave_the_cluster_running() -> None:
    async with stage() as s:
        await s.run_plan()
        await s.press("q", "l")
        assert s.backend.leaves
        assert s.app._exit
        assert "stop" not in s.engine.calls


@pytest.mark.parametrize(("answer", "leaves"), [("leave", True), ("stop", False)])
async def test_a_configured_answer_is_taken(answer: str, leaves: bool) -> None:
    opened = session()
    opened = replace(opened, config=replace(opened.config, on_exit=answer))  # type: ignore[arg-type]
    async with stage(opened) as s:
        await s.run_plan()
        await s.press("q")
        assert s.backend.leaves is leaves
        assert ("stop" in s.engine.calls) is not leaves


@pytest.mark.parametrize(("key", "call"), [("y", "stop"), ("w", "stop within 120 s"), ("n", None)])
async def test_a_stop_with_running_answers_asks(key: str, call: str | None) -> None:
    async with stage() as s:
        await s.run_plan()
        s.engine.running = 2
        await s.press("x")
        await s.app.workers.wait_for_complete()
        await s.pilot.pause()
        assert isinstance(s.app.screen, ChoiceScreen)
        assert "2 answers are still being written" in s.text()
        await s.press(key)
        assert (s.engine.calls[-1] if call else "watch") == (call or "watch")


async def test_a_wait_is_counted_down_and_cut_by_the_same_key() -> None:
    async with stage() as s:
        await s.run_plan()
        waiting = Waiting("an answer may end within 120 s, x cuts", 42.0, can_cut=True)
        await s.emit(ClusterChanged(replace(s.engine.snapshot, waiting=waiting)))
        assert "x cuts · 42 s left" in s.text()
        await s.press("x")
        assert s.engine.calls[-1] == "stop"


async def test_read_only_refuses_and_says_why() -> None:
    async with stage() as s:
        s.backend.read_only = "another hettui (pid 1) owns the cluster"
        await s.run_plan()
        await s.press("x", "a", "s", "right")
        assert "READ-ONLY" in s.text()
        assert s.engine.requests == []
        assert "stop" not in s.engine.calls
        await s.press("q")
        assert s.app._exit


async def test_a_frozen_process_is_on_its_card() -> None:
    async with stage() as s:
        await s.run_plan()
        detail = "stopped by a signal: kill -CONT 101 lets it go on"
        processes = tuple(
            replace(p, detail=detail, frozen=True) if p.device == "middle" else p for p in s.engine.snapshot.processes
        )
        await s.emit(ClusterChanged(replace(s.engine.snapshot, processes=processes)))
        assert "kill -CONT 101" in s.text()


def test_without_knows_when_nothing_is_left() -> None:
    alone = session(workers(400))
    plan = alone.initial_plan
    assert plan is not None
    assert without(alone, plan, "d0") is None
    assert without(alone, plan, "nobody") is None


@pytest.mark.parametrize("found", [ClusterState.DOWN, ClusterState.READY])
async def test_a_start_while_it_is_looked_for_what_runs_waits_for_the_answer(found: ClusterState) -> None:
    async with stage(roomy()) as s:
        await s.emit(ClusterChanged(ClusterSnapshot(ClusterState.LOOKING)))
        await s.pilot.press("s")
        await s.pilot.pause()
        assert s.engine.requests == []
        plan = s.app.screen.known.plan  # type: ignore[attr-defined]
        await s.emit(ClusterChanged(running(plan) if found is ClusterState.READY else ClusterSnapshot()))
        await s.pilot.pause()
        # The key is not lost, and what was found is not changed by it.
        assert len(s.engine.requests) == (found is ClusterState.DOWN)


async def test_what_has_just_ended_and_is_still_listed_asks_no_question_at_the_end() -> None:
    async with stage(roomy()) as s:
        plan = s.app.screen.known.plan  # type: ignore[attr-defined]
        ended = replace(running(plan), state=ClusterState.DOWN)
        assert ended.processes
        await s.emit(ClusterChanged(ended))
        await s.pilot.press("q")
        await s.pilot.pause()
        assert not isinstance(s.app.screen, ChoiceScreen)
        assert not s.app.is_running or s.app._exit


async def test_whoever_quits_while_it_stops_is_not_asked_and_leaves_with_its_end() -> None:
    async with stage(roomy()) as s:
        plan = s.app.screen.known.plan  # type: ignore[attr-defined]
        await s.emit(ClusterChanged(replace(running(plan), state=ClusterState.STOPPING)))
        await s.pilot.press("q")
        await s.pilot.pause()
        assert not isinstance(s.app.screen, ChoiceScreen)
        assert "stop" not in s.engine.calls
        assert not s.app._exit
        await s.emit(ClusterChanged(ClusterSnapshot()))
        await s.pilot.pause()
        assert s.app._exit


OWNED = "another hettui (pid 1) owns the cluster"


async def test_when_the_owner_leaves_one_key_takes_over() -> None:
    async with stage(read_only=OWNED) as s:
        await s.run_plan()
        await s.press("c")
        assert s.main.body.chat.why_not is None, "a spectator chats"
        await s.press("escape")
        await s.emit(OwnerLeft(runs=True))
        assert "has left the cluster running" in s.text()
        await s.press("y")
        assert "own" in s.engine.calls
        assert s.toasts()[-1] == "this hettui owns the cluster now"
        assert "READ-ONLY" not in s.text()
        await s.press("x")
        await s.app.workers.wait_for_complete()
        assert "stop" in s.engine.calls


async def test_who_only_watches_on_can_take_over_later_and_is_told_who_was_first() -> None:
    async with stage(read_only=OWNED) as s:
        await s.run_plan()
        await s.emit(OwnerLeft(runs=False))
        await s.press("n")
        assert "READ-ONLY" in s.text()
        s.backend.not_mine = "another hettui (pid 7) owns the cluster: this one only shows it"
        await s.main.acting.perform_anywhere("cluster.own")
        await s.pilot.pause()
        assert "pid 7" in s.toasts()[-1]
        assert "READ-ONLY" in s.text()
        s.backend.not_mine = None
        await s.main.acting.perform_anywhere("cluster.own")
        await s.pilot.pause()
        assert "READ-ONLY" not in s.text()


async def test_a_screen_that_comes_late_knows_what_runs() -> None:
    """As beside a live hettui, and when the devices have changed: what was told before is not told again."""
    async with stage() as s:
        await s.run_plan()
        s.app._reopen(s.main.known.session)
        await s.pilot.pause()
        assert s.main.body.chat.why_not is None
        assert "● ready" in s.text()
