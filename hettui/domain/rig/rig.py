"""A machine with everything that a plan for it needs and may tell anybody: what is free text passes the veil."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from hettui.domain.bench.kept import run_json
from hettui.domain.bench.run import BenchRun
from hettui.domain.config.values import Config
from hettui.domain.devices.device import LOCAL, Device, Hardware
from hettui.domain.documents.codec import Codec
from hettui.domain.documents.forms import Json, Mismatch
from hettui.domain.errors import UsageError
from hettui.domain.llama.beside import mark, offloads_operations
from hettui.domain.llama.options import allocations
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.planner.learned import Learned
from hettui.domain.recording.plausible import session_problem
from hettui.domain.records import dataclass
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line, free_name
from hettui.domain.units import MIB

FORMAT = 1
MARK = "hettui_rig"
"""The key by which a block of JSON is known to be a rig: its format."""
_CODEC = Codec()
_NEWEST_BUILD = 999_999
Hide = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Rig:
    """One machine, or one cluster of machines. Host names are numbers, cards have no UUID, files have no path."""

    hettui: str
    build: int
    version: str
    """As the llama.cpp build says it."""
    params: RuntimeParams
    devices: tuple[Device, ...]
    """With what was measured on them."""
    cards: tuple[Hardware, ...]
    ram_bytes: int | None = None
    compute: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What launches reserved, by hashes of what was launched: `Learned.compute`."""
    extra_args: tuple[str, ...] = ()
    """Those that make llama.cpp hold more than a plan counts, with numbers in the place of files."""
    beside: str = ""
    """A mark of all that was said besides: what launches reserved is kept under it."""
    host_bytes_per_s: float | None = None
    """What its CPUs can read from memory."""
    file_bytes: Mapping[str, int] = field(default_factory=dict)
    """By the numbers that stand in `extra_args`."""
    machine: Mapping[str, str] = field(default_factory=dict)
    """CPU, system, …, in words."""
    findings: tuple[tuple[str, str], ...] = ()
    """The doctor's that matter: check and severity, without words."""

    @property
    def learned(self) -> Learned:
        """The devices carry their speeds themselves."""
        compute = {key: dict(value) for key, value in self.compute.items()}
        return Learned(compute=compute, host_bytes_per_s=self.host_bytes_per_s, beside=self.beside)


def rig_of(
    session: Session,
    *,
    version: str,
    machine: Mapping[str, str],
    findings: Sequence[tuple[str, str]],
    hide: Hide,
) -> Rig:
    """Of an opened session."""
    engine = session.cluster.engine if session.cluster else None
    hosts = {name: f"host{number}" for number, name in enumerate(_hosts(session), 1)}
    params = session.config.params
    extra_args, file_bytes = _uncounted(session.config.serving.extra_args, session.file_bytes)
    return Rig(
        version,
        session.build,
        hide(engine.version) if engine else "",
        # A draft model, a projector and adapters are files of this machine: a plan for another one is made without.
        replace(
            params,
            override_tensor=tuple(map(hide, params.override_tensor)),
            draft=None,
            mmproj="",
            lora=(),
            control_vector=(),
        ),
        _apart([_device(one, hosts, hide) for one in session.learned.with_measured(session.devices)]),
        tuple(_card(one, hosts, hide) for one in session.hardware),
        session.ram_bytes,
        session.learned.compute,
        extra_args,
        mark(session.config.serving.extra_args),
        session.learned.host_rate_bytes_per_s,
        file_bytes,
        {name: hide(said) for name, said in machine.items()},
        tuple(findings),
    )


def _hosts(session: Session) -> list[str]:
    told = (
        [d.host for d in session.devices] + [h.host for h in session.hardware] + [h.name for h in session.config.hosts]
    )
    return [name for name in dict.fromkeys(told) if name != LOCAL]


def _device(device: Device, hosts: Mapping[str, str], hide: Hide) -> Device:
    return replace(
        device,
        name=hide(device.name),
        id=_identity(device.id, device.pci_address, device.engine_name),
        uuid=None,
        host=hosts.get(device.host, LOCAL),
        missing="it is not there now" if device.missing else None,
    )


