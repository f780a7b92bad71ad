"""Facts into the views of the devices' cards: pure functions."""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict

from hettui.domain.cluster.launch import exposures, worker_name
from hettui.domain.cluster.snapshot import Applied
from hettui.domain.devices.device import HOST_KEY, LOCAL, Device
from hettui.domain.hosts.worker import way_of
from hettui.domain.memory.context import known
from hettui.domain.memory.forecast import Forecast, Memory
from hettui.domain.memory.layout import compute_error_bytes
from hettui.domain.plan.experts import parts_here
from hettui.domain.plan.split import HOST
from hettui.domain.session.doubts import untested
from hettui.domain.telemetry.readings import DeviceSample
from hettui.domain.telemetry.why import worst
from hettui.domain.text import clean_line
from hettui.domain.units import MIB, format_bytes, mib
from hettui.ui.presenting.facts import Facts
from hettui.ui.presenting.views import CardView

STALE_AFTER_INTERVALS = 3

_WORTH_A_WORD_BYTES = 8 * MIB
_OFF_PLAN_BYTES = 64 * MIB
_NOTHING = Memory()


def cards(facts: Facts) -> list[CardView]:
    """One view per device in device order, the host's last: it holds what nobody else took."""
    outlook, best = facts.outlook, facts.wanted
    ghosts: dict[str, int] = {}
    if best is not None:
        names = [d.name for d in best.plan.devices]
        ghosts = dict(zip(names, best.plan.split.layers, strict=True))
    views = [_card(facts, outlook, i, ghosts.get(device.name)) for i, device in enumerate(facts.plan.devices)]
    return [*views, _host_card(facts, outlook)]


def _running(applied: Applied | None, name: str) -> int | None:
    if applied is None:
        return None
    layers = (n for d, n in zip(applied.devices, applied.split.layers, strict=True) if d.name == name)
    return next(layers, 0)


def _experts(facts: Facts, index: int) -> tuple[int, int] | None:
    """Of a mixture always, of a dense model where the plan says so, and the settings do not say otherwise."""
    shape, plan = facts.session.shape, facts.plan
    if shape is None or not (shape.mixtures or plan.away) or facts.shares_tensors:
        return None
    return parts_here(plan.split, plan.away, index, shape.movable)


def _role(device: Device) -> str:
    if device.via == "master":
        return "attached"
    return "worker" if device.host == LOCAL else f"worker on {clean_line(device.host, 20)}"


def _card(facts: Facts, outlook: Forecast | None, index: int, ghost: int | None) -> CardView:
    device, split = facts.plan.devices[index], facts.plan.split
    owner = worker_name(device) if device.via == "worker" else "master"
    # What nobody has is no process's.
    process = next((p for p in facts.cluster.processes if p.name == owner and not device.is_imagined), None)
    running = _running(facts.cluster.applied, device.name)
    layers, entry = split.layers[index], facts.typed if facts.typed and facts.selected == index else None
    is_cpu = device.backend == "cpu"
    read = _readings(facts, device.name, is_cpu=is_cpu, running=running)
    view = CardView(
        index=index,
        name=clean_line(device.name, 200),
        role=_whole_role(facts, device, outlook, index, read),
        layers=layers,
        maximum=split.total_layers,
        running=running,
        ghost=ghost,
        locked=device.locked,
        output=split.output_device == index and not facts.shares_tensors,
        experts=_experts(facts, index),
        moves=facts.plan.moves,
        memory=_NOTHING if outlook is None else outlook.devices[index],
        budget_bytes=device.budget_bytes,
        short_bytes=0 if outlook is None else outlook.short_bytes(index),
        is_cpu=is_cpu,
        process=(way_of(process.detail) or process.state.value) if process else "",
        note_role="dim",
        share=_share(facts, index),
        entry=entry,
        colour=facts.colours.get(device.name, 0),
        idle=not layers and entry is None,
        **read,
    )
    problem = (process.detail if process else "") or " ".join(exposures([device]))
    if idle := _idle(facts, view, device):
        note, role = idle
    else:
        note, role = (clean_line(problem), "crit") if problem else _note(facts, view, device, outlook)
    return _noted(view, note, role)


def _noted(view: CardView, note: str, role: str) -> CardView:
    return view if (note, role) == (view.note, view.note_role) else replace(view, note=note, note_role=role)


