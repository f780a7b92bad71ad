"""Stand-ins for the world: for faults, and for speed. The real engine is tested in tests/e2e."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hettui.domain.chat.wire import ChatDelta, ChatTurn, ServerFacts, Slot, Timings
from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.cluster.run_state import RunState
from hettui.domain.devices.device import Device
from hettui.domain.door.words import DoorState
from hettui.domain.errors import ConnectionLost, DoorError, HettuiError, LaunchError, ServerError
from hettui.domain.llama.build import EngineInfo
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.model.header import ModelFile, TensorInfo
from hettui.domain.model.shape import ModelShape
from hettui.domain.slots.saved import Saved
from hettui.ports import FoundProcess, Obstacle, RpcServerInfo
from hettui.services.cluster.world import World

ENGINE = EngineInfo(
    Path("/opt/llama/llama-server"), Path("/opt/llama/ggml-rpc-server"), "PATH", "", frozenset({"--mmap"})
)


_BLOCK: tuple[tuple[str, tuple[int, ...], str, int], ...] = (
    ("attn_norm.weight", (576,), "f32", 2304),
    ("attn_q.weight", (576, 576), "q4_1", 207_360),
    ("attn_k.weight", (576, 192), "q4_1", 69_120),
    ("attn_v.weight", (576, 192), "q4_1", 69_120),
    ("attn_output.weight", (576, 576), "q4_1", 207_360),
    ("ffn_norm.weight", (576,), "f32", 2304),
    ("ffn_gate.weight", (576, 1536), "q4_1", 552_960),
    ("ffn_up.weight", (576, 1536), "q4_1", 552_960),
    ("ffn_down.weight", (1536, 576), "q4_1", 552_960),
)
_BLOCK_BYTES = sum(size for *_, size in _BLOCK)


def shape(blocks: int = 30, block_bytes: int = 2_216_448, vocab_bytes: int = 30_081_024) -> ModelShape:
    """A model like SmolLM2-135M Q4_1: tied embeddings, 9 heads of 64, 3 of them for KV."""
    end = 1024 + vocab_bytes + blocks * block_bytes
    tensors = [TensorInfo("token_embd.weight", (576, 49152), "q8_0", vocab_bytes, begin_bytes=1024)]
    begin = 1024 + vocab_bytes
    for i in range(blocks):
        for name, shape_, type_name, size in _BLOCK:
            # The last one takes what the block has more or less than SmolLM2's.
            size_bytes = size + (name == "ffn_down.weight") * (block_bytes - _BLOCK_BYTES)
            tensors.append(TensorInfo(f"blk.{i}.{name}", shape_, type_name, size_bytes, begin_bytes=begin))
            begin += size_bytes
    tensors.append(TensorInfo("output_norm.weight", (576,), "f32", 2304, begin_bytes=end))
    metadata: dict[str, bool | int | float | str | tuple[bool | int | float, ...]] = {
        "general.architecture": "llama",
        "general.name": "SmolLM2 135M",
        "general.file_type": 3,
        "llama.block_count": blocks,
        "llama.embedding_length": 576,
        "llama.feed_forward_length": 1536,
        "llama.context_length": 8192,
        "llama.attention.head_count": 9,
        "llama.attention.head_count_kv": 3,
        "llama.vocab_size": 49152,
    }
    size = sum(t.size_bytes for t in tensors)
    return ModelShape.of(ModelFile(("/models/smol.gguf",), size, metadata, {}, tuple(tensors)))


def workers(*budgets_mib: int | None) -> tuple[Device, ...]:
    return tuple(
        Device(f"d{i}", via="worker", threads=1, budget_bytes=None if b is None else b * 1024 * 1024)
        for i, b in enumerate(budgets_mib)
    )


def cluster(
    devices: Sequence[Device], *, params: RuntimeParams | None = None, serving: Serving | None = None
) -> Cluster:
    return Cluster("/models/smol.gguf", params or RuntimeParams(), serving or Serving(), tuple(devices), ENGINE)


class FakeClock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class FakeChild:
    """A process that ends when it is told to."""

    def __init__(self, pid: int, *, stubborn: bool = False, immortal: bool = False) -> None:
        self._pid = pid
        self._stubborn = stubborn
        self._immortal = immortal
        self.frozen = False
        self.activity: int | None = 0
        self.started: int | None = pid * 10
        self.released = False
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.signals: list[str] = []

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def alive(self) -> bool:
        return not self._ended.done()

    def release(self) -> None:
        self.released = True

    async def wait(self) -> int | None:
        return await asyncio.shield(self._ended)

    def terminate(self) -> None:
        self.signals.append("TERM")
        if not self._stubborn:
            self.end(-15)

    def kill(self) -> None:
        self.signals.append("KILL")
        if not self._immortal:
            self.end(-9)

    def end(self, returncode: int) -> None:
        if not self._ended.done():
            self._ended.set_result(returncode)


class FakeContexts:
    """A folder in memory, for saved slots; the files' contents are token counts."""

    def __init__(self) -> None:
        self.path = "/contexts"
        self.files: dict[str, int] = {}
        self.list: tuple[Saved, ...] = ()
        self.problem: Exception | None = None
        self.damaged: set[str] = set()
        self.free: int | None = None
        self.mark = "m"

    def clear(self, folder: str | None) -> None:
        self.list, self.files = (), {}

    def open(self, folder: str | None) -> FakeContexts:
        if self.problem:
            raise self.problem
        return self

    def load(self) -> tuple[Saved, ...]:
        return self.list

    def keep(self, saved: Sequence[Saved]) -> None:
        if self.problem:
            raise self.problem
        self.list = tuple(saved)
        self.files = {name: tokens for name, tokens in self.files.items() if name in {one.file for one in saved}}

    def new_name(self, slot: int) -> str:
        return f"slot-{slot}-{len(self.files)}-{id(object())}.ctx"

    def aside_name(self, slot: int) -> str:
        return f"aside-{slot}.ctx"

    def written(self, file: str) -> tuple[int, str]:
        return self.files[file] * 1000, "sum"

    def damage(self, saved: Saved) -> str | None:
        return "it is damaged" if saved.file in self.damaged else None

    def remove(self, file: str) -> None:
        self.files.pop(file, None)

    def free_bytes(self) -> int | None:
        return self.free

    def model_mark(self, path: str) -> str:
        return self.mark


