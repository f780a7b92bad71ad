"""What the core needs from the world. Each Protocol has an adapter, and a fake in the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from hettui.domain.records import dataclass

if TYPE_CHECKING:
    # Whoever takes a protocol from here need not load what others are about.
    from hettui.domain.chat.conversation import Conversation
    from hettui.domain.chat.wire import ChatDelta, ChatTurn, ServerFacts, Slot
    from hettui.domain.cluster.process import ProcessSpec
    from hettui.domain.cluster.run_state import RunState
    from hettui.domain.door.words import DoorState
    from hettui.domain.library.found import FoundModel
    from hettui.domain.library.places import Completion, ModelPlace
    from hettui.domain.model.shape import ModelShape
    from hettui.domain.slots.saved import Saved
    from hettui.domain.telemetry.readings import DeviceSample


@dataclass(frozen=True, slots=True)
class RpcServerInfo:
    """What an rpc server answers to a probe."""

    version: tuple[int, int, int]
    devices: tuple[tuple[int, int], ...]
    """Free and total bytes of each device it lends."""


class ChildProcess(Protocol):
    """A started process. Its output goes to its log file."""

    @property
    def pid(self) -> int: ...

    @property
    def started(self) -> int | None:
        """The kernel's start time in clock ticks since boot; None where it cannot be read."""

    @property
    def frozen(self) -> bool:
        """Stopped by a signal (SIGSTOP): it lives and does nothing."""

    @property
    def activity(self) -> int | None:
        """Grows while the process works (CPU time, pages read); None where it cannot be read."""

    async def wait(self) -> int | None:
        """The return code, negative for a signal; None where an earlier hettui had started it.

        Cancelling the wait leaves the process alone.
        """

    def terminate(self) -> None:
        """SIGTERM to its whole process group; nothing when it is gone."""

    def kill(self) -> None:
        """SIGKILL to its whole process group; nothing when it is gone."""

    def release(self) -> None:
        """Nobody here will wait for it: it goes on without us."""


@dataclass(frozen=True, slots=True)
class FoundProcess:
    """A process that carries the cluster's mark."""

    pid: int
    started: int
    argv: tuple[str, ...]


class ProcessRunner(Protocol):
    """Starts processes in sessions of their own, stdin closed, output appended to a log file."""

    def start(self, spec: ProcessSpec, log_path: Path) -> ChildProcess:
        """Returns once the program runs; not awaited, so that no cancellation can lose a process.

        Raises LaunchError when the program cannot be executed.
        """

    def adopt(self, pid: int, started: int | None) -> ChildProcess | None:
        """A process that an earlier hettui started; None when it is gone or the pid is somebody else's now."""

    def marked(self) -> list[FoundProcess]:
        """Every living process that was ever started for this cluster, by anybody, recorded or not."""

    def last_words_of_kernel(self, pid: int) -> list[str]:
        """What the kernel's log says about the process, where it may be read: the OOM killer's line."""


class FarWorkers(Protocol):
    """Workers on other machines that nobody holds any more."""

    async def end(self, spec: ProcessSpec) -> str | None:
        """Ends what is left there of this worker. Why it could not be ended, in a sentence; None: nothing is left."""


class RunStore(Protocol):
    """Where the running cluster is described for the next hettui."""

    boot_id: str

    def load(self) -> RunState | None:
        """None when nothing is recorded. Raises HettuiError when the file is damaged."""

    def save(self, state: RunState | None) -> None:
        """Replaces the record at once; None: nothing runs. Raises HettuiError when it cannot."""

    def owner(self) -> int | None:
        """The pid of the hettui that owns the cluster, 0 where it is not known; None: nobody does."""


class LogTail(Protocol):
    """Follows one growing log file."""

    def read(self) -> tuple[list[str], str]:
        """New complete lines, clean, and the line that has not ended yet. Never blocks for long."""

    def rotate(self) -> None:
        """Keeps the file below its limit: what it holds goes to `NAME.1`. Safe while it is being written."""


class LogStore(Protocol):
    """The log files of the cluster's processes."""

    def path(self, process_name: str) -> Path:
        """Where the process writes; the folder exists."""

    def tail(self, process_name: str, offset: int | None = None) -> LogTail:
        """From `offset` on, everything; None: from the file's present end on, of a flood only what is bearable."""

    def size(self, process_name: str) -> int:
        """Bytes in the file now; 0 when there is none."""


