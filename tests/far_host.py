"""A host that is none: a stand-in for ssh runs what it is given as sshd would, in a home of its own on this machine.

For what the far side and its holder do; nothing is encrypted or forwarded, so the worker's port there is the one here.
The real ssh, over lines that fail, is met in tests/hosts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hettui.adapters.processes import proc
from hettui.domain.hosts.worker import HOLDER_MODULE, RemoteWorker
from tests.patience import until

_SSH = """#!/bin/sh
# Orders to a shared connection are not understood: there is none.
for word do [ "$word" = -O ] && exit 255; done
echo "$$" >>"{home}/sessions"
{before}
export XDG_STATE_HOME= XDG_CACHE_HOME=
HOME="{home}" PATH="{path}" exec {shell} -c "$(printf '%s' "$word" | sed 's#/bin/sh#{sh}#')"
"""
_SERVER = """#!{python}
import socket, sys, time
if "bad" in sys.argv: sys.exit(3)
listener = socket.socket()
port = int(sys.argv[sys.argv.index("-p") + 1])
try: listener.bind(("127.0.0.1", port))
except OSError: print("Failed to create server socket", flush=True); sys.exit(0)
listener.listen()
import os
print("listens", port, os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("HETTUI_RUN"), *sys.argv[5:], flush=True)
n = 0
while True: time.sleep(0.05); n += 1; print("tick", n, flush=True)
"""


@dataclass
class FarHost:
    """Its home, and the holders that were started for it."""

    home: Path
    port: int
    holders: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def made(
        self, *, shell: str = "/bin/sh", sh: str = "/bin/sh", before: str = "", name: str = "rpc-server"
    ) -> FarHost:
        """With a login shell, its /bin/sh, what a login does before, and an rpc server of that name in ~/lc."""
        (self.home / "lc").mkdir(parents=True)
        (self.home / "bin").mkdir()
        (self.home / "tools").mkdir()
        self._program(
            "bin/ssh",
            _SSH.format(home=self.home, path=f"{self.home}/tools:/usr/bin:/bin", shell=shell, sh=sh, before=before),
        )
        if name:
            self._program(f"lc/{name}", _SERVER.format(python=sys.executable))
        return self

    def has_card(self, line: str) -> None:
        """An nvidia-smi that says this, again and again where it is asked to."""
        again = f'while sleep 0.1; do echo "{line}"; done'
        text = f'#!/bin/sh\necho "{line}"\nfor word do [ "$word" = -lms ] && {again}; done\n'
        self._program("tools/nvidia-smi", text)

    @property
    def desk_env(self) -> dict[str, str]:
        """Of whoever goes there from this machine."""
        return {
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}", "HETTUI_RUN": f"mark of {self.home}",
            "XDG_RUNTIME_DIR": str(self.home), "XDG_STATE_HOME": str(self.home / "desk"),
        }  # fmt: skip

    def _program(self, name: str, text: str) -> None:
        (self.home / name).write_text(text)
        (self.home / name).chmod(0o755)

    def hold(
        self, *options: str, lease_s: int = 30, bin: str | None = "~/lc", cache_bytes: int = 0, kept: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        worker = RemoteWorker(
            "worker a", "attic", "me@attic", self.port, options, {"CUDA_VISIBLE_DEVICES": "1"}, bin, lease_s,
            cache_bytes=cache_bytes, kept_sizes=tuple(kept), kept_bytes=sum(kept),
        )  # fmt: skip
        environment = os.environ | self.desk_env
        with self.log.open("ab") as log:
            holder = subprocess.Popen(
                [sys.executable, "-P", "-m", HOLDER_MODULE, *worker.words()], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip
        self.holders.append(holder)
        return holder

    @property
    def log(self) -> Path:
        return self.home / "log"

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def says(self, words: str) -> None:
        until(lambda: words in self.said(), said=self.said)

    def holds(self) -> None:
        """Until the port is here: without a shared connection that is a second session's."""
        until(lambda: len(self.sessions()) == 2 and "tick" in self.said(), said=self.said)
        ticks = self.said().count("tick")
        until(lambda: self.said().count("tick") > ticks, said=self.said)

    def records(self) -> list[Path]:
        """Of workers that live there; what remembers a start that never came is none."""
        return [
            p for p in (self.home / ".local/state/hettui/workers").rglob("*") if p.suffix not in ("", ".log", ".ended")
        ]

    def worker(self) -> int:
        """The pid of the worker that runs there."""
        return int(next(p for p in self.records() if p.suffix == ".pid").read_text().split()[0])

    def sessions(self) -> list[int]:
        place = self.home / "sessions"
        return [int(word) for word in place.read_text().split()] if place.exists() else []

    def living(self) -> list[int]:
        """Processes of the far side that live: what was started with its home."""
        return [pid for pid, said in proc._marked("HOME", str(self.home)) if proc.start_time(pid) is not None]

    def end(self) -> None:
        for holder in self.holders:
            if holder.poll() is None:
                holder.kill()
            holder.wait()
        for pid in self.living():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def far_host(home: Path, port: int) -> Iterator[FarHost]:
    host = FarHost(home, port)
    yield host
    host.end()
