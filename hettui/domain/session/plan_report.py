"""`hettui plan` and `hettui model` as a JSON document and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from functools import cached_property

from hettui.domain.cluster.launch import LaunchPlan, shell_line
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.devices.device import Device
from hettui.domain.library.fit import short_of_ram
from hettui.domain.memory.context import context_size, known
from hettui.domain.memory.forecast import Forecast, Memory, shortage
from hettui.domain.memory.layout import compute_error_bytes
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import HOST, Split
from hettui.domain.planner.advice import Question, Way, largest_context, obstacle, ways_to_fit
from hettui.domain.planner.explain import explain
from hettui.domain.planner.learned import PROMPT, Learned
from hettui.domain.planner.objectives import Best, comparable
from hettui.domain.planner.promise import promised
from hettui.domain.records import dataclass
from hettui.domain.session.beside_report import beside_json, beside_lines, known_projector
from hettui.domain.session.doubts import Uncounted, not_counted, untested, warnings
from hettui.domain.session.draft_report import draft_json, draft_lines
from hettui.domain.session.model_report import model_json
from hettui.domain.speed.pace import Expected, pace
from hettui.domain.tables import table
from hettui.domain.text import clean_line, shorten_middle
from hettui.domain.units import MIB, UNKNOWN, figures, format_bytes, mib, missing_mib

_WORTH_TELLING_BYTES = 64 * MIB


@dataclass(frozen=True, eq=False)
class PlanReport:
    """Everything that a plan's report says."""

    workload: Workload
    """With the settings as they were asked for; the plan may say more."""
    plan: Plan
    launch: LaunchPlan | None = None
    learned: Learned = field(default_factory=Learned)
    best: Best | None = None
    """The answer of the planner when it was asked for an objective."""
    ram_bytes: int | None = None
    """What is free of this machine's memory; None: not known, or planned for elsewhere."""
    refused: tuple[str, ...] = ()
    """What drivers and llama.cpp said no to, in sentences."""
    extra_args: tuple[str, ...] = ()
    """What is said to llama-server besides."""
    file_bytes: Mapping[str, int] = field(default_factory=dict)
    """Sizes of the files that `extra_args` name."""
    split_modes: frozenset[str] = frozenset()
    """What the build takes for `--split-mode`; empty: not known."""

    @cached_property
    def not_counted(self) -> tuple[Uncounted, ...]:
        return not_counted(self.extra_args, self.file_bytes)

    @cached_property
    def untested(self) -> str | None:
        return untested(self._planned, self.plan)

    @property
    def _known(self) -> bool:
        """The architectures were read in llama.cpp, and so was the projector's kind."""
        drafts = self.workload.draft is None or known(self.workload.draft)
        return known(self.shape) and drafts and known_projector(self.workload)

    @cached_property
    def warnings(self) -> list[str]:
        return warnings(self._planned, self.plan, self.split_modes)

    @cached_property
    def forecast(self) -> Forecast:
        return self.learned.forecast(self._planned, self.plan)

    @cached_property
    def host_short_bytes(self) -> int:
        """What this machine's memory lacks for the host's part and for its CPU workers."""
        return short_of_ram(self.plan, self.forecast, self.ram_bytes)

    @property
    def fits(self) -> bool:
        return self.forecast.fits and not self.host_short_bytes

    @property
    def _question(self) -> Question:
        return Question(self._planned, self.plan.split, self.plan.devices)

    @property
    def _processes(self) -> tuple[ProcessSpec, ...]:
        return self.launch.processes if self.launch else ()

    @property
    def shape(self) -> ModelShape:
        return self.workload.shape

    @property
    def _planned(self) -> Workload:
        return self.workload.having(self.plan.settings(self.workload.params))

    @property
    def _expected(self) -> dict[str, object]:
        """The document's `expected`: one stream at the beginning of its context. Seconds are each device's own part.
        Of prompts and of several streams is known what a bench or a search measured of this very plan."""
        found, names = self.speed, [d.name for d in self.plan.devices]
        stages = {} if found is None else found.stages_s
        rates = self.learned.rates_of(self._planned, self.plan)
        return {
            "decode_tps": None if found is None else round(found.per_second, 2),
            "decode_tps_low": None if found is None else round(found.low_per_second, 2),
            "decode_tps_high": None if found is None else round(found.high_per_second, 2),
            "prefill_tps": None if (prompt := rates.get(PROMPT)) is None else round(prompt, 2),
            "streams_tps": {name.removeprefix("x"): round(r, 2) for name, r in rates.items() if name != PROMPT},
            "basis": "none" if found is None else "measured" if found.measured else "spec",
            "stages": [
                {"device": name, "seconds_per_token": round(stages[i], 7) if i in stages else None}
                for i, name in enumerate(names)
            ],
            "host_seconds_per_token": round(stages[HOST], 7) if HOST in stages else None,
        }

    @cached_property
    def speed(self) -> Expected | None:
        """None where it is not known."""
        return promised(self._planned, self.plan.devices, self.plan.split, self.learned.host_rate_bytes_per_s)

    def _speed(self) -> list[str]:
        lines = []
        if (found := self.speed) is not None:
            basis = "as measured on these devices" if found.measured else "by the devices' data"
            if self._planned.params.shares_tensors:
                basis += "; this is not verified, what cards take to exchange results is assumed"
            rate = f"{figures(found.per_second)} ± {figures(found.off_per_second, 2)}"
            lines.append(f"One stream should decode {rate} tokens a second, {basis}.")
            lines += self._slower_now()
        elif self.plan.devices and not comparable(self.plan.devices):
            lines.append(self._not_known())
        best = self.best
        if best is not None and best.found is not None:
            gap = 1 - best.found.least / best.found.value
            proof = "no other order or split is better" if best.proven else f"at most {gap:.0%} could be gained"
            lines.append(f"Chosen for {best.objective}: under these speeds {proof}.")
            lines += [f"  {line}" for line in explain(self.workload, best)]
        return lines

    def _slower_now(self) -> list[str]:
        held = zip(self.plan.devices, self.plan.split.layers, strict=True)
        slow = [(d, d.speed) for d, n in held if n and d.speed is not None and d.speed.why_now]
        return [
            f"{clean_line(d.name, 40)} is {speed.why_now} now: {speed.slower_now:.1f} times slower than by itself."
            for d, speed in slow
        ]

    def _not_known(self) -> str:
        open_ones = [d for d in self.plan.devices if not pace(d).known]
        names = ", ".join(clean_line(d.name, 40) for d in open_ones[:4]) + (" and others" if len(open_ones) > 4 else "")
        return f"How fast it is is not known: nothing was measured on {names}, nor is a bandwidth given."

    @property
    def _limited(self) -> bool:
        return any(
            d.budget_bytes is not None and n for d, n in zip(self.plan.devices, self.plan.split.layers, strict=True)
        )

    @cached_property
    def largest_context(self) -> int | None:
        """The largest `ctx-size` for this split; None without any budget."""
        return largest_context(self._question) if self._limited else None

    @cached_property
    def ways_to_fit(self) -> list[Way]:
        """What would put all of it on the devices; empty when it is."""
        whole = self.forecast.fits and not (self._limited and self.plan.split.host_layers)
        return [] if whole else ways_to_fit(self._question)

    def as_json(self) -> dict[str, object]:
        """The document of `hettui plan --json`. Bytes everywhere; `short_by` is the sum over devices."""
        outlook = self.forecast
        devices = self.plan.devices
        short = sum(outlook.short_bytes(i) for i in range(len(devices))) + self.host_short_bytes
        return {
            "model": model_json(self.shape),
            "settings": asdict(self.workload.params) | {"ctx_size": context_size(self._planned)},
            "devices": [self._device_json(i, outlook) for i in range(len(devices))],
            "host": {
                "weights_bytes": outlook.host.weights_bytes,
                "weights_read_bytes": outlook.host_weights_bytes,
                "context_bytes": outlook.host.context_bytes,
                "compute_bytes": outlook.host.compute_bytes,
                "draft_bytes": outlook.host.draft_bytes,
                "beside_bytes": outlook.host.beside_bytes,
                "free_bytes": self.ram_bytes,
            },
            "fits": self.fits,
            "short_by": short or None,
            "largest_ctx_size": self.largest_context,
            "ways_to_fit": [way.words for way in self.ways_to_fit],
            "warnings": self.warnings,
            "exact": not self.not_counted and self.untested is None and self._known,
            "draft": draft_json(self._planned, outlook, devices),
            "beside": beside_json(self._planned, outlook, devices),
            "not_counted": [
                {"option": one.option, "what": one.what, "at_least_bytes": one.least_bytes} for one in self.not_counted
            ],
            "known_architecture": known(self.shape),
            "tensor_split": list(self.plan.split.layers),
            "expected": self._expected,
            "objective": self.best.objective if self.best else None,
            "problems": self._problems(),
            "commands": [
                {"role": spec.role, "host": spec.host, "argv": list(spec.argv), "env": dict(spec.env)}
                for spec in self._processes
            ],
        }

    @property
    def _beside(self) -> bool:
        """Something is loaded beside the model."""
        params = self.workload.params
        return bool(params.mmproj or params.lora or params.control_vector)

    def _advice(self) -> list[str]:
        if self.forecast.fits and not self.plan.split.host_layers:
            context = self.largest_context
            more = context is not None and context > context_size(self._planned)
            without = ", without what is not counted" if self.not_counted else ""
            return [f"The largest context for this split{without}: {context} tokens."] if more else []
        if not self._limited and self.forecast.fits:
            return []
        why = obstacle(self._question)
        lines = [why] if why else []
        if self.ways_to_fit:
            return [*lines, "All of it would fit with", *(f"  {way.words}" for way in self.ways_to_fit)]
        return [*lines, "No single change makes it fit: take layers off the devices."] if why else []

    def _device_json(self, index: int, outlook: Forecast) -> dict[str, object]:
        device, memory, split = self.plan.devices[index], outlook.devices[index], self.plan.split
        blocks, shared = split.block_range(index), self._planned.params.shares_tensors
        return {
            "name": device.name,
            "blocks": [blocks.start, blocks.stop - 1] if blocks and not shared else None,
            "output": bool(split.layers[index]) if shared else split.output_device == index,
            "share": round(split.layers[index] / max(1, split.n_gpu_layers), 4) if shared else None,
            "weights_bytes": memory.weights_bytes,
            "context_bytes": memory.context_bytes,
            "compute_bytes": memory.compute_bytes,
            "compute_error_bytes": self._compute_error(index, outlook),
            "compute_basis": "measured" if index in outlook.measured else "forecast",
            "overhead_bytes": memory.overhead_bytes,
            "draft_bytes": memory.draft_bytes,
            "beside_bytes": memory.beside_bytes,
            "total_bytes": memory.total_bytes,
            "budget_bytes": device.budget_bytes,
            "fits": not outlook.short_bytes(index),
        }

    def _compute_error(self, index: int, outlook: Forecast) -> int | None:
        """None: nobody knows."""
        if index in outlook.measured:
            return 0
        return None if self.untested else _error(self.shape, outlook.devices[index])

    def explanation(self) -> list[str]:
        """Whether it fits, how fast it is, why it is so, and what would change it."""
        return [
            *self.warnings,
            self._verdict(),
            *self._speed(),
            *draft_lines(self._planned, self.forecast, self.plan.devices),
            *beside_lines(self._planned, self.forecast, self.plan.devices),
            *self._advice(),
            *self._host_words(),
            *self._doubts(),
            *(f"! {problem}" for problem in self._problems()),
        ]

    def _problems(self) -> list[str]:
        """Devices that cannot be used here, and what was refused, each once."""
        missing = [device.missing for device in self.plan.devices if device.missing]
        return missing + [reason for reason in self.refused if not any(reason in said for said in missing)]

    def _verdict(self) -> str:
        if not self.host_short_bytes:
            return _verdict(self.plan.devices, self.plan.split, self.forecast, whole=not self.not_counted)
        short = [shortage(self.forecast, self.plan.devices)]
        short.append(
            f"this machine's memory is short by {missing_mib(self.host_short_bytes)}, of {mib(self.ram_bytes)} MiB free"
        )
        return f"It does not fit: {', '.join(filter(None, short))}."

    def _doubts(self) -> list[str]:
        """What is not in the numbers, and how far those that are in them may be off."""
        lines = [f"Not counted: {one.words}." for one in self.not_counted]
        if not known(self.shape):
            return [*lines, _unknown(self.shape)]
        if self.untested:
            return [
                *lines,
                f"The host's weights and the compute buffers are estimates: {self.untested} they were not measured, "
                "and attached cards may take more.",
            ]
        outlook = self.forecast
        doubtful = [m for i, m in enumerate(outlook.devices) if i not in outlook.measured]
        off = max((_error(self.shape, m) for m in doubtful), default=0)
        if lines or not off:
            return lines
        return [f"Weights and KV are exact, compute is within {missing_mib(off)} per device."]

    def _host_words(self) -> list[str]:
        """Whose experts, or FFN, lie in this machine's memory, and what is read of what the file's mapping shows."""
        count, outlook = len(self.plan.blocks_away), self.forecast
        what = "experts of {} lie" if self.plan.moves == "experts" else "FFN of {} lies"
        blocks = what.format(f"{count} block{'s' if count > 1 else ''}")
        lines = [f"The {blocks} in this machine's memory."] if count else []
        mapped, read = outlook.host.weights_bytes, outlook.host_weights_bytes
        if mapped >= read + _WORTH_TELLING_BYTES:
            lines.append(f"Of the {mib(mapped)} MiB that the host maps of the file it reads {mib(read)}.")
        return lines

    def as_text(self) -> str:
        outlook = self.forecast
        split = self.plan.split
        more = [name for name, there in (("draft", outlook.draft is not None), ("beside", self._beside)) if there]
        kinds = ("weights", "KV", "compute", *more, "other", "total")
        rows = [("device", "layers", "blocks", *kinds, "budget", "")]
        for i, device in enumerate(self.plan.devices):
            short = outlook.short_bytes(i)
            verdict = f"short by {missing_mib(short)}" if short else ""
            memory, budget = outlook.devices[i], mib(device.budget_bytes)
            name = shorten_middle(clean_line(device.name), 24)
            span = _share(split, i) if self._planned.params.shares_tensors else _span(split, i)
            rows.append((name, str(split.layers[i]), span, *_columns(memory, more), budget, verdict))
        short = self.host_short_bytes
        budget, verdict = (mib(self.ram_bytes), f"short by {missing_mib(short)}") if short else (UNKNOWN, "")
        held = (str(split.host_layers), _span(split, HOST), *_columns(outlook.host, more))
        rows.append(("host (CPU)", *held, budget, verdict))
        lines = [_headline(self._planned), "", *table(rows), "", *self.explanation(), ""]
        lines += [f"# {spec.name}\n{shell_line(spec)}" for spec in self._processes]
        return "\n".join(lines)