class FakeRuns:
    """A record in memory."""

    def __init__(self) -> None:
        self.boot_id = "boot"
        self.saved: list[RunState | None] = []
        self.problem: HettuiError | None = None
        self.owned_by: int | None = 1

    def owner(self) -> int | None:
        return self.owned_by

    def load(self) -> RunState | None:
        if self.problem:
            raise self.problem
        return self.saved[-1] if self.saved else None

    def save(self, state: RunState | None) -> None:
        if self.problem:
            raise self.problem
        self.saved.append(state)


@dataclass
class FakeWorld:
    """One fake for all ports of the cluster, with switches for faults."""

    log: dict[str, list[str]] = field(default_factory=dict)
    children: dict[str, FakeChild] = field(default_factory=dict)
    facts: ServerFacts = field(default_factory=lambda: ServerFacts(slots=2, slot_context_tokens=4096))
    slots: tuple[Slot, ...] | None = None
    queued: int | None = None
    answers_never: bool = False
    lost_connections: int = 0
    """So many requests find nobody."""
    starts: list[ProcessSpec] = field(default_factory=list)
    used_ports: set[int] = field(default_factory=set)
    obstacles: dict[str, Obstacle] = field(default_factory=dict)
    """Addresses at which nothing can be opened, and why."""
    asked: list[str] = field(default_factory=list)
    """The URLs of all clients."""
    silent_workers: set[int] = field(default_factory=set)
    """Ports whose worker does not answer the probe."""
    lent_devices: int = 1
    spoken: tuple[int, int, int] = (4, 0, 3)
    """By the workers."""
    own_protocol: tuple[int, int, int] | None = (4, 0, 3)
    unstartable: set[str] = field(default_factory=set)
    stubborn: set[str] = field(default_factory=set)
    immortal: set[str] = field(default_factory=set)
    """Not even SIGKILL ends them."""
    pids: dict[int, FakeChild] = field(default_factory=dict)
    dies_loading: Callable[[ProcessSpec], tuple[int, str] | None] = lambda _: None
    """For a master: its return code and last log line, when it shall not come up."""
    healthy: bool = True
    complaint: str = ""
    """What /health is answered with instead."""
    health_asked: Callable[[], None] = lambda: None
    """Called with each look at /health."""
    deltas: list[ChatDelta | BaseException] = field(default_factory=list)
    clients_closed: int = 0
    sent: dict[int, int] | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    runs: FakeRuns = field(default_factory=FakeRuns)
    busy_slots: int | None = 0
    contexts: FakeContexts = field(default_factory=FakeContexts)
    slot_answer: Callable[[str, int, str], int] | None = None
    """What saving or restoring a slot is answered with, by action, slot and file; None: as a server does."""
    slots_held: dict[int, int] = field(default_factory=dict)
    """Tokens by slot, in the master that runs."""
    slot_calls: list[tuple[str, int, str]] = field(default_factory=list)
    slots_hang: bool = False
    """Saving and restoring are never answered."""
    ended_there: list[str] = field(default_factory=list)
    """Workers of other hosts that were ended though nobody held them."""
    unreachable: dict[str, str] = field(default_factory=dict)
    """By host: why nothing can be ended there."""
    strangers: list[FoundProcess] = field(default_factory=list)
    """Marked processes that stand in no record."""

    door_calls: list[str] = field(default_factory=list)
    """What the front door was told."""
    door_running: list[int] = field(default_factory=list)
    """How many requests are at the master at each look, the last one for ever; none: 0."""
    door_silent: bool = False

    def world(self) -> World:
        return World(
            self, self, self, self, self.client, self, self.clock, self.runs, self.contexts, self,
            lambda control: FakeDoorLine(self), self,
        )  # fmt: skip

    # ProcessRunner and, by its other arguments, LogStore
    def start(self, spec: ProcessSpec, log_path: Path) -> FakeChild:
        if spec.name in self.unstartable:
            raise LaunchError(f"{spec.name}: {spec.argv[0]} cannot be started: No such file or directory")
        self.starts.append(spec)
        if spec.role == "master":
            self.slots_held.clear()
        child = FakeChild(
            1000 + len(self.starts), stubborn=spec.name in self.stubborn, immortal=spec.name in self.immortal
        )
        self.children[spec.name] = child
        self.pids[child.pid] = child
        if fate := self.dies_loading(spec):
            self.log.setdefault(spec.name, []).append(fate[1])
            child.end(fate[0])
        return child

    def adopt(self, pid: int, started: int | None) -> FakeChild | None:
        child = self.pids.get(pid)
        return child if child is not None and child.alive and child.started == started else None

    def marked(self) -> list[FoundProcess]:
        return [found for found in self.strangers if self.pids[found.pid].alive]

    def last_words_of_kernel(self, pid: int) -> list[str]:
        return []

    def path(self, process_name: str) -> Path:
        return Path("/logs") / process_name

    def tail(self, process_name: str, offset: int | None = None) -> _FakeTail:
        return _FakeTail(self.log.setdefault(process_name, []), offset)

    def size(self, process_name: str) -> int:
        """In lines: the fake's offsets count them."""
        return len(self.log.get(process_name, []))

    # FarWorkers
    async def end(self, spec: ProcessSpec) -> str | None:
        self.ended_there.append(spec.name)
        return self.unreachable.get(spec.host)

    # Ports
    def is_free(self, host: str, port: int) -> bool:
        return port not in self.used_ports and host not in self.obstacles

    def obstacle(self, host: str, port: int) -> Obstacle | None:
        return None if self.is_free(host, port) else self.obstacles.get(host, "in use")

    def free(self, host: str, start: int, taken: frozenset[int]) -> int:
        return next(p for p in range(start or 40000, 65536) if p not in taken and p not in self.used_ports)

    # RpcProber
    async def probe(self, host: str, port: int, timeout_s: float) -> RpcServerInfo:
        if port in self.silent_workers:
            raise OSError("refused")
        return RpcServerInfo(self.spoken, ((1, 1),) * self.lent_devices)

    # OwnBuild
    async def protocol(self, engine: EngineInfo) -> tuple[int, int, int] | None:
        return self.own_protocol

    async def sum(self, engine: EngineInfo) -> str | None:
        return "1.2"

    # TransferMeter
    def sent_bytes(self, ports: Sequence[int]) -> dict[int, int] | None:
        return self.sent

    # LlamaClientFactory
    def client(self, base_url: str, api_key: str | None) -> FakeClient:
        self.asked.append(base_url)
        return FakeClient(self)


