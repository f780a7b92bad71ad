"""A worker on another host as a command line of this machine: what holds it, and what it is asked to hold.

A local process of hettui's, the holder, stands for each remote worker: it lives as long as the worker is wanted, writes
the worker's log, ends with the worker's exit code, and ends the worker when it is asked to end. So a remote worker is a
process like any other for whoever starts, watches, records and finds it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass

HOLDER_MODULE = "hettui.adapters.hosts.hold"
HOLDER = ("python3", "-P", "-m", HOLDER_MODULE)
"""The command that holds a worker; wiring puts the interpreter in that hettui runs in."""

LEASE_S = 120
"""How long a worker lives when nothing is heard from here. A line that is lost for less is survived."""
PATIENCE_S = 60
"""How long a line may be silent before it counts as lost: less than the lease, so that there is time to reach it again.
A router that restarts, or a laptop that changes its network, takes less."""


@dataclass(frozen=True, slots=True)
class RemoteWorker:
    """What one holder is told."""

    name: str
    """The same at each start of it: a worker of this name that is left there is its predecessor."""
    host: str
    """As the user calls it."""
    ssh: str
    """Where ssh goes."""
    port: int
    """On this machine: the end of the tunnel. The worker gets the same number there where it can."""
    options: tuple[str, ...] = ()
    """Of the rpc server, but for its address."""
    env: Mapping[str, str] = field(default_factory=dict)
    bin: str | None = None
    """Folder of the binaries there, or the rpc server itself; None: on the PATH there."""
    lease_s: int = LEASE_S
    """0: it lives until somebody ends it."""
    patience_s: int = PATIENCE_S
    fixed: bool = False
    """The worker's port there must be `port`."""
    cache_bytes: int = 0
    """What its tensor cache there may take; 0: it keeps none."""
    address: str | None = None
    """It listens there, and llama.cpp goes there directly; None: on loopback, behind the tunnel."""
    kept_sizes: tuple[int, ...] = ()
    """Of the tensors that may come into its cache; none: not known, and the cache is taken as it is."""
    kept_bytes: int = 0
    """What it may get of them at most."""

    def words(self) -> tuple[str, ...]:
        """As arguments of the holder."""
        said = [self.name, self.host, self.ssh, str(self.port), f"lease={self.lease_s}", f"patience={self.patience_s}"]
        said += [f"bin={self.bin}"] if self.bin else []
        said += ["fixed"] if self.fixed else []
        said += [f"cache={self.cache_bytes}"] if self.cache_bytes else []
        said += [f"address={self.address}"] if self.address else []
        said += [f"kept={self.kept_bytes}:{','.join(map(str, self.kept_sizes))}"] if self.kept_sizes else []
        return (*said, *(f"env:{key}={value}" for key, value in self.env.items()), "--", *self.options)

    @classmethod
    def of(cls, words: Sequence[str]) -> RemoteWorker:
        """From `words`. Raises ValueError for anything else."""
        name, host, ssh, port, *rest = words
        if "--" not in rest:
            raise ValueError("-- is missing before the worker's options")
        end = rest.index("--")
        plain: dict[str, str] = {}
        env: dict[str, str] = {}
        for word in rest[:end]:
            key, _, value = word.partition("=")
            if key.startswith("env:"):
                env[key.removeprefix("env:")] = value
            elif key in ("lease", "patience", "bin", "fixed", "cache", "address", "kept"):
                plain[key] = value
            else:
                raise ValueError(f"{word} is nothing that a worker is told")
        kept_bytes, _, sizes = plain.get("kept", "0:").partition(":")
        return cls(
            name,
            host,
            ssh,
            int(port),
            tuple(rest[end + 1 :]),
            env,
            plain.get("bin"),
            int(plain.get("lease", LEASE_S)),
            int(plain.get("patience", PATIENCE_S)),
            "fixed" in plain,
            int(plain.get("cache", 0)),
            plain.get("address"),
            tuple(int(size) for size in sizes.split(",") if size),
            int(kept_bytes),
        )


_ODD = late_pattern(
    r"^hettui: (the line to .* was lost: .*|.* has said nothing for \d+ s"
    r"|the worker on .* is stopped by a signal there)$"
)
_WELL = late_pattern(r"^hettui: (?:\S.* is there again|the worker on .* goes on)$")


_SUM = late_pattern(r"^hettui: the worker on .* is of build (\d+\.\d+)$")


def sum_in(lines: Sequence[str]) -> str | None:
    """The sum of the worker's program and its library, as the last of these lines of its log says it."""
    found = [match[1] for line in lines if (match := _SUM.match(line))]
    return found[-1] if found else None


def state_of_line(lines: Sequence[str], before: str) -> str:
    """What is odd about the line, or the worker behind it, after these lines of its log; empty when nothing is."""
    for line in lines:
        if match := _ODD.match(line):
            before = match[1]
        elif _WELL.match(line):
            before = ""
    return before


def is_lost(state: str) -> bool:
    """Whether the worker's port here leads nowhere, by `state_of_line`."""
    return state.startswith("the line to ")


def way_of(state: str) -> str:
    """`lost` or `silent`, by `state_of_line`; empty while the line is well: a worker behind such a line is not called
    up."""
    return "lost" if is_lost(state) else "silent" if " has said nothing for " in state else ""


def exit_in_signals(code: int) -> int:
    """A shell's exit status as Python has it: 137 is -9."""
    return 128 - code if 128 < code < 128 + 65 else code
