"""Contexts over a restart, on a fake world: what is saved and read back when; no failure of it stops anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from hettui.domain.chat.wire import Slot
from hettui.domain.cluster.process import RestartPolicy
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.errors import ConnectionLost, HettuiError, LaunchError, ServerError
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import Split
from hettui.domain.slots.launch_terms import terms_of
from hettui.domain.slots.policy import KeepPolicy
from hettui.services.cluster import slot_watch
from hettui.services.cluster.controller import ClusterController
from hettui.services.cluster.viewer import Viewer
from hettui.services.cluster.world import Request, Supervision
from hettui.services.events import Event, Notice, SlotsChanged
from tests.fakes import ENGINE, FakeWorld, cluster, shape, workers
from tests.patience import patience
from tests.slot_scenes import FORCED, Server

KEEPS = replace(ENGINE, options=frozenset({"--mmap", "--slot-save-path"}))
SMOL = shape()
USUAL = KeepPolicy()


def request(
    *layers: int, keeping: KeepPolicy = USUAL, supervision: Supervision | None = None, **params: object
) -> Request:
    settings = RuntimeParams(**params)  # type: ignore[arg-type]
    made = replace(cluster(workers(None, None), params=settings), engine=KEEPS)
    terms = terms_of(Workload(SMOL, settings, 10068), made.model_path, KEEPS)
    split = Split(layers or (20, 11), 31)
    return Request(made, split, keeping=keeping, terms=terms, supervision=supervision or Supervision())


class Bench:
    def __init__(self) -> None:
        self.world = FakeWorld()
        self.events: list[Event] = []
        self.controller = ClusterController(self.world.world(), self.events.append)
        self.server = Server(context=4096)

    def ask(self, slot: int, prompt: int, reused: int = 0, **said: object) -> None:
        """Somebody's request, as the master logs it; its slot then holds prompt and answer."""
        self.server.ask(slot, prompt, reused, **said)  # type: ignore[arg-type]
        self.world.log.setdefault("master", []).extend(self.server.take())
        self.world.slots_held[slot] = prompt + 39
        self.controller.read_logs()

    @property
    def calls(self) -> list[tuple[str, int]]:
        return [(action, slot) for action, slot, _ in self.world.slot_calls]

    def said(self, words: str) -> list[str]:
        return [e.text for e in self.events if isinstance(e, Notice) and words in e.text]

    @property
    def last(self) -> SlotsChanged:
        return [e for e in self.events if isinstance(e, SlotsChanged)][-1]

    @property
    def option(self) -> bool:
        return "--slot-save-path" in self.world.starts[-1].argv


@pytest.fixture
async def bench() -> Bench:
    return Bench()


