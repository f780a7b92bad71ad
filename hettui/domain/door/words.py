"""The front door as a command line of this machine, and as what it answers when it is asked how it goes.

It is a process of its own, so that neither the screen's end nor a hang of it touches anybody's request. Whoever starts
the master tells it where that is over a socket of this machine (`control`), and for as long as that connection stands
may let requests wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hettui.domain.records import dataclass

DOOR_MODULE = "hettui.adapters.door.serve"
DOOR = ("python3", "-P", "-m", DOOR_MODULE)
"""The command that serves; wiring puts the interpreter in that hettui runs in."""
NAME = "front door"
"""Of its process."""
HOLD_S = 300
HOLD_LIMIT = 100


@dataclass(frozen=True, slots=True)
class DoorWords:
    """What one front door is told."""

    hosts: tuple[str, ...]
    """Addresses and names to listen at."""
    port: int
    control: str
    """A name in the kernel's list of UNIX sockets without a file: no folder that is taken away ends the line."""
    hold_s: int = HOLD_S
    """How long a request waits for the master at most."""
    limit: int = HOLD_LIMIT
    """How many wait at most."""
    prefix: str = ""
    """llama-server's `--api-prefix`."""

    def words(self) -> tuple[str, ...]:
        """As arguments of the process."""
        prefix = ("--prefix", self.prefix) if self.prefix else ()
        return (
            "--host", ",".join(self.hosts), "--port", str(self.port), "--hold-seconds", str(self.hold_s),
            "--hold-limit", str(self.limit), *prefix, "--control", self.control,
        )  # fmt: skip

    @classmethod
    def of(cls, words: Sequence[str]) -> DoorWords:
        """From a command line that holds `words`. Raises ValueError for anything else."""
        said = dict(pairwise(words))
        try:
            return cls(
                tuple(said["--host"].split(",")), int(said["--port"]), said["--control"], int(said["--hold-seconds"]),
                int(said["--hold-limit"]), said.get("--prefix", ""),
            )  # fmt: skip
        except KeyError as error:
            raise ValueError(f"{error.args[0]} is missing") from None


@dataclass(frozen=True, slots=True)
class DoorState:
    """How many requests it has now."""

    running: int = 0
    """At the master."""
    waiting: int = 0
