"""Every check once: its name, what it asks, and the function from facts to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from hettui.domain.doctor import cards, configuration, drivers, links, memory, network, power
from hettui.domain.doctor.facts import Facts
from hettui.domain.doctor.finding import Finding
from hettui.domain.records import dataclass

Look = Callable[[Facts], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """One question to a machine."""

    id: str
    asks: str
    look: Look
    quick: bool = False
    """It can stop a start, and needs nothing that takes time: asked before every start."""


CHECKS: tuple[Check, ...] = (
    Check("cards.bus", "is every card on the PCI bus run, and shown, by its maker's driver", cards.on_the_bus),
    Check("cards.engine", "does llama.cpp list every card that a driver shows", cards.in_the_engine),
    Check("cards.refused", "did a driver or a backend refuse anything", cards.refusals),
    Check("cards.hidden", "does a variable of the environment hide cards", cards.hidden),
    Check("cards.kind", "slices (MIG), lent parts (vGPU), WSL, Jetson, shared memory", cards.kinds),
    Check("driver.versions", "are the driver's module and libraries of one version", drivers.versions, quick=True),
    Check("driver.branch", "which driver branch serves all of NVIDIA's cards", drivers.one_for_all),
    Check("driver.log", "Xid errors and resets in the kernel's log", drivers.kernel_log),
    Check("driver.persistence", "does the driver stay loaded", drivers.persistence),
    Check("engine.found", "is there a llama.cpp that runs here", configuration.engine),
    Check("engine.cuda", "which CUDA release and architectures make one build for all cards", drivers.one_build),
    Check("engine.architectures", "has the build's CUDA library code for every card", drivers.compiled_for),
    Check("engine.faults", "known faults of the build that the plan meets", configuration.known_faults, quick=True),
    Check("link.width", "lanes and generation of each card's link, now and at most", links.widths),
    Check("link.slot", "slots that give less than the card can, or hang behind the chipset", links.slots),
    Check("link.rebar", "resizable BAR", links.window),
    Check("link.iommu", "an IOMMU between several cards", links.translation),
    Check("power.supply", "all power limits and the rest against [machine] psu, with 30 % to spare", power.supply),
    Check("power.caps", "what a lower power limit would save", power.caps),
    Check("power.heat", "cards that are hot, slowed down, or whose fan is at its end", power.heat),
    Check("memory.ram", "memory, and what limits leave of it", memory.ram),
    Check("memory.pressure", "swap in use, strict overcommit, huge pages", memory.swapping),
    Check("memory.ulimit", "ulimit -l, -n and -v", memory.limits, quick=True),
    Check("memory.disk", "room for logs, cache and records; where the model lies", memory.places, quick=True),
    Check("network.rpc", "ports of rpc servers that are open to a network", network.listeners),
    Check("network.hosts", "are the configured hosts reached, near, and able to run a worker", network.hosts),
    Check("network.builds", "the same llama.cpp build on all machines", network.builds),
    Check("network.clocks", "do the machines' clocks agree", network.clocks),
    Check("config.file", "can the configuration be read, and is what it names there", configuration.readable),
    Check("config.model", "is the model there, and sound as far as its header says", configuration.model),
    Check("config.keys", "are files with keys private", configuration.keys, quick=True),
    Check("config.extra-args", "does this build know every extra option", configuration.arguments, quick=True),
    Check("config.exposure", "what the configuration opens to a network", configuration.exposure),
    Check("config.room", "does the plan fit into what is free now", configuration.room),
)  # fmt: skip
BY_ID = {check.id: check for check in CHECKS}


def examined(facts: Facts, checks: Iterable[Check] = CHECKS) -> Iterator[Finding]:
    """What all checks find, in their order."""
    for check in checks:
        yield from check.look(facts)


def before_a_start(facts: Facts) -> list[Finding]:
    """What the quick checks find that could stop a start."""
    found = examined(facts, (check for check in CHECKS if check.quick))
    return [one for one in found if one.matters]