@pytest.fixture
async def watched(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    """With snapshots."""
    monkeypatch.setattr(slot_watch, "LOOK_S", 0.001)
    watching = asyncio.create_task(bench.controller.watch_slots())
    yield bench
    watching.cancel()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(patience(5)):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_new_split_keeps_the_context(bench: Bench) -> None:
    await bench.controller.start(request())
    assert bench.option
    bench.ask(0, 2000)
    await bench.controller.start(request(21, 10))
    assert bench.calls == [("save", 0), ("restore", 0)]
    assert bench.world.slots_held == {0: 2039}
    assert bench.said("the context came back: 2,039 tokens")
    bench.ask(0, 2200, 2039, held=2039, shared=2039)
    assert bench.said("slot 0: the first request reused 2,039 of 2,039 tokens")
    assert bench.controller.snapshot.waiting is None


async def test_what_the_server_says_of_its_slots_goes_before_its_log(bench: Bench) -> None:
    await bench.controller.start(request(parallel=2))
    bench.world.slots = (
        Slot(busy=False, number=0, task=3, held_tokens=700), Slot(busy=False, number=1, task=9, held_tokens=5),
    )  # fmt: skip
    bench.world.slots_held.update({0: 700, 1: 5})
    await bench.controller.start(request(21, 10, parallel=2))
    # Five tokens are nothing that anybody waits for.
    assert [call for call in bench.calls if call[0] == "save"] == [("save", 0)]


async def test_what_cannot_be_of_use_is_not_saved_and_told(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.ask(0, 2000)
    await bench.controller.start(request(flash_attn="off"))
    assert bench.calls == []
    assert bench.said("2,039 tokens re-read: flash attention goes off")
    assert bench.controller.snapshot.state is ClusterState.READY


@pytest.mark.parametrize("action", ["save", "restore"])
async def test_a_server_that_refuses_blocks_nothing(bench: Bench, action: str) -> None:
    await bench.controller.start(request())
    bench.ask(0, 2000)

    def refuse(asked: str, slot: int, file: str) -> int:
        if asked == action:
            raise ServerError("llama-server refused this: no")
        bench.world.contexts.files[file] = 2039
        return 2039

    bench.world.slot_answer = refuse
    await bench.controller.start(request(21, 10))
    assert bench.controller.snapshot.state is ClusterState.READY
    assert bench.said("refused this: no")
    assert bench.controller.snapshot.waiting is None


async def test_a_hanging_save_gives_way_to_a_newer_command(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.ask(0, 2000)
    bench.world.slots_hang = True
    applying = asyncio.create_task(bench.controller.start(request(21, 10)))
    await until(lambda: bench.calls)
    assert bench.controller.snapshot.waiting is not None
    assert "saving the context" in bench.controller.snapshot.waiting.text
    await bench.controller.stop()
    with pytest.raises(LaunchError, match="newer command"):
        await applying
    assert bench.controller.snapshot.state is ClusterState.DOWN
    assert bench.world.contexts.list == ()


async def test_a_folder_that_cannot_be_used_is_told_and_all_goes_on_without(bench: Bench) -> None:
    bench.world.contexts.problem = HettuiError("the folder /contexts cannot be written")
    await bench.controller.start(request())
    assert not bench.option
    assert bench.said("contexts are not kept over restarts: the folder /contexts cannot be written")
    bench.ask(0, 2000)
    await bench.controller.start(request(21, 10))
    assert bench.calls == []
    assert len(bench.said("cannot be written")) == 1


async def test_a_disk_that_fills_up_meanwhile(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.ask(0, 2000)
    bench.world.contexts.problem = OSError(28, "No space left on device", "/contexts/contexts.json")
    await bench.controller.start(request(21, 10))
    assert bench.controller.snapshot.state is ClusterState.READY
    assert bench.said("No space left on device")


async def test_a_disk_without_room_is_known_beforehand(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.ask(0, 2000)
    bench.world.contexts.free = 1 << 20
    await bench.controller.start(request(21, 10))
    assert bench.calls == []
    assert bench.said("2,039 tokens re-read: the disk has 1 MiB left for it")


async def test_a_build_without_the_option_starts_without_it(bench: Bench) -> None:
    made = request()
    await bench.controller.start(replace(made, cluster=replace(made.cluster, engine=ENGINE)))
    assert not bench.option
    assert bench.said("this build of llama.cpp keeps no contexts")


async def test_switched_off_nothing_is_kept(bench: Bench) -> None:
    await bench.controller.start(request(keeping=KeepPolicy(limit_bytes=0)))
    assert not bench.option
    bench.ask(0, 2000)
    await bench.controller.start(request(21, 10, keeping=KeepPolicy(limit_bytes=0)))
    assert bench.calls == []


async def test_switched_off_what_was_kept_goes(bench: Bench) -> None:
    await bench.controller.start(request(keeping=KeepPolicy(at_stop="keep")))
    bench.ask(0, 2000)
    await bench.controller.stop()
    assert bench.world.contexts.list
    await bench.controller.start(request(keeping=KeepPolicy(limit_bytes=0)))
    assert bench.world.contexts.list == ()


async def test_a_silent_server_is_asked_for_one_slot_only(bench: Bench) -> None:
    await bench.controller.start(request(parallel=2))
    bench.ask(0, 900)
    bench.ask(1, 800)

    def silent(action: str, slot: int, file: str) -> int:
        raise ConnectionLost("llama-server does not save it within 10 s")

    bench.world.slot_answer = silent
    await bench.controller.start(request(21, 10, parallel=2))
    assert len(bench.calls) == 1
    assert bench.controller.snapshot.state is ClusterState.READY


async def test_what_another_model_kept_ends_with_it(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.ask(0, 2000)
    await bench.controller.start(request(21, 10))
    other = request()
    assert other.terms is not None
    terms = replace(other.terms, model="/models/other.gguf", fingerprint="another")
    await bench.controller.start(replace(other, terms=terms))
    assert bench.said("2,039 tokens re-read: it is another model")
    assert bench.world.contexts.list == ()


async def test_a_damaged_file_is_not_read_back(bench: Bench) -> None:
    await bench.controller.start(request(keeping=KeepPolicy(at_stop="keep")))
    bench.ask(0, 2000)
    await bench.controller.stop()
    (kept,) = bench.world.contexts.list
    bench.world.contexts.damaged = {kept.file}
    await bench.controller.start(request())
    assert ("restore", 0) not in bench.calls
    assert bench.said("it is damaged")
    assert bench.world.contexts.list == ()


async def test_a_model_that_was_replaced_under_its_name_gets_nothing_back(bench: Bench) -> None:
    await bench.controller.start(request(keeping=KeepPolicy(at_stop="keep")))
    bench.ask(0, 2000)
    await bench.controller.stop()
    bench.world.contexts.mark = "another file"
    await bench.controller.start(request())
    assert ("restore", 0) not in bench.calls
    assert bench.said("the model's file was replaced meanwhile")


@pytest.mark.parametrize(("at_stop", "left"), [("delete", 0), ("keep", 1)])
async def test_what_a_stop_leaves(bench: Bench, at_stop: str, left: int) -> None:
    keeping = KeepPolicy(at_stop=at_stop)  # type: ignore[arg-type]
    await bench.controller.start(request(keeping=keeping))
    bench.ask(0, 2000)
    await bench.controller.start(request(21, 10, keeping=keeping))
    await bench.controller.stop()
    assert len(bench.world.contexts.list) == len(bench.world.contexts.files) == left
    await bench.controller.start(request(keeping=keeping))
    assert bench.world.slots_held == ({0: 2039} if left else {})


async def test_a_slot_that_rests_is_saved_and_one_that_works_is_not(watched: Bench) -> None:
    bench = watched
    await bench.controller.start(request(keeping=KeepPolicy(snapshot_tokens=1000)))
    bench.server.longest_unused(0)
    bench.server.begin(0, 2000)
    bench.world.log["master"] += list(bench.server.take())
    bench.controller.read_logs()
    bench.world.clock.now += 1000
    await asyncio.sleep(0.02)
    assert bench.calls == []
    bench.ask(0, 2000)
    await asyncio.sleep(0.02)
    # It rests, but only since now.
    assert bench.calls == []
    bench.world.clock.now += 5
    await until(lambda: bench.calls == [("save", 0)])
    await until(lambda: [h.tokens for h in bench.last.saved] == [2039])
    bench.ask(0, 2100, 2039, held=2039, shared=2039)
    bench.world.clock.now += 5
    await asyncio.sleep(0.02)
    # Too little is new, and not long enough ago.
    assert bench.calls == [("save", 0)]
    bench.world.clock.now += 400
    await until(lambda: bench.calls == [("save", 0), ("save", 0)])
    await until(lambda: len(bench.world.contexts.files) == 1)


async def test_nothing_is_asked_while_nothing_happens(watched: Bench) -> None:
    bench = watched
    asked = []
    await bench.controller.start(request())
    client = bench.controller.client
    assert client is not None
    client.slots = lambda: asked.append("slots")  # type: ignore[method-assign,assignment,return-value]
    bench.world.clock.now += 10_000
    await asyncio.sleep(0.05)
    assert asked == []
    assert bench.calls == []


async def test_a_lost_worker_costs_what_came_after_the_last_snapshot(watched: Bench) -> None:
    bench = watched
    supervision = Supervision(restart=RestartPolicy(limit=0))
    made = request(keeping=KeepPolicy(snapshot_tokens=1000), supervision=supervision)
    await bench.controller.start(made)
    bench.ask(0, 3000)
    bench.world.clock.now += 5
    await until(lambda: bench.last.saved)
    bench.world.children["worker d0"].end(-9)
    await until(lambda: bench.controller.snapshot.state is ClusterState.FAILED)
    assert [h.tokens for h in bench.last.saved] == [3039]
    # Relaunched with all devices, or without the lost one: its context comes back.
    await bench.controller.start(request(31, 0))
    assert bench.world.slots_held == {0: 3039}
    assert ("restore", 0) in bench.calls


async def test_a_restart_by_itself_brings_it_back_too(watched: Bench) -> None:
    bench = watched
    supervision = Supervision(restart=RestartPolicy(limit=3, first_pause_s=0))
    await bench.controller.start(request(keeping=KeepPolicy(snapshot_tokens=1000), supervision=supervision))
    bench.ask(0, 3000)
    bench.world.clock.now += 5
    await until(lambda: bench.last.saved)
    bench.world.children["master"].end(-6)
    await until(lambda: ("restore", 0) in bench.calls and bench.controller.snapshot.state is ClusterState.READY)
    assert bench.world.slots_held == {0: 3039}


async def test_a_failed_start_goes_back_with_the_context(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.ask(0, 2000)
    failed: list[str] = []

    def dies(spec: object) -> tuple[int, str] | None:
        argv = spec.argv  # type: ignore[attr-defined]
        if argv[argv.index("-ts") + 1] == "25,6" and not failed:
            failed.append("once")
            return 1, "error loading model"
        return None

    bench.world.dies_loading = dies
    with pytest.raises(LaunchError):
        await bench.controller.start(request(25, 6))
    assert bench.controller.snapshot.state is ClusterState.READY
    assert bench.calls == [("save", 0), ("restore", 0)]


async def test_a_context_of_no_use_is_told(bench: Bench) -> None:
    made = request()
    assert made.terms is not None
    hybrid = replace(made, terms=replace(made.terms, recurrent=True))
    await bench.controller.start(hybrid)
    bench.ask(0, 2000)
    await bench.controller.start(replace(hybrid, split=Split((21, 10), 31)))
    bench.ask(0, 2100, 0, held=2039, shared=1990, before=(FORCED,))
    assert bench.said("slot 0: the context came back, and 1,990 tokens: a recurrent state goes on only from where")


async def test_somebody_was_quicker(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.ask(0, 2000)
    bench.world.slots = (Slot(busy=True, number=0, task=1, held_tokens=2039),)
    await bench.controller.start(request(21, 10))
    assert bench.calls == [("save", 0)]
    assert bench.said("somebody was quicker")


async def test_the_next_hettui_keeps_what_the_last_one_saved(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.ask(0, 2000)
    record = bench.world.runs.load()
    await bench.controller.leave()
    assert record is not None
    assert record.terms == request().terms
    after = Bench()
    after.world = bench.world
    after.controller = ClusterController(after.world.world(), after.events.append)
    await after.controller.take_over(record)
    after.controller.read_logs()
    assert [(h.slot, h.tokens) for h in after.last.held] == [(0, 2039)]
    await after.controller.start(request(21, 10))
    assert bench.calls == [("save", 0), ("restore", 0)]


async def test_a_second_hettui_sees_the_requests_too(bench: Bench) -> None:
    await bench.controller.start(request())
    bench.ask(0, 2000)
    second = Bench()
    viewer = Viewer(bench.world.world(), second.events.append, "only shown")
    await viewer.take_over(None)
    assert [r.prompt_tokens for r in second.last.requests] == [2000]
    bench.ask(0, 2100, 2039, held=2039, shared=2039)
    viewer.read_logs()
    assert [r.prompt_tokens for r in second.last.requests] == [2000, 2100]
    await bench.controller.start(request(21, 10))
    viewer.read_logs()
    assert second.last.held == ()
    assert viewer.contexts is None