def _apart(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Names that the veil has made equal are told apart again."""
    found: list[Device] = []
    for device in devices:
        found.append(replace(device, name=free_name(device.name, [one.name for one in found])))
    return tuple(found)


def _card(card: Hardware, hosts: Mapping[str, str], hide: Hide) -> Hardware:
    return replace(
        card,
        id=_identity(card.id, card.pci_address, card.engine_name),
        name=hide(card.name),
        uuid=None,
        host=hosts.get(card.host, LOCAL),
        driver=hide(card.driver) if card.driver else None,
        trouble="it cannot be used now" if card.trouble else None,
    )


def _identity(id: str, address: str | None, engine_name: str | None) -> str:
    """Without a UUID."""
    if id in ("", "cpu") or id.startswith("pci:"):
        return id
    return f"pci:{address}" if address else engine_name or ""


def _uncounted(words: Sequence[str], sizes: Mapping[str, int]) -> tuple[tuple[str, ...], dict[str, int]]:
    """What a plan does not count of `extra-args`, with numbers for the names of files."""
    said: list[str] = []
    known: dict[str, int] = {}
    for one in allocations(words):
        numbers = [str(len(known) + place) for place in range(1, len(one.files) + 1)]
        known |= {n: sizes[file] for n, file in zip(numbers, one.files, strict=True) if file in sizes}
        said.append(one.spelling)
        said += [",".join(numbers)] if numbers else [str(one.least_bytes // MIB)] if one.least_bytes else []
    # The last word of the two counts.
    said += ["--op-offload"] if offloads_operations(words) and not offloads_operations(said) else []
    return tuple(said), known


def bench_json(run: BenchRun, hide: Hide) -> dict[str, Any]:
    """A run for a report: no command line and no path; every other text passes the veil."""
    bare = replace(run.setting, model_path=None, commands=())
    document: dict[str, Any] = _hidden(run_json(replace(run, setting=bare)), hide)
    return {"key": run.key, **document}


def _hidden(value: Any, hide: Hide) -> Any:
    """Every text in it, but for the names of fields."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, Mapping):
        return {key: _hidden(one, hide) for key, one in value.items()}
    return [_hidden(one, hide) for one in value] if isinstance(value, list | tuple) else value


def rig_json(rig: Rig) -> dict[str, Json]:
    """The document that `read_rig` reads."""
    said = _CODEC.encode(rig, Rig)
    assert isinstance(said, dict)  # noqa: S101 - a record is a table
    return {MARK: FORMAT, **said}


def read_rig(document: object, where: str) -> Rig:
    """Raises UsageError with what is wrong; `where` names the file."""
    shown = clean_line(where, 200)
    if not isinstance(document, dict) or MARK not in document:
        raise UsageError(f"{shown} holds no rig: hettui report writes one")
    if document[MARK] != FORMAT:
        raise UsageError(f"{shown} is a rig of another format ({clean_line(str(document[MARK]), 20)}): update hettui")
    said = {key: value for key, value in document.items() if key not in (MARK, "bench")}
    try:
        rig: Rig = _CODEC.decode(said, Rig)
    except Mismatch as error:
        raise UsageError(f"{shown} is a damaged rig: {clean_line(str(error), 200)}") from None
    if problem := _problem(rig):
        raise UsageError(f"{shown} is no rig that can be: {problem}")
    return rig


def _problem(rig: Rig) -> str | None:
    """What no machine can have told, though every value has its type."""
    if any((d.layers or 0) < 0 for d in rig.devices) or (rig.ram_bytes or 0) < 0:
        return "a count below 0"
    if not 0 < rig.build <= _NEWEST_BUILD:
        return f"llama.cpp b{rig.build}"
    if any(size < 0 for known in (*rig.compute.values(), rig.file_bytes) for size in known.values()):
        return "a size below 0"
    return session_problem(Session(Config(params=rig.params), rig.cards, rig.devices, None, None))
