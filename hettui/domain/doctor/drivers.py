"""One driver and one build for all cards: versions that belong together, and which card is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hettui.domain.doctor.facts import CardFacts, CudaCode, Facts
from hettui.domain.doctor.finding import Finding, unchecked
from hettui.domain.doctor.generations import (
    Generation,
    Together,
    architectures,
    branch,
    capability_by_name,
    capability_of,
    generation_of,
    least_driver,
    runs_on,
    together,
)
from hettui.domain.patterns import late_pattern

_XID = late_pattern(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)")
_AMD_RESET = late_pattern(r"amdgpu ([0-9a-f:.]+): .*(GPU reset|ring \w+ timeout)", re.IGNORECASE)
_XIDS = {
    13: "a program's fault, or memory that errs",
    31: "a program reached for memory that is not its own",
    43: "a program's work was stopped",
    45: "work was stopped, as when a program is killed",
    48: "an error in its memory that could not be corrected",
    62: "its own controller halted",
    63: "a row of its memory was replaced",
    64: "a row of its memory could not be replaced",
    74: "its NVLink failed",
    79: "it fell off the bus: heat, power or the slot",
    92: "many corrected errors in its memory",
    94: "an error in its memory, contained",
    95: "an error in its memory, not contained",
    119: "its own controller (GSP) does not answer",
}
_HARMLESS = frozenset({13, 31, 43, 45, 63})


def versions(facts: Facts) -> Iterator[Finding]:
    """The kernel module and the libraries of NVIDIA's driver are of one version."""
    id, own = "driver.versions", facts.nvidia
    if own.module is None and own.library is None:
        yield unchecked(id, "NVIDIA's driver is not here")
    elif own.module is None or own.library is None:
        here, gone = ("kernel module", "libraries") if own.module else ("libraries", "kernel module")
        yield unchecked(
            id, f"only the {here} of NVIDIA's driver tell{'s' if own.module else ''} their version, not the {gone}"
        )
    elif own.module != own.library:
        yield Finding(
            id,
            "fault",
            f"NVIDIA's kernel module is {own.module} and its libraries are {own.library}, as after an update",
            ("/proc/driver/nvidia/version", "NVML"),
            "reboot, or load the module anew while nothing uses a card",
            "sudo reboot",
        )
    else:
        kind = {True: ", open kernel module", False: ", proprietary kernel module", None: ""}[own.open_module]
        yield Finding(id, "good", f"NVIDIA's driver is {own.module} in both halves{kind}")


def _generations(facts: Facts) -> list[tuple[str, tuple[int, int], Generation | None]]:
    """Cards of NVIDIA's: name, capability and row, those that no driver shows as well."""
    found = []
    for card in facts.of_nvidia:
        capability = capability_of(card.hardware.compute_capability) or capability_by_name(card.name)
        if capability is not None:
            found.append((card.name, capability, generation_of(capability)))
    shown = {card.hardware.pci_address for card in facts.cards}
    for one in facts.bus or ():
        if one.vendor == 0x10DE and one.address not in shown and (capability := capability_by_name(one.name)):
            found.append((one.name, capability, generation_of(capability)))
    return found


def one_for_all(facts: Facts) -> Iterator[Finding]:
    """Which driver branch serves all of NVIDIA's cards, and which card the driver that is here leaves out."""
    id, cards = "driver.branch", _generations(facts)
    rows = [row for _, _, row in cards if row is not None]
    whole = together(rows)
    if whole is None:
        yield unchecked(id, "no card of NVIDIA's is known here")
        return
    told = tuple(f"{name}: {row.name}, compute capability {c[0]}.{c[1]}" for name, c, row in cards if row)
    if not whole.driver:
        yield Finding(
            id,
            "fault",
            f"no driver serves all of these cards: {_conflict(cards, whole)}",
            told,
            "keep the older cards on another machine of the cluster, or behind Vulkan on another host",
        )
        return
    here = branch(facts.nvidia.module or facts.nvidia.library)
    for name, _, row in cards:
        if row is not None and here is not None and (words := _left_out(row, here, facts.nvidia.open_module)):
            yield Finding(
                id,
                "fault",
                f"driver {here} leaves out {name}: {words}",
                told,
                f"a driver of branch {whole.driver_words} serves all cards here",
                subject=name,
            )
    kind = {"must": ", with the open kernel module,", "never": ", with the proprietary kernel module,"}
    also = kind.get(whole.open_module or "", "")
    has = f"; {here} is here" if here is not None else ""
    yield Finding(id, "good", f"driver branch {whole.driver_words}{also} serves all of NVIDIA's cards here{has}", told)


