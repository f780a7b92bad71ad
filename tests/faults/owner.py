"""A hettui without a screen that does what it reads: the same engine, record and lock. To be killed by tests.

`python -m tests.faults.owner FOLDER MODEL` reads one JSON object a line and answers each with one.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from hettui.adapters.llama.binaries import find_engine
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.chat.wire import ChatTurn
from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.process import RestartPolicy
from hettui.domain.cluster.supervision import Supervision
from hettui.domain.devices.device import Device
from hettui.domain.errors import HettuiError
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.plan.split import Split
from hettui.services.cluster.world import Request
from hettui.services.engine import Engine
from hettui.services.events import ChatEnded, ChatProgressed, Event, Notice
from hettui.wiring.engine import build_engine
from tests import own_ports

DEVICES = tuple(Device(name, via="worker", threads=1) for name in ("big", "middle", "small"))


class Owner:
    """Commands by name."""

    def __init__(self, engine: Engine, model: str) -> None:
        self._engine = engine
        self._model = model
        self._programs = find_engine(None, {"PATH": "/nowhere"})
        self._tokens = 0
        self._chat_end: str | None = None
        self._notices: list[str] = []
        engine.subscribe(self._hear)

    def _hear(self, event: Event) -> None:
        if isinstance(event, ChatProgressed):
            self._tokens = event.tokens
        elif isinstance(event, ChatEnded):
            self._chat_end = event.problem or ("cancelled" if event.cancelled else "complete")
        elif isinstance(event, Notice):
            self._notices.append(event.text)

    def request(self, said: dict[str, Any]) -> Request:
        serving = Serving(port=0)
        cluster = Cluster(self._model, RuntimeParams(ctx_size=512), serving, DEVICES, self._programs)
        restart = RestartPolicy(said.get("restarts", 0), first_pause_s=0.2)
        supervision = Supervision(restart, stop_grace_s=said.get("grace", 2.0))
        return Request(cluster, Split(tuple(said["layers"]), 31), 40_000_000, supervision=supervision)

    def do(self, said: dict[str, Any]) -> Future[Any] | None:
        """The work of one command; None where there is nothing to wait for."""
        match said["do"]:
            case "start":
                return self._engine.start(self.request(said))
            case "stop":
                return self._engine.stop(said.get("patience", 0.0))
            case "take over":
                return self._engine.take_over(None, Supervision(stop_grace_s=2.0))
            case "chat":
                self._tokens, self._chat_end = 0, None
                return self._engine.chat(
                    [ChatTurn("user", "Count from 1 to 1000.")], {"max_tokens": 400, "ignore_eos": True}
                )
            case "settle":
                return self._engine.settled()
        return None

    def report(self) -> dict[str, Any]:
        snapshot = self._engine.snapshot
        found = snapshot.post_mortem
        return {
            "state": snapshot.state.name,
            "problem": snapshot.problem,
            "pids": {p.name: p.pid for p in snapshot.processes},
            "states": {p.name: p.state.name for p in snapshot.processes},
            "frozen": [p.name for p in snapshot.processes if p.frozen],
            "layers": list(snapshot.applied.split.layers) if snapshot.applied else None,
            "api": snapshot.api,
            "measured": sorted(snapshot.applied.measured) if snapshot.applied else [],
            "blamed": found.process if found else None,
            "what": found.what if found else None,
            "consequences": list(found.consequences) if found else [],
            "tokens": self._tokens,
            "chat_end": self._chat_end,
            "notices": list(self._notices),
        }


def main(folder: Path, model: str) -> None:
    own_ports.keep_to_them()
    runs = RunFolder(folder)
    if not runs.acquire():
        print(json.dumps({"error": "owned", "owner": runs.owner()}), flush=True)
        return
    with build_engine(folder / "logs", runs) as engine:
        owner = Owner(engine, model)
        print(json.dumps({"state": "OPEN"}), flush=True)
        for line in sys.stdin:
            said = json.loads(line)
            answer: dict[str, Any] = {}
            if said["do"] in ("leave", "quit"):
                engine.close(leave=said["do"] == "leave")
                print(json.dumps({"state": "CLOSED"}), flush=True)
                return
            try:
                work = owner.do(said)
                if work is not None and said.get("wait", True):
                    work.result()
            except HettuiError as error:
                answer["error"] = str(error)
            print(json.dumps(answer | owner.report()), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
