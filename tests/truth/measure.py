"""What a real llama.cpp reserves: starts workers and a master, and reads the buffers byte for byte.

The master prints MiB with two decimals. Its workers, with GGML_RPC_DEBUG set, print every allocation in bytes; the
two together give the exact number. Only CPU workers are needed, and a sparse file needs no disk.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

MIB = 2**20

_BUFFER = re.compile(
    r"(\w+):\s+(\S+)\s+(model|KV|RS|compute|output) buffer size\s*=\s*([\d.]+) MiB",
)
_ALLOCATION = re.compile(r"\[alloc_buffer\] device: (\d+), size: (\d+) -> remote_ptr: [0-9a-f]*[1-9a-f]")
_FREED = re.compile(r"\[free_buffer\] remote_ptr: ([0-9a-f]+)")
_PLACED = re.compile(r"\[alloc_buffer\] device: (\d+), size: (\d+) -> remote_ptr: ([0-9a-f]*[1-9a-f][0-9a-f]*)")
_ADAPTER = re.compile(r":\s+(\S+)\s+LoRA buffer size\s*=\s*([\d.]+) MiB")
_PICTURES = "reserve_compute_meta"
"""Who tells of a projector's buffers."""
_REMOTE = re.compile(r"RPC(\d+)\[")
_COPIES = re.compile(r"pipeline parallelism enabled|sched copies = 4")
_DRAFT = "loading draft model '"
_CONTEXT = "constructing llama_context"
_ALL_THERE = "initializing, n_slots"
"""The server's line behind everything that it has loaded."""


@dataclass(frozen=True)
class Engine:
    """One build of llama.cpp."""

    build: str
    server: Path
    worker: Path


@dataclass
class Held:
    """Bytes on one device, or on the host."""

    weights: int = 0
    context: int = 0
    compute: int = 0


@dataclass(frozen=True)
class Reading:
    """What one load reserved."""

    devices: tuple[Held, ...]
    host: Held
    pipelined: bool
    log: str
    draft: tuple[Held, ...] = ()
    """By device, of the draft model; empty without one."""
    draft_host: Held = field(default_factory=Held)
    live: tuple[int, ...] = ()
    """By worker's device: the bytes of everything that it holds at the end."""
    adapters_host: int = 0
    """Of LoRA adapters, as printed."""
    pictures_host: int = 0
    """Of a projector's compute buffer, as printed."""
    printed: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By llama.cpp's name of a buffer: both of these."""
    allocations: str = ""
    """The worker's log."""


class LoadFailed(Exception):
    """The master ended before it had reserved its buffers; the text is the end of its log."""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LLAMA_")}
    return kept | {"GGML_NO_BACKTRACE": "1"} | more


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()


