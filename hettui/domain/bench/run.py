"""The standard measurement as data: what is measured, what came out, and everything needed to repeat it.

Sizes are llama-bench's: `pp512` reads a prompt of 512 tokens, `tg128` generates 128 one after the other, `@ d1024` with
1024 tokens in the context before. Rates count decode steps: the first token of an answer comes out of its prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from hettui.domain.chat.wire import ServerFacts
from hettui.domain.records import dataclass
from hettui.domain.statistics import Spread, spread

PARALLEL_PROMPT_TOKENS = 16
"""Of each stream of a parallel test: short, so that all generate at the same time."""


@dataclass(frozen=True, slots=True)
class BenchTest:
    """One line of the table. Either `prompt` or `generate` is 0."""

    prompt: int = 0
    generate: int = 0
    depth: int = 0
    streams: int = 1

    @property
    def name(self) -> str:
        """As llama-bench writes it; `x4` for four streams at once, which it does not know."""
        name = f"pp{self.prompt}" if self.prompt else f"tg{self.generate}"
        name += f" x{self.streams}" if self.streams > 1 else ""
        return f"{name} @ d{self.depth}" if self.depth else name

    @property
    def context_tokens(self) -> int:
        """What one stream needs."""
        before = PARALLEL_PROMPT_TOKENS if self.streams > 1 else max(1, self.depth)
        return (self.depth + self.prompt if self.prompt else before + self.generate) + 1

    @property
    def read_tokens(self) -> int:
        """Prompt tokens that a run of it costs, the depth included."""
        return self.depth + self.prompt if self.streams == 1 else self.streams * PARALLEL_PROMPT_TOKENS


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """What is asked for."""

    prompts: tuple[int, ...] = (512,)
    generates: tuple[int, ...] = (128,)
    depths: tuple[int, ...] = (0,)
    streams: tuple[int, ...] = (1, 2, 4)
    repeats: int = 3

    def tests(self, facts: ServerFacts) -> tuple[list[BenchTest], list[str]]:
        """What this server can do of it, and a sentence for each that it cannot."""
        wanted = [BenchTest(prompt=p, depth=d) for d in self.depths for p in self.prompts]
        wanted += [BenchTest(generate=g, depth=d) for d in self.depths for g in self.generates]
        wanted += [BenchTest(generate=g, streams=s) for s in self.streams if s > 1 for g in self.generates[:1]]
        slots, size = facts.slots, facts.slot_context_tokens
        tests: list[BenchTest] = []
        skipped: list[str] = []
        for test in dict.fromkeys(wanted):
            if slots is not None and test.streams > slots:
                what = "one slot" if slots == 1 else f"{slots} slots"
                skipped.append(f"{test.name} was left out: the server has {what}; raise [serving] parallel")
            elif size is not None and test.context_tokens > size:
                skipped.append(
                    f"{test.name} was left out: it needs {test.context_tokens} tokens of context, a slot has {size}"
                )
            else:
                tests.append(test)
        return tests, skipped


@dataclass(frozen=True, slots=True)
class BenchSample:
    """One run of one test, by our clock; `server_…` by the server's."""

    tokens: int
    """Prompt tokens read, or decode steps of all streams together."""
    seconds: float
    first_token_s: float | None = None
    """From sending to the first token; of the slowest stream."""
    between_p50_s: float | None = None
    between_p99_s: float | None = None
    server_per_second: float | None = None
    """As the server prints it; of one stream."""
    energy_j: float | None = None
    """Of all devices that know it, while these tokens were made."""
    drafted_tokens: int | None = None
    """That a draft proposed; None without one."""
    accepted_tokens: int | None = None

    @property
    def per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class BenchResult:
    """All runs of one test so far."""

    test: BenchTest
    samples: tuple[BenchSample, ...] = ()
    note: str = ""
    """Why runs are missing."""

    @property
    def rate(self) -> Spread | None:
        """Tokens a second."""
        return spread([s.per_second for s in self.samples])

    @property
    def server_rate(self) -> Spread | None:
        return spread([s.server_per_second for s in self.samples if s.server_per_second is not None])

    @property
    def first_token(self) -> Spread | None:
        return spread([s.first_token_s for s in self.samples if s.first_token_s is not None])

    @property
    def between_p50_s(self) -> float | None:
        found = spread([s.between_p50_s for s in self.samples if s.between_p50_s is not None])
        return found.mean if found else None

    @property
    def between_p99_s(self) -> float | None:
        return max((s.between_p99_s for s in self.samples if s.between_p99_s is not None), default=None)

    @property
    def joules_per_token(self) -> float | None:
        # 0 was never measured: runs that were kept before this was known have it.
        known = [s for s in self.samples if s.energy_j]
        tokens = sum(s.tokens for s in known)
        return sum(s.energy_j or 0.0 for s in known) / tokens if tokens else None

    @property
    def accepted_part(self) -> float | None:
        """Of the tokens that a draft proposed; None where none did."""
        drafted = sum(s.drafted_tokens or 0 for s in self.samples)
        return sum(s.accepted_tokens or 0 for s in self.samples) / drafted if drafted else None

    def with_sample(self, sample: BenchSample) -> BenchResult:
        return replace(self, samples=(*self.samples, sample))