Obstacle = Literal["in use", "not here", "not allowed"]
"""Why a port cannot be opened: somebody has it; the address is none of this machine's; it is root's alone."""


class Ports(Protocol):
    """TCP ports of this machine."""

    def is_free(self, host: str, port: int) -> bool: ...

    def obstacle(self, host: str, port: int) -> Obstacle | None:
        """What keeps it from being opened; None when nothing does. Port 0 asks about the address alone."""

    def free(self, host: str, start: int, taken: frozenset[int]) -> int:
        """The first free port from `start` on that is not in `taken`; `start` 0: any."""


class TransferMeter(Protocol):
    """How far the weights have been sent."""

    def sent_bytes(self, ports: Sequence[int]) -> dict[int, int] | None:
        """Bytes that arrived at each destination port over the connections now open; None: not known."""


class RpcProber(Protocol):
    """Asks an rpc server who it is."""

    async def probe(self, host: str, port: int, timeout_s: float) -> RpcServerInfo:
        """Raises OSError while nothing answers. Never call it while a master is attached: it waits in vain."""


class LlamaClient(Protocol):
    """llama-server's HTTP API."""

    async def health(self) -> bool:
        """True when /health is 200; False while loading, refused or silent."""

    @property
    def complaint(self) -> str:
        """What the last look at /health was answered with, in a sentence, when that was neither that it is ready nor
        that it loads; empty otherwise."""

    def chat(self, turns: Sequence[ChatTurn], options: dict[str, object]) -> AsyncIterator[ChatDelta]:
        """One streamed answer. Closing the iterator cancels it. Raises ServerError with the server's reason."""

    async def busy(self) -> int | None:
        """How many slots work on a request now; None when the server does not say, in good time."""

    def complete(self, prompt: str | Sequence[int], options: dict[str, object]) -> AsyncIterator[ChatDelta]:
        """As `chat`, of a raw prompt: a text, or token numbers, which are taken as they are."""

    async def facts(self) -> ServerFacts:
        """What the server says about itself; nothing is known of one that is silent."""

    async def slots(self) -> tuple[Slot, ...] | None:
        """Its places; None when it does not say."""

    async def queued(self) -> int | None:
        """Requests that wait for a slot; None when it does not say (no `--metrics`)."""

    async def save_slot(self, slot: int, file: str, seconds: float) -> tuple[int, int]:
        """Writes what a slot holds into a file of `--slot-save-path`; its tokens, and the bytes that were written. One
        that answers is waited for. Tokens without bytes are a full disk (b10068 answers 200 all the same).

        Raises ServerError with the reason; where it takes longer than so many seconds, ConnectionLost.
        """

    async def restore_slot(self, slot: int, file: str, seconds: float) -> int:
        """Back; the tokens that the slot then holds, and nothing else. Raises as `save_slot`."""

    async def close(self) -> None: ...


class LlamaClientFactory(Protocol):
    def __call__(self, base_url: str, api_key: str | None) -> LlamaClient: ...


class DoorLine(Protocol):
    """The line to the front door. What is asked for over it holds as long as it stands. Raises DoorError."""

    async def look(self) -> DoorState: ...

    async def hold(self) -> DoorState:
        """Requests wait until `go`, or until the line ends."""

    async def aim(self, port: int) -> DoorState:
        """The master will be at this port."""

    async def go(self, port: int) -> DoorState:
        """The master is ready there: what waits is passed on. How many those were."""

    async def close(self) -> None: ...


class DoorLines(Protocol):
    def __call__(self, control: str) -> DoorLine:
        """The line of that name, which may not be there yet."""


class ContextFolder(Protocol):
    """A private folder for what llama-server saves of its slots. Every method blocks."""

    @property
    def path(self) -> str: ...

    def load(self) -> tuple[Saved, ...]:
        """What the list in it says, of those files that are there; nothing for a list that is missing or damaged."""

    def keep(self, saved: Sequence[Saved]) -> None:
        """Writes the list anew, and removes every file of ours that is not in it. Raises OSError."""

    def new_name(self, slot: int) -> str:
        """For a file that is not there yet."""

    def aside_name(self, slot: int) -> str:
        """The same for a file that lives as long as a measurement: whoever opens the folder later removes it, where
        that has ended without doing so."""

    def written(self, file: str) -> tuple[int, str]:
        """Size and sum of a file that was just written, for the user alone from now on. Raises OSError."""

    def damage(self, saved: Saved) -> str | None:
        """What is wrong with a file; None: it is what was written."""

    def remove(self, file: str) -> None:
        """A file that may or may not be there. Raises OSError."""

    def free_bytes(self) -> int | None:
        """What can be written there; None: not known."""

    def model_mark(self, path: str) -> str:
        """Which file lies under this name now: another one for another file."""


