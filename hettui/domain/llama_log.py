"""llama-server's log as facts: how far loading is, which buffers lie where, why it gave up.

The lines were read from b10068 and b11434 at `-lv 4` (layer lines need 5). With `-fit off` there is no dry
pass, so every buffer line is real; a compute buffer that is reserved again replaces the earlier one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hettui.domain.memory import Memory
from hettui.domain.process import Role, exit_in_words
from hettui.domain.units import MIB

HOST_KEY = "host"
"""The owner of everything that lies in the master's RAM."""

_BUFFER = re.compile(
    r"(load_tensors|llama_kv_cache\w*|llama_memory_recurrent|sched_reserve|llama_context):\s+(\S+)\s+"
    r"(model|KV|RS|compute|output) buffer size\s*=\s*([\d.]+) MiB"
)
_LAYER = re.compile(r"layer\s+(\d+) assigned to device ([^,\s]+), is_swa = [01]")
_OFFLOADED = re.compile(r"offloaded (\d+)/(\d+) layers to GPU")
_LISTENING = re.compile(r"listening on (http://\S+)")
_ENDPOINT = re.compile(r"\w+\[([^\]]+)\]")
_DOTS = re.compile(r"\.{2,}")
_PREFIX = re.compile(r"^\d+\.\d+\.\d+\.\d+ [A-Z] ")


class MasterLog:
    """Collects the facts line by line."""

    def __init__(self, owners: Mapping[str, str]) -> None:
        self._owners = owners
        self._buffers: dict[tuple[str, str, str], float] = {}
        """MiB by (owner, kind, llama.cpp's buffer name); several buffers of one kind add up."""
        self._layers: dict[int, str] = {}
        self.offloaded: tuple[int, int] | None = None
        self.listening: str | None = None
        self.load_fraction = 0.0

    def _owner(self, name: str) -> str:
        endpoint = _ENDPOINT.fullmatch(name)
        return self._owners.get(endpoint[1] if endpoint else name, HOST_KEY)

    def feed(self, line: str) -> None:
        """One complete line."""
        self.feed_partial(line)
        if "buffer size" in line and (match := _BUFFER.search(line)):
            self._feed_buffer(*match.groups())
        elif "assigned to device" in line and (match := _LAYER.search(line)):
            self._layers[int(match[1])] = self._owner(match[2])
        elif match := _OFFLOADED.search(line):
            self.offloaded = (int(match[1]), int(match[2]))
        elif match := _LISTENING.search(line):
            self.listening = match[1]
            self.load_fraction = 1.0

    def feed_partial(self, line: str) -> None:
        """A line that is still growing: the dots of the progress, one for each hundredth of the weights."""
        dots = _DOTS.search(_PREFIX.sub("", line))
        if dots and not line.strip(". ").strip("0123456789IDW. "):
            self.load_fraction = max(self.load_fraction, min(1.0, len(dots[0]) / 100))

    def _feed_buffer(self, source: str, name: str, kind: str, mib: str) -> None:
        key = (self._owner(name), kind, f"{source} {name}")
        if kind == "KV":
            # A sliding-window model has two caches of the same name on each device.
            self._buffers[key] = self._buffers.get(key, 0.0) + float(mib)
        else:
            self._buffers[key] = float(mib)

    @property
    def memory(self) -> dict[str, Memory]:
        """Buffers by device name, and of the host. MiB with two decimals is all that llama.cpp prints."""

        def total(owner: str, *kinds: str) -> int:
            return round(sum(v for (o, k, _), v in self._buffers.items() if o == owner and k in kinds) * MIB)

        return {
            owner: Memory(total(owner, "model"), total(owner, "KV", "RS"), total(owner, "compute"))
            for owner in {o for o, _, _ in self._buffers}
        }

    @property
    def layers(self) -> dict[str, int]:
        """Layers by device name as the master assigned them; empty below `-lv 5`."""
        counts: dict[str, int] = {}
        for owner in self._layers.values():
            counts[owner] = counts.get(owner, 0) + 1
        return counts


_CAUSES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), cause)
    for pattern, cause in (
        (r"couldn't bind HTTP server socket.*port: (\d+)", "port {0} is in use: choose another [serving] port"),
        (r"Failed to create server socket", "its port is in use"),
        (r"Invalid host address: (\S+)", "{0} is not an IPv4 address"),
        (r"unknown device: (\S+)", "llama.cpp knows no device {0} here: see hettui devices"),
        (r"invalid device: (\S+)", "llama.cpp knows no device {0}: a worker did not answer it"),
        (r"(failed|unable) to allocate (\S+) buffer", "out of memory for {1}: give it fewer layers"),
        (r"failed to allocate buffer for kv cache", "out of memory for the KV cache: use a smaller ctx-size"),
        (r"failed to allocate compute buffers", "out of memory for the compute buffer: use a smaller ubatch-size"),
        (r"Failed to allocate input buffer of size (\d+)", "out of memory while receiving weights"),
        (r"RPC server version mismatch: (\S+)", "the worker speaks RPC {0}, another llama.cpp build than the master"),
        (r"[Ff]ailed to connect to (\S+)", "the worker at {0} did not answer"),
        (r"RPC handshake failed for (\S+)", "the worker at {0} is another build or busy"),
        (r"Remote RPC server crashed or returned malformed response", "a worker died or sent nonsense"),
        (r"failed to open GGUF file '([^']*)'", "the model file {0} cannot be opened"),
        (r"tensor '([^']*)' data is not within the file bounds", "the model file is incomplete: fetch it again"),
        (r"invalid magic characters", "the model file is no GGUF"),
        (r"unknown model architecture: '([^']*)'", "this llama.cpp build does not know the architecture {0}"),
        (r"error: (invalid argument: .*)", "{0}"),
        (r"error while loading shared libraries: ([^:]+)", "the shared library {0} is missing"),
        (r"(error while handling argument .*)", "{0}"),
        (r"ssh: (.*)", "ssh: {0}"),
        (r"(Timeout, server \S+ not responding)", "ssh: {0}"),
        (r"(Connection to \S+ closed by remote host)", "ssh: {0}"),
        (r"(Permission denied.*)", "ssh: {0}"),
    )
)  # fmt: skip
_SSH_FAILED = 255
"""What ssh exits with when it is ssh that failed; an rpc server never does."""
_FROM_OUTSIDE = (-9, -15)
"""SIGKILL and SIGTERM."""
_LOUD = re.compile(r"\b(error|failed|abort|terminate|exception)\b|^\S+ E ", re.IGNORECASE)


def explain_end(role: Role, name: str, returncode: int, lines: Iterable[str]) -> str:
    """Why a process ended, in one sentence: the cause that its log names, else its last loud line."""
    kept = [line for line in lines if line.strip()]
    how = exit_in_words(returncode)
    for pattern, cause in _CAUSES:
        for line in reversed(kept):
            if match := pattern.search(line):
                return f"{name} ended ({how}): {cause.format(*match.groups())}"
    if role == "worker" and returncode == _SSH_FAILED:
        return f"{name} ended ({how}): its SSH connection was lost; is the host up, and does ssh reach it?"
    # Of a process that was killed a quiet last line has nothing to do with its end.
    last = kept[-1] if kept and returncode not in _FROM_OUTSIDE else ""
    loud = next((line for line in reversed(kept) if _LOUD.search(line)), last)
    if loud:
        return f"{name} ended ({how}): {_PREFIX.sub('', loud).strip()}"
    if kept:
        return f"{name} ended ({how})"
    silent = "it printed nothing" if role == "worker" else "its log is empty"
    return f"{name} ended ({how}): {silent}"
