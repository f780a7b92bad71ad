"""A scripted agent on a cluster that is rebalanced and loses workers: with its contexts kept, and without; then with
the front door between.

    python -m tests.bench.contexts [--requests 100] [--smol]

Two clients whose conversations grow, a new split after every fourth request, a worker killed before every twentieth.
Real llama.cpp on CPU workers; the model is a tiny one of zero weights, with `--smol` SmolLM2, which takes its time to
read.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from hettui.adapters.llama.binaries import find_engine
from hettui.adapters.llama.gguf import read_model
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.process import RestartPolicy
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.devices.device import Device
from hettui.domain.door.words import DOOR_MODULE
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.split import Split
from hettui.domain.slots.launch_terms import terms_of
from hettui.domain.slots.policy import KeepPolicy
from hettui.services.cluster.world import Request, Supervision
from hettui.services.engine import Engine
from hettui.services.events import Event, SlotsChanged
from hettui.wiring.engine import build_engine
from tests import tiny_models

DEVICES = tuple(Device(name, via="worker", threads=1) for name in ("one", "two"))
EVERY_SPLIT, EVERY_KILL = 4, 20
ANSWER = 8
MOST_TRIES = 40
_WORDS = {"ignore_eos": True, "grammar": "root ::= [a-z ]+"}
"""What a prompt of numbers is answered with would else be no text now and then, which the server refuses."""


@dataclass
class Client:
    """One conversation: each prompt is the one before, its answer, and what a tool said."""

    number: int
    prompt: list[int] = field(default_factory=list)

    def turn(self, tokens: int) -> list[int]:
        start = 20 + 97 * self.number + len(self.prompt)
        self.prompt += [20 + (start + n) % 200 for n in range(tokens)]
        return self.prompt


@dataclass
class Figures:
    prompt: int = 0
    known: int = 0
    """Of the prompts: what had been read before."""
    reused: int = 0
    failed: int = 0
    applies: list[float] = field(default_factory=list)
    """Seconds from the key to the end of the next answer."""
    plain: list[float] = field(default_factory=list)
    """Seconds of a request without anything before it."""


class Run:
    """One engine, one policy."""

    def __init__(
        self, engine: Engine, model: Path, keeping: KeepPolicy, layers: int, first: int, step: int, *, door: bool
    ) -> None:
        self.engine, self.keeping, self.first, self.step = engine, keeping, first, step
        self.shape = ModelShape.of(read_model(model))
        self.model, self.layers = model, layers
        self.saved: tuple[int, ...] = ()
        self.door = door
        self.api = ""
        engine.subscribe(self._hear)

    def _hear(self, event: Event) -> None:
        if isinstance(event, SlotsChanged):
            self.saved = tuple(one.tokens for one in event.saved)

    def request(self, on_first: int) -> Request:
        params = RuntimeParams(ctx_size=16384, parallel=2)
        programs = find_engine(None, {"PATH": "/nowhere"})
        serving = Serving(port=0, extra_args=("--threads", "1"), hold_requests=self.door)
        command = (sys.executable, "-P", "-m", DOOR_MODULE)
        cluster = Cluster(str(self.model), params, serving, DEVICES, programs, door=command)
        terms = terms_of(Workload(self.shape, params, programs.build), cluster.model_path, programs)
        supervision = Supervision(restart=RestartPolicy(limit=50, first_pause_s=0.1, window_s=1), stop_grace_s=2)
        split = Split((on_first, self.layers - on_first), self.layers)
        return Request(cluster, split, keeping=self.keeping, terms=terms, supervision=supervision)

    def ask(self, prompt: list[int]) -> dict[str, Any]:
        body = {"prompt": prompt, "n_predict": ANSWER, "cache_prompt": True, "return_tokens": True} | _WORDS
        answer = httpx.post(f"{self.api}/completion", json=body, timeout=600)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def play(self, requests: int) -> Figures:
        figures, clients = Figures(), [Client(0), Client(1)]
        self.engine.start(self.request(self.layers // 2)).result()
        self.api = self.engine.snapshot.api or ""
        begun_s: float | None = None
        for number in range(1, requests + 1):
            client = clients[number % 2]
            known, prompt = len(client.prompt), client.turn(self.step if client.prompt else self.first)
            if number % EVERY_KILL == 0:
                self._kill()
            asked_s = time.perf_counter()
            answer = self._answer(prompt, figures)
            timings = answer["timings"]
            figures.prompt, figures.known = figures.prompt + len(prompt), figures.known + known
            figures.reused += timings["cache_n"]
            client.prompt += answer["tokens"][: ANSWER - 1]
            now_s = time.perf_counter()
            if begun_s is not None:
                figures.applies.append(now_s - begun_s)
            elif number % EVERY_KILL:
                figures.plain.append(now_s - asked_s)
            begun_s = None
            if number % EVERY_SPLIT == 0:
                begun_s = time.perf_counter()
                self.engine.start(self.request(1 + number // EVERY_SPLIT % (self.layers - 2))).result()
        self.engine.stop().result()
        return figures

    def _answer(self, prompt: list[int], figures: Figures) -> dict[str, Any]:
        """Asked again until somebody answers, as agents do."""
        for _ in range(MOST_TRIES):
            try:
                return self.ask(prompt)
            except httpx.HTTPError:
                figures.failed += 1
                _wait(lambda: self.engine.snapshot.state is ClusterState.READY)
        raise SystemExit("nobody answers")

    def _kill(self) -> None:
        """A worker, once what rests is saved; its end is noticed before the next request or by it."""
        if self.keeping.on:
            _wait(lambda: bool(self.saved), 30)
            time.sleep(3.5)
        pid = next(p.pid for p in self.engine.snapshot.processes if p.role == "worker")
        assert pid is not None
        psutil.Process(pid).kill()


def _wait(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def _said(what: bool) -> str:
    return "yes" if what else "no"


def _mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--smol", action="store_true")
    options = parser.parse_args()
    print(
        "| kept | front door | prompt tokens | read before | of those reused | failed | s per apply | s per request |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for kept, door in ((True, True), (True, False), (False, False)):
        with TemporaryDirectory() as folder:
            place = Path(folder)
            model = (
                demo_model(cache_dir(), lambda done, total: None) if options.smol else tiny_models.write(place, "dense")
            )
            layers = 31 if options.smol else 5
            keeping = KeepPolicy(16 << 30 if kept else 0, str(place), snapshot_tokens=32)
            with build_engine(place / "logs", RunFolder(place / "run"), sensors=()) as engine:
                run = Run(engine, model, keeping, layers, 300 if options.smol else 1500, 24, door=door)
                f = run.play(options.requests)
            share = f.reused / max(1, f.known)
            print(
                f"| {_said(kept)} | {_said(door)} | {f.prompt:,} | {f.known:,} | {share:.1%} | {f.failed} | "
                f"{_mean(f.applies):.2f} | {_mean(f.plain):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
