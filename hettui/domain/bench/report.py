"""A bench as llama-bench prints one: Markdown, CSV and JSON, with what llama-bench does not measure beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from hettui.domain.bench.run import BenchResult, BenchRun
from hettui.domain.tables import table
from hettui.domain.units import GIB, MIB, UNKNOWN, figures, format_bytes, format_ms, format_rate

# llama-bench's columns and their widths (tools/llama-bench/llama-bench.cpp, markdown_printer).
_COLUMNS = (
    ("model", -30), ("size", 10), ("params", 10), ("backend", -10), ("ngl", 3), ("dev", -12), ("ts", -12),
    ("test", 15), ("t/s", 20),
)  # fmt: skip


def size_text(size_bytes: int | None) -> str:
    """`91.73 MiB`, `17.28 GiB`, as llama-bench writes it."""
    if size_bytes is None:
        return UNKNOWN
    return f"{size_bytes / MIB:.2f} MiB" if size_bytes < GIB else f"{size_bytes / GIB:.2f} GiB"


def params_text(params: int | None) -> str:
    """`134.52 M`, `30.53 B`."""
    if params is None:
        return UNKNOWN
    return f"{params / 1e6:.2f} M" if params < 1e9 else f"{params / 1e9:.2f} B"


def markdown_table(run: BenchRun, results: Sequence[BenchResult] | None = None) -> str:
    """llama-bench's table: what people paste into issues."""
    rows = [[name for name, _ in _COLUMNS]]
    rows.append([("-" * (abs(w) - 1) + ":" if w > 0 else "-" * abs(w)) for _, w in _COLUMNS])
    for result in run.results if results is None else results:
        rate = result.rate
        cells = {**_common(run), "test": result.test.name}
        cells["t/s"] = UNKNOWN if rate is None else rate.text(2)
        rows.append([cells[name] for name, _ in _COLUMNS])
    return "\n".join(_line(row) for row in rows)


def _line(cells: Sequence[str]) -> str:
    parts = []
    for (_, width), cell in zip(_COLUMNS, cells, strict=True):
        cell = cell.replace("|", "/")
        parts.append(cell.rjust(width) if width > 0 else cell.ljust(-width))
    return "| " + " | ".join(parts) + " |"


def _common(run: BenchRun) -> dict[str, str]:
    setting = run.setting
    with_layers = [d for d in setting.devices if d.layers]
    layers = sum(d.layers or 0 for d in with_layers)
    return {
        "model": setting.model or UNKNOWN,
        "size": size_text(setting.model_bytes),
        "params": params_text(setting.model_params),
        "backend": _backends(run) or UNKNOWN,
        "ngl": str(layers) if with_layers else UNKNOWN,
        "dev": "/".join(d.name for d in with_layers) or UNKNOWN,
        "ts": "/".join(str(d.layers) for d in with_layers) or UNKNOWN,
    }


def _backends(run: BenchRun) -> str:
    """llama-bench's names: what the master itself drives, and RPC."""
    names = {"cuda": "CUDA", "rocm": "ROCm", "vulkan": "Vulkan", "metal": "Metal", "cpu": "CPU"}
    used = [d for d in run.setting.devices if d.layers]
    found = ["RPC" if d.via == "worker" else names.get(d.backend, d.backend) for d in used]
    return ",".join(dict.fromkeys(sorted(found)))


def markdown(run: BenchRun) -> str:
    """Everything: llama-bench's table, times to tokens, devices, and how to repeat it."""
    parts = [markdown_table(run), "", build_line(run), "", *_pipes(_latency_rows(run)), ""]
    if run.second_opinion:
        parts += ["llama-bench with the same split says:", "", markdown_table(run, run.second_opinion), ""]
    if run.devices:
        parts += [*_pipes(_device_rows(run)), ""]
    parts += [f"- {line}" for line in article_lines(run)]
    parts += [f"- {line}" for line in remarks(run)]
    parts += ["", "```", *run.setting.commands, "```"] if run.setting.commands else []
    return "\n".join(parts)


