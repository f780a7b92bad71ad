"""The bench over real HTTP against a scripted server: exact sizes, no cached number, partial results kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from hettui.adapters.llama.http import HttpLlamaClient
from hettui.domain.bench.run import BenchOutcome, BenchPlan, BenchProgress, BenchTest
from hettui.domain.errors import ServerError
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot
from hettui.services.bench import BenchRunner
from hettui.wiring.engine import SystemClock
from tests.scripted_server import Script, scripted

SMALL = BenchPlan(prompts=(64,), generates=(16,), depths=(0,), streams=(1, 2), repeats=2)


async def bench(script: Script, plan: BenchPlan = SMALL, stop_at: str | None = None) -> tuple[BenchOutcome, list[str]]:
    told: list[BenchProgress] = []
    with scripted(script) as server:
        client = HttpLlamaClient(server.url)

        def tell(progress: BenchProgress) -> None:
            told.append(progress)
            if stop_at and progress.now.startswith(stop_at):
                asyncio.get_running_loop().call_soon(runner.stop)

        runner = BenchRunner(client, SystemClock(), tell)
        try:
            outcome = await runner.run(plan)
        finally:
            await client.close()
    assert [p.done for p in told[1:]] == sorted(p.done for p in told[1:])
    return outcome, [p.now for p in told]


def test_the_tests_of_a_plan_and_what_is_left_out() -> None:
    from hettui.domain.chat.wire import ServerFacts

    plan = BenchPlan((512, 4096), (128,), (0, 1024), (1, 2, 4))
    tests, skipped = plan.tests(ServerFacts(slots=2, slot_context_tokens=2048))
    assert [t.name for t in tests] == ["pp512", "pp512 @ d1024", "tg128", "tg128 @ d1024", "tg128 x2"]
    assert "pp4096 was left out: it needs 4097 tokens of context, a slot has 2048" in skipped
    assert "tg128 x4 was left out: the server has 2 slots; raise [serving] parallel" in skipped


async def test_exact_sizes_new_prompts_and_no_cache() -> None:
    script = Script(tokens_per_second=400)
    outcome, told = await bench(script)
    assert outcome.problem is None
    assert [(r.test.name, len(r.samples)) for r in outcome.results] == [("pp64", 2), ("tg16", 2), ("tg16 x2", 2)]
    assert told[0] == "asking the server"
    assert told[1] == "warming up"
    assert told[-1] == "done"
    assert not any(r["cache_prompt"] for r in script.requests)
    assert all(r["ignore_eos"] for r in script.requests)
    reading = [r for r in script.requests if r["n_predict"] == 1]
    assert [len(r["prompt"]) for r in reading] == [64, 64]
    assert reading[0]["prompt"] != reading[1]["prompt"]
    assert all(0 <= token < 49152 for r in script.requests for token in r["prompt"])
    assert sum(r["n_predict"] == 17 for r in script.requests) == 2 + 2 * 2


async def test_rates_are_decode_steps_over_their_time_and_agree_with_the_server() -> None:
    plan = replace(SMALL, prompts=(), generates=(128,), streams=(1,), repeats=2)
    outcome, _ = await bench(Script(tokens_per_second=400), plan)
    (result,) = outcome.results
    assert result.rate is not None
    assert result.server_rate is not None
    assert result.rate.mean == pytest.approx(400, rel=0.05)
    assert result.rate.mean == pytest.approx(result.server_rate.mean, rel=0.05)
    # A crowded machine brings several at once, and others later.
    assert result.between_p50_s is not None
    assert result.between_p99_s is not None
    assert 0 < result.between_p50_s <= result.between_p99_s


async def test_a_depth_is_in_the_context_and_only_the_rest_is_counted() -> None:
    script = Script()
    outcome, _ = await bench(script, replace(SMALL, depths=(128,), streams=(1,), repeats=1))
    assert [(r.test.name, [s.tokens for s in r.samples]) for r in outcome.results] == [
        ("pp64 @ d128", [64]),
        ("tg16 @ d128", [16]),
    ]
    assert [(len(r["prompt"]), r["cache_prompt"]) for r in script.requests[1:]] == [
        (128, True), (192, True), (128, False),
    ]  # fmt: skip


async def test_a_server_that_forgets_gives_no_false_number() -> None:
    outcome, _ = await bench(Script(forgets=True), replace(SMALL, depths=(128,), streams=(1,), repeats=1))
    reading = outcome.results[0]
    assert reading.samples == ()
    assert "read 192 tokens instead of 64" in reading.note


async def test_a_server_with_a_limit_gives_no_false_number() -> None:
    outcome, _ = await bench(Script(limit=10), replace(SMALL, streams=(1,), repeats=1))
    assert "made 10 tokens instead of 17" in outcome.results[1].note


async def test_stopped_early_what_there_is_is_kept_and_marked() -> None:
    outcome, _ = await bench(Script(), stop_at="tg16, run 2")
    assert outcome.problem == "stopped before the end"
    assert [len(r.samples) for r in outcome.results] == [2, 1, 1]


async def test_a_server_that_dies_is_told_and_what_there_is_is_kept() -> None:
    outcome, _ = await bench(Script(dies_after=3))
    assert outcome.problem is not None
    assert "closed the connection" in outcome.problem


async def test_a_server_without_room_for_anything() -> None:
    outcome, _ = await bench(Script(context=8))
    assert outcome.problem is not None
    assert "nothing of this can be measured here" in outcome.problem


async def test_devices_have_peaks_power_and_energy() -> None:
    plan = replace(SMALL, prompts=(), streams=(1,), repeats=1)
    with scripted(Script(tokens_per_second=100)) as server:
        client, clock = HttpLlamaClient(server.url), SystemClock()
        runner = BenchRunner(client, clock, lambda _: None)

        async def sensors() -> None:
            began, used = clock.monotonic(), 100
            while True:
                now = clock.monotonic()
                used += 1
                card = DeviceSample(
                    used_bytes=used, temperature_c=60.0, energy_j=(now - began) * 50, power_w=999.0, power_limit_w=300.0
                )
                runner.meter.add(TelemetrySnapshot(now, 0.01, {"card": card, "cpu": DeviceSample(used_bytes=7)}))
                await asyncio.sleep(0.01)

        sampling = asyncio.create_task(sensors())
        outcome = await runner.run(plan)
        sampling.cancel()
        await client.close()
    card, cpu = outcome.devices
    assert card.mean_power_w == pytest.approx(50)
    assert card.joules_per_token == pytest.approx(50 / 100, rel=0.2)
    assert card.peak_temperature_c == 60.0
    assert (cpu.peak_used_bytes, cpu.mean_power_w, cpu.joules_per_token) == (7, None, None)
    assert outcome.limits_w == {"card": 300.0}
    assert outcome.results[0].samples[0].energy_j == pytest.approx(50 * outcome.results[0].samples[0].seconds, rel=0.05)
    assert outcome.results[0].test == BenchTest(generate=16)


@pytest.mark.parametrize("which", [1, 4], ids=["that only warms up", "that is measured"])
async def test_an_answer_that_the_server_itself_refuses_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    ask, calls = BenchRunner._ask, []

    async def refused_once(self: BenchRunner, *arguments: object, **named: object) -> object:
        calls.append(arguments)
        if len(calls) == which:
            raise ServerError("The model produced output that does not match the expected Content-only format")
        return await ask(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(BenchRunner, "_ask", refused_once)
    outcome, _ = await bench(Script())
    assert outcome.problem is None
    assert all(len(result.samples) == SMALL.repeats for result in outcome.results)