def _conflict(cards: list[tuple[str, tuple[int, int], Generation | None]], whole: Together) -> str:
    if whole.open_module is None:
        needs = [name for name, _, row in cards if row and row.open_module == "must"]
        never = [name for name, _, row in cards if row and row.open_module == "never"]
        return f"{needs[0]} needs the open kernel module, which {never[0]} cannot have"
    last = next(name for name, _, row in cards if row and row.last_driver == whole.last_driver)
    first = next(name for name, _, row in cards if row and row.first_driver == whole.first_driver)
    return f"{first} needs {whole.first_driver} or newer, and {last} ends with {whole.last_driver}"


def _left_out(row: Generation, here: int, open_module: bool | None) -> str:
    if here < row.first_driver:
        return f"{row.name} begins with {row.first_driver}"
    if row.last_driver is not None and here > row.last_driver:
        return f"{row.name} ends with {row.last_driver}"
    if open_module is False and row.open_module == "must":
        return f"{row.name} needs the open kernel module, and the proprietary one is loaded"
    if open_module is True and row.open_module == "never":
        return f"{row.name} needs the proprietary kernel module, and the open one is loaded"
    return ""


def one_build(facts: Facts) -> Iterator[Finding]:
    """Which CUDA release and which architectures make one build for all of NVIDIA's cards."""
    id, cards = "engine.cuda", _generations(facts)
    whole = together(row for _, _, row in cards if row is not None)
    if whole is None:
        yield unchecked(id, "no card of NVIDIA's is known here")
        return
    if not whole.cuda:
        yield Finding(
            id,
            "fault",
            "no CUDA release compiles for all of these cards: it would have to be "
            f"{whole.first_cuda[0]}.{whole.first_cuda[1]} or newer, and end with "
            f"{whole.last_cuda[0] if whole.last_cuda else 0}.{whole.last_cuda[1] if whole.last_cuda else 0}",
            remedy="use the Vulkan backend for the older ones: one build may have both",
        )
    else:
        yield Finding(
            id,
            "good",
            f"one build serves all of NVIDIA's cards here: CUDA {whole.cuda_words}",
            (),
            "have it built",
            _build_command(facts),
        )
    engine = facts.engine
    if engine is None or engine.cuda is None:
        return
    least, here = least_driver(engine.cuda), branch(facts.nvidia.module or facts.nvidia.library)
    if least is not None and here is not None and here < least:
        yield Finding(
            id,
            "fault",
            f"this llama.cpp was built with CUDA {engine.cuda}, which needs driver {least} or "
            f"newer, and {here} is here",
            remedy="update the driver, or use a build with an older CUDA",
        )
    for name, _, row in cards:
        if row and row.last_cuda is not None and engine.cuda > row.last_cuda[0]:
            yield Finding(
                id,
                "fault",
                f"this llama.cpp was built with CUDA {engine.cuda}, which leaves out {name}: "
                f"{row.name} ends with CUDA {row.last_cuda[0]}.{row.last_cuda[1]}",
                remedy="use a build with CUDA 12",
                subject=name,
            )


