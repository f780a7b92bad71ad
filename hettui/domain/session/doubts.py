"""What a plan cannot promise: what it does not count, what was never measured, what is known to fail."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hettui.domain.library.found import Kind, kind_of, no_model
from hettui.domain.llama.build import NEWEST_BUILD, OLDEST_BUILD
from hettui.domain.llama.faults import Circumstances, Fault, faults_of
from hettui.domain.llama.options import allocations
from hettui.domain.llama.params import DRAFT_MTP
from hettui.domain.memory.context import contexts
from hettui.domain.memory.workload import Workload, remembered
from hettui.domain.model.architecture_names import IN_BUILDS, SINCE_OLDEST
from hettui.domain.plan.plan import Plan
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line
from hettui.domain.units import MIB, format_bytes

FAR_S, TOO_FAR_S = 5e-3, 80e-3
"""Of a round trip: from here on it is told, and from there on a host slows down more than it mostly helps."""
ASKED_WHILE_LOADING = 850
"""Round trips of one worker while a model of 30 blocks is loaded (b10068: 1,700 for two workers and 272 tensors)."""


@dataclass(frozen=True, slots=True)
class Uncounted:
    """One option that makes llama.cpp hold more than the plan counts, or hold it elsewhere."""

    option: str
    what: str
    least_bytes: int | None = None
    """None: not known."""

    @property
    def words(self) -> str:
        least = f", at least {format_bytes(self.least_bytes)}" if (self.least_bytes or 0) >= MIB else ""
        return f"{clean_line(self.option, 60)}: {self.what}{least}"


def not_counted(extra_args: Sequence[str], file_bytes: Mapping[str, int]) -> tuple[Uncounted, ...]:
    """`file_bytes` are the sizes of files that the options name, of those that could be looked at."""
    found = []
    for one in allocations(extra_args):
        known = [file_bytes[file] for file in one.files if file in file_bytes]
        found.append(Uncounted(one.spelling, one.what, sum(known) + one.least_bytes or None))
    return tuple(found)


def untested(workload: Workload, plan: Plan) -> str | None:
    """Why host weights and compute buffers of this plan are estimates only, as a part of a sentence; None: real loads
    were compared."""
    draft = workload.params.draft
    if draft is not None and draft.type == DRAFT_MTP:
        return "with the model's own MTP block proposing tokens"
    unmeasured = any(d.backend not in ("cpu", "cuda") for d in plan.devices)
    if draft is not None and draft.has_model and unmeasured:
        return "with a draft model beside cards other than NVIDIA's"
    beside = workload.params.mmproj or workload.params.lora or workload.params.control_vector
    if beside and unmeasured:
        return "with a projector, adapters or control vectors beside cards other than NVIDIA's"
    if workload.params.shares_tensors:
        return _shared(plan)
    if workload.params.overrides:
        return "with tensors kept on the host by n-cpu-moe, n-cpu-ffn or override-tensor"
    attached = [d for d, n in zip(plan.devices, plan.split.layers, strict=True) if n and d.via != "worker"]
    if plan.split.host_layers and any(d.backend != "cpu" for d in attached):
        return "with layers on the host beside a card of this machine"
    return None


def circumstances(workload: Workload, plan: Plan) -> Circumstances:
    """What known faults depend on."""
    kept = contexts(workload)
    workers = []
    for index, device in enumerate(plan.devices):
        blocks = plan.split.block_range(index)
        if device.via == "worker" and blocks:
            held = [kept[b] for b in blocks if b < len(kept)]
            workers.append((any(c.state_values for c in held), any(c.k_width for c in held)))
    return Circumstances(workload.build, workload.shape.file.architecture, tuple(workers), _empty_tensor(workload))


@remembered
def _empty_tensor(workload: Workload) -> str | None:
    return next((t.name for t in workload.shape.file.tensors if 0 in t.shape[1:]), None)


def known_faults(workload: Workload, plan: Plan) -> tuple[Fault, ...]:
    """Faults of this build that this plan would meet."""
    return faults_of(circumstances(workload, plan))


@remembered
def refusal(workload: Workload) -> str | None:
    """Why this build will not load the model, as far as its header shows; None: nothing speaks against it."""
    file = workload.shape.file
    kind = kind_of(file)
    if kind is not Kind.MODEL:
        return f"This is a {kind.value[0]} and no model: name the model that it belongs to."
    if "general.architecture" not in file.metadata:
        return "The header names no architecture, without which llama.cpp loads nothing: convert the model again."
    if problem := no_model(workload.shape):
        return f"This is {problem}."
    return _too_new(clean_line(file.architecture, 40), file.architecture, workload.build)


def _shared(plan: Plan) -> str | None:
    """Real loads were on two cards of NVIDIA's, half on each."""
    held = [(d.backend, n) for d, n in zip(plan.devices, plan.split.layers, strict=True) if n]
    if any(backend != "cuda" for backend, _ in held):
        return "with split-mode tensor on cards other than NVIDIA's"
    halves = len(held) == 2 and abs(held[0][1] - held[1][1]) <= 1
    return None if halves else "with split-mode tensor on cards in unequal shares"