def text(run: BenchRun) -> str:
    """For a terminal."""
    lines = [markdown_table(run), "", build_line(run), "", *table(_latency_rows(run))]
    if run.devices:
        lines += ["", *table(_device_rows(run))]
    if run.second_opinion:
        lines += ["", "llama-bench with the same split:", markdown_table(run, run.second_opinion)]
    return "\n".join([*lines, "", *article_lines(run), *remarks(run)])


def build_line(run: BenchRun) -> str:
    """`build: …`, as llama-bench ends its table."""
    builds = run.setting.builds
    known = builds.get("llama-server") or builds.get("llama.cpp") or UNKNOWN
    return f"build: {known} · hettui {builds.get('hettui', UNKNOWN)} · {run.started}"


def _latency_rows(run: BenchRun) -> list[tuple[str, ...]]:
    drafts = any(r.accepted_part is not None for r in run.results)
    accepted = ("accepted",) if drafts else ()
    head = ("test", "runs", "first token", "between p50", "p99", "server t/s", "J/token", *accepted, "")
    rows: list[tuple[str, ...]] = [head]
    for result in run.results:
        first, server = result.first_token, result.server_rate
        joules = result.joules_per_token
        rows.append(
            (
                result.test.name,
                f"{len(result.samples)}/{run.plan.repeats}",
                format_ms(first.mean if first else None),
                _fine_ms(result.between_p50_s),
                _fine_ms(result.between_p99_s),
                UNKNOWN if server is None else f"{server.mean:.2f}",
                UNKNOWN if joules is None else figures(joules),
                *((_percent(result.accepted_part),) if drafts else ()),
                result.note,
            )
        )
    return rows


def _device_rows(run: BenchRun) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("device", "peak memory", "peak °C", "mean W", "J/token", "")]
    for device in run.devices:
        rows.append(
            (
                device.name,
                format_bytes(device.peak_used_bytes),
                _number(device.peak_temperature_c, ".0f"),
                _number(device.mean_power_w, ".1f"),
                _number(device.joules_per_token, ".3g"),
                "; ".join(device.throttled),
            )
        )
    return rows


