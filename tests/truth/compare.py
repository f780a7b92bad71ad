"""hettui's forecast against what real loads reserved (`measured.jsonl`, made by `make.py`).

python -m tests.truth.compare        the table of README
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hettui.adapters.llama.gguf import read_model
from hettui.domain.devices.device import Device
from hettui.domain.llama.params import Drafting, RuntimeParams
from hettui.domain.memory.beside_model import host_adapters
from hettui.domain.memory.forecast import Memory, forecast
from hettui.domain.memory.tensor_forecast import held_as_one
from hettui.domain.memory.tensor_shares import exchange_bytes
from hettui.domain.memory.workload import Workload
from hettui.domain.model.companions import ALONE, Companions
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.split import HOST, Split
from hettui.domain.units import MIB
from tests.gguf_files import write_gguf
from tests.truth.make import TABLE, written_beside
from tests.truth.models import MODELS, qwen35_with_mtp

ATTACHED = TABLE.with_name("attached.jsonl")
"""Made by `attached.py`."""
EXPERTS = TABLE.with_name("experts.jsonl")
"""Made by `make.py --experts N --table experts.jsonl`: it goes on where it stopped."""
DENSE = TABLE.with_name("dense.jsonl")
"""Made by `make.py --dense N --table dense.jsonl`."""
DENSE_ADAPTED = TABLE.with_name("dense-adapted.jsonl")
"""Made by `make.py --dense N --adapted --table dense-adapted.jsonl`."""
N_CPU_FFN = TABLE.with_name("n-cpu-ffn.jsonl")
"""Made by `make.py --n-cpu-ffn N --table n-cpu-ffn.jsonl`."""
BESIDE = TABLE.with_name("beside.jsonl")
"""Made by `make.py --beside N --table beside.jsonl`."""
MORE_ATTACHED = TABLE.with_name("attached-more.jsonl")
"""Made by `attached.py … --more N --out attached-more.jsonl`."""
RANDOM = TABLE.with_name("random.jsonl")
"""Made by `make.py --random N --seed S --table random.jsonl`."""
TENSOR = TABLE.with_name("tensor.jsonl")
"""Made by `tensor.py`."""
DRAFTS = TABLE.with_name("drafts.jsonl")
"""Made by `make.py --drafts N --table drafts.jsonl`."""
BUILDS = ("b10068", "b11434")
PRINTED_BYTES = 5300
"""The master's own buffers are known from its log only: MiB with two decimals, so half a hundredth of a MiB."""


@dataclass(frozen=True)
class Compared:
    """One device, or the host, of one load. Errors are forecast minus reserved, in bytes."""

    architecture: str
    case: dict[str, Any]
    place: str
    weights_error: int
    context_error: int
    compute_error: int
    compute_bytes: int

    @property
    def build(self) -> str:
        return str(self.case["build"])

    @property
    def exact(self) -> int:
        """What counts as equal: several buffers of the master's, each printed with two decimals, add up."""
        printed = self.place.endswith("host") or (self.place in ("0", "draft 0") and "attached" in self.case)
        return 4 * PRINTED_BYTES if printed else 0

    @property
    def compute_within(self) -> bool:
        return abs(self.compute_error) <= max(0.05 * self.compute_bytes, 8 * MIB)


@cache
def shape_of(model: str, blocks: int) -> ModelShape:
    header = qwen35_with_mtp(blocks) if model == "qwen35-mtp" else MODELS[model](blocks)
    with TemporaryDirectory() as folder:
        return ModelShape.of(read_model(str(write_gguf(Path(folder) / "m.gguf", *header))))


def cases(table: Path = TABLE) -> list[dict[str, Any]]:
    return [json.loads(line) for line in table.read_text().splitlines()]


def _params(said: dict[str, Any]) -> RuntimeParams:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in said.items()}
    draft = values.pop("draft", None)
    return RuntimeParams(**values, draft=None if draft is None else Drafting(**draft))


