"""The front door before the real engine: nothing fails while it is rebalanced, loses a worker, or is let go of."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from hettui.adapters.llama.binaries import find_engine
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.process import RestartPolicy
from hettui.domain.cluster.snapshot import ClusterState
from hettui.domain.devices.device import Device
from hettui.domain.door.words import DOOR_MODULE
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.plan.split import Split
from hettui.services.cluster.world import Request, Supervision
from hettui.services.engine import Engine
from hettui.services.events import ClusterChanged, Event
from hettui.wiring import bench
from hettui.wiring.engine import build_engine
from tests import tiny_models
from tests.patience import patience, until

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("front door")]

TWO = tuple(Device(name, via="worker", threads=1) for name in ("big", "small"))
ENGINE = find_engine(None, {"PATH": "/nowhere"})
KEY = "a key of three words"
SLOT_CONTEXT = 16_384


class Rig:
    """A real engine behind a real door, and clients of it."""

    def __init__(self, engine: Engine, model: Path, keys: Path) -> None:
        self.engine, self.model, self.keys = engine, model, keys
        self.loading = threading.Event()
        self.pool = ThreadPoolExecutor(4)
        self.api = ""
        engine.subscribe(self._hear)

    def _hear(self, event: Event) -> None:
        if isinstance(event, ClusterChanged) and event.snapshot.state is ClusterState.LOADING:
            self.loading.set()

    def request(self, *layers: int) -> Request:
        serving = Serving(
            port=0, api_key_file=str(self.keys), extra_args=("--threads", "1"), hold_requests=True, hold_seconds=120
        )
        door = (sys.executable, "-P", "-m", DOOR_MODULE)
        params = RuntimeParams(ctx_size=2 * SLOT_CONTEXT, parallel=2)
        cluster = Cluster(str(self.model), params, serving, TWO, ENGINE, door=door)
        supervision = Supervision(RestartPolicy(5, first_pause_s=0.1), stop_grace_s=2)
        return Request(cluster, Split(layers, 5), api_key=KEY, supervision=supervision)

    def pid(self, role: str) -> int:
        return next(p.pid for p in self.engine.snapshot.processes if p.role == role and p.pid)

    def ask(self, tokens: int = 8, **more: Any) -> httpx.Response:
        body = {"prompt": list(range(20, 60)), "n_predict": tokens, "ignore_eos": True, **more}
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx.post(f"{self.api}/completion", json=body, headers=headers, timeout=patience(120))

    def later(self, tokens: int = 8, **more: Any) -> Future[httpx.Response]:
        return self.pool.submit(self.ask, tokens, **more)

    def tokens_of(self, seconds: float) -> int:
        """About as many as take so long, by an answer of now: to be seen at work, and to end before it is cut."""
        begun = time.monotonic()
        assert self.ask(64).status_code == 200
        return min(SLOT_CONTEXT - 100, round(64 / (time.monotonic() - begun) * seconds))

    def at_work(self, seconds: float, **more: Any) -> tuple[Future[httpx.Response], int]:
        """An answer that is seen at work, and its tokens. One that was over before anybody saw it, since the machine
        had more to do when it was reckoned, is asked for again and longer."""
        tokens = self.tokens_of(seconds)
        while not self._seen(answer := self.later(tokens, **more)):
            tokens = min(2 * tokens, SLOT_CONTEXT - 100)
        return answer, tokens

    def _seen(self, answer: Future[httpx.Response]) -> bool:
        until(lambda: self.busy() > 0 or answer.done())
        return not answer.done()

    def busy(self) -> int:
        headers = {"Authorization": f"Bearer {KEY}"}
        slots = httpx.get(f"{self.api}/slots", headers=headers, timeout=patience(20))
        return sum(bool(slot["is_processing"]) for slot in slots.json()) if slots.status_code == 200 else 0


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n")
    keys.chmod(0o600)
    model = tiny_models.write(tmp_path, "dense")
    with build_engine(tmp_path / "logs", RunFolder(tmp_path / "run"), sensors=()) as engine:
        made = Rig(engine, model, keys)
        engine.start(made.request(3, 2)).result(patience(60))
        made.api = engine.snapshot.api or ""
        yield made
        made.pool.shutdown(cancel_futures=True)


def engine_workers(rig: Rig) -> set[int]:
    return {p.pid for p in rig.engine.snapshot.processes if p.role == "worker" and p.pid}


def events(response: httpx.Response) -> list[dict[str, Any]]:
    lines = response.text.splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def test_nothing_fails_while_the_cluster_is_rebalanced_and_loses_a_worker(rig: Rig) -> None:
    door, api = rig.pid("door"), rig.api
    assert httpx.post(f"{api}/completion", json={"prompt": "x"}, timeout=patience(20)).status_code == 401
    running, tokens = rig.at_work(3.0, stream=True)
    rig.loading.clear()
    applied = rig.engine.start(rig.request(1, 4))
    assert rig.loading.wait(patience(60))
    held = [rig.later(stream=stream) for stream in (False, True)]
    applied.result(patience(60))
    assert len(events(running.result())) >= tokens
    assert [answer.result().status_code for answer in held] == [200, 200]
    # A worker is killed under an answer.
    rig.loading.clear()
    hit, tokens = rig.at_work(3.0)
    psutil.Process(rig.pid("worker")).kill()
    assert hit.result().json()["tokens_predicted"] == tokens
    assert rig.loading.is_set()
    until(lambda: rig.engine.snapshot.state is ClusterState.READY)
    assert (rig.pid("door"), rig.engine.snapshot.api) == (door, api)
    rig.engine.stop().result(patience(60))
    assert not psutil.pid_exists(door)


def test_the_door_serves_without_a_hettui_and_is_taken_over(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, master, api = rig.pid("door"), rig.pid("master"), rig.api
    rig.engine.close(leave=True)
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"prompt": [20, 21], "n_predict": 2}
    assert httpx.post(f"{api}/completion", json=body, headers=headers, timeout=patience(60)).status_code == 200
    runs = RunFolder(tmp_path / "run")
    with build_engine(tmp_path / "logs", runs, sensors=(), takes_over=True) as engine:
        engine.take_over(KEY).result(patience(60))
        rig.engine = engine
        assert (rig.pid("door"), rig.pid("master"), engine.snapshot.api) == (door, master, api)
        # Who measures through it watches what does the work.
        monkeypatch.setattr(bench, "open_runs", lambda: RunFolder(tmp_path / "run"))
        with bench.target(api, None, None) as where:
            assert where.url == api
            assert {pid for sensor in where.sensors for pid in sensor.pids} == {master, *engine_workers(rig)}
        # Killed, it is there again, and the master did not notice.
        psutil.Process(door).kill()
        until(lambda: rig.engine.snapshot.processes[0].pid not in (None, door))
        until(lambda: rig.engine.snapshot.processes[0].state.value == "ready")
        assert rig.ask().status_code == 200
        assert rig.pid("master") == master


@pytest.mark.parametrize("way", ["closes", "resets", "closes its half"])
def test_a_client_that_goes_away_frees_its_slot(rig: Rig, way: str) -> None:
    host, port = rig.api.removeprefix("http://").split(":")
    body = json.dumps({"prompt": list(range(20, 60)), "n_predict": 100_000, "ignore_eos": True, "stream": True})
    head = f"POST /completion HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=patience(30)) as client:
        client.sendall((head + body).encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        until(lambda: rig.busy() == 1)
        if way == "closes its half":
            client.shutdown(socket.SHUT_WR)
            until(lambda: rig.busy() == 0)
        elif way == "resets":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    until(lambda: rig.busy() == 0)
