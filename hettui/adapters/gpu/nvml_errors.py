"""Why NVIDIA's driver refuses, in sentences with the remedy. "No cards" and "the driver says no" are not the same."""

from __future__ import annotations

from hettui.domain.text import clean_line

LOST = {
    1: "the driver was unloaded",
    9: "the driver was unloaded",
    15: "it fell off the bus",
    16: "it needs a reset",
}
"""NVML's error codes after which a handle says nothing any more."""

NO_DRIVER = frozenset({9, 12})
"""Driver not loaded, library not found: on a machine without such a card that is as it should be."""

_INIT = {
    4: "this user may not use it: add the user to the group that owns /dev/nvidiactl, or start the container with it",
    9: "its kernel module is not loaded: sudo modprobe nvidia; after an update of the kernel install the driver anew",
    12: "its library libnvidia-ml.so.1 is not here: install NVIDIA's driver, or start the container with its cards",
    14: "the card's interrupt cannot be used: dmesg says more",
    15: "a card fell off the bus: see dmesg for Xid, check its power and its slot, then reboot",
    16: "a card needs a reset: stop what uses it and run sudo nvidia-smi --gpu-reset, or reboot",
    17: "the operating system blocks it: start the container anew, with access to its cards",
    18: "its library and the loaded kernel module are of different versions, as after an update: reboot",
    999: "it does not say why: see dmesg; in a container, start that anew; else reboot",
}
_CARD = {
    4: "this user may not use it: see who owns /dev/nvidia*, or give the container this card",
    15: "it is lost, it fell off the bus: see dmesg for Xid, check its power and its slot, then reboot",
    16: "it needs a reset: stop what uses it and run sudo nvidia-smi --gpu-reset, or reboot",
}


def refused_altogether(error: Exception) -> str:
    """NVML could not be opened."""
    return f"NVIDIA's driver cannot be used: {_INIT.get(_code(error)) or _in_general(error)}"


def refused_card(number: int, count: int, error: Exception, where: str | None) -> str:
    """One card's handle was not given. `where`: its address, when it can only be this one."""
    at = f" at {where}" if where else ""
    return f"NVIDIA card {number} of {count}{at}: {_CARD.get(_code(error)) or _in_general(error)}"


def _code(error: Exception) -> int:
    value = getattr(error, "value", None)
    return value if isinstance(value, int) else 0


def _in_general(error: Exception) -> str:
    words = clean_line(str(error), 120).strip().rstrip(".") or type(error).__name__
    return f"{words}; nvidia-smi and dmesg say more"