def compiled_for(facts: Facts) -> Iterator[Finding]:
    """The engine's CUDA library has code for every card."""
    id, engine = "engine.architectures", facts.engine
    if engine is None:
        yield unchecked(id, facts.engine_problem or "no llama.cpp was found")
        return
    if not engine.code:
        yield unchecked(id, "this llama.cpp has no CUDA library that could be looked into")
        return
    said = _code_words(engine.code)
    cards = [(card, capability_of(card.hardware.compute_capability)) for card in facts.of_nvidia]
    without = [card for card, c in cards if c and not any(_runs(code, c) for code in engine.code)]
    for card in without:
        yield Finding(
            id,
            "fault",
            f"this llama.cpp has no code for {card.name} (compute capability {card.hardware.compute_capability})",
            (f"compiled for {said}",),
            "have one built with its architecture among them",
            _build_command(facts),
            card.hardware.id,
        )
    late = [card for card, c in cards if c and card not in without and not _exact(engine.code, c)]
    for card in late:
        yield Finding(
            id,
            "note",
            f"{card.name} compiles its code at the first start, which takes minutes",
            (f"compiled for {said}",),
            subject=card.hardware.id,
        )
    if not without:
        yield Finding(id, "good", f"this llama.cpp has CUDA code for {said}")


def _build_command(facts: Facts) -> str:
    """hettui's own: it fetches the source, finds compilers and toolkit, and tries what it has built."""
    known = [c for _, c, _ in _generations(facts)]
    return f'hettui engine build --backends cuda --architectures "{architectures(known)}" --use'


def _runs(code: CudaCode, capability: tuple[int, int]) -> bool:
    return runs_on(code.capability, ptx=code.ptx, capability=capability)


def _exact(code: tuple[CudaCode, ...], capability: tuple[int, int]) -> bool:
    """Some of it needs no compiling."""
    return any(not one.ptx and _runs(one, capability) for one in code)


def _code_words(code: tuple[CudaCode, ...]) -> str:
    return ", ".join(f"{c.capability[0]}.{c.capability[1]}{' (PTX)' if c.ptx else ''}" for c in code)


def kernel_log(facts: Facts) -> Iterator[Finding]:
    """What the kernel's log says of cards since the boot: NVIDIA's Xid errors, amdgpu's resets."""
    id, log = "driver.log", facts.kernel.log
    if log is None:
        yield unchecked(id, f"{facts.kernel.no_log}: sudo dmesg shows it")
        return
    seen: dict[tuple[str, str], tuple[int, str]] = {}
    for line in log:
        if match := _XID.search(line):
            key = (match[1].lower(), match[2])
        elif match := _AMD_RESET.search(line):
            key = (match[1].lower(), match[2].lower())
        else:
            continue
        seen[key] = (seen.get(key, (0, ""))[0] + 1, line)
    for (address, what), (count, line) in seen.items():
        number = int(what) if what.isdecimal() else None
        words = f"Xid {number}: {_XIDS.get(number, 'see NVIDIA’s list of Xid errors')}" if number is not None else what
        yield Finding(
            id,
            "note" if number in _HARMLESS else "warning",
            f"the kernel told of the card at {address}: {words}, {count} time{'s' if count > 1 else ''} since the boot",
            (line[:200],),
            "" if number in _HARMLESS else "see to its power, its heat and its slot; reboot",
            subject=address,
        )
    if not seen:
        yield Finding(id, "good", "the kernel's log tells of no card in trouble")


def persistence(facts: Facts) -> Iterator[Finding]:
    """NVIDIA's driver stays loaded: else every start waits seconds for it."""
    id = "driver.persistence"
    known: list[CardFacts] = [card for card in facts.graphics if card.persistence is not None]
    if not known:
        yield unchecked(id, "no card of NVIDIA's tells of it")
        return
    without = [card for card in known if not card.persistence]
    if without:
        names = ", ".join(card.name for card in without)
        yield Finding(
            id,
            "note",
            f"the driver is unloaded whenever nothing uses {names}: each start then waits for it, "
            "and set power limits are lost",
            (),
            "turn persistence on",
            "sudo nvidia-smi -pm 1",
        )
    else:
        yield Finding(id, "good", "the driver stays loaded (persistence is on)")