def _pipes(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; numbers to the right."""
    head, *body = [[cell.replace("|", "/") for cell in row] for row in rows]
    rule = ["---", *["---:"] * (len(head) - 2), "---"]
    return ["| " + " | ".join(row) + " |" for row in (head, rule, *body)]


def article_lines(run: BenchRun) -> list[str]:
    """Four lines: range of the generation speed, time to first token, peak memory of all cards, their temperatures."""
    generated = [r for r in run.results if r.test.generate and r.test.streams == 1 and r.samples]
    rates = [s.per_second for r in generated for s in r.samples]
    speed = f"{min(rates):.1f} to {format_rate(max(rates))}" if rates else UNKNOWN
    reading = next((r for r in run.results if r.test.prompt and r.first_token), None)
    first = UNKNOWN
    if reading and reading.first_token:
        first = (
            f"{format_ms(reading.first_token.mean)} after a prompt of {reading.test.prompt + reading.test.depth} tokens"
        )
    memories = [d.peak_used_bytes for d in run.devices if d.peak_used_bytes is not None]
    hot = [f"{d.name} {d.peak_temperature_c:.0f} °C" for d in run.devices if d.peak_temperature_c is not None]
    return [
        f"generation speed: {speed}",
        f"time to first token: {first}",
        f"peak memory of all devices: {format_bytes(sum(memories)) if memories else UNKNOWN}",
        f"peak temperature: {', '.join(hot) or UNKNOWN}",
    ]


def remarks(run: BenchRun) -> list[str]:
    """What a reader must know before quoting a number of it."""
    said = list(run.skipped)
    if any(r.accepted_part is not None for r in run.results):
        said.append(
            "a draft proposed tokens: after prompts of random tokens it is accepted as it is after no real one; "
            "chat shows how it does there"
        )
    if run.problem:
        said.insert(0, f"NOT COMPLETE: {run.problem}")
    if run.setting.simulated:
        said.insert(0, "SIMULATED: these are no measurements")
    return said


def _fine_ms(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else f"{seconds * 1000:.1f} ms"


def _percent(part: float | None) -> str:
    return UNKNOWN if part is None else f"{part:.0%}"


def _number(value: float | None, how: str) -> str:
    return UNKNOWN if value is None else format(value, how)


# -- for programs --------------------------------------------------------------------------------------------


def result_json(run: BenchRun, result: BenchResult) -> dict[str, Any]:
    """One test by llama-bench's field names, and with ours for what it does not know."""
    rate, first = result.rate, result.first_token
    setting, params = run.setting, run.setting.params
    nanoseconds = [round(s.seconds * 1e9) for s in result.samples]
    common = _common(run)
    return {
        "build_commit": setting.builds.get("llama-server") or setting.builds.get("llama.cpp"),
        "cpu_info": setting.machine.get("cpu"),
        "gpu_info": ", ".join(d.card for d in setting.devices if d.card) or None,
        "backends": _backends(run) or None,
        "model_filename": setting.model_path,
        "model_type": setting.model,
        "model_size": setting.model_bytes,
        "model_n_params": setting.model_params,
        "n_batch": params.get("batch_size"),
        "n_ubatch": params.get("ubatch_size"),
        "type_k": params.get("cache_type_k"),
        "type_v": params.get("cache_type_v"),
        "flash_attn": params.get("flash_attn"),
        "n_gpu_layers": None if common["ngl"] == UNKNOWN else int(common["ngl"]),
        "devices": None if common["dev"] == UNKNOWN else common["dev"],
        "tensor_split": None if common["ts"] == UNKNOWN else common["ts"],
        "n_prompt": result.test.prompt,
        "n_gen": result.test.generate,
        "n_depth": result.test.depth,
        "n_streams": result.test.streams,
        "test_time": run.started,
        "avg_ns": round(sum(nanoseconds) / len(nanoseconds)) if nanoseconds else None,
        "avg_ts": rate.mean if rate else None,
        "stddev_ts": rate.deviation if rate else None,
        "server_avg_ts": result.server_rate.mean if result.server_rate else None,
        "avg_first_token_s": first.mean if first else None,
        "between_tokens_p50_s": result.between_p50_s,
        "between_tokens_p99_s": result.between_p99_s,
        "joules_per_token": result.joules_per_token,
        "draft_accepted": result.accepted_part,
        "complete": len(result.samples) == run.plan.repeats,
        "note": result.note,
        "samples_ns": nanoseconds,
        "samples_ts": [s.per_second for s in result.samples],
        "samples_server_ts": [s.server_per_second for s in result.samples],
    }


def csv_text(run: BenchRun) -> str:
    """A line for each test, llama-bench's names first; lists of samples are left to the JSON."""
    rows = [result_json(run, result) for result in run.results]
    names = [name for name in (rows[0] if rows else {}) if not name.startswith("samples_")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in names])
    return out.getvalue().rstrip("\n")


def _cell(value: object) -> object:
    """Nothing for what is not known. A text that a spreadsheet would run as a formula gets a quote before it."""
    if value is None:
        return ""
    return "'" + value if isinstance(value, str) and value.startswith(("=", "+", "@", "\t")) else value


def report_json(run: BenchRun, kept: Mapping[str, Any]) -> dict[str, Any]:
    """One document: the run as it is kept, and its results by llama-bench's names."""
    return {
        "complete": run.problem is None,
        "problem": run.problem,
        "results": [result_json(run, r) for r in run.results],
        "second_opinion": [result_json(run, r) for r in run.second_opinion],
        "run": kept,
    }