class FakeDoorLine:
    """Implements DoorLine."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    async def look(self) -> DoorState:
        return self._said("")

    async def hold(self) -> DoorState:
        return self._said("hold")

    async def aim(self, port: int) -> DoorState:
        return self._said(f"aim {port}")

    async def go(self, port: int) -> DoorState:
        return self._said(f"go {port}")

    async def close(self) -> None:
        self._said("close")

    def _said(self, what: str) -> DoorState:
        world = self._world
        if world.door_silent:
            raise DoorError("the front door does not answer")
        world.door_calls += [what] if what else []
        running = world.door_running[0] if world.door_running else 0
        del world.door_running[: len(world.door_running) > 1]
        return DoorState(running)


class _FakeTail:
    def __init__(self, lines: list[str], offset: int | None) -> None:
        self._lines = lines
        self._read = len(lines) if offset is None else offset

    def read(self) -> tuple[list[str], str]:
        new = self._lines[self._read :]
        self._read = len(self._lines)
        return new, ""

    def rotate(self) -> None:
        pass


class FakeClient:
    """llama-server's API as a script of deltas."""

    def __init__(self, world: FakeWorld) -> None:
        self._world = world

    async def health(self) -> bool:
        self._world.health_asked()
        return self._world.healthy

    @property
    def complaint(self) -> str:
        return self._world.complaint

    async def chat(self, turns: Sequence[ChatTurn], options: dict[str, object]) -> AsyncIterator[ChatDelta]:
        if self._world.lost_connections:
            self._world.lost_connections -= 1
            raise ConnectionLost("llama-server does not answer")
        if self._world.answers_never:
            await asyncio.get_running_loop().create_future()
        for delta in self._world.deltas:
            await asyncio.sleep(0)
            if isinstance(delta, BaseException):
                raise delta
            yield delta

    async def busy(self) -> int | None:
        return self._world.busy_slots

    async def complete(self, prompt: str | Sequence[int], options: dict[str, object]) -> AsyncIterator[ChatDelta]:
        async for delta in self.chat((), options):
            yield delta

    async def facts(self) -> ServerFacts:
        return self._world.facts

    async def slots(self) -> tuple[Slot, ...] | None:
        return self._world.slots

    async def queued(self) -> int | None:
        return self._world.queued

    async def save_slot(self, slot: int, file: str, seconds: float) -> tuple[int, int]:
        tokens = await self._of_slot("save", slot, file, seconds)
        return tokens, self._world.contexts.files[file] * 1000

    async def restore_slot(self, slot: int, file: str, seconds: float) -> int:
        return await self._of_slot("restore", slot, file, seconds)

    async def _of_slot(self, action: str, slot: int, file: str, seconds: float) -> int:
        world = self._world
        world.slot_calls.append((action, slot, file))
        await asyncio.sleep(0)
        if world.slots_hang:
            await asyncio.get_running_loop().create_future()
        if world.slot_answer is not None:
            return world.slot_answer(action, slot, file)
        if action == "save":
            world.contexts.files[file] = world.slots_held.get(slot, 0)
        else:
            world.slots_held[slot] = world.contexts.files[file]
        return world.slots_held.get(slot, 0)

    async def close(self) -> None:
        self._world.clients_closed += 1


ANSWER = [
    ChatDelta(text="Red, "),
    ChatDelta(text="blue"),
    ChatDelta(finish_reason="stop", timings=Timings(12, 240.0, 2, 41.5)),
]
BROKEN_ANSWER: list[ChatDelta | BaseException] = [ChatDelta(text="Red, "), ServerError("the connection broke off")]
