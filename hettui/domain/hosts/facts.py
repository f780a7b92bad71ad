"""What a host said of itself: the probe's lines as data. What it did not say is None."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.devices.device import Hardware
from hettui.domain.devices.identity import card_uuid, pci_address
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line
from hettui.domain.units import MIB, UNKNOWN

_KIB = 1024
_DEVICE = late_pattern(r"^ *([A-Za-z]+[0-9]*): (.*) \((\d{1,9}) MiB, (\d{1,9}) MiB free\)")
_NVIDIA_FIELDS = 9
_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
_MAKERS = {"AMD": "rocm", "Intel": "sycl", "NVIDIA": "cuda"}
_MOST_BYTES = 1 << 50
"""No machine has more memory: what says so is not believed."""


@dataclass(frozen=True, slots=True)
class FarWorker:
    """A worker that lives there, whoever started it from wherever."""

    id: str
    pid: int
    port: int | None
    what: str
    """In words: which worker of which machine."""


@dataclass(frozen=True, slots=True)
class FarDevice:
    """One line of the rpc server's list: what `-d` takes."""

    name: str
    description: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class FarCard:
    """One card as its driver tells of it."""

    vendor: str
    name: str
    pci_address: str | None = None
    uuid: str | None = None
    driver: str | None = None
    total_bytes: int | None = None
    free_bytes: int | None = None
    temperature_c: int | None = None
    pcie_link: str | None = None


@dataclass(frozen=True, slots=True)
class HostFacts:
    """One host."""

    host: str
    """As the user calls it."""
    os: str | None = None
    arch: str | None = None
    name: str | None = None
    machine: str | None = None
    """The same for one machine under several names."""
    boot: str | None = None
    libc: str | None = None
    user: str | None = None
    cpus: int | None = None
    cpu: str | None = None
    total_bytes: int | None = None
    free_bytes: int | None = None
    """Of RAM, as far as this user's processes may take it."""
    disk_free_bytes: int | None = None
    """Where caches lie."""
    cache_bytes: int | None = None
    """What hettui's own cache takes there."""
    tools: tuple[str, ...] = ()
    server: str | None = None
    """The rpc server; None: there is none."""
    looked: str | None = None
    """Where an rpc server was looked for in vain."""
    version: str | None = None
    build: str | None = None
    """The sum of the rpc server and its library."""
    trouble: str | None = None
    """Why the rpc server cannot be run, in its own words."""
    devices: tuple[FarDevice, ...] = ()
    cards: tuple[FarCard, ...] = ()
    workers: tuple[FarWorker, ...] = ()
    logs: int = 0
    problems: tuple[str, ...] = ()
    whole: bool = True
    """It answered to the end."""
    round_trip_s: float | None = None
    """Of one word there and back; None is not known."""
    line_bytes_per_s: float | None = None
    """What the line there takes; None is not known."""
    clock_unix_s: int | None = None
    """Its own time when it was asked."""
    clock_off_s: float | None = None
    """How far that is ahead of this machine's; within the time that the question took it counts as 0."""

    @property
    def line(self) -> str:
        """`0.4 ms, 940 Mbit/s`."""
        return line_in_words(self.round_trip_s, self.line_bytes_per_s)

    def hardware(self) -> tuple[Hardware, ...]:
        """What can hold layers there, each once; cards that the rpc server does not list have no engine name."""
        found, rest = [], list(self.cards)
        for device in self.devices:
            card = next((one for one in rest if _is(one, device)), None)
            if card is not None:
                rest.remove(card)
            found.append(self._listed(device, card))
        found += [self._unlisted(card) for card in rest]
        if not any(one.backend == "cpu" for one in found):
            found.append(self._processor())
        return tuple(found)

    def _listed(self, device: FarDevice, card: FarCard | None) -> Hardware:
        backend = device.name.rstrip("0123456789").lower()
        if backend == "cpu":
            return self._processor()
        uuid = card.uuid if card else None
        total, free = device.total_bytes, device.free_bytes
        if card and card.total_bytes is not None:
            total = min(total, card.total_bytes) if total else card.total_bytes
            free = min(free, total) if card.free_bytes is None else min(free, card.free_bytes, total)
        return Hardware(
            f"uuid:{uuid}" if uuid and backend == "cuda" else device.name,
            card.name if card and card.uuid else device.description or device.name,
            backend,
            self.host,
            total,
            free,
            card.pci_address if card else None,
            uuid if backend == "cuda" else None,
            device.name,
            card.driver if card else None,
            card.temperature_c if card else None,
            card.pcie_link if card else None,
        )

    def _unlisted(self, card: FarCard) -> Hardware:
        why = "its rpc server does not list it" if self.server else "there is no rpc server that could use it"
        if self.trouble:
            why = f"its rpc server cannot be run: {self.trouble}"
        identity = f"uuid:{card.uuid}" if card.uuid else f"pci:{card.pci_address}" if card.pci_address else card.name
        return Hardware(
            identity, card.name, _MAKERS.get(card.vendor, "vulkan"), self.host, card.total_bytes, card.free_bytes,
            card.pci_address, card.uuid, None, card.driver, card.temperature_c, card.pcie_link, trouble=why,
        )  # fmt: skip

    def _processor(self) -> Hardware:
        threads = f" ({self.cpus} threads)" if self.cpus else ""
        return Hardware(
            "cpu", f"{self.cpu or 'CPU'}{threads}", "cpu", self.host, self.total_bytes, self.free_bytes,
            engine_name="CPU" if self.server else None,
        )  # fmt: skip


