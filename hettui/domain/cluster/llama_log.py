"""llama-server's log as facts: how far loading is, which buffers lie where. Why it gave up: `postmortem.py`.

The lines were read from b10068 and b11434 at `-lv 4` (layer lines need 5). With `-fit off` there is no dry
pass, so every buffer line is real; a compute buffer that is reserved again replaces the earlier one. A draft model or
a second context (MTP) prints the same lines once more: they are kept apart from what a plan counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hettui.domain.devices.device import HOST_KEY
from hettui.domain.memory.forecast import Memory
from hettui.domain.patterns import late_pattern
from hettui.domain.units import MIB

_BUFFER = late_pattern(
    r"(load_tensors|llama_kv_cache\w*|llama_memory_recurrent|sched_reserve|llama_context):\s+(\S+)\s+"
    r"(model|KV|RS|compute|output) buffer size\s*=\s*([\d.]+) MiB"
)
_LAYER = late_pattern(r"layer\s+(\d+) assigned to device ([^,\s]+), is_swa = [01]")
_OFFLOADED = late_pattern(r"offloaded (\d+)/(\d+) layers to GPU")
_LISTENING = late_pattern(r"listening on (http://\S+)")
_ENDPOINT = late_pattern(r"\w+\[([^\]]+)\]")
_ALL_AT_ONCE = "Meta("
"""How the name of all devices together begins, with `--split-mode tensor`. Its lines say how large the largest one's
buffer is, which is no device's in particular."""
_DOTS = late_pattern(r"\.{2,}")
_SERVED = late_pattern(r"load_model: loading model '")
"""The model that is served is loaded, for the first time or again after a sleep; others follow."""
_TENSORS = "load_tensors: loading model tensors"
_CONTEXT = "constructing llama_context"
LINE_PREFIX = late_pattern(r"^\d+\.\d+\.\d+\.\d+ [A-Z] ")


class MasterLog:
    """Collects the facts line by line."""

    def __init__(self, owners: Mapping[str, str]) -> None:
        self._owners = owners
        self._buffers: dict[tuple[str, str, str, int, int], float] = {}
        """MiB by (owner, kind, llama.cpp's buffer name, model, context); several buffers of one kind add up."""
        self._models = self._contexts = 0
        """How many have begun to be made."""
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
            if self._models <= 1 and not match[2].startswith(_ALL_AT_ONCE):
                self._layers[int(match[1])] = self._owner(match[2])
        elif match := _OFFLOADED.search(line):
            if self._models <= 1:
                self.offloaded = (int(match[1]), int(match[2]))
        elif _SERVED.search(line):
            self._models = self._contexts = 0
            self._buffers.clear()
        elif _TENSORS in line:
            self._models += 1
        elif _CONTEXT in line:
            self._contexts += 1
        elif match := _LISTENING.search(line):
            self.listening = match[1]
            self.load_fraction = 1.0

    def feed_partial(self, line: str) -> None:
        """A line that is still growing: the dots of the progress, one for each hundredth of the weights."""
        dots = _DOTS.search(LINE_PREFIX.sub("", line))
        if dots and not line.strip(". ").strip("0123456789IDW. "):
            self.load_fraction = max(self.load_fraction, min(1.0, len(dots[0]) / 100))

    def _feed_buffer(self, source: str, name: str, kind: str, mib: str) -> None:
        if name.startswith(_ALL_AT_ONCE):
            return
        key = (self._owner(name), kind, f"{source} {name}", max(self._models, 1), max(self._contexts, 1))
        if kind == "KV":
            # A sliding-window model has two caches of the same name on each device.
            self._buffers[key] = self._buffers.get(key, 0.0) + float(mib)
        else:
            self._buffers[key] = float(mib)

    @property
    def memory(self) -> dict[str, Memory]:
        """Buffers of the model that is served, by device name, and of the host, with the sum of what is beside it. MiB
        with two decimals is all that llama.cpp prints."""
        found = _by_owner({key: v for key, v in self._buffers.items() if key[3:] == (1, 1)})
        for owner, memory in self.beside.items():
            found[owner] = replace(found.get(owner, Memory()), draft_bytes=memory.own_bytes)
        return found

    @property
    def beside(self) -> dict[str, Memory]:
        """Buffers of other models and further contexts: of a draft model, of MTP; empty without any."""
        return _by_owner({key: v for key, v in self._buffers.items() if key[3:] != (1, 1)})

    @property
    def layers(self) -> dict[str, int]:
        """Layers by device name as the master assigned them; empty below `-lv 5`."""
        counts: dict[str, int] = {}
        for owner in self._layers.values():
            counts[owner] = counts.get(owner, 0) + 1
        return counts


def _by_owner(buffers: Mapping[tuple[str, str, str, int, int], float]) -> dict[str, Memory]:
    def total(owner: str, *kinds: str) -> int:
        return round(sum(v for (o, k, *_), v in buffers.items() if o == owner and k in kinds) * MIB)

    return {
        owner: Memory(total(owner, "model"), total(owner, "KV", "RS"), total(owner, "compute"))
        for owner in {o for o, *_ in buffers}
    }
