"""The rig that hettui was begun for, as a scripted machine: the doctor's page, a plan, which quantisation to take."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hettui.adapters.llama.gguf import read_model
from hettui.domain.devices.device import Device
from hettui.domain.doctor.checks import examined
from hettui.domain.doctor.report import findings_text
from hettui.domain.library.fit import Surroundings, judge, largest_context
from hettui.domain.library.offers import Offer, advice_text, offers_text
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.session.asked import asked_plan
from hettui.domain.session.plan_report import PlanReport
from hettui.domain.units import GIB, MIB
from tests.doctor_facts import CARDS, SEED
from tests.gguf_files import write_gguf
from tests.truth.models import MODELS

MODEL = "qwen3moe"
CONTEXT = 32768
BUILD = 11434
MIXES = {
    "Q2_K": ("q2_K", "q3_K"), "Q3_K_M": ("q3_K", "q5_K"), "Q4_K_M": ("q4_K", "q6_K"), "Q5_K_M": ("q5_K", "q6_K"),
    "Q6_K": ("q6_K", "q6_K"), "Q8_0": ("q8_0", "q8_0"),
}  # fmt: skip
"""Types of most matrices, and of the finer ones: nearly llama.cpp's own mixes."""
DEVICES = tuple(
    Device(
        card.name.removeprefix("NVIDIA GeForce "), card.hardware.id, backend="cuda",
        engine_name=card.hardware.engine_name or "", pci_address=card.hardware.pci_address,
        budget_bytes=(card.hardware.free_bytes or 0) - 512 * MIB,
        bandwidth_bytes_per_s=card.hardware.bandwidth_bytes_per_s,
    )
    for card in CARDS
)  # fmt: skip
PARAMS = RuntimeParams(ctx_size=CONTEXT, cache_type_k="q8_0", cache_type_v="q8_0", flash_attn="on")
AROUND = Surroundings(PARAMS, DEVICES, 60 * GIB, BUILD)


@cache
def shape(mix: str) -> ModelShape:
    """Qwen3-Coder-30B-A3B's header in one of the mixes."""
    metadata, tensors = MODELS[MODEL]()
    types = dict(zip(("q4_K", "q6_K"), MIXES[mix], strict=True))
    typed = [(name, size, types.get(kind, kind)) for name, size, kind in tensors]
    with TemporaryDirectory() as folder:
        return ModelShape.of(read_model(write_gguf(Path(folder) / f"qwen3-coder-30b.{mix}.gguf", metadata, typed)))


def doctor_page() -> str:
    return findings_text("local", list(examined(SEED)), everything=False)


@cache
def offers() -> tuple[Offer, ...]:
    """Every mix, judged for the three cards."""
    found = []
    for mix in MIXES:
        model = shape(mix)
        found.append(Offer(mix, model.file.file_bytes, judge(model, AROUND), largest_context(model, AROUND)))
    return tuple(found)


def advice() -> str:
    return f"{offers_text(offers())}\n\n{advice_text(offers(), CONTEXT, '')}"


def plan_page(mix: str) -> str:
    workload = Workload(shape(mix), AROUND.params, BUILD)
    plan, best = asked_plan(workload, DEVICES, objective="latency")
    return PlanReport(workload, plan, None, best=best, ram_bytes=AROUND.ram_bytes).as_text().rstrip()


if __name__ == "__main__":
    print(f"{doctor_page()}\n\n{advice()}\n\n{plan_page('Q4_K_M')}")