@dataclass(frozen=True, slots=True)
class DeviceFigures:
    """One device over a whole bench. None is "its sensors do not say"."""

    name: str
    peak_used_bytes: int | None = None
    """Of a card everybody's memory; of a CPU worker its process's."""
    peak_temperature_c: float | None = None
    mean_power_w: float | None = None
    joules_per_token: float | None = None
    """While one stream generated."""
    throttled: tuple[str, ...] = ()
    """Why its clocks were held down meanwhile."""


@dataclass(frozen=True, slots=True)
class BenchOutcome:
    """What came out, complete or not."""

    plan: BenchPlan
    facts: ServerFacts
    results: tuple[BenchResult, ...]
    devices: tuple[DeviceFigures, ...] = ()
    limits_w: Mapping[str, float] = field(default_factory=dict)
    """Power limits by device."""
    skipped: tuple[str, ...] = ()
    problem: str | None = None
    """Why it is not complete."""


@dataclass(frozen=True, slots=True)
class BenchDevice:
    """One device as it was set up."""

    name: str
    backend: str = ""
    via: str = ""
    layers: int | None = None
    card: str | None = None
    driver: str | None = None
    budget_bytes: int | None = None
    power_limit_w: float | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything needed to run it again. Empty and None are "not known"."""

    model: str = ""
    """In words; runs are compared and kept under it."""
    model_path: str | None = None
    model_type: str | None = None
    model_bytes: int | None = None
    model_params: int | None = None
    model_sha256: str | None = None
    builds: Mapping[str, str] = field(default_factory=dict)
    """`llama.cpp`, `llama-server`, `hettui`, each as it says it."""
    commands: tuple[str, ...] = ()
    devices: tuple[BenchDevice, ...] = ()
    """In device order."""
    split: tuple[int, ...] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    """llama.cpp's settings by its own names."""
    machine: Mapping[str, Any] = field(default_factory=dict)
    slots: int | None = None
    slot_context_tokens: int | None = None
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class BenchRun:
    """One whole measurement, complete or not."""

    key: str
    started: str
    """ISO time."""
    plan: BenchPlan
    setting: Setting
    results: tuple[BenchResult, ...]
    devices: tuple[DeviceFigures, ...] = ()
    skipped: tuple[str, ...] = ()
    problem: str | None = None
    """Why it is not complete; None when it is."""
    second_opinion: tuple[BenchResult, ...] = ()
    """The same tests by llama-bench, where it was asked."""

    def result(self, name: str) -> BenchResult | None:
        return next((r for r in self.results if r.test.name == name), None)


@dataclass(frozen=True, slots=True)
class BenchProgress:
    """How far a bench is."""

    now: str
    """What runs, in words."""
    done: float = 0.0
    """The part of the whole, by the time that it takes."""
    left_s: float | None = None
    results: tuple[BenchResult, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured speeds with which the time left is estimated, in tokens a second."""

    read: float | None = None
    write: float | None = None

    def seconds(self, test: BenchTest) -> float | None:
        """One run of a test. Streams at once are taken to be as fast together as one: an upper bound."""
        if self.read is None or self.write is None:
            return None
        return test.read_tokens / self.read + test.streams * test.generate / self.write

    def share(self, done: Sequence[BenchTest], left: Sequence[BenchTest]) -> tuple[float, float | None]:
        """The part that is done, and the seconds that are left."""
        if not done and not left:
            return 0.0, None
        before = [self.seconds(test) for test in done]
        after = [self.seconds(test) for test in left]
        if any(s is None for s in (*before, *after)):
            total = len(done) + len(left)
            return (len(done) / total if total else 0.0), None
        spent, remaining = sum(s or 0.0 for s in before), sum(s or 0.0 for s in after)
        whole = spent + remaining
        return (spent / whole if whole else 1.0), remaining