class ContextFolders(Protocol):
    def clear(self, folder: str | None) -> None:
        """Removes what an earlier hettui kept there; nothing where there is no such folder. Blocks. Raises OSError."""

    def open(self, folder: str | None) -> ContextFolder:
        """Ready to be written, mode 0700; None: the usual one. Blocks. Raises HettuiError with the reason why not."""


@dataclass(frozen=True, slots=True)
class KeptPrompts:
    """What was typed: the prompt that was not sent yet, and those that were, the oldest first."""

    draft: str = ""
    history: tuple[str, ...] = ()


class ChatStore(Protocol):
    """Conversations on disk, by model. Every method blocks. Raises OSError when the disk says no."""

    def conversations(self, model: str) -> list[Conversation]:
        """All that can be read, the one changed last first."""

    def save(self, conversation: Conversation) -> None:
        """At once or not at all."""

    def remove(self, conversation: Conversation) -> None: ...

    def prompts(self, model: str) -> KeptPrompts: ...

    def save_prompts(self, model: str, prompts: KeptPrompts) -> None: ...

    def copy(self, text: str) -> str:
        """Writes what was copied last, over what was copied before; the file's path."""

    def export(self, name: str, text: str) -> str:
        """Writes a file for the user, under a name like `name` that is not taken; its path."""


@dataclass(frozen=True, slots=True)
class TelemetryTarget:
    """What to measure for one device of the cluster."""

    name: str
    """The device's name: the key of its sample."""
    backend: str
    uuid: str | None = None
    pci_address: str | None = None
    pids: tuple[int, ...] = ()
    """Processes of ours that use it."""
    budget_bytes: int | None = None
    host: str = "local"
    engine_name: str = ""
    """llama.cpp's on its host."""


class PartlyRead(Exception):
    """Of some targets a source has samples, of others the reason why it has none."""

    def __init__(self, samples: dict[str, DeviceSample], errors: dict[str, str]) -> None:
        super().__init__("not all could be read")
        self.samples = samples
        self.errors = errors
        """By the device's name."""


class TelemetrySource(Protocol):
    """One family of sensors. Called on a thread of its own; may block or raise."""

    def sample(self, targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        """A sample for each target it knows about; others are left out. Raises PartlyRead to say why.
        It is asked about devices of this machine, or, where its maker has a true attribute `far`, of all others; where
        that has a function `is_about`, only about those of which that is true.
        """

    def close(self) -> None: ...


class Clock(Protocol):
    def monotonic(self) -> float: ...


class LineSink(Protocol):
    """Where a recording is written. Called on a thread of its own; may block."""

    def write(self, line: str) -> None:
        """A line with its end. Raises OSError, for example when the disk is full."""

    def flush(self) -> None:
        """What was written survives the end of this program. Raises OSError."""

    def close(self) -> None:
        """Never raises."""


@dataclass(frozen=True, slots=True)
class ThemeFiles:
    """Theme files by path, the shipped ones first: what parses, and a sentence for each that does not."""

    parsed: Mapping[str, Mapping[str, Any]]
    unreadable: Mapping[str, str]


class ThemeShelf(Protocol):
    """Where themes come from."""

    def read(self) -> ThemeFiles:
        """Blocks."""

    def watch(self, tell: Callable[[ThemeFiles], None]) -> Callable[[], None]:
        """Calls `tell`, on a thread, soon after one of the user's files changed, came or went since the last `read`.
        Returns what ends that."""


class ModelFinder(Protocol):
    """Model files on this machine. Every method blocks, for ever where a file system hangs."""

    def places(self, folders: Sequence[str], current: str | None) -> tuple[ModelPlace, ...]:
        """Where to look: what the user named, where the model in use lies, and where programs keep theirs."""

    def look(self, place: ModelPlace, stopped: Callable[[], bool], note: Callable[[str], None]) -> Iterator[FoundModel]:
        """The models of one place as they are found; `note` is told in sentences what could not be searched."""

    def read(self, path: str) -> ModelShape:
        """The header. Raises ModelFileError."""

    def complete(self, typed: str) -> Completion:
        """Folders and .gguf files that a typed path can become."""
