"""Graphics cards as the PCI bus shows them, whatever their driver says: nothing here wakes one up."""

from __future__ import annotations

from pathlib import Path

from hettui.adapters.machine.sysfs import children, is_asleep, link_name, pci_id, read_text
from hettui.domain.devices.identity import in_pci_order, pci_address
from hettui.domain.records import dataclass

NVIDIA, AMD = 0x10DE, 0x1002
REST_S = 20.0
"""So long a card is left alone that does nothing and may fall asleep: every question keeps it awake."""
_MAKERS = {NVIDIA: "NVIDIA", AMD: "AMD"}
_DISPLAY = "0x03"
_OWN_DRIVERS = {NVIDIA: ("nvidia",), AMD: ("amdgpu",)}


@dataclass(frozen=True, slots=True)
class PciCard:
    """One card of the bus."""

    address: str
    folder: Path
    vendor: int
    driver: str | None
    """None: the kernel has given it to none."""

    @property
    def asleep(self) -> bool:
        return is_asleep(self.folder)


def may_sleep(folder: Path) -> bool:
    """Whether the kernel may power the card down while nobody asks it anything."""
    return read_text(f"{folder}/power/control", 16) == "auto"


def pci_cards(sys_root: Path, vendor: int) -> tuple[PciCard, ...]:
    """A maker's cards in the order of their addresses."""
    found = []
    for folder in children(sys_root / "bus" / "pci" / "devices"):
        address = pci_address(folder.name)
        if address is None or not (read_text(f"{folder}/class", 16) or "").startswith(_DISPLAY):
            continue
        if pci_id(folder, "vendor") == vendor:
            found.append(PciCard(address, folder, vendor, link_name(folder / "driver")))
    return tuple(sorted(found, key=lambda card: in_pci_order(card.address)))


def unused(sys_root: Path, vendor: int) -> tuple[str, ...]:
    """A sentence for each card that another driver than its maker's has, or none."""
    said = []
    for card in pci_cards(sys_root, vendor):
        if card.driver in _OWN_DRIVERS[vendor]:
            continue
        name, own = f"an {_MAKERS[vendor]} card is at {card.address}", _OWN_DRIVERS[vendor][0]
        if card.driver is None:
            said.append(f"{name}, but no driver has it: load {own} (sudo modprobe {own}); dmesg says why it did not")
        elif card.driver == "vfio-pci":
            said.append(f"{name}, but it is set aside for virtual machines (vfio-pci): bind it to {own} to use it here")
        else:
            said.append(f"{name}, but the driver {card.driver} has it: only with {own} can it hold layers")
    return tuple(said)
