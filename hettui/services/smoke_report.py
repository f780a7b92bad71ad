"""`hettui demo --headless` as a JSON document and as text."""

from __future__ import annotations

from hettui.domain.devices.device import HOST_KEY
from hettui.domain.memory.forecast import Memory, forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.plan import Plan
from hettui.domain.session.model_report import model_json
from hettui.domain.tables import table
from hettui.domain.text import clean_line
from hettui.domain.units import UNKNOWN, format_ms, format_rate, mib
from hettui.services.smoke import SmokeResult


def _memory_json(memory: Memory | None) -> dict[str, int] | None:
    if memory is None:
        return None
    return {
        "weights_bytes": memory.weights_bytes,
        "context_bytes": memory.context_bytes,
        "compute_bytes": memory.compute_bytes,
        "total_bytes": memory.weights_bytes + memory.context_bytes + memory.compute_bytes,
    }


def smoke_json(workload: Workload, plan: Plan, result: SmokeResult) -> dict[str, object]:
    """Predicted and measured bytes are llama.cpp's buffers; `resident_bytes` is what the process really holds."""
    outlook = forecast(workload, plan.split, plan.devices)
    measured = result.applied.measured
    samples = result.telemetry.samples if result.telemetry else {}
    timings = result.timings
    devices = []
    for i, device in enumerate(plan.devices):
        blocks = plan.split.block_range(i)
        sample = samples.get(device.name)
        devices.append(
            {
                "name": device.name,
                "via": device.via,
                "layers": plan.split.layers[i],
                "blocks": [blocks.start, blocks.stop - 1] if blocks else None,
                "output": plan.split.output_device == i,
                "budget_bytes": device.budget_bytes,
                "overhead_bytes": outlook.devices[i].overhead_bytes,
                "predicted": _memory_json(outlook.devices[i]),
                "measured": _memory_json(measured.get(device.name)),
                "resident_bytes": sample.own_bytes if sample else None,
            }
        )
    return {
        "model": model_json(workload.shape),
        "devices": devices,
        "host": {"predicted": _memory_json(outlook.host), "measured": _memory_json(measured.get(HOST_KEY))},
        "split": list(plan.split.layers),
        "load_seconds": round(result.load_s, 3),
        "prompt_tokens": timings.prompt_tokens if timings else None,
        "prompt_tokens_per_second": timings.prompt_per_second if timings else None,
        "generated_tokens": timings.generated_tokens if timings else None,
        "tokens_per_second": timings.generated_per_second if timings else None,
        "time_to_first_token_seconds": timings.first_token_s if timings else None,
        "answer": result.answer,
    }


def smoke_text(workload: Workload, plan: Plan, result: SmokeResult) -> str:
    shape = workload.shape
    outlook = forecast(workload, plan.split, plan.devices)
    rows = [("device", "layers", "budget", "predicted", "measured")]
    for i, device in enumerate(plan.devices):
        predicted, measured = outlook.devices[i], result.applied.measured.get(device.name)
        buffers = predicted.total_bytes - predicted.overhead_bytes
        rows.append(
            (
                clean_line(device.name, 30),
                str(plan.split.layers[i]),
                mib(device.budget_bytes),
                mib(buffers),
                mib(measured.total_bytes) if measured else UNKNOWN,
            )
        )
    timings = result.timings
    return "\n".join(
        [
            f"{clean_line(shape.name, 60)} {shape.quantisation} on {len(plan.devices)} devices. Buffers in MiB.",
            "",
            *table(rows),
            "",
            f"loaded in {result.load_s:.1f} s",
            f"generation      {format_rate(timings.generated_per_second if timings else None)}",
            f"prompt          {format_rate(timings.prompt_per_second if timings else None)}",
            f"first token     {format_ms(timings.first_token_s if timings else None)}",
            f"answer          {clean_line(result.answer, 300)}",
        ]
    )
