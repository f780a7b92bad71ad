"""Pictures of the screen. After a wanted change run this file with --snapshot-update, and look at what is new."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from textual.command import CommandList, CommandPalette
from textual.pilot import Pilot
from textual.widgets import Input

from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.postmortem import End, examine
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState, LoadProgress
from hettui.domain.slots.keeping import Held
from hettui.domain.units import MIB
from hettui.services.events import ChatEnded, ChatProgressed, ClusterChanged, LogLines, TelemetryUpdated
from hettui.ui.app import HettuiApp
from hettui.ui.screens.main import MainScreen
from tests.ui.stage import (
    StageBackend,
    build,
    card_readings,
    card_session,
    choose_plan,
    farm_readings,
    farm_session,
    hosts_session,
    readings,
    running,
    session,
    slots_of,
)
from tests.ui.test_bench_pane import outcome as bench_outcome
from tests.ui.test_experts import dense_session, with_ffn_on_the_host

pytestmark = pytest.mark.matrix

SIZES = [(80, 24), (120, 40), (200, 60)]
LIGHT = "paper"


def planned(app: HettuiApp) -> MainScreen:
    (screen,) = [s for s in app.screen_stack if isinstance(s, MainScreen)]
    return screen


async def opened(pilot: Pilot[Any]) -> tuple[HettuiApp, StageBackend]:
    app = pilot.app
    assert isinstance(app, HettuiApp)
    await app.workers.wait_for_complete()
    await pilot.pause()
    backend = app._backend
    assert isinstance(backend, StageBackend)
    return app, backend


def settled(scene: Callable[[Pilot[Any]], Awaitable[None]]) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """The scene once what is worked out on threads is there: the explanation follows the plan a moment later."""

    async def whole(pilot: Pilot[Any]) -> None:
        await scene(pilot)
        app = pilot.app
        assert isinstance(app, HettuiApp)
        while planned(app).explaining.waiting:
            await pilot.pause(0.02)
        await app.workers.wait_for_complete()
        await pilot.pause()

    return whole


async def stopped(pilot: Pilot[Any]) -> None:
    await opened(pilot)


async def _running(pilot: Pilot[Any]) -> tuple[HettuiApp, StageBackend]:
    app, backend = await opened(pilot)
    plan = planned(app).facts.plan
    backend.engine.snapshot = running(plan)
    backend.engine.emit(ClusterChanged(backend.engine.snapshot))
    for second in range(5):
        backend.engine.emit(readings(plan.devices, second))
        await pilot.pause()
    return app, backend


async def ready(pilot: Pilot[Any]) -> None:
    await _running(pilot)


async def cards(pilot: Pilot[Any]) -> None:
    """Needs `card_session`."""
    app, backend = await opened(pilot)
    await choose_plan(pilot, "down")
    app.clear_notifications()
    plan = planned(app).facts.plan
    backend.engine.snapshot = running(plan)
    backend.engine.emit(ClusterChanged(backend.engine.snapshot))
    for second in range(0, 60, 2):
        backend.engine.emit(card_readings(second))
        await pilot.pause()


async def farm(pilot: Pilot[Any]) -> None:
    """Needs `farm_session`."""
    app, backend = await opened(pilot)
    await choose_plan(pilot)
    app.clear_notifications()
    plan = planned(app).facts.plan
    backend.engine.snapshot = running(plan)
    backend.engine.emit(ClusterChanged(backend.engine.snapshot))
    for second in range(0, 20, 2):
        backend.engine.emit(farm_readings(plan.devices, second))
        await pilot.pause()


async def one_gone(pilot: Pilot[Any]) -> None:
    """Needs `hosts_session`: the line to the cellar is lost while the cluster runs."""
    app, backend = await opened(pilot)
    await choose_plan(pilot, "down")
    app.clear_notifications()
    plan = planned(app).facts.plan
    cluster = running(plan)
    lost = "the line to cellar was lost: ssh: Timeout, server 10.0.0.3 not responding"
    processes = tuple(replace(p, detail=lost) if p.device == plan.devices[-1].name else p for p in cluster.processes)
    backend.engine.snapshot = replace(cluster, processes=processes)
    backend.engine.emit(ClusterChanged(backend.engine.snapshot))
    for second in range(0, 60, 2):
        told = card_readings(second).snapshot
        known = {name: sample for name, sample in told.samples.items() if name != plan.devices[-1].name}
        errors = {plan.devices[-1].name: "cellar has said nothing for 31 s"}
        backend.engine.emit(TelemetryUpdated(replace(told, samples=known, errors=errors)))
        await pilot.pause()


async def edited(pilot: Pilot[Any]) -> None:
    await ready(pilot)
    await pilot.press("down", "down", "L", "L")


async def loading(pilot: Pilot[Any]) -> None:
    _, backend = await opened(pilot)
    load = LoadProgress(0.4, 92 * MIB, 1.0)
    backend.engine.emit(ClusterChanged(ClusterSnapshot(ClusterState.LOADING, load=load)))
    await pilot.pause()


async def failed(pilot: Pilot[Any]) -> None:
    _, backend = await opened(pilot)
    problem = "worker small ended (killed by SIGKILL): the kernel took it for want of memory"
    backend.engine.emit(ClusterChanged(ClusterSnapshot(ClusterState.FAILED, problem=problem)))
    await pilot.pause()


async def chatting(pilot: Pilot[Any]) -> None:
    await ready(pilot)
    _, backend = await opened(pilot)
    await pilot.press("c", *"hello", "enter")
    backend.engine.emit(ChatProgressed("Hello [/] there,\n\nwhat would you like to [Q4_K_M] know?", "", 12, 0.1))
    await pilot.pause()
    timings = Timings(prompt_tokens=31, prompt_per_second=203.3, generated_tokens=12, generated_per_second=122.9)
    backend.engine.emit(ChatEnded(timings))
    await pilot.pause()


async def requests(pilot: Pilot[Any]) -> None:
    app, backend = await _running(pilot)
    await pilot.press("r")
    backend.engine.emit(slots_of(planned(app).facts.plan, planned(app).facts.session))
    await pilot.pause()


async def keeping(pilot: Pilot[Any]) -> None:
    """A new split while a slot holds something."""
    app, backend = await _running(pilot)
    facts = planned(app).facts
    backend.engine.emit(slots_of(facts.plan, facts.session, held=(Held(0, 7210, 1),)))
    await pilot.pause()
    await pilot.press("l", "l")


async def logs(pilot: Pilot[Any]) -> None:
    await ready(pilot)
    _, backend = await opened(pilot)
    await pilot.press("g")
    for n in range(60):
        backend.engine.emit(LogLines("worker middle" if n % 3 else "master", (f"line {n} of a log",)))
    await pilot.pause()


async def commands(pilot: Pilot[Any]) -> None:
    await opened(pilot)
    await pilot.press("v")


async def help_page(pilot: Pilot[Any]) -> None:
    await opened(pilot)
    await pilot.press("question_mark")


async def quitting(pilot: Pilot[Any]) -> None:
    await ready(pilot)
    await pilot.press("q")


async def post_mortem(pilot: Pilot[Any]) -> None:
    app, backend = await opened(pilot)
    spec = ProcessSpec("worker middle", "worker", (), device="middle")
    end = End(spec, 1, ("I am fine", "0.1.2.3 E Failed to allocate input buffer of size 99"))
    found = examine(end, moment="while it answered")
    found = replace(found, consequences=("master is stopped with it: llama.cpp does not go on without a worker",))
    snapshot = ClusterSnapshot(ClusterState.FAILED, problem=found.sentence, post_mortem=found)
    backend.engine.emit(ClusterChanged(snapshot))
    await pilot.pause()
    # What still fits is searched on a thread.
    await app.workers.wait_for_complete()
    await pilot.pause()


async def explained(pilot: Pilot[Any]) -> None:
    app, _ = await opened(pilot)
    await pilot.press("e")
    await app.workers.wait_for_complete()
    await pilot.pause()


async def benched(pilot: Pilot[Any]) -> None:
    app, backend = await _running(pilot)
    await pilot.press("b", "enter")
    backend.engine.emit(bench_outcome(40.0))
    await app.workers.wait_for_complete()
    await pilot.pause()


async def jumping(pilot: Pilot[Any]) -> None:
    await ready(pilot)
    await pilot.press("o")


async def zoomed(pilot: Pilot[Any]) -> None:
    await logs(pilot)
    await pilot.press("z")


async def choosing_a_theme(pilot: Pilot[Any]) -> None:
    await ready(pilot)
    await pilot.press("T", "down")


async def choosing_a_plan(pilot: Pilot[Any]) -> None:
    """Needs `card_session`."""
    app, _ = await opened(pilot)
    await pilot.press("p")
    await app.workers.wait_for_complete()
    await pilot.press("down")
    await pilot.pause()


async def ffn_on_the_host(pilot: Pilot[Any]) -> None:
    """Needs `dense_session`."""
    await opened(pilot)
    await with_ffn_on_the_host(pilot)


async def setting(pilot: Pilot[Any]) -> None:
    """Needs `card_session`: twice the context."""
    await opened(pilot)
    await pilot.press("S", "right", "down", "2")
    await pilot.pause()


async def palette(pilot: Pilot[Any]) -> None:
    await ready(pilot)
    await pilot.press("ctrl+p")
    while not (isinstance(pilot.app.screen, CommandPalette) and pilot.app.screen.query(CommandList)):
        await pilot.pause(0.02)
    pilot.app.screen.query_one(Input).cursor_blink = False
    # Visible, and all that was found is in it: a slow machine shows the list while it still grows.
    while not (pilot.app.screen.query_one(CommandList).has_class("--visible") and pilot.app.screen.has_class("-ready")):
        await pilot.pause(0.02)


SCENES = [
    stopped, loading, ready, edited, keeping, failed, post_mortem, chatting, requests, logs, commands, explained,
    benched, help_page, jumping, zoomed, choosing_a_theme, palette, quitting,
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("scene", SCENES, ids=lambda f: f.__name__)
def test_scene(snap_compare: Any, scene: Callable[[Pilot[Any]], Awaitable[None]], size: tuple[int, int]) -> None:
    assert snap_compare(build(StageBackend(session())), run_before=settled(scene), terminal_size=size)


@pytest.mark.parametrize("scene", SCENES, ids=lambda f: f.__name__)
def test_light_scene(snap_compare: Any, scene: Callable[[Pilot[Any]], Awaitable[None]]) -> None:
    assert snap_compare(build(StageBackend(session()), LIGHT), run_before=settled(scene), terminal_size=(120, 40))


@pytest.mark.parametrize("theme", ["contrast", "tide", "beacon", "frost"])
def test_theme(snap_compare: Any, theme: str) -> None:
    assert snap_compare(build(StageBackend(session()), theme), run_before=settled(edited), terminal_size=(120, 40))


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_cards(snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(build(StageBackend(card_session())), run_before=settled(cards), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_plans_to_choose_from(snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(build(StageBackend(card_session())), run_before=settled(choosing_a_plan), terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_settings(snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(build(StageBackend(card_session())), run_before=settled(setting), terminal_size=size)


def test_a_dense_models_ffn_in_ram(snap_compare: Any) -> None:
    app = build(StageBackend(dense_session((2800, 2400))))
    assert snap_compare(app, run_before=settled(ffn_on_the_host), terminal_size=(120, 40))


def test_settings_light(snap_compare: Any) -> None:
    app = build(StageBackend(card_session()), LIGHT)
    assert snap_compare(app, run_before=settled(setting), terminal_size=(120, 40))


def test_plans_to_choose_from_light(snap_compare: Any) -> None:
    app = build(StageBackend(card_session()), LIGHT)
    assert snap_compare(app, run_before=settled(choosing_a_plan), terminal_size=(120, 40))


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_sixteen_cards(snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(build(StageBackend(farm_session(16))), run_before=settled(farm), terminal_size=size)


@pytest.mark.parametrize("size", SIZES[:2], ids=lambda s: f"{s[0]}x{s[1]}")
def test_three_hosts_one_gone(snap_compare: Any, size: tuple[int, int]) -> None:
    assert snap_compare(build(StageBackend(hosts_session())), run_before=settled(one_gone), terminal_size=size)


def test_every_picture_belongs_to_a_test(request: pytest.FixtureRequest) -> None:
    """The plug-in says so itself, but not where several workers share the tests."""
    module = request.node.getparent(pytest.Module)
    names = {item.name for item in module.collect()}
    pictures = {path.stem for path in (request.path.parent / "__snapshots__" / request.path.stem).iterdir()}
    assert len(pictures) > 70
    assert pictures - names == set()