def line_in_words(round_trip_s: float | None, bytes_per_s: float | None) -> str:
    """`0.4 ms, 940 Mbit/s`; – for what is not known."""
    trip = UNKNOWN if round_trip_s is None else f"{round_trip_s * 1e3:.1f} ms"
    return f"{trip}, {UNKNOWN if bytes_per_s is None else f'{bytes_per_s * 8 / 1e6:.0f}'} Mbit/s"


def _is(card: FarCard, device: FarDevice) -> bool:
    """Whether the list's entry is this card: by name and size, cards and entries both in PCI order."""
    if device.name.startswith("CUDA") != (card.vendor == "NVIDIA"):
        return device.name.startswith("Vulkan") and card.name in device.description
    if card.total_bytes is None:
        # Of Intel's cards the kernel does not tell it.
        return card.vendor == "Intel" and "Intel" in device.description and not device.name.startswith("CPU")
    return abs(card.total_bytes - device.total_bytes) <= max(1024 * MIB, card.total_bytes // 10)


def read_facts(host: str, lines: Sequence[Sequence[str]]) -> HostFacts:
    """The words of each marked line that the probe printed. Never raises: a host may print anything."""
    said = [(words[0], clean_line(" ".join(words[1:]).strip(), 200)) for words in lines if words]
    one = {key: value for key, value in said if value}

    def every(key: str) -> list[str]:
        return [value for name, value in said if name == key and value]

    listed = [match for text in every("said") if (match := _DEVICE.match(text))]
    memory = [_number(word) for word in one.get("memory_kib", "").split()] + [None, None]
    total, free = (None if kib is None else kib * _KIB for kib in memory[:2])
    total, free = _limited(total, free, every("limit_bytes"))
    cards, problems = _cards(every("nvidia"), every("card"))
    complaints = [text for text in every("said") if not _DEVICE.match(text) and "none-such" not in text]
    complaints = [text for text in complaints if text not in ("available devices:", "No devices found")]
    return HostFacts(
        host,
        one.get("os"),
        one.get("arch"),
        one.get("name"),
        one.get("machine"),
        one.get("boot"),
        one.get("libc"),
        one.get("user"),
        _number(one.get("cpus")),
        one.get("cpu"),
        total,
        free,
        _kib(one.get("disk_kib")),
        _kib(one.get("cache_kib")),
        tuple(every("has")),
        one.get("server"),
        one.get("missing"),
        one.get("version", "").removeprefix("version: ") or None,
        one.get("build"),
        complaints[-1] if complaints and not listed else None,
        tuple(FarDevice(m[1], m[2], int(m[3]) * MIB, min(int(m[3]), int(m[4])) * MIB) for m in listed),
        cards,
        tuple(w for text in every("worker") if (w := _worker(text)) is not None),
        len(every("log")),
        problems,
        ("end", "") in said,
        clock_unix_s=_number(one.get("clock")),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 19 else None


def _kib(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None or number * _KIB > _MOST_BYTES else number * _KIB


def _limited(total: int | None, free: int | None, limits: Sequence[str]) -> tuple[int | None, int | None]:
    """The machine's memory, and what groups of processes may take of it."""
    for text in limits:
        numbers = [_number(word) for word in text.split()] + [None, None]
        limit, used = numbers[0], numbers[1] or 0
        if limit is None or limit > _MOST_BYTES:
            continue
        total = limit if total is None else min(total, limit)
        free = max(0, limit - used) if free is None else max(0, min(free, limit - used))
    return total, free


def _cards(nvidia: Sequence[str], drm: Sequence[str]) -> tuple[tuple[FarCard, ...], tuple[str, ...]]:
    found: list[FarCard] = []
    problems: list[str] = []
    for text in nvidia:
        fields = [field.strip() for field in text.split(",")]
        uuid = card_uuid(fields[0])
        if len(fields) != _NVIDIA_FIELDS or uuid is None:
            problems.append(f"nvidia-smi: {text}")
            continue
        _, address, name, driver, total, free, heat, generation, width = fields
        link = f"gen{generation} x{width}" if _number(generation) and _number(width) else None
        found.append(
            FarCard(
                "NVIDIA", name, pci_address(address), uuid, driver or None, _mib(total), _mib(free), _number(heat), link
            )
        )
    for text in drm:
        address, vendor, device, driver, total, used = [*text.split(), *[""] * 6][:6]
        maker = _VENDORS.get(vendor)
        if maker is None or (maker == "NVIDIA" and nvidia):
            continue
        size, taken = _number(total), _number(used)
        free_bytes = None if size is None or taken is None else max(0, size - taken)
        found.append(FarCard(maker, f"{maker} {device}", pci_address(address), None, driver or None, size, free_bytes))
    return tuple(found), tuple(problems)


def _mib(text: str) -> int | None:
    number = _number(text)
    return None if number is None or number * MIB > _MOST_BYTES else number * MIB


def _worker(text: str) -> FarWorker | None:
    words = text.split(" ", 3)
    pid = _number(words[1]) if len(words) > 1 else None
    if pid is None:
        return None
    return FarWorker(words[0], pid, _number(words[2]) if len(words) > 2 else None, words[3] if len(words) > 3 else "")