@contextmanager
def worker(engine: Engine, devices: int, log: IO[bytes]) -> Iterator[str]:
    """A worker with that many CPU devices; its endpoint."""
    port = free_port()
    process = subprocess.Popen(
        [engine.worker, "-H", "127.0.0.1", "-p", str(port), "-d", ",".join(["CPU"] * devices)],
        stdout=log, stderr=subprocess.STDOUT, env=_environment(GGML_RPC_DEBUG="1"), restore_signals=False,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise LoadFailed("the worker did not start") from None
                time.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        _end(process)


def load(
    engine: Engine, model: Path, split: Sequence[int], args: Sequence[str], timeout_s: float = 120, *,
    attached: Sequence[str] = (), beside: bool = False, variables: Mapping[str, str] | None = None,
    once_there: Callable[[int], None] | None = None,
) -> Reading:  # fmt: skip
    """Loads `model` with integer layer counts per device, reads the buffers and ends everything.

    `attached`: the engine's names of the devices that the master drives itself, which come first. `once_there` is
    called with the server's port when everything is loaded.

    As hettui does, the master is told only of the devices that hold something: one with idle devices beside it would
    keep copies of its inputs for nothing. `beside`: something is loaded beside the model, which is waited for.
    """
    count = len(split) - len(attached)
    known = [*attached, *(f"RPC{i}" for i in range(count))]
    with (
        TemporaryFile() as worker_log,
        TemporaryFile() as master_log,
        worker(engine, max(1, count), worker_log) as endpoint,
    ):
        active = [i for i, n in enumerate(split) if n]
        names, counts = ",".join(known[i] for i in active), ",".join(str(split[i]) for i in active)
        port = free_port()
        argv = [
            str(engine.server), "-m", str(model), "--host", "127.0.0.1", "--port", str(port),
            *(["--rpc", endpoint] if count else []), "-dev", names, "-ngl", str(sum(split)), "-ts", counts,
            "-fit", "off", "-lv", "5", *([] if beside else ["--no-warmup"]), *args,
        ]  # fmt: skip
        master = subprocess.Popen(
            argv, stdout=master_log, stderr=subprocess.STDOUT, env=_environment(**(variables or {}))
        )
        whole = beside or once_there is not None or "-md" in args or "--spec-type" in args
        try:
            text = _wait(master, master_log, timeout_s, whole=whole)
            if once_there is not None:
                _told(once_there, port, master_log)
        finally:
            _end(master)
        worker_log.seek(0)
        allocations = worker_log.read().decode(errors="replace")
    return _reading(text, allocations, known, own_block="draft-mtp" in args)


def _told(once_there: Callable[[int], None], port: int, log: IO[bytes]) -> None:
    try:
        once_there(port)
    except (OSError, HTTPException) as e:
        size = os.fstat(log.fileno()).st_size
        raise LoadFailed(f"{e}: {os.pread(log.fileno(), size, 0).decode(errors='replace')[-4000:]}") from None


def _wait(master: subprocess.Popen[bytes], log: IO[bytes], timeout_s: float, *, whole: bool = False) -> str:
    deadline = time.monotonic() + timeout_s
    while True:
        ended = master.poll() is not None
        size = os.fstat(log.fileno()).st_size
        text = os.pread(log.fileno(), size, 0).decode(errors="replace")
        reserved = "compute buffer size" in text and ("sched copies" in text or "graph splits" in text)
        if reserved and (not whole or _ALL_THERE in text):
            return text
        if ended or time.monotonic() > deadline:
            raise LoadFailed(text[-4000:])
        time.sleep(0.05)


def _reading(text: str, allocations: str, known: Sequence[str], *, own_block: bool = False) -> Reading:
    exact: dict[int, list[int]] = {}
    for match in _ALLOCATION.finditer(allocations):
        exact.setdefault(int(match[1]), []).append(int(match[2]))
    of_model, separator, of_draft = text.partition(_DRAFT)
    if own_block:
        # The second context of the model's own MTP block.
        first, _, rest = text.partition(_CONTEXT)
        of_second = rest.partition(_CONTEXT)
        of_model, separator, of_draft = first + of_second[0], of_second[1], of_second[2]
    devices, host = _buffers(of_model, exact, known)
    pipelined = bool(_COPIES.search(text))
    draft = _buffers(of_draft, exact, known) if separator else ((), Held())
    printed: dict[str, tuple[int, int]] = {}
    for found in _ADAPTER.finditer(text):
        name = found[1].partition("[")[0]
        printed[name] = printed.get(name, (0, 0))[0] + round(float(found[2]) * MIB), 0
    for name, size in _pictures(text).items():
        printed[name] = printed.get(name, (0, 0))[0], size
    on_host = [sizes for name, sizes in printed.items() if name not in known]
    adapters, pictures = (sum(sizes[i] for sizes in on_host) for i in (0, 1))
    live = _live(allocations, known)
    return Reading(devices, host, pipelined, text, *draft, live, adapters, pictures, printed, allocations)


def _live(allocations: str, known: Sequence[str]) -> tuple[int, ...]:
    held: dict[str, tuple[int, int]] = {}
    for line in allocations.splitlines():
        if placed := _PLACED.search(line):
            held[placed[3]] = int(placed[1]), int(placed[2])
        elif freed := _FREED.search(line):
            held.pop(freed[1], None)
    return tuple(sum(size for device, size in held.values() if f"RPC{device}" == name) for name in known)


def _pictures(text: str) -> dict[str, int]:
    """The last ones told of: newer builds reserve for a picture twice, the first time to learn how much it is."""
    lines = (found for found in _BUFFER.finditer(text) if found[1] == _PICTURES)
    return {found[2].partition("[")[0]: round(float(found[4]) * MIB) for found in lines}


def _buffers(text: str, exact: dict[int, list[int]], known: Sequence[str]) -> tuple[tuple[Held, ...], Held]:
    """What one model's lines say. `exact`: the allocations by device, from which they are taken."""
    devices, host = {name: Held() for name in known}, Held()
    last: dict[tuple[str, str], int] = {}
    for line in text.splitlines():
        found = _BUFFER.search(line)
        if found is None or found[3] == "output" or found[1] == _PICTURES:
            continue
        source, name, kind, mib = found[1], found[2], found[3], float(found[4])
        remote = _REMOTE.match(name)
        size = round(mib * MIB)
        if remote:
            place = devices[f"RPC{remote[1]}"]
            allocated = exact.get(int(remote[1]), [])
            fitting = [n for n in allocated if f"{n / MIB:.2f}" == f"{mib:.2f}"]
            if not fitting and size:
                raise LoadFailed(f"no allocation of {mib} MiB on {name}")
            if kind == "compute":
                size = fitting[-1] if fitting else 0
            elif fitting:
                # Buffers are printed in the order in which they were allocated, so each line takes the next one.
                size = fitting[0]
                allocated.remove(size)
        else:
            # What the master drives itself is printed only: MiB with two decimals.
            place = devices.get(name, host)
        if kind == "model":
            place.weights += size
        elif kind == "compute":
            last[(name, source)] = size
            on_host = sum(v for (n, _), v in last.items() if n.partition("[")[0] not in devices)
            place.compute = on_host if place is host else max(place.compute, size)
        else:
            place.context += size
    return tuple(devices.values()), host
