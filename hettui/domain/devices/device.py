"""Devices: what the hardware is, and what the user wants of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from hettui.domain.devices.speed import Speed
from hettui.domain.records import dataclass
from hettui.domain.units import GIB, MIB

HOST_KEY = "host"
"""The owner of everything that lies in the master's RAM."""

LOCAL = "local"
"""The name of the host that hettui runs on."""

Via = Literal["master", "worker"]

MAX_DEVICES = 15
"""ggml has 16 backend slots and the CPU takes one (ggml-backend.cpp of b11434)."""

# What a backend takes beside llama.cpp's buffers. CPU: resident size of an idle rpc-server (b10068, measured);
# CUDA: issue reports and an H100, "leave 0.6 to 1 GiB". Replaced by what is measured on the user's own cards.
_OVERHEAD_BYTES = {"cpu": 20 * MIB, "cuda": 600 * MIB, "rocm": 600 * MIB, "vulkan": 300 * MIB}


IMAGINED = "not-owned:"
"""Before the id of a card that one does not have."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """One card or CPU as it was found. None is "not known"."""

    id: str
    """`pci:0000:01:00.0`, `uuid:GPU-…`, `cpu`, or llama.cpp's device name where nothing better is known."""
    name: str
    backend: str
    """`cuda`, `vulkan`, `rocm`, `cpu`, …: llama.cpp's backend in lower case."""
    host: str = LOCAL
    total_bytes: int | None = None
    free_bytes: int | None = None
    pci_address: str | None = None
    uuid: str | None = None
    engine_name: str | None = None
    """llama.cpp's own name on this host: `CUDA0`, `Vulkan1`, `CPU`."""
    driver: str | None = None
    temperature_c: int | None = None
    pcie_link: str | None = None
    """`gen4 x16`, now."""
    bandwidth_bytes_per_s: float | None = None
    """Of its memory, by bus width and clock."""
    compute_capability: str | None = None
    """`9.0`; NVIDIA's only."""
    integrated: bool = False
    """A processor's graphics, or a renderer in software: used only when somebody says so or there is nothing else."""
    trouble: str | None = None
    """Why it cannot hold layers here, in words that follow its name and a colon; None when nothing is known."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device of the cluster, in the user's words. Its position in a tuple is the device order."""

    name: str
    id: str = "cpu"
    host: str = LOCAL
    via: Via = "master"
    backend: str = "cpu"
    engine_name: str = "CPU"
    """llama.cpp's name on its host with all devices visible in PCI order: `CUDA1`, `Vulkan0`, `CPU`.

    Empty for a remote device without an id: the worker then lends what it finds, which must be one device.
    """
    uuid: str | None = None
    pci_address: str | None = None
    budget_bytes: int | None = None
    """What hettui may plan here; None is no limit known."""
    locked: bool = False
    layers: int | None = None
    """The count that the configuration asks for."""
    threads: int | None = None
    """CPU workers only."""
    port: int | None = None
    """A fixed port for its worker; None takes a free one."""
    expose: bool = False
    """Its worker listens on every network of its host: anyone there can run code through it."""
    missing: str | None = None
    """Why it cannot be used now, as a sentence; it can still be planned for."""
    bandwidth_bytes_per_s: float | None = None
    """Of its memory, for a CPU of its machine's; None is not known."""
    round_trip_s: float | None = None
    """To its host and back, as measured; None is not known."""
    line_bytes_per_s: float | None = None
    """What the line to its host takes, as measured; None is not known."""
    measured_overhead_bytes: int | None = None
    """What its backend took beside llama.cpp's buffers when it ran last."""
    measured_slowness: float | None = None
    """How many times longer it takes than its data says, where nothing better is known: older recordings have it."""
    speed: Speed | None = None
    """What answers have shown of its speed; None: nothing yet."""

    @property
    def overhead_bytes(self) -> int:
        """What the backend takes beside llama.cpp's buffers: as measured on this card, else what is usual."""
        if self.measured_overhead_bytes is not None:
            return self.measured_overhead_bytes
        return _OVERHEAD_BYTES.get(self.backend, 300 * MIB)

    @property
    def helps_host(self) -> bool:
        """llama.cpp can compute on it what lies in the master's RAM."""
        return self.via == "master" and self.host == LOCAL and self.backend != "cpu"

    @property
    def is_imagined(self) -> bool:
        """Nobody has it here: it is only planned with."""
        return self.id.startswith(IMAGINED)

    def with_lock(self, locked: bool) -> Device:
        return replace(self, locked=locked)


@dataclass(frozen=True, slots=True)
class Host:
    """A machine. `ssh` is whatever the system's ssh accepts; None for the one hettui runs on."""

    name: str
    ssh: str | None = None
    bin: str | None = None
    """Folder of the llama.cpp binaries there; None: on that host's PATH."""
    lease_s: int = 120
    """How long its workers live when nothing is heard from here; 0: until somebody ends them."""
    patience_s: int = 60
    """How long the line may be silent before it counts as lost."""
    cache_bytes: int = 32 * GIB
    """What each of its workers may keep of weights there, so that they travel once; 0: nothing."""
    address: str | None = None
    """An address of it in a trusted network, at which exposed workers listen; None: all workers go through ssh."""


def locked_layers(devices: Sequence[Device]) -> dict[int, int]:
    """By number in the order: the layers of every locked device."""
    return {i: d.layers or 0 for i, d in enumerate(devices) if d.locked}