def _devices(case: dict[str, Any]) -> list[Device]:
    """The first is the master's own where the case says so."""
    workers = [Device(str(i), via="worker", measured_overhead_bytes=0) for i in range(len(case["split"]))]
    if "attached" in case:
        workers[0] = Device("0", "0", backend=case["attached"], measured_overhead_bytes=0)
    return workers


def companions_of(case: dict[str, Any]) -> Companions:
    if "beside" not in case:
        return ALONE
    with TemporaryDirectory() as folder:
        files = written_beside(case, Path(folder))
        read = {name: [read_model(str(path)) for path in paths] for name, paths in files.items()}
    projector = read["mmproj"][0] if "mmproj" in read else None
    return Companions(projector, tuple(read.get("lora", ())))


def compare_beside(case: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """What lies beside the model: by place, forecast minus reserved in bytes. Of the host, and of a card that the
    master drives, only what it prints: adapters, and a projector's compute buffer."""
    shape, params, companions = shape_of(case["model"], case["blocks"]), _beside_params(case), companions_of(case)
    split = Split(tuple(case["split"]), shape.layers)
    workload, devices = Workload(shape, params, int(case["build"][1:]), companions=companions), _devices(case)
    outlook = forecast(workload, split, devices)
    for i, (memory, reserved) in enumerate(zip(outlook.devices, case["beside_devices"], strict=True)):
        if not (i == 0 and "attached" in case):
            yield str(i), memory.beside_bytes - reserved
    of_model = workload.having(replace(params, control_vector=(), mmproj=""))
    found = outlook.projecting
    adapters, pictures = case["beside_host"]
    mine = host_adapters(of_model, len(split.block_range(HOST)), split.output_device == HOST)
    yield "host adapters", mine - adapters
    yield "host pictures", (found.host.compute if found else 0) - pictures
    if "beside_card" in case:
        adapters, pictures = case["beside_card"]
        yield "card adapters", forecast(of_model, split, devices).devices[0].beside_bytes - adapters
        yield "card pictures", (found.there.compute if found and found.device == 0 else 0) - pictures


def _beside_params(case: dict[str, Any]) -> RuntimeParams:
    beside, params = case.get("beside", {}), _params(case["params"])
    device = beside.get("device", "host")
    vectors = ("v.gguf",) if beside.get("control_vector") else ()
    return replace(params, mmproj="p.gguf" if "mmproj" in beside else "", mmproj_device=device, control_vector=vectors)


def compare(case: dict[str, Any]) -> Iterator[Compared]:
    shape = shape_of(case["model"], case["blocks"])
    split = Split(tuple(case["split"]), shape.layers)
    drafted = shape_of(case["draft"], case["draft_blocks"]) if case.get("draft") else None
    build, companions = int(case["build"][1:]), companions_of(case)
    workload = Workload(shape, _beside_params(case), build, draft=drafted, companions=companions)
    outlook = forecast(workload, split, _devices(case))
    places = [str(i) for i in range(len(outlook.devices))] + ["host"]
    found = list(zip(places, (*outlook.devices, outlook.host), (*case["devices"], case["host"]), strict=True))
    if outlook.draft is not None:
        held = [Memory()] * len(outlook.devices)
        if outlook.draft.device != HOST:
            held[outlook.draft.device] = outlook.draft.there
        places = [f"draft {place}" for place in places]
        reserved = (*case["draft_devices"], case["draft_host"])
        found += zip(places, (*held, outlook.draft.host), reserved, strict=True)
    for place, memory, (weights, context, compute) in found:
        if place == "host" or weights or context or compute or memory.own_bytes:
            yield Compared(
                shape.file.architecture,
                case,
                place,
                memory.weights_bytes - weights,
                memory.context_bytes - context,
                memory.compute_bytes - compute,
                compute,
            )


def compare_tensor(case: dict[str, Any]) -> Iterator[Compared]:
    """A load with `--split-mode tensor`: by device and for the host, or, where the master only prints its largest
    device's buffers, of the largest ones."""
    shape = shape_of(case["model"], case["blocks"])
    said = {name: value for name, value in case["params"].items() if name != "prompt"}
    workload = Workload(shape, _params(said), int(case["build"][1:]))
    proportions, attached = case["split"], "attached" in case
    host_layers = max(0, shape.layers - sum(proportions))
    devices = [Device(str(i), backend=case["attached"]) for i in range(len(proportions))] if attached else None
    mine = held_as_one(workload, proportions, host_layers, devices)
    rows = [(m.weights_bytes, m.context_bytes, m.compute_bytes) for m in mine.devices]
    real = case.get("devices")
    if real is None:
        rows, real = [(*(max(sizes) for sizes in zip(*rows, strict=True)),)], [case["largest"]]
    host = mine.host.weights_bytes, mine.host.context_bytes, mine.host.compute_bytes
    names = [*map(str, range(len(rows))), "host"]
    for place, own, held in zip(names, (*rows, host), (*real, case["host"]), strict=True):
        weights, context, compute = (a - b for a, b in zip(own, held, strict=True))
        yield Compared(shape.file.architecture, case, place, weights, context, compute, held[2])


def exchange_error(case: dict[str, Any]) -> int:
    """Of what a device takes for adding up results, where a prompt was read: forecast minus reserved."""
    shape, tokens, real = shape_of(case["model"], case["blocks"]), case["params"]["prompt"], int(case["exchange"][0])
    # llama-server may read the last four by themselves, to keep what was there before.
    params = _params({name: value for name, value in case["params"].items() if name != "prompt"})
    read = (replace(params, ubatch_size=min(n, params.ubatch_size)) for n in (tokens, tokens - 4))
    workloads = (Workload(shape, one, int(case["build"][1:])) for one in read)
    return min((exchange_bytes(workload, len(case["split"])) - real for workload in workloads), key=abs)


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that so large a part of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * int(part * 100) // 100) - 1)] if ordered else 0.0


def _rows(compared: Sequence[Compared]) -> Iterator[tuple[str, ...]]:
    groups: dict[str, list[Compared]] = {}
    for c in compared:
        groups.setdefault(c.architecture, []).append(c)
    for name, group in [*sorted(groups.items()), ("**all**", list(compared))]:
        builds = [[c for c in group if c.build == build] for build in BUILDS]
        yield (
            name,
            " + ".join(str(len({json.dumps(c.case) for c in of_build})) for of_build in builds),
            _share([abs(c.weights_error) <= c.exact for c in group]),
            _share([abs(c.context_error) <= c.exact for c in group]),
            *(_errors(of_build) for of_build in builds),
            _share([c.compute_within for c in group]),
        )


def _errors(compared: Sequence[Compared]) -> str:
    """Median / 95th percentile / largest, in MiB and in percent."""
    mib = [abs(c.compute_error) / MIB for c in compared]
    percent = [100 * abs(c.compute_error) / c.compute_bytes for c in compared if c.compute_bytes]
    if not percent:
        return "–"
    return ", ".join(
        " / ".join(f"{v:.1f}" for v in (statistics.median(values), percentile(values, 0.95), max(values))) + unit
        for values, unit in ((mib, " MiB"), (percent, " %"))
    )


def _share(flags: Sequence[bool]) -> str:
    return "all" if all(flags) else f"{100 * sum(flags) / len(flags):.1f} %"


def main() -> None:
    compared = [c for case in cases() for c in compare(case)]
    print(
        "| architecture | loads | weights exact | context exact | compute off, b10068 | compute off, b11434 | within |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in _rows(compared):
        print("| " + " | ".join(row) + " |")
    print("\nThe same with `--split-mode tensor`:\n")
    shared = [c for case in cases(TENSOR) if "refused" not in case for c in compare_tensor(case)]
    for row in _rows(shared):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
