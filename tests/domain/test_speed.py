"""What one answer says of every device's part in it, and what is learned from that."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hettui.domain.devices.device import Device
from hettui.domain.devices.speed import HOP, LAYER, Speed
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.split import Split
from hettui.domain.planner.learned import Learned
from hettui.domain.speed.evidence import HALF_LIFE_S, Evidence, speed_of
from hettui.domain.speed.pace import Pace, below_s, expected, pace, runs, seconds_per_token, stages_s
from hettui.domain.speed.shares import Decode, Share
from tests import examples
from tests.fakes import shape
from tests.truth.compare import shape_of

LLAMA = shape_of("llama-8b", 32)
H200 = tuple(
    Device(f"h200-{i}", id=f"CUDA{i}", backend="cuda", uuid=f"GPU-{i}", bandwidth_bytes_per_s=4.81e12) for i in (0, 1)
)
CPU8, CPU4 = (Device(f"cpu{n}", via="worker", threads=n, bandwidth_bytes_per_s=1e11) for n in (8, 4))
MIXED = (H200[0], CPU8, CPU4)


def learn(
    learned: Learned,
    devices: Sequence[Device],
    layers: Sequence[int],
    token_ms: float,
    shares: Mapping[int, float],
    excused: Mapping[int, str] | None = None,
    at_s: float = 1e9,
) -> bool:
    told = {i: Share(part, 0.01, devices[i].backend == "cpu") for i, part in shares.items()}
    decode = Decode(token_ms / 1e3, told, excused or {}, at_s)
    return learned.add_decode(LLAMA, devices, Split(tuple(layers), 33), decode)


def predicted(learned: Learned, devices: Sequence[Device], layers: Sequence[int]) -> float:
    """Tokens a second."""
    seconds = seconds_per_token(LLAMA, learned.with_measured(devices), layers)
    assert seconds is not None
    return 1 / seconds


# Measured on two H200 (b11434), see docs/measurements.md: split, ms a token, busy shares.
TWO_CARDS = [
    ((33, 0), 4.23, {0: 0.95}),
    ((25, 8), 4.23, {0: 0.70, 1: 0.25}),
    ((17, 16), 4.18, {0: 0.48, 1: 0.48}),
    ((8, 25), 4.20, {0: 0.23, 1: 0.73}),
]
WITH_WORKERS = [
    ((29, 4, 0), 25.4, {0: 0.14, 1: 7.74 / 8}),
    ((29, 0, 4), 46.4, {0: 0.07, 2: 3.90 / 4}),
    ((25, 5, 3), 57.2, {0: 0.05, 1: 3.49 / 8, 2: 2.66 / 4}),
    ((20, 8, 5), 78.8, {0: 0.03, 1: 3.57 / 8, 2: 2.52 / 4}),
]


@pytest.mark.parametrize("taught", range(1, 4))
def test_one_answer_of_two_cards_tells_the_others(taught: int) -> None:
    learned = Learned()
    layers, token_ms, shares = TWO_CARDS[taught]
    assert learn(learned, H200, layers, token_ms, shares)
    for other, ms, _ in TWO_CARDS:
        assert predicted(learned, H200, other) == pytest.approx(1e3 / ms, rel=0.12)


@pytest.mark.parametrize("taught", [2, 3])
def test_one_answer_with_cpu_workers_tells_the_others(taught: int) -> None:
    learned = Learned()
    layers, token_ms, shares = WITH_WORKERS[taught]
    assert learn(learned, MIXED, layers, token_ms, shares)
    off = []
    for other, ms, _ in WITH_WORKERS:
        off.append(abs(predicted(learned, MIXED, other) * ms / 1e3 - 1))
    assert statistics.median(off) < 0.10, off
    assert max(off) < 0.20, off


def test_the_clean_card_keeps_its_name_when_the_other_is_shared() -> None:
    """Both counters of a shared card say 99 %: what the clean one leaves is its time now, and says nothing of it."""
    learned = Learned()
    assert learn(learned, H200, (25, 8), 15.0, {0: 0.20}, {1: "shared"})
    alone = Learned()
    learn(alone, H200, (25, 8), 4.23, {0: 0.70, 1: 0.25})
    clean, shared = learned.with_measured(H200)
    reads = LLAMA.layer_reads[0]
    assert pace(clean).layer_s(reads) == pytest.approx(pace(alone.with_measured(H200)[0]).layer_s(reads), rel=0.1)
    assert shared.speed is not None
    assert shared.speed.why_now == "shared"
    assert 8 < shared.speed.slower_now < 20
    assert predicted(learned, H200, (25, 8)) == pytest.approx(1e3 / 15.0, rel=0.1)
    assert predicted(learned, H200, (33, 0)) == pytest.approx(1e3 / 4.23, rel=0.12)
    # The other program ends: nothing of it is left, whatever was measured meanwhile.
    assert learned.forgive(H200[1])
    assert not learned.forgive(H200[1])
    assert predicted(learned, H200, (8, 25)) == pytest.approx(1e3 / 4.2, rel=0.25)


def truth(device: Device, byte: float, layer: float, hop: float) -> Device:
    """A device that really takes so many times what its data say."""
    said = pace(device)
    names = ("dense q4", "dense q6", "dense f16", LAYER, HOP)
    values = (*(said.seconds_per_byte * 1e12 * byte,) * 3, said.seconds_per_layer * 1e3 * layer, said.hop_s * 1e3 * hop)
    nothing = ((0.0,) * 5,) * 5
    return replace(device, speed=Speed(names, values, nothing, windows=1))


def answer(model: ModelShape, devices: Sequence[Device], layers: Sequence[int], dice: random.Random) -> Decode:
    """What the sensors would say of one answer, give or take; ggml's threads spin for 2 ms beside it."""
    stages = stages_s(model, devices, layers)
    token_s = sum(stages.values()) * dice.gauss(1, 0.01)
    shares = {}
    for i, run in runs(model, layers).items():
        below = below_s(model, pace(devices[i]))
        busy_s = below[run.stop] - below[run.start]
        spins = devices[i].backend == "cpu"
        spin_s = min(2e-3, token_s - busy_s) if spins else 0.0
        part = (busy_s + max(spin_s, 0.0)) / token_s * dice.gauss(1, 0.04)
        shares[i] = Share(min(max(round(part, 2), 0.0), 1.0), 0.005 + 0.04 * part, spins)
    return Decode(token_s, shares, {}, 1e9)


