"""What a recorded screen cannot have shown, though every value has its type: so that nothing is drawn from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hettui.domain.cluster.snapshot import Applied
from hettui.domain.devices.device import MAX_DEVICES, Device
from hettui.domain.errors import HettuiError
from hettui.domain.llama.params import (
    CACHE_TYPES,
    FLASH_ATTN,
    LOAD_MODES,
    SPECULATION,
    SPLIT_MODES,
    Drafting,
    RuntimeParams,
    override_pattern,
)
from hettui.domain.patterns import late_pattern
from hettui.domain.session.session import Session
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.domain.text import clean_line

_MOST_TOKENS = 1 << 31
_MOST_PATH_CHARS = 4096
_MOST_NAME_CHARS = 200
_LONGEST_INTERVAL_S = 3600.0
_NESTED_REPEAT = late_pattern(r"[*+}]\)[*+{]")
"""In a pattern: it may take as good as for ever."""


def session_problem(session: Session) -> str | None:
    """Why no hettui can have had this session; None when nothing is wrong."""
    return next(_session_problems(session), None)


def _session_problems(session: Session) -> Iterator[str]:
    names = [d.name for d in session.devices]
    if len(names) > MAX_DEVICES:
        yield f"{len(names)} devices, but llama.cpp drives at most {MAX_DEVICES}"
    if len(set(names)) < len(names):
        yield "two devices have the same name"
    devices = (*session.devices, *(session.cluster.devices if session.cluster else ()))
    yield from (f"the device {clean_line(d.name, 40)} has an impossible {what}" for d in devices for what in _odd(d))
    yield from _params_problems(session.config.params)
    if session.shape is not None:
        tensors = session.shape.file.tensors
        if any(t.size_bytes < 0 or len(t.name) > _MOST_NAME_CHARS or min(t.shape, default=1) < 0 for t in tensors):
            yield "the model has an impossible tensor"
    learned = session.learned
    if not all(known.sound for known in learned.speeds.values()) or _not_above(0, learned.host_bytes_per_s):
        yield "an impossible speed was measured"
    try:
        plan = session.initial_plan
        if plan is not None:
            session.forecast(plan)
    except HettuiError as error:
        yield str(error)
    except (ValueError, ArithmeticError, LookupError) as error:
        yield f"model and settings make no sense together: {clean_line(str(error), 100)}"


def _odd(device: Device) -> Iterator[str]:
    if _not_above(0, device.threads):
        yield "number of threads"
    if _not_above(0, device.bandwidth_bytes_per_s):
        yield "bandwidth"
    if _not_above(-1, device.budget_bytes):
        yield "budget"
    if _not_above(-1, device.measured_overhead_bytes):
        yield "overhead"
    if _not_above(0, device.measured_slowness):
        yield "slowness"
    if device.speed is not None and not device.speed.sound:
        yield "speed"
    if len(device.name) > _MOST_NAME_CHARS:
        yield "name"


def _not_above(limit: float, value: float | None) -> bool:
    return value is not None and value <= limit


def _params_problems(params: RuntimeParams) -> Iterator[str]:
    for name, choices in (
        ("cache_type_k", CACHE_TYPES),
        ("cache_type_v", CACHE_TYPES),
        ("flash_attn", FLASH_ATTN),
        ("load_mode", LOAD_MODES),
        ("split_mode", SPLIT_MODES),
    ):
        if getattr(params, name) not in choices:
            yield f"{name} is {clean_line(getattr(params, name), 40)}, which llama.cpp does not know"
    for name, least in (("ctx_size", 0), ("batch_size", 1), ("ubatch_size", 1), ("n_cpu_moe", 0), ("n_cpu_ffn", 0),
                        ("parallel", -1),
                        ("threads", -1), ("predict", -1), ("ctx_checkpoints", 0), ("cache_ram", -1)):  # fmt: skip
        if not least <= getattr(params, name) <= _MOST_TOKENS:
            yield f"{name} is {getattr(params, name)}"
    if params.parallel == 0:
        yield "parallel is 0"
    if params.draft is not None:
        yield from _draft_problems(params.draft)
    for path in (params.mmproj, params.mmproj_device, *params.lora, *params.control_vector):
        if len(path) > _MOST_PATH_CHARS:
            yield "a file that is loaded beside its model has an impossible name"
    for one in params.override_tensor:
        try:
            override_pattern(one)
        except ValueError as error:
            yield f"override_tensor {clean_line(one, 40)} {error}"
        if len(one) > _MOST_NAME_CHARS or _NESTED_REPEAT.search(one):
            yield f"override_tensor {clean_line(one, 40)} is no pattern that ends"


def _draft_problems(draft: Drafting) -> Iterator[str]:
    if draft.type not in SPECULATION:
        yield f"its speculation is {clean_line(draft.type, 40)}, which hettui does not know"
    if not {draft.cache_type_k, draft.cache_type_v} <= set(CACHE_TYPES):
        yield "its draft has a type of cache that llama.cpp does not know"
    if not all(n is None or 0 <= n <= _MOST_TOKENS for n in (draft.n_max, draft.n_min)):
        yield "its draft proposes an impossible number of tokens"


def telemetry_problem(snapshot: TelemetrySnapshot) -> str | None:
    """Why no sensors can have been read like this: gauges are laid out by the interval."""
    if not 0 < snapshot.interval_s <= _LONGEST_INTERVAL_S:
        return f"readings every {snapshot.interval_s:g} s"
    return None


def applied_problem(names: Sequence[str], applied: Applied) -> str | None:
    """Why no cluster of devices with these names can have run like this."""
    if sorted(d.name for d in applied.devices) != sorted(names):
        return "other devices run than the session has"
    if len(applied.split.layers) != len(applied.devices):
        return f"a split of {len(applied.split.layers)} for {len(applied.devices)} devices"
    for device in applied.devices:
        for what in _odd(device):
            return f"the device {clean_line(device.name, 40)} has an impossible {what}"
    return None if applied.params is None else next(_params_problems(applied.params), None)
