"""Contexts over a restart on the real engine: each row of what was tried, what is forecast of it, and every fault."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from hettui.adapters.llama.binaries import find_engine
from hettui.adapters.llama.gguf import read_model
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.bench.run import BenchPlan
from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.split import Split
from hettui.domain.slots.launch_terms import terms_of
from hettui.domain.slots.policy import KeepPolicy
from hettui.domain.slots.request import Cause
from hettui.domain.slots.request import Request as Asked
from hettui.services.cluster.world import Request, Supervision
from hettui.services.engine import Engine
from hettui.services.events import BenchEnded, Event, Notice, SlotsChanged
from hettui.wiring.engine import build_engine
from tests import tiny_models
from tests.patience import patience, until

# One engine for all of them.
pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("contexts")]

TWO = tuple(Device(name, via="worker", threads=1) for name in ("big", "small"))
ENGINE = find_engine(None, {"PATH": "/nowhere"})
PROMPT = 1200
SHORT = 300


class Rig:
    """A real engine, what it said, and a client of the master."""

    def __init__(self, engine: Engine, folder: Path, models: dict[str, Path]) -> None:
        self.engine, self.folder, self.models = engine, folder, models
        self.events: list[Event] = []
        self.asked = 0
        """Tokens of the last prompt."""
        self.read_ms: float | None = None
        """What its answer said that they took; None: it was refused."""
        engine.subscribe(self.events.append)
        self._shapes = {kind: ModelShape.of(read_model(path)) for kind, path in models.items()}

    def request(
        self, layers: tuple[int, ...] = (3, 2), kind: str = "dense", keeping: KeepPolicy | None = None,
        devices: tuple[Device, ...] = TWO, extra: tuple[str, ...] = (), **params: Any,
    ) -> Request:  # fmt: skip
        settings = RuntimeParams(**{"ctx_size": 2048, **params})
        serving = Serving(port=0, extra_args=("--threads", "1", *extra))
        cluster = Cluster(str(self.models[kind]), settings, serving, devices, ENGINE)
        shape = self._shapes[kind]
        terms = terms_of(Workload(shape, settings, ENGINE.build), cluster.model_path, ENGINE)
        keeping = keeping or KeepPolicy(folder=str(self.folder))
        return Request(
            cluster, Split(layers, shape.layers), keeping=keeping, terms=terms, supervision=Supervision(stop_grace_s=2)
        )

    def start(self, request: Request) -> None:
        self.events.clear()
        self.engine.start(request).result(patience(60))

    def ask(
        self, tokens: int, *, first: int = 20, slot: int = -1, answer: int = 2, changes_at: int | None = None
    ) -> dict[str, Any]:
        """A prompt that begins as every longer one; the figures of its answer. The last token of that is in no slot.

        The answer never goes on as a longer prompt does: its first token would be reused by that.
        """
        prompt = [first + n % 200 for n in range(tokens)]
        self.asked = tokens
        if changes_at is not None:
            prompt[changes_at:] = [n + 1 for n in prompt[changes_at:]]
        body = {
            "prompt": prompt,
            "n_predict": answer,
            "cache_prompt": True,
            "id_slot": slot,
            "ignore_eos": True,
            "logit_bias": [[first + tokens % 200, False]],
        }
        said = httpx.post(f"{self.engine.snapshot.api}/completion", json=body, timeout=patience(60))
        timings: dict[str, Any] = said.json().get("timings", {})
        self.read_ms = timings.get("prompt_ms")
        return timings

    def said(self, words: str) -> list[str]:
        return [e.text for e in self.events if isinstance(e, Notice) and words in e.text]

    @property
    def slots(self) -> SlotsChanged:
        return [e for e in self.events if isinstance(e, SlotsChanged)][-1]

    @property
    def last(self) -> Asked:
        return self.slots.requests[-1]

    def has_told(self) -> bool:
        """What was asked last is told, and has ended. With a start all that was told before comes once more, and may
        have been as long: one reading takes as many hundredths of a millisecond as no other."""
        told = [e for e in self.events if isinstance(e, SlotsChanged) and e.requests]
        if not told or not self.last.ended or self.last.prompt_tokens != self.asked:
            return False
        return self.read_ms is None or abs(1000 * (self.last.read_s or 0.0) - self.read_ms) < 0.02

    @property
    def files(self) -> list[Path]:
        return sorted((self.folder / "hettui-contexts").glob("*.ctx"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, dict[str, Path]]]:
    folder = tmp_path_factory.mktemp("models")
    models = {kind: tiny_models.write(folder, kind) for kind in tiny_models.KINDS}
    with build_engine(tmp_path_factory.mktemp("logs"), RunFolder(tmp_path_factory.mktemp("run")), sensors=()) as engine:
        yield engine, models


@pytest.fixture
def rig(built: tuple[Engine, dict[str, Path]], tmp_path: Path) -> Iterator[Rig]:
    engine, models = built
    made = Rig(engine, tmp_path / "kept", models)
    yield made
    engine.unsubscribe(made.events.append)
    engine.stop().result(patience(30))


KEPT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "other counts, -b and -ub": ({}, {"layers": (4, 1), "batch_size": 256, "ubatch_size": 64}),
    "another order": ({}, {"devices": TWO[::-1]}),
    "one device": ({}, {"layers": (5, 0)}),
    "CPU instead of a worker": ({}, {"layers": (0, 2)}),
    "a smaller -c": ({}, {"ctx_size": 1536}),
    "np 2": ({"parallel": 2, "ctx_size": 4096}, {"layers": (1, 4), "parallel": 2, "ctx_size": 4096}),
    "np 1 to 2 with unified": ({}, {"parallel": 2, "kv_unified": True}),
    "q8_0": ({"cache_type_k": "q8_0", "cache_type_v": "q8_0", "flash_attn": "on"},) * 2,
}
"""Layers, else as before."""


@pytest.mark.parametrize(("before", "after"), KEPT.values(), ids=list(KEPT))
def test_kept(rig: Rig, before: dict[str, Any], after: dict[str, Any]) -> None:
    rig.start(rig.request((3, 2), **before))
    rig.ask(PROMPT)
    rig.start(rig.request(**after))
    timings = rig.ask(PROMPT + 20)
    assert timings["cache_n"] >= 0.99 * PROMPT
    assert rig.said("the context came back")
    until(lambda: rig.said("the first request reused"))


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "np 2 to 1": ({"parallel": 2}, {"parallel": 1}),
    "np 1 to 3": ({}, {"parallel": 3}),
    "flash attention off": ({"flash_attn": "on"}, {"flash_attn": "off"}),
    "flash attention on": ({"flash_attn": "off"}, {"flash_attn": "on"}),
    "another cache type": ({"flash_attn": "on"}, {"flash_attn": "on", "cache_type_k": "q8_0", "cache_type_v": "q8_0"}),
}


@pytest.mark.parametrize(("before", "after"), REFUSED.values(), ids=list(REFUSED))
def test_what_llama_server_refuses_is_known_beforehand(rig: Rig, before: dict[str, Any], after: dict[str, Any]) -> None:
    first, second = rig.request((3, 2), **before), rig.request((3, 2), **after)
    assert first.terms is not None
    # That it does refuse it: with the same terms on both sides it is asked for all the same.
    rig.start(first)
    rig.ask(SHORT)
    rig.start(replace(second, terms=replace(first.terms, slots=1)))
    assert rig.said("was not read back: llama-server")
    assert rig.engine.snapshot.state is ClusterState.READY
    rig.start(first)
    rig.ask(SHORT, first=21)
    rig.start(second)
    assert rig.said("tokens re-read: ")
    assert not rig.said("was not read back")


def test_a_sliding_window_is_lost_in_silence_and_kept_with_swa_full(rig: Rig) -> None:
    rig.start(rig.request((4, 3), "windowed"))
    rig.ask(PROMPT)
    rig.start(rig.request((3, 4), "windowed"))
    assert rig.said("its sliding window needs swa-full")
    full = rig.request((4, 3), "windowed", swa_full=True)
    rig.start(full)
    rig.ask(PROMPT)
    rig.start(rig.request((3, 4), "windowed", swa_full=True))
    assert rig.ask(PROMPT + 20)["cache_n"] >= 0.99 * PROMPT


def test_a_sliding_window_that_is_read_back_all_the_same_is_of_no_use(rig: Rig) -> None:
    """Why that is refused here: the server says that it restored it, and reads all again."""
    made = rig.request((4, 3), "windowed")
    assert made.terms is not None
    blind = replace(made.terms, windows=False)
    rig.start(replace(made, terms=blind))
    rig.ask(PROMPT)
    rig.start(replace(rig.request((3, 4), "windowed"), terms=blind))
    assert rig.said("the context came back")
    # Its last answer was not part of the prompt: the window would have to go back behind what it still has.
    assert rig.ask(PROMPT + 20, slot=0)["cache_n"] < 0.5 * PROMPT


@pytest.mark.parametrize(("next_tokens", "reused"), [(PROMPT + 20, PROMPT), (PROMPT - 100, 0)], ids=["goes on", "not"])
def test_a_hybrid_is_kept_for_a_prompt_that_goes_on_from_it(rig: Rig, next_tokens: int, reused: int) -> None:
    # On one device at a time: over two workers b10068 cannot run this architecture.
    rig.start(rig.request((5, 0), "hybrid"))
    rig.ask(PROMPT, answer=1)
    rig.start(rig.request((0, 5), "hybrid"))
    assert rig.said("the context came back: 1,200 tokens")
    assert rig.ask(next_tokens)["cache_n"] == reused
    if not reused:
        until(lambda: rig.said("(hybrid state)"))


def test_the_file_is_as_large_as_forecast_and_private(rig: Rig) -> None:
    made = rig.request((3, 2))
    rig.start(made)
    rig.ask(PROMPT)
    rig.start(rig.request((4, 1)))
    (file,) = rig.files
    assert made.terms is not None
    assert file.stat().st_size == pytest.approx(made.terms.saved_bytes(PROMPT + 1), rel=0.02)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert (file.parent / "contexts.json").stat().st_mode & 0o777 == 0o600
    rig.engine.stop().result(patience(30))
    assert rig.files == []


def test_a_killed_worker_costs_no_more_than_what_came_after_the_snapshot(rig: Rig) -> None:
    keeping = KeepPolicy(folder=str(rig.folder), snapshot_tokens=100)
    rig.start(rig.request((3, 2), keeping=keeping))
    rig.ask(PROMPT)
    until(lambda: any(isinstance(e, SlotsChanged) for e in rig.events))
    until(lambda: rig.slots.saved and rig.slots.saved[0].tokens >= PROMPT)
    rig.ask(PROMPT + 60)
    worker = next(p for p in rig.engine.snapshot.processes if p.role == "worker")
    assert worker.pid is not None
    psutil.Process(worker.pid).kill()
    until(lambda: rig.engine.snapshot.state is ClusterState.FAILED)
    rig.start(rig.request((3, 2), keeping=keeping))
    assert rig.ask(PROMPT + 80)["cache_n"] >= 0.9 * (PROMPT + 60)


def test_a_damaged_file_is_told(rig: Rig) -> None:
    keeping = KeepPolicy(folder=str(rig.folder), at_stop="keep")
    rig.start(rig.request((3, 2), keeping=keeping))
    rig.ask(SHORT)
    rig.engine.stop().result(patience(30))
    (file,) = rig.files
    content = bytearray(file.read_bytes())
    content[1000:1100] = bytes(100)
    file.write_bytes(content)
    rig.start(rig.request((3, 2), keeping=keeping))
    assert rig.said("it is damaged")
    assert rig.engine.snapshot.state is ClusterState.READY
    assert rig.ask(SHORT)["cache_n"] == 0


OFF = KeepPolicy(limit_bytes=0)


def _changed(rig: Rig) -> None:
    rig.start(rig.request(keeping=OFF))
    rig.ask(600)
    rig.ask(640, first=21)


def _middle(rig: Rig) -> None:
    rig.start(rig.request(keeping=OFF))
    rig.ask(900)
    rig.ask(940, changes_at=300)


def _taken(rig: Rig) -> None:
    # Else the host's memory gives it back.
    rig.start(rig.request(keeping=OFF, extra=("--cache-ram", "0")))
    for tokens in range(600, 700, 20):
        rig.ask(tokens)
        rig.ask(200, first=90)
        # On a crowded machine it now and then takes nothing back: then the slot was taken, and that is what is said.
        if rig.ask(tokens + 40).get("cache_n"):
            return


def _given_back(rig: Rig) -> None:
    rig.start(rig.request(keeping=OFF))
    rig.ask(600)
    rig.ask(200, first=90)
    rig.ask(640)


def _restart(rig: Rig) -> None:
    rig.start(rig.request(keeping=OFF))
    rig.ask(600)
    rig.start(rig.request((4, 1), keeping=OFF))
    rig.ask(640)


def _too_long(rig: Rig) -> None:
    rig.start(rig.request(keeping=OFF))
    rig.ask(2500)


def _window(rig: Rig) -> None:
    rig.start(rig.request((4, 3), "windowed", keeping=OFF, ubatch_size=64, batch_size=64))
    rig.ask(1200)
    rig.ask(600)


def _state(rig: Rig) -> None:
    rig.start(rig.request((5, 0), "hybrid", keeping=OFF))
    rig.ask(700)
    rig.ask(600)


REREAD = {
    "changed at the beginning": (_changed, Cause.BEGINNING),
    "changed in the middle": (_middle, Cause.BEGINNING),
    "the slot was taken": (_taken, Cause.TAKEN),
    "the host's memory gave it back": (_given_back, None),
    "a restart": (_restart, Cause.RESTART),
    "too long": (_too_long, Cause.OVERFLOW),
    "a sliding window": (_window, Cause.WINDOW),
    "a hybrid": (_state, Cause.STATE),
}


@pytest.mark.parametrize(("play", "cause"), REREAD.values(), ids=list(REREAD))
def test_why_a_prompt_was_read_again(rig: Rig, play: Callable[[Rig], None], cause: Cause | None) -> None:
    """The scenes of tests/domain/test_reread.py, said by the real server."""
    play(rig)
    until(rig.has_told)
    last = rig.last
    assert (last.reason.cause if last.reason else None) == cause, last


def test_a_bench_leaves_the_slots_as_they_were(rig: Rig) -> None:
    rig.start(rig.request(parallel=2, ctx_size=4096))
    rig.ask(PROMPT, slot=0)
    plan = BenchPlan(prompts=(64,), generates=(4,), depths=(0,), streams=(1,), repeats=3)
    rig.engine.bench(plan).result(patience(30))
    until(lambda: any(isinstance(e, BenchEnded) for e in rig.events))
    assert rig.said("the slots hold again what they held before: 1,201 tokens")
    assert rig.ask(PROMPT + 20)["cache_n"] >= 0.99 * PROMPT
    assert rig.files == []


def test_a_disk_that_is_full_in_the_middle_of_it(rig: Rig) -> None:
    """The largest file that the master may write stands for the disk."""
    rig.start(rig.request())
    rig.ask(PROMPT)
    master = next(p for p in rig.engine.snapshot.processes if p.role == "master")
    assert master.pid is not None
    resource.prlimit(master.pid, resource.RLIMIT_FSIZE, (65536, 65536))
    rig.start(rig.request((4, 1)))
    assert rig.said("the context of slot 0 was not saved: ")
    assert rig.files == []
    assert rig.ask(SHORT)["cache_n"] == 0


def test_a_folder_that_cannot_be_made(rig: Rig) -> None:
    rig.folder.write_text("no folder")
    rig.start(rig.request((3, 2)))
    assert rig.said("contexts are not kept over restarts")
    rig.ask(SHORT)
    rig.start(rig.request((4, 1)))
    assert rig.ask(SHORT)["cache_n"] == 0