def _whole_role(facts: Facts, device: Device, outlook: Forecast | None, index: int, read: _Readings) -> str:
    """With what else lies on it, and whether it sleeps."""
    words, split = [_role(device)], facts.plan.split
    if facts.shares_tensors and split.layers[index]:
        share = f"{100 * split.layers[index] / split.n_gpu_layers:.0f} % of each tensor"
        words = [share] if device.via == "master" else [*words, share]
    if outlook is not None:
        words += ["draft"] if outlook.devices[index].draft_bytes else []
        words += ["projector"] if outlook.projecting is not None and outlook.projecting.device == index else []
    sample = read.get("sample")
    if sample is not None and sample.asleep and read["stale_s"] is None:
        words.append("asleep")
    return ", ".join(words)


def _share(facts: Facts, index: int) -> float | None:
    """Of a token's time, in whole percent as it is shown: what nobody would see draws no card anew."""
    speed = facts.speed
    if speed is None or index not in speed.stages_s or len(speed.stages_s) < 2:
        return None
    return round(100 * speed.stages_s[index] / speed.token_s) / 100


def _idle(facts: Facts, view: CardView, device: Device) -> tuple[str, str] | None:
    """Why it holds nothing, or is not there, and the key that changes it; None for one that is asked for something."""
    name, back = device.name, "{layers.more} gives it a layer"
    if device.is_imagined:
        said, role = f"{{devices.add}} takes it away again · {clean_line(device.missing or '')}", "dim"
    elif device.missing:
        said, role = f"{{devices.look}} looks again · {clean_line(device.missing)}", "crit"
    elif view.layers or not view.maximum:
        return None
    elif name in facts.lost:
        reason = facts.lost[name] or "what runs was started without it"
        said, role = f"left out, {{layers.more}} brings it back · {reason}", "warn"
    elif view.running:
        said, role = f"holds nothing now · {back}", "dim"
    elif view.ghost == 0:
        said, role = f"the planner does without it · {back}", "dim"
    else:
        said, role = f"holds nothing · {back}", "dim"
    return facts.keys.fill(said), role


_ASLEEP = "asleep: the kernel has powered it down, a start wakes it up"
_ROLES = {"error": "crit", "warning": "warn", "information": "dim"}


def _note(facts: Facts, view: CardView, device: Device, outlook: Forecast | None) -> tuple[str, str]:
    """The one line that is worth most now, with its role: why it is slow, what is off, else what is as it should be."""
    found = worst(facts.why, device.name)
    if found:
        return found.text, _ROLES[found.severity]
    if view.sample is not None and view.sample.asleep:
        return _ASLEEP, "dim"
    launched = _after_launch(facts, view, device.name)
    if launched and launched[1] == "warn":
        return launched
    doubt = _doubt(facts, outlook, view.index) if outlook is not None else ""
    if doubt:
        return doubt, "dim"
    return launched or _holders(facts, view) or ("", "dim")


def _doubt(facts: Facts, outlook: Forecast, index: int) -> str:
    """How far the compute buffer may be off, where that is worth a word."""
    shape = facts.session.shape
    if shape is None or index in outlook.measured:
        return ""
    workload = facts.session.workload_of(facts.plan)
    if workload is not None and outlook.devices[index].compute_bytes and untested(workload, facts.plan):
        return "compute is an estimate here"
    error_bytes = compute_error_bytes(shape, outlook.devices[index].compute_bytes)
    if not known(shape):
        return f"compute ±{mib(error_bytes)} MiB: hettui does not know this architecture"
    return f"compute ±{mib(error_bytes)} MiB" if error_bytes >= _WORTH_A_WORD_BYTES else ""


def _after_launch(facts: Facts, view: CardView, name: str) -> tuple[str, str] | None:
    """What was planned, and how far llama.cpp's own buffers and what the driver says that we hold are from it."""
    applied = facts.cluster.applied
    reported = applied.measured.get(name) if applied else None
    if reported is None or view.running != view.layers or facts.differs or not (view.layers or view.is_host):
        return None
    if not view.memory.draft_bytes:
        # Of a draft model in `extra-args` the plan knows nothing.
        reported = replace(reported, draft_bytes=0)
    # Of what lies beside the model the log says nothing, or too little: it is taken as planned.
    reported = replace(reported, beside_bytes=view.memory.beside_bytes)
    planned = view.memory.total_bytes
    told = {"llama.cpp": reported.total_bytes + view.memory.overhead_bytes - planned}
    if not view.is_cpu and view.own_bytes is not None:
        told["driver"] = view.own_bytes - planned
    off = [who for who, by in told.items() if abs(by) > _OFF_PLAN_BYTES]
    parts = [f"{who} {_signed(by)}{OFF if who in off else ''}" for who, by in told.items()]
    return " · ".join([f"planned {mib(planned)} MiB", *parts]), "warn" if off else "dim"


