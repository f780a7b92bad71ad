"""Scripted machines for the doctor: the rig that hettui was begun for, well, and one thing wrong with it at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hettui.domain.devices.device import Hardware
from hettui.domain.doctor.facts import (
    NVIDIA,
    BusCard,
    CardFacts,
    ConfigFacts,
    CudaCode,
    EngineFacts,
    Facts,
    FarHost,
    KernelFacts,
    KeyFile,
    ListenerFacts,
    MemoryFacts,
    NvidiaFacts,
    Place,
)
from hettui.domain.hosts.facts import HostFacts
from hettui.domain.telemetry.readings import DeviceSample, Link, Throttle
from hettui.domain.units import GIB, MIB

SLOTS = {"RTX 5080": "0000:65:00.0", "RTX 3060": "0000:17:00.0", "GTX 1660 SUPER": "0000:03:00.0"}


def card(name: str, number: int, gib: int, gb_per_s: float, capability: str, watts: float, most: Link) -> CardFacts:
    address = SLOTS[name]
    return CardFacts(
        Hardware(
            f"pci:{address}", f"NVIDIA GeForce {name}", "cuda", total_bytes=gib * GIB, free_bytes=gib * GIB - 300 * MIB,
            pci_address=address, uuid=f"GPU-0000000{number}-0000-0000-0000-000000000000", engine_name=f"CUDA{number}",
            driver="580.95.05", temperature_c=41, pcie_link=f"gen1 x{most.width}",
            bandwidth_bytes_per_s=gb_per_s * 1e9, compute_capability=capability,
        ),
        DeviceSample(
            used_bytes=300 * MIB, total_bytes=gib * GIB, utilisation_percent=0, temperature_c=41, slowdown_c=90,
            fan_percent=30, power_w=15, power_limit_w=watts, throttles=(), link_now=Link(1, most.width), link_max=most,
        ),
        True, watts, watts / 3.6,
    )  # fmt: skip


def bus(name: str, own: Link, most: Link, chipset: str | None = None, bar: int = 256 * MIB) -> BusCard:
    now = Link(1, most.width)
    return BusCard(SLOTS[name], NVIDIA, f"NVIDIA GeForce {name}", "nvidia", False, now, most, own, bar, chipset)


CARDS = (
    card("GTX 1660 SUPER", 0, 6, 336, "7.5", 125, Link(3, 4)),
    card("RTX 3060", 1, 12, 360, "8.6", 170, Link(3, 8)),
    card("RTX 5080", 2, 16, 960, "12.0", 360, Link(3, 16)),
)
BUS = (
    bus("GTX 1660 SUPER", Link(3, 16), Link(3, 4), "0000:00:1c.4"),
    bus("RTX 3060", Link(4, 16), Link(3, 8)),
    bus("RTX 5080", Link(5, 16), Link(3, 16)),
)
ENGINE = EngineFacts(
    "/opt/llama.cpp/bin/llama-server", 11434, "version: 11434 (0123abc)", frozenset({"cuda"}),
    tuple(CudaCode(c, False) for c in ((7, 5), (8, 6), (12, 0))), 13, frozenset({"--rpc", "--metrics"}),
)  # fmt: skip
FAR = HostFacts(
    "attic", os="Linux 6.8", server="/opt/llama.cpp/bin/ggml-rpc-server", version="11434 (0123abc)",
    round_trip_s=0.0004, clock_off_s=0.0, total_bytes=32 * GIB, free_bytes=30 * GIB,
)  # fmt: skip
SEED = Facts(
    bus=BUS,
    cards=CARDS,
    nvidia=NvidiaFacts("580.95.05", True, "580.95.05", (13, 0)),
    kernel=KernelFacts("6.8.0", frozenset({"nvidia"}), (), iommu_groups=0),
    engine=ENGINE,
    memory=MemoryFacts(64 * GIB, 60 * GIB, None, 8 * GIB, 0, 0, 90 * GIB, 0, 8 * MIB, 65536, -1),
    cpu_limit_w=165.0,
    places=(
        Place("logs", "/home/me/.local/state/hettui", "ext4", 200 * GIB, True),
        Place("the cache", "/home/me/.cache/hettui", "ext4", 200 * GIB, True),
        Place("the run folder", "/run/user/1000", "tmpfs", 6 * GIB, True),
        Place("the model", "/home/me/models", "ext4", 200 * GIB, True),
    ),
    listeners=(ListenerFacts("127.0.0.1", 50052, "ggml-rpc-server", 4711), ListenerFacts("0.0.0.0", 22)),  # noqa: S104
    hosts=(FarHost("attic", "me@attic", FAR),),
    config=ConfigFacts(
        "/home/me/cluster.toml", model="/home/me/models/m.gguf",
        keys=(KeyFile("the key file", "/home/me/keys", 0o600),), psu_w=1200.0, planned=True,
    ),
)  # fmt: skip
"""RTX 5080, RTX 3060 and GTX 1660 SUPER on an X299 board (PCIe gen3) with a supply of 1200 W: all is well."""

NOTHING = Facts(kernel=KernelFacts(log=None), engine_problem="no llama-server was found")
"""A machine that tells nothing at all."""


def with_card(number: int, facts: Facts = SEED, sample: Mapping[str, Any] | None = None, **changes: Any) -> Facts:
    """One card otherwise."""
    before = facts.cards[number]
    if sample is not None and before.sample is not None:
        changes["sample"] = replace(before.sample, **sample)
    hardware = {k: changes.pop(k) for k in ("trouble", "engine_name", "compute_capability", "name") if k in changes}
    after = replace(before, hardware=replace(before.hardware, **hardware), **changes)
    return replace(facts, cards=(*facts.cards[:number], after, *facts.cards[number + 1 :]))


def with_bus(number: int, **changes: Any) -> Facts:
    return replace(SEED, bus=(*BUS[:number], replace(BUS[number], **changes), *BUS[number + 1 :]))


def _with(part: str, **changes: Any) -> Facts:
    return replace(SEED, **{part: replace(getattr(SEED, part), **changes)})


def _far(**changes: Any) -> Facts:
    return replace(SEED, hosts=(FarHost("attic", "me@attic", replace(FAR, **changes)),))


_NOUVEAU = replace(with_bus(2, driver="nouveau"), cards=CARDS[:2])
WRONG: dict[str, Facts] = {
    "cards.bus": _NOUVEAU,
    "cards.engine": with_card(0, engine_name=None, trouble="this llama.cpp build has no backend for it"),
    "cards.refused": replace(
        SEED, refused=("NVIDIA's driver cannot be used: its kernel module is not loaded: sudo modprobe nvidia",)
    ),
    "cards.hidden": replace(SEED, environ={"CUDA_VISIBLE_DEVICES": "0"}),
    "cards.kind": with_card(2, sliced=True),
    "driver.versions": _with("nvidia", library="580.105.08"),
    "driver.branch": _with("nvidia", module="565.77", library="565.77"),
    "driver.log": _with(
        "kernel", log=("NVRM: Xid (PCI:0000:03:00): 79, pid='<unknown>', GPU has fallen off the bus.",)
    ),
    "driver.persistence": with_card(1, persistence=False),
    "engine.found": replace(SEED, engine=None, engine_problem="no llama-server was found: install one"),
    "engine.cuda": _with("nvidia", module="570.86.16", library="570.86.16"),
    "engine.architectures": _with("engine", code=(CudaCode((8, 6), False), CudaCode((8, 9), True))),
    "engine.faults": _with("config", faults=("llama.cpp builds before b11434 die with this model over these workers",)),
    "link.width": with_card(2, sample={"link_now": Link(3, 8)}),
    "link.slot": SEED,
    "link.rebar": SEED,
    "link.iommu": _with("kernel", iommu_groups=47),
    "power.supply": _with("config", psu_w=850.0),
    "power.caps": SEED,
    "power.heat": with_card(1, sample={"temperature_c": 89, "throttles": (Throttle.HOT,), "fan_percent": 100}),
    "memory.ram": _with("memory", limit=16 * GIB),
    "memory.pressure": _with("memory", swap_used=7 * GIB),
    "memory.ulimit": replace(_with("memory", lock_limit=8 * MIB), config=replace(SEED.config, load_mode="mlock")),
    "memory.disk": replace(SEED, places=(replace(SEED.places[0], free=10 * MIB), *SEED.places[1:])),
    "network.rpc": replace(SEED, listeners=(ListenerFacts("0.0.0.0", 50052, "rpc-server", 815),)),  # noqa: S104
    "network.hosts": replace(SEED, hosts=(FarHost("attic", "me@attic", None, "attic does not answer"),)),
    "network.builds": _far(version="version: 10068 (fedcba9)"),
    "network.clocks": _far(clock_off_s=-73.0),
    "config.file": _with("config", problem='cluster.toml:7: [serving] ctx-size: found "big", allowed: a whole number'),
    "config.model": _with("config", model_problem="/home/me/models/m.gguf does not exist: check the path"),
    "config.keys": _with("config", keys=(KeyFile("the key file", "/home/me/keys", 0o644),)),
    "config.extra-args": _with(
        "config", unknown_args=("--metric is no option of this build; did you mean --metrics?",)
    ),
    "config.exposure": _with("config", exposures=('the worker of "3060" listens on every network of this machine',)),
    "config.room": _with("config", no_room="there is no room for this now: RTX 5080 has 900 MiB free"),
}
"""By check: a machine on which it has something to say."""