def _error(shape: ModelShape, memory: Memory) -> int:
    return compute_error_bytes(shape, memory.compute_bytes)


def _unknown(shape: ModelShape) -> str:
    return (
        f"hettui does not know the architecture {clean_line(shape.file.architecture, 40)}: these numbers follow the "
        "general rule and may be wrong."
    )


def _span(split: Split, device: int) -> str:
    """`0–17`, `30 + output`, `output`, `–`"""
    blocks = split.block_range(device)
    parts = [f"{blocks.start}–{blocks.stop - 1}" if len(blocks) > 1 else str(blocks.start)] if blocks else []
    parts += ["output"] if split.output_device == device else []
    return " + ".join(parts) or UNKNOWN


def _share(split: Split, device: int) -> str:
    """`58 % of each`: of every tensor of what is on the devices."""
    layers = split.layers[device]
    return f"{100 * layers / split.n_gpu_layers:.0f} % of each" if layers else UNKNOWN


def _columns(memory: Memory, more: Sequence[str]) -> list[str]:
    sizes = [memory.weights_bytes, memory.context_bytes, memory.compute_bytes]
    sizes += [memory.draft_bytes if name == "draft" else memory.beside_bytes for name in more]
    return [mib(size) for size in (*sizes, memory.overhead_bytes, memory.total_bytes)]


def _headline(workload: Workload) -> str:
    shape, params = workload.shape, workload.params
    slots = f"{params.slots} slot{'s' if params.slots != 1 else ''}"
    return (
        f"{clean_line(shape.name, 60)} {shape.quantisation}: {shape.blocks} blocks and the output layer, "
        f"{format_bytes(shape.weights_bytes)}; context {context_size(workload)}, {slots}. Sizes in MiB."
    )


def _verdict(devices: Sequence[Device], split: Split, outlook: Forecast, *, whole: bool) -> str:
    if outlook.fits:
        unknown = [
            d.name for d, m in zip(devices, outlook.devices, strict=True) if m.total_bytes and d.budget_bytes is None
        ]
        left = f", with {split.host_layers} layers on this machine's CPU" if split.host_layers else ""
        return (
            f"{'It' if whole else 'What is counted'} fits{left}."
            if not unknown
            else f"No budget is known for {', '.join(unknown)}: whether it fits is open."
        )
    return f"It does not fit: {shortage(outlook, devices)}."