def _too_new(shown: str, name: str, build: int) -> str | None:
    if build > NEWEST_BUILD or (name in IN_BUILDS and name not in SINCE_OLDEST):
        return None
    if name not in IN_BUILDS:
        return (
            f"No llama.cpp build that hettui knows (b{OLDEST_BUILD} to b{NEWEST_BUILD}) has the architecture {shown}: "
            "look for a newer llama.cpp, or for the fork that the model was made for."
        )
    if build >= NEWEST_BUILD:
        return None
    return (
        f"llama.cpp b{OLDEST_BUILD} does not have the architecture {shown}, b{NEWEST_BUILD} does: use a newer build "
        f"than b{build}."
    )


def warnings(workload: Workload, plan: Plan, split_modes: Collection[str] = ()) -> list[str]:
    """What will fail, as sentences, before anything is started. `split_modes`: those of the build; empty: not known."""
    faults = (f.warning for f in known_faults(workload, plan))
    shared = _not_shared(workload, plan, split_modes)
    return [line for line in (refusal(workload), _no_mtp(workload), shared, *faults, *far_lines(plan)) if line]


def _not_shared(workload: Workload, plan: Plan, split_modes: Collection[str]) -> str | None:
    if not workload.params.shares_tensors:
        return None
    from hettui.domain.memory.tensor_limits import why_not

    reason = why_not(workload, plan.devices, plan.split, split_modes)
    return f"{reason}." if reason else None


def _no_mtp(workload: Workload) -> str | None:
    draft = workload.params.draft
    if draft is None or draft.type != DRAFT_MTP or workload.shape.mtp_blocks:
        return None
    return f"[draft] type {DRAFT_MTP}: this model has no MTP block, llama-server would not start; remove it."


def far_lines(plan: Plan) -> list[str]:
    """A sentence for each host that every token has to wait for: what it costs, and when it had better be left out."""
    found = []
    for host in dict.fromkeys(d.host for d in plan.devices):
        used = [d for d, n in zip(plan.devices, plan.split.layers, strict=True) if n and d.host == host]
        trip_s = next((d.round_trip_s for d in used if d.round_trip_s is not None), None)
        if trip_s is None or trip_s < FAR_S:
            continue
        name, waits_ms = clean_line(host, 60), len(used) * trip_s * 1e3
        found.append(
            f"{name} is {trip_s * 1e3:.0f} ms away: each token waits {waits_ms:.0f} ms for the line, and a load asks "
            f"it some {ASKED_WHILE_LOADING * len(used)} times, {ASKED_WHILE_LOADING * len(used) * trip_s:.0f} s"
            + ("; leave it out if the model fits without it" if trip_s > TOO_FAR_S else "")
        )
    return found
