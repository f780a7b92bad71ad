"""Cards: those on the bus against those that a driver shows and llama.cpp lists, and what kind of card each is."""

from __future__ import annotations

from collections.abc import Iterator

from hettui.domain.doctor.facts import AMD, INTEL, NVIDIA, BusCard, Facts
from hettui.domain.doctor.finding import Finding, unchecked
from hettui.domain.doctor.generations import capability_by_name, generation_of

_OWN_DRIVERS = {NVIDIA: ("nvidia",), AMD: ("amdgpu",), INTEL: ("i915", "xe")}


def on_the_bus(facts: Facts) -> Iterator[Finding]:
    """Every card of the bus has its maker's driver, and that shows it."""
    id = "cards.bus"
    if facts.kernel.wsl:
        yield unchecked(id, "WSL shows no PCI cards: its driver is Windows's, and lies in /usr/lib/wsl/lib")
        return
    if facts.bus is None:
        yield unchecked(id, "/sys/bus/pci cannot be read here")
        return
    known = {card.hardware.pci_address for card in facts.cards}
    fine = 0
    for card in facts.bus:
        if card.vendor not in _OWN_DRIVERS:
            continue
        own = _OWN_DRIVERS[card.vendor]
        if card.driver not in own:
            yield _without_driver(id, card)
        elif card.address not in known and not card.asleep:
            why = next((text for text in facts.refused if card.address in text), "") or "; ".join(facts.refused[:1])
            yield Finding(
                id,
                "fault",
                f"{card.said} is on the bus and its driver {card.driver} has it, but does not show it",
                (why,) if why else (),
                "see what the kernel said of it; then seat it anew, or reset or reboot",
                "sudo dmesg | grep -iE 'nvrm|xid|amdgpu|xe |i915' | tail -n 30",
                card.address,
            )
        else:
            fine += 1
    if fine:
        yield Finding(id, "good", f"{fine} card{'s are' if fine > 1 else ' is'} on the bus and shown by the driver")
    elif not facts.bus and not facts.graphics:
        yield Finding(id, "note", "there is no graphics card on the bus: the CPU alone holds layers")


def _without_driver(id: str, card: BusCard) -> Finding:
    own = _OWN_DRIVERS[card.vendor][0]
    if card.driver == "nouveau":
        return Finding(
            id,
            "fault",
            f"{card.said} is run by nouveau, with which llama.cpp's CUDA cannot use it",
            (f"driver: {card.driver}",),
            "install NVIDIA's driver, keep nouveau from loading, and reboot",
            "echo 'blacklist nouveau' | sudo tee /etc/modprobe.d/blacklist-nouveau.conf",
            card.address,
        )
    if card.driver == "vfio-pci":
        return Finding(
            id,
            "note",
            f"{card.said} is set aside for virtual machines (vfio-pci)",
            (f"driver: {card.driver}",),
            f"bind it to {own} to use it here",
            subject=card.address,
        )
    has = f"the driver {card.driver} has it" if card.driver else "no driver has it"
    generation = generation_of(capability_by_name(card.name)) if card.vendor == NVIDIA else None
    wants = f"; it is a {generation.name} card: {_branches(generation)}" if generation else ""
    return Finding(
        id,
        "fault",
        f"{card.said} is on the bus, but {has}{wants}",
        (f"driver: {card.driver or 'none'}",),
        f"load {own}; dmesg says why it did not load",
        f"sudo modprobe {own}",
        card.address,
    )


def _branches(generation: object) -> str:
    first, last = getattr(generation, "first_driver", None), getattr(generation, "last_driver", None)
    return f"driver {first} to {last}" if last else f"driver {first} or newer"


def in_the_engine(facts: Facts) -> Iterator[Finding]:
    """llama.cpp lists every card that its driver shows."""
    id = "cards.engine"
    if facts.engine is None:
        yield unchecked(id, facts.engine_problem or "no llama.cpp was found")
        return
    shown = facts.graphics
    for card in shown:
        if card.hardware.engine_name is None:
            why = card.hardware.trouble or "this build has no backend for it"
            yield Finding(
                id,
                "fault",
                f"llama.cpp does not list {card.name}: {why}",
                (f"build b{facts.engine.build}, backends: {', '.join(sorted(facts.engine.backends)) or 'none'}",),
                "use a build with a backend for it",
                "hettui devices",
                card.hardware.id,
            )
        elif card.hardware.trouble:
            yield Finding(id, "fault", f"{card.name}: {card.hardware.trouble}", subject=card.hardware.id)
    listed = [card for card in shown if card.hardware.engine_name and not card.hardware.trouble]
    if listed:
        names = ", ".join(f"{card.name} ({card.hardware.engine_name})" for card in listed)
        yield Finding(id, "good", f"llama.cpp lists {names}")
    elif not shown:
        yield unchecked(id, "no card was found")


def refusals(facts: Facts) -> Iterator[Finding]:
    """What drivers and llama.cpp said no to."""
    for text in facts.refused:
        # Their sentences end with the remedy already.
        yield Finding("cards.refused", "fault", text.rstrip("."))
    if not facts.refused:
        yield Finding("cards.refused", "good", "no driver and no backend refused anything")


def hidden(facts: Facts) -> Iterator[Finding]:
    """Variables of the environment that keep cards from programs."""
    for name, value in sorted(facts.environ.items()):
        yield Finding(
            "cards.hidden",
            "note",
            f"{name}={value} in the environment says which cards programs see",
            remedy="unset it to see all",
            command=f"unset {name}",
        )
    if not facts.environ:
        yield Finding("cards.hidden", "good", "no variable of the environment hides a card")


def kinds(facts: Facts) -> Iterator[Finding]:
    """Slices, lent parts, WSL, Jetson and shared memory, told as what they are."""
    id = "cards.kind"
    found = [Finding(id, "note", words, subject=subject) for words, subject in (*_machine(facts), *_odd_cards(facts))]
    yield from found
    if not found and not facts.graphics:
        yield unchecked(id, "no card was found")
    elif not found:
        yield Finding(id, "good", "whole cards on a machine of their own")


def _machine(facts: Facts) -> Iterator[tuple[str, str]]:
    kernel = facts.kernel
    if kernel.wsl:
        yield (
            "this is WSL: cards are Windows's, their driver is updated there, and links and power are told in part",
            "",
        )  # fmt: skip
    if kernel.jetson:
        yield (
            f"this is a {kernel.jetson}: its card has the machine's memory, its driver comes with the system's image",
            "",
        )
    if kernel.virtual and not kernel.wsl:
        yield f"this machine is virtual ({kernel.virtual}): links, power and heat are the host's", ""
    if kernel.container:
        unseen = ", and not the kernel's log" if kernel.log is None else ""
        given = f"it sees the cards and the memory that it was given{unseen}"
        yield f"this is a container ({kernel.container}): {given}", ""


def _odd_cards(facts: Facts) -> Iterator[tuple[str, str]]:
    for card in facts.cards:
        name, id = card.name, card.hardware.id
        if card.sliced:
            yield f"{name} is cut into slices (MIG): CUDA gives one to a process, so each needs a worker of its own", id
        if card.virtual:
            yield f"{name} is lent in parts by a hypervisor (vGPU): its driver must be of the hypervisor's branch", id
        if card.hardware.integrated:
            yield (
                f"{name} shares the machine's memory, or computes in software: what it holds is taken from the RAM",
                id,
            )
