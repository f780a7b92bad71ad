"""Everything that checks look at, taken at one moment. What could not be read is None; why, where that is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from hettui.domain.devices.device import LOCAL, Hardware
from hettui.domain.hosts.facts import HostFacts
from hettui.domain.records import dataclass
from hettui.domain.telemetry.readings import DeviceSample, Link

NVIDIA, AMD, INTEL = 0x10DE, 0x1002, 0x8086
_MAKERS = {NVIDIA: "NVIDIA", AMD: "AMD", INTEL: "Intel"}


@dataclass(frozen=True, slots=True)
class BusCard:
    """A graphics card as the PCI bus shows it, whatever its driver says."""

    address: str
    vendor: int
    name: str = ""
    driver: str | None = None
    """None: the kernel has given it to none."""
    asleep: bool = False
    link_now: Link | None = None
    link_most: Link | None = None
    """What both ends of the link can."""
    link_card: Link | None = None
    """What the card itself can."""
    largest_bar_bytes: int | None = None
    """The largest window into its memory that the machine has given it."""
    chipset: str | None = None
    """Address of the bridge of the chipset that it hangs behind; None: none was recognised."""

    @property
    def maker(self) -> str:
        return _MAKERS.get(self.vendor, "another maker's")

    @property
    def said(self) -> str:
        return f"{self.name or self.maker} at {self.address}"


@dataclass(frozen=True, slots=True)
class CardFacts:
    """One card as its driver and llama.cpp tell of it."""

    hardware: Hardware
    sample: DeviceSample | None = None
    persistence: bool | None = None
    """NVIDIA's: the driver stays loaded while nothing uses the card."""
    power_default_w: float | None = None
    power_least_w: float | None = None
    """The lowest limit that can be set."""
    sliced: bool = False
    """Cut into slices (MIG)."""
    virtual: bool = False
    """A part of a card that a hypervisor lends (vGPU)."""

    @property
    def name(self) -> str:
        return self.hardware.name


@dataclass(frozen=True, slots=True)
class NvidiaFacts:
    """The driver's two halves."""

    module: str | None = None
    """Version of the loaded kernel module."""
    open_module: bool | None = None
    library: str | None = None
    """Version of the libraries, by NVML."""
    cuda: tuple[int, int] | None = None
    """The newest CUDA that the driver serves."""


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """The kernel and what it runs in."""

    release: str | None = None
    modules: frozenset[str] | None = None
    log: tuple[str, ...] | None = None
    """Its lines about cards, the oldest first; None: they may not be read."""
    no_log: str = "its log may not be read by this user"
    container: str | None = None
    """`docker`, `lxc`, …; None: none was recognised."""
    wsl: bool = False
    jetson: str | None = None
    """The module's name."""
    virtual: str | None = None
    """The hypervisor."""
    iommu_groups: int | None = None


@dataclass(frozen=True, slots=True)
class CudaCode:
    """For which cards one piece of a binary was compiled."""

    capability: tuple[int, int]
    ptx: bool
    """Text that the driver compiles at the first start, for this capability and all later ones."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """The llama.cpp build that would run."""

    server: str = ""
    build: int = 0
    version: str = ""
    backends: frozenset[str] = frozenset()
    """`cuda`, `vulkan`, …, as far as libraries and lists show."""
    code: tuple[CudaCode, ...] | None = None
    """What its CUDA library holds; None: there is none, or it cannot be read."""
    cuda: int | None = None
    """The major version of the CUDA runtime that it needs."""
    options: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """Sizes in bytes. Of limits, -1 is none."""

    total: int | None = None
    available: int | None = None
    limit: int | None = None
    """What control groups and ulimit leave of it."""
    swap: int | None = None
    swap_used: int | None = None
    overcommit: int | None = None
    """`vm.overcommit_memory`: 0, 1 or 2."""
    commit_left: int | None = None
    huge_pages: int | None = None
    """Set aside for huge pages: nobody else gets it."""
    lock_limit: int | None = None
    """`ulimit -l`"""
    file_limit: int | None = None
    """`ulimit -n`, a count."""
    address_limit: int | None = None
    """`ulimit -v`"""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that hettui or llama.cpp writes to or reads from."""

    what: str
    """`logs`, `cache`, `the run folder`, `the model`."""
    path: str
    kind: str | None = None
    """`ext4`, `tmpfs`, `nfs4`."""
    free: int | None = None
    writable: bool | None = None


@dataclass(frozen=True, slots=True)
class ListenerFacts:
    """Somebody who listens on a TCP port of this machine."""

    address: str
    port: int
    program: str | None = None
    """None: another user's."""
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class FarHost:
    """A configured host, as the probe found it, or why it did not."""

    name: str
    ssh: str = ""
    facts: HostFacts | None = None
    problem: str = ""
    asked: bool = True


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file that holds a key or a token."""

    what: str
    path: str
    mode: int | None
    """None: it is not there, or cannot be looked at."""
    own: bool = True
    """It belongs to this user."""


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """What is configured, and what already speaks against it. Sentences are ready."""

    path: str | None = None
    """None: nothing is configured."""
    problem: str = ""
    """Why it cannot be read."""
    model: str | None = None
    model_problem: str = ""
    keys: tuple[KeyFile, ...] = ()
    unknown_args: tuple[str, ...] = ()
    """Of `extra-args`: what this build does not list, each with the nearest that it does."""
    exposures: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    """Known faults of the build that this plan would meet."""
    no_room: str = ""
    missing: tuple[str, ...] = ()
    """Configured devices that are not there."""
    load_mode: str = "auto"
    psu_w: float | None = None
    rest_w: float | None = None
    """What the machine draws beside its cards."""
    planned: bool = False
    """There is a plan to compare with what is free."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One machine."""

    host: str = LOCAL
    bus: tuple[BusCard, ...] | None = None
    cards: tuple[CardFacts, ...] = ()
    refused: tuple[str, ...] = ()
    """What drivers and llama.cpp said no to, in sentences with the remedy."""
    nvidia: NvidiaFacts = field(default_factory=NvidiaFacts)
    kernel: KernelFacts = field(default_factory=KernelFacts)
    engine: EngineFacts | None = None
    engine_problem: str = ""
    memory: MemoryFacts = field(default_factory=MemoryFacts)
    cpu_limit_w: float | None = None
    """What the CPU may draw for long."""
    places: tuple[Place, ...] = ()
    listeners: tuple[ListenerFacts, ...] | None = None
    hosts: tuple[FarHost, ...] = ()
    config: ConfigFacts = field(default_factory=ConfigFacts)
    environ: Mapping[str, str] = field(default_factory=dict)
    """Variables that hide cards from programs."""

    @property
    def graphics(self) -> tuple[CardFacts, ...]:
        """Without the CPU, a processor's graphics and what only computes in software."""
        return tuple(c for c in self.cards if c.hardware.backend != "cpu" and not c.hardware.integrated)

    @property
    def of_nvidia(self) -> tuple[CardFacts, ...]:
        return tuple(c for c in self.graphics if c.hardware.compute_capability or c.hardware.backend == "cuda")

    def bus_card(self, card: CardFacts) -> BusCard | None:
        return next((b for b in self.bus or () if b.address == card.hardware.pci_address), None)
