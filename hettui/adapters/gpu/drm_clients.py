"""How much memory of a card each process holds, from /proc/PID/fdinfo (the kernel's drm-usage-stats).

Only the user's own processes can be read; those of others are not in the answer, and their memory is what remains of
the card's used memory. Our own processes are read every round, the rest of /proc is looked through rarely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from hettui.adapters.machine.sysfs import children, read_text
from hettui.domain.patterns import late_pattern
from hettui.domain.telemetry.readings import Holder
from hettui.domain.text import clean_line

_FDINFO_BYTES = 16384
_MOST_DESCRIPTORS = 4096
_SIZE = late_pattern(r"([0-9]{1,15})(?: ([KMG]i)?B)?")
_UNIT_BYTES = {None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}

Held = dict[str, dict[int, int]]
"""Bytes by process id, by PCI address. A card whose driver tells nothing is not in it."""


class DrmClients:
    """Finds the processes that have a card open, and what they hold of it."""

    def __init__(self, proc_root: Path) -> None:
        self._proc = proc_root
        self.regions: dict[str, frozenset[str]] = {}
        """The cards by PCI address, with the kinds of memory that count as theirs: `vram`, `local0`, `gtt`, …"""
        self._others: tuple[int, ...] = ()

    def read(self, own_pids: Iterable[int], look_around: bool) -> Held:
        """What is held of every card. `look_around` looks through all processes again for those that use cards."""
        own = tuple(dict.fromkeys(own_pids))
        held: Held = {}
        seen: set[tuple[str, str]] = set()
        for pid in own:
            self._read_process(pid, held, seen)
        if look_around:
            self._others = tuple(int(entry.name) for entry in children(self._proc) if entry.name.isdecimal())
        using = []
        for pid in self._others:
            if pid not in own and self._read_process(pid, held, seen):
                using.append(pid)
        self._others = tuple(using)
        return held

    def holders(self, held: Mapping[int, int] | None) -> tuple[Holder, ...] | None:
        """The largest first."""
        if held is None:
            return None
        ordered = sorted(held.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Holder(pid, self._name(pid), size) for pid, size in ordered)

    def _name(self, pid: int) -> str:
        return clean_line(read_text(f"{self._proc}/{pid}/comm", 64) or "", 40)

    def _read_process(self, pid: int, held: Held, seen: set[tuple[str, str]]) -> bool:
        """Whether it has a card open at all. `seen` are the clients that were counted already.

        A client is one opening of a card: a copied descriptor, also one handed to another process, is the same one.
        """
        opened = False
        for descriptor in children(self._proc / str(pid) / "fd")[:_MOST_DESCRIPTORS]:
            try:
                if not str(descriptor.readlink()).startswith("/dev/dri/"):
                    continue
            except OSError:
                continue
            opened = True
            fields = _fields(read_text(f"{self._proc}/{pid}/fdinfo/{descriptor.name}", _FDINFO_BYTES) or "")
            card, client = fields.get("drm-pdev"), fields.get("drm-client-id")
            if card is None or client is None or card not in self.regions or (card, client) in seen:
                continue
            size = _size(fields, self.regions[card])
            if size is None:
                continue
            seen.add((card, client))
            of_card = held.setdefault(card, {})
            of_card[pid] = of_card.get(pid, 0) + size
        return opened


def _size(fields: Mapping[str, str], regions: frozenset[str]) -> int | None:
    """What lies in the memory that counts now. `drm-memory-` is the older name of `drm-resident-`."""
    sizes = []
    for region in regions:
        told = fields.get(f"drm-resident-{region}") or fields.get(f"drm-memory-{region}")
        match = _SIZE.fullmatch(told) if told else None
        if match:
            sizes.append(int(match[1]) * _UNIT_BYTES[match[2]])
    return sum(sizes) if sizes else None


def _fields(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {key: value.strip() for key, colon, value in pairs if colon and key.startswith("drm-")}