OFF = " !"
"""Behind what is off the plan."""


def _signed(difference_bytes: int) -> str:
    """`+0`, `+12`, `−3`, in MiB, against the plan."""
    whole = round(difference_bytes / MIB)
    return f"−{-whole}" if whole < 0 else f"+{whole}"


def _holders(facts: Facts, view: CardView) -> tuple[str, str] | None:
    """Who else holds memory of the card."""
    ours = {p.pid for p in facts.cluster.processes}
    others = [h for h in (view.sample.holders if view.sample else None) or () if h.pid not in ours]
    if not others or view.is_cpu:
        return None
    names = ", ".join(f"{h.name or 'a process'} ({h.pid}) {format_bytes(h.used_bytes)}" for h in others[:3])
    return f"also on it: {names}", "dim"


def _of_experts(facts: Facts) -> str:
    count = len(facts.plan.blocks_away)
    return f"{facts.plan.moves} of {count} block{'s' if count > 1 else ''}" if count else ""


def _drafts_here(outlook: Forecast | None) -> str:
    if outlook is None:
        return ""
    draft, project = outlook.draft, outlook.projecting
    here = ["the draft model"] if draft is not None and draft.device == HOST else []
    here += ["the projector"] if project is not None and project.device == HOST else []
    return " and ".join(here)


def _read(outlook: Forecast | None) -> str:
    """Where much is mapped that nobody reads."""
    if outlook is None or outlook.host.weights_bytes < outlook.host_weights_bytes + _OFF_PLAN_BYTES:
        return ""
    return f", {format_bytes(outlook.host_weights_bytes)} read"


def _host_card(facts: Facts, outlook: Forecast | None) -> CardView:
    split, applied = facts.plan.split, facts.cluster.applied
    running = applied.split.host_layers if applied else None
    # Its readings are those of the master: without one nobody is asked, and the last answer would stay for ever.
    runs = any(p.role == "master" and p.pid for p in facts.cluster.processes)
    read = _readings(facts, HOST_KEY, is_cpu=True, running=running) if runs else _Readings()
    view = CardView(
        index=HOST,
        name="CPU of this machine",
        role=f"{_of_experts(facts) or _drafts_here(outlook) or 'what no device takes'}{_read(outlook)}",
        layers=split.host_layers,
        maximum=split.total_layers,
        running=running,
        output=split.output_device == HOST and split.total_layers > 0,
        memory=_NOTHING if outlook is None else outlook.host,
        entry=facts.typed if facts.typed and facts.selected == HOST else None,
        **read,
    )
    if not runs:
        return view
    note, role = _after_launch(facts, view, HOST_KEY) or ("", "dim")
    return _noted(view, note, role)


class _Readings(TypedDict, total=False):
    """The part of a card's view that is read; nothing of it before the first reading."""

    sample: DeviceSample
    stale_s: float | None
    card_bytes: int | None
    own_bytes: int | None
    foreign_bytes: int | None
    history: tuple[float | None, ...]
    loads: tuple[float | None, ...]


def _readings(facts: Facts, key: str, *, is_cpu: bool, running: int | None) -> _Readings:
    history, telemetry = facts.histories.get(key), facts.telemetry
    if history is None or telemetry is None or history.last_seen_s is None or history.sample is None:
        return {}
    age_s, sample = telemetry.monotonic_s - history.last_seen_s, history.sample
    own_bytes, foreign_bytes = _held(sample, is_cpu=is_cpu, running=running)
    readings = history.loads if is_cpu else history.temperatures
    now_s, cells, hold_s = telemetry.monotonic_s, facts.history_cells, STALE_AFTER_INTERVALS * telemetry.interval_s
    return {
        "sample": sample,
        "stale_s": age_s if age_s > hold_s else None,
        "card_bytes": None if is_cpu else sample.total_bytes,
        "own_bytes": own_bytes,
        "foreign_bytes": foreign_bytes,
        "history": readings.bins(now_s, cells, hold_s),
        "loads": history.loads.bins(now_s, cells, hold_s) if facts.load_graphs and not is_cpu else (),
    }


def _held(sample: DeviceSample, *, is_cpu: bool, running: int | None) -> tuple[int | None, int | None]:
    """What our processes hold of a device and what others do; None is not known."""
    used, own = sample.used_bytes, sample.own_bytes
    if used is None or is_cpu:
        return used, None
    if own is not None:
        return own, max(0, used - own)
    # Without layers of ours everything is others'; with some, when the driver hides the shares, nobody can tell.
    return (used, None) if running else (None, used)