factors = st.floats(0.5, 2.0)


@settings(max_examples=examples.of(60), deadline=None)
@given(
    st.lists(st.tuples(factors, factors, factors), min_size=3, max_size=3),
    st.lists(st.integers(3, 27), min_size=1, max_size=4),
    st.integers(0, 10_000),
)
def test_hidden_speeds_are_found_from_noisy_shares(
    hidden: list[tuple[float, float, float]], splits: list[int], seed: int
) -> None:
    dice = random.Random(seed)
    real = [truth(d, *h) for d, h in zip(MIXED, hidden, strict=True)]
    learned = Learned()
    for first in splits:
        rest = 33 - first
        layers = (first, rest // 2, rest - rest // 2)
        learned.add_decode(LLAMA, MIXED, Split(layers, 33), answer(LLAMA, real, layers, dice))
    known = learned.with_measured(MIXED)
    off = []
    for layers in ((31, 1, 1), (20, 8, 5), (11, 11, 11), (5, 5, 23), (5, 23, 5), (15, 15, 3), (15, 3, 15)):
        told, true = expected(LLAMA, known, layers), sum(stages_s(LLAMA, real, layers).values())
        assert told is not None
        assert told.low_per_second < told.per_second < told.high_per_second
        off.append(abs(told.token_s / true - 1))
    assert sorted(off)[3] < 0.10, off
    assert max(off) < 0.40, off  # from 3 layers to 31; hypothesis looks for the worst noise, too
    assert all(min(d.speed.values_ms) >= 0 for d in known if d.speed)


def test_a_drift_is_followed_and_old_answers_weigh_less() -> None:
    learned, dice = Learned(), random.Random(1)
    layers = (20, 8, 5)
    for slower in (1.0,) * 6 + (1.5,) * 14:
        real = [truth(d, slower, slower, 1.0) for d in MIXED]
        learned.add_decode(LLAMA, MIXED, Split(layers, 33), answer(LLAMA, real, layers, dice))
    now = sum(stages_s(LLAMA, [truth(d, 1.5, 1.5, 1.0) for d in MIXED], layers).values())
    assert 1 / predicted(learned, MIXED, layers) == pytest.approx(now, rel=0.13)


def test_what_was_measured_fades_to_what_the_data_say() -> None:
    work = {"dense q4": 0.13, LAYER: 1.0}
    evidence = replace(Evidence().with_work(work, 3.0, 0.05).counted(), at_unix_s=1e9)
    doubts, values = [], []
    for half_lives in (0, 4, 12, 40):
        speed = speed_of(H200[0], evidence, 1e9 + half_lives * HALF_LIFE_S)
        values.append(sum(work[n] * v for n, v in zip(speed.names, speed.values_ms, strict=True)))
        doubts.append(speed.doubt_ms(work) / values[-1])
    assert doubts == sorted(doubts)
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(3.0, rel=0.15)
    by_data = pace(H200[0]).layer_s({"dense q4": 0.13}) * 1e3
    assert values[-1] == pytest.approx(by_data, rel=0.01)


@given(st.lists(st.tuples(st.floats(0.001, 5), st.integers(0, 60), st.floats(0.0001, 500)), min_size=1, max_size=6))
def test_no_answer_makes_a_speed_negative(answers: list[tuple[float, int, float]]) -> None:
    evidence = Evidence()
    for gb, layers, took_ms in answers:
        evidence = evidence.with_work({"dense q4": gb, LAYER: layers, HOP: 1.0}, took_ms, 0.04 * took_ms)
        assert evidence.sound
    for device in (H200[0], CPU8):
        speed = speed_of(device, evidence, 0.0)
        assert min(speed.values_ms) >= 0
        assert speed.sound


def test_kinds_of_weights_that_were_never_read_follow_the_others() -> None:
    learned, model = Learned(), shape()
    real = [truth(replace(CPU8, name="d0"), 2.0, 1.0, 1.0)]
    dense = below_s(model, pace(real[0]))[-1]
    learned.add_decode(model, [CPU8], Split((31,), 31), Decode(dense + 2e-3, {0: Share(0.99, 0.01, True)}))
    known: Pace = pace(learned.with_measured([CPU8])[0])
    assert known.layer_s({"expert q2": 1.0}) == pytest.approx(known.layer_s({"dense q4": 1.0}), rel=0.2)
    assert known.known


def test_speeds_can_be_forgotten() -> None:
    learned = Learned()
    layers, token_ms, shares = WITH_WORKERS[2]
    learn(learned, MIXED, layers, token_ms, shares)
    assert learned.forget_speeds() == 3
    assert learned.with_measured(MIXED) == MIXED


@settings(max_examples=examples.of(80), deadline=None)
@given(st.floats(0.3, 1.1), st.lists(st.floats(0.05, 1), min_size=3, max_size=3), st.floats(5, 500), st.booleans())
def test_what_was_measured_is_what_is_told_of_the_same_split(
    total: float, parts: list[float], token_ms: float, cards: bool
) -> None:
    """Whatever the shares leave or have too much: threads that had to wait for a busy machine, a slow network.

    Within a third: where most of a token's time is nobody's share, the ways and the work change places meanwhile.
    """
    remote = tuple(replace(d, host="attic", via="worker", uuid=f"GPU-{i}") for i, d in enumerate((*H200, H200[0])))
    devices = remote if cards else MIXED
    shares = {i: part * total / sum(parts) for i, part in enumerate(parts)}
    learned = Learned()
    for _ in range(4):
        assert learn(learned, devices, (20, 8, 5), token_ms, shares)
    assert 1e3 / predicted(learned, devices, (20, 8, 5)) == pytest.approx(token_ms, rel=0.35)


def test_a_long_conversation_blames_its_context_and_not_the_weights() -> None:
    """The KV cache is read for every token: with much in it each takes longer, on the same devices."""
    learned = Learned()
    for token_ms, context_gb in ((57.2, 0.002), (70.0, 0.05), (70.0, 0.05), (57.2, 0.002)):
        shares = {0: Share(0.05, 0.01), 1: Share(0.42, 0.01, True), 2: Share(0.6, 0.01, True)}
        context = {0: 25 * context_gb, 1: 5 * context_gb, 2: 2 * context_gb}
        learned.add_decode(LLAMA, MIXED, Split((25, 5, 3), 33), Decode(token_ms / 1e3, shares, {}, 1e9, context))
    assert 1e3 / predicted(learned, MIXED, (25, 5, 3)) == pytest.approx(57.2, rel=0.1)
    known = learned.with_measured(MIXED)[1].speed
    assert known is not None
    assert known.value_ms("context")


@pytest.mark.parametrize(
    "damage",
    [
        {"values_ms": (0.0, 0.1)},
        {"values_ms": (-1.0, 0.1)},
        {"values_ms": (1.0,)},
        {"covariance": ((1.0, 0.0),)},
        {"covariance": ((-1.0, 0.0), (0.0, 1.0))},
        {"slower_now": 0.5},
    ],
)
def test_a_speed_that_nothing_can_have_is_told(damage: dict[str, object]) -> None:
    sound = Speed(("dense q4", LAYER), (1.0, 0.0), ((1.0, 0.0), (0.0, 1.0)))
    assert sound.sound
    assert not replace(sound, **damage).sound  # type: ignore[arg-type]


def test_a_card_whose_part_is_below_what_can_be_read_is_as_fast_as_its_data_say() -> None:
    """Beside CPU workers its busy share is less than the whole percent that drivers tell (two H200, b11434)."""
    learned, devices = Learned(), (H200[1], CPU8, CPU4, H200[0])
    assert learn(learned, devices, (7, 9, 10, 7), 101.0, {0: 0.0, 1: 0.36, 2: 0.66, 3: 0.01})
    assert predicted(learned, devices, (14, 0, 0, 19)) == pytest.approx(240, rel=0.2)
