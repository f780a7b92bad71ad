"""One line why: each finding and its absence, the order of harm, words that fit, and steadiness."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import Split
from hettui.domain.planner.moves import Running
from hettui.domain.telemetry.readings import DeviceSample, Holder, Link, Throttle
from hettui.domain.telemetry.steady import Steady
from hettui.domain.telemetry.why import MOST_CHARS, Finding, Scene, findings, short_name, worst
from hettui.domain.text import clean_line
from hettui.domain.units import GIB, MIB
from tests.fakes import shape, workers

FAST = Device("NVIDIA GeForce RTX 5080", backend="cuda", budget_bytes=3000 * MIB, bandwidth_bytes_per_s=960e9)
SLOW = Device("GTX 1660 Super", backend="cuda", budget_bytes=3000 * MIB, bandwidth_bytes_per_s=336e9)
MODEL = shape(30, 60 * MIB, 180 * MIB)
FINE = DeviceSample(
    used_bytes=3 * GIB,
    total_bytes=6 * GIB,
    holders=(Holder(100, "llama-server", 2 * GIB),),
    utilisation_percent=50.0,
    clock_mhz=2400.0,
    clock_max_mhz=2500.0,
    throttles=(),
    link_now=Link(4, 16),
    link_max=Link(4, 16),
)
IDLE = replace(FINE, utilisation_percent=2.0, clock_mhz=210.0, link_now=Link(1, 16))
OURS = frozenset({100})


def runs(*layers: int, devices: tuple[Device, ...] = (FAST, SLOW)) -> Running:
    return Running(Workload(MODEL, RuntimeParams(ctx_size=2048)), devices, Split(layers, 31))


def card(sample: DeviceSample | None, **scene: object) -> list[Finding]:
    """What is found on one card by itself."""
    samples = {} if sample is None else {SLOW.name: sample}
    return findings(Scene((SLOW,), samples, **scene)).get(SLOW.name, [])  # type: ignore[arg-type]


def texts(found: Iterable[Finding]) -> list[str]:
    return [f.text for f in found]


def test_what_is_well_or_unknown_says_nothing() -> None:
    for sample in (FINE, IDLE, DeviceSample(), None):
        assert card(sample) == []
        assert card(sample, running=runs(31, 0), own_pids=OURS, generating=True) == []


# -- throttled -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasons", "changes", "says"),
    [
        ((Throttle.HOT,), {"clock_mhz": 1410.0}, "too hot: the driver lowers its clocks, 1.4/2.5 GHz"),
        ((Throttle.HOT, Throttle.HOT_HARDWARE), {}, "too hot: the hardware halves its clocks, 2.4/2.5 GHz"),
        ((Throttle.SLOWDOWN, Throttle.POWER_BRAKE), {}, "the power supply pulls the brake, 2.4 of 2.5 GHz"),
        ((Throttle.SLOWDOWN,), {}, "the hardware slows it down: heat, power or its supply"),
        ((Throttle.HOT,), {"clock_mhz": None, "utilisation_percent": None}, "too hot: the driver lowers its clocks"),
        ((Throttle.POWER_LIMIT,), {"clock_mhz": 1410.0}, "at its power limit, 1.4 of 2.5 GHz"),
        ((Throttle.POWER_LIMIT,), {"clock_mhz": 2010.0}, None),
        ((Throttle.POWER_LIMIT,), {"clock_mhz": 1410.0, "utilisation_percent": 10.0}, None),
        ((Throttle.POWER_LIMIT,), {"clock_mhz": 1410.0, "utilisation_percent": None}, None),
        ((Throttle.POWER_LIMIT,), {"clock_mhz": None}, None),
        ((Throttle.POWER_LIMIT,), {"clock_max_mhz": None}, None),
        ((Throttle.POWER_LIMIT, Throttle.SYNC), {}, "held back with the other cards of its group"),
        ((Throttle.SYNC,), {"utilisation_percent": 0.0}, None),
        (None, {"clock_mhz": 300.0}, None),
    ],
)
def test_throttled(reasons: tuple[Throttle, ...] | None, changes: dict[str, float], says: str | None) -> None:
    found = texts(card(replace(FINE, throttles=reasons, **changes)))  # type: ignore[arg-type]
    assert found == ([] if says is None else [says])


# -- memory ----------------------------------------------------------------------------------------------------


def full(*holders: Holder, left_mib: int = 100) -> DeviceSample:
    return replace(FINE, used_bytes=6 * GIB - left_mib * MIB, holders=holders)


def test_memory_that_others_hold() -> None:
    game, desktop = Holder(7, "game", 3 * GIB), Holder(8, "Xorg", 300 * MIB)
    ours = Holder(100, "llama-server", 2 * GIB)
    assert texts(card(full(ours, desktop, game), own_pids=OURS)) == [
        "nearly full, 100 MiB left: game (7) holds 3.0 GiB"
    ]
    assert texts(card(full(Holder(7, "", 3 * GIB)))) == ["nearly full, 100 MiB left: a process (7) holds 3.0 GiB"]
    for holders in ((ours,), (ours, Holder(7, "tiny", 10 * MIB)), (ours, Holder(7, "unknown", None)), ()):
        assert texts(card(full(*holders), own_pids=OURS)) == ["nearly full, 100 MiB left"]


def test_where_pids_are_counted_otherwise_nobody_is_accused() -> None:
    assert texts(card(full(Holder(4711, "llama-server", 3 * GIB)), own_pids=OURS)) == ["nearly full, 100 MiB left"]


@pytest.mark.parametrize("changes", [{"total_bytes": None}, {"used_bytes": None}, {"used_bytes": 5 * GIB}])
def test_memory_with_room_or_unknown(changes: dict[str, int | None]) -> None:
    assert card(replace(full(), **changes)) == []  # type: ignore[arg-type]


def test_memory_that_we_hold_names_the_layer_to_move() -> None:
    ours = full(Holder(100, "llama-server", 5 * GIB))
    scene = Scene((FAST, SLOW), {SLOW.name: ours, FAST.name: FINE}, runs(20, 11), OURS)
    expected = "nearly full, 100 MiB left · 1 layer to RTX 5080: −"
    assert texts(findings(scene)[SLOW.name])[0].startswith(expected)
    edited = replace(scene, edited=True)
    assert texts(findings(edited)[SLOW.name])[0] == "nearly full, 100 MiB left"
    both = replace(scene, samples={SLOW.name: ours, FAST.name: ours})
    assert texts(findings(both)[SLOW.name])[0] == "nearly full, 100 MiB left"


# -- link ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "best", "says"),
    [
        (Link(3, 4), Link(4, 16), "link gen3 x4: 3.9 of 31.5 GB/s · slot, riser, BIOS?"),
        (Link(4, 4), Link(4, 16), "link gen4 x4: 7.9 of 31.5 GB/s · slot, riser?"),
        (Link(1, 16), Link(4, 16), "link gen1 x16: 4.0 of 31.5 GB/s · riser, BIOS?"),
        (Link(4, 8), Link(4, 16), "link gen4 x8: 15.8 of 31.5 GB/s · slot, riser?"),
        (Link(8, 2), Link(9, 16), "link gen8 x2 of gen9 x16 · slot, riser, BIOS?"),
        (Link(4, 16), Link(4, 16), None),
        (Link(5, 16), Link(4, 16), None),
        (Link(5, 8), Link(4, 16), None),
        (None, Link(4, 16), None),
        (Link(1, 1), None, None),
    ],
)
def test_link(now: Link | None, best: Link | None, says: str | None) -> None:
    sample = replace(FINE, link_now=now, link_max=best)
    assert texts(card(sample)) == ([] if says is None else [says])
    for idle_percent in (None, 0.0, 24.0):
        assert card(replace(sample, utilisation_percent=idle_percent)) == []


# -- the rhythm ------------------------------------------------------------------------------------------------


def beat(fast_percent: float | None = 20.0, **changes: object) -> dict[str, list[str]]:
    scene = Scene(
        (FAST, SLOW),
        {FAST.name: replace(FINE, utilisation_percent=fast_percent), SLOW.name: FINE},
        runs(16, 15),
        OURS,
        generating=True,
    )
    scene = replace(scene, **changes)  # type: ignore[arg-type]
    return {name: texts(found) for name, found in findings(scene).items()}


def test_the_one_waits_and_the_other_brakes_with_the_move_that_helps() -> None:
    assert beat() == {
        FAST.name: ["waits: 33 % of a token · 15 layers from GTX 16… Super: −34 %"],
        SLOW.name: ["brake: 67 % of a token · 15 layers to RTX 5080: −34 %"],
    }


def test_without_an_answer_nobody_waits() -> None:
    assert list(beat(generating=False)) == [SLOW.name]


@pytest.mark.parametrize("percent", [None, 64.0, 100.0])
def test_who_is_busier_than_the_model_says_does_not_wait(percent: float | None) -> None:
    assert list(beat(percent)) == [SLOW.name]


def test_while_the_sliders_say_something_else_no_move_is_proposed() -> None:
    assert beat(edited=True) == {SLOW.name: ["brake: 67 % of a token's time for 52 % of the model"]}


def test_where_there_is_no_room_any_more_no_move_is_proposed() -> None:
    taken = replace(FINE, used_bytes=6 * GIB - 500 * MIB, utilisation_percent=20.0)
    assert beat(samples={FAST.name: taken, SLOW.name: FINE}) == {
        SLOW.name: ["brake: 67 % of a token's time for 52 % of the model"]
    }
    full_up = (replace(FAST, budget_bytes=1700 * MIB), SLOW)
    assert list(beat(running=runs(16, 15, devices=full_up))) == [SLOW.name]


@pytest.mark.parametrize(
    "devices",
    [(FAST, replace(FAST, name=SLOW.name)), (FAST, replace(SLOW, bandwidth_bytes_per_s=None))],
    ids=["equal", "of unknown speed"],
)
def test_equal_or_unknown_devices_brake_nobody(devices: tuple[Device, ...]) -> None:
    assert beat(running=runs(16, 15, devices=devices)) == {}


def test_the_demo_has_no_brake() -> None:
    """Its last worker holds the output layer alone: much time for one layer, but no more than its bytes take."""
    cpus = tuple(replace(d, measured_slowness=1.0) for d in workers(240, 180, 90))
    running = Running(Workload(shape(), RuntimeParams()), cpus, Split((18, 12, 1), 31))
    samples = {d.name: DeviceSample(used_bytes=80 * MIB, total_bytes=90 * MIB, utilisation_percent=30.0) for d in cpus}
    assert findings(Scene(cpus, samples, running, generating=True)) == {}


def test_a_cpu_worker_is_measured_by_its_threads() -> None:
    cpu = replace(workers(3000)[0], threads=4, bandwidth_bytes_per_s=30e9, measured_slowness=1.0)
    slower = replace(cpu, name="d1", threads=1)
    devices, running = (cpu, slower), runs(16, 15, devices=(cpu, slower))
    for percent, waits in ((80.0, True), (300.0, False)):
        samples = {cpu.name: DeviceSample(utilisation_percent=percent)}
        found = findings(Scene(devices, samples, running, generating=True))
        assert ("d0" in found) is waits
        assert found["d1"][0].key == "brake"


# -- order and words -------------------------------------------------------------------------------------------


def test_the_order_of_harm() -> None:
    worst_of_all = replace(
        full(Holder(7, "game", 3 * GIB)), throttles=(Throttle.HOT,), link_now=Link(1, 4), utilisation_percent=30.0
    )
    scene = Scene((FAST, SLOW), {SLOW.name: worst_of_all}, runs(16, 15), generating=True)
    assert [f.key for f in findings(scene)[SLOW.name]] == ["throttled", "memory", "link", "brake"]
    half = replace(FINE, link_now=Link(4, 8))
    scene = replace(scene, samples={SLOW.name: half, FAST.name: replace(half, utilisation_percent=26.0)})
    assert [f.key for f in findings(scene)[SLOW.name]] == ["brake", "half-link"]
    assert [f.key for f in findings(scene)[FAST.name]] == ["waits", "half-link"]


HOSTILE = "[/]\x1b]0;owned\x07[Q4_K_M] \u202ecard\n" + "x" * 300
names = st.sampled_from([HOSTILE, "", "RTX 3060", "NVIDIA GeForce RTX 4090 Laptop GPU with a long name"]) | st.text()


@given(
    name=names,
    holder=names,
    pid=st.integers(1, 1 << 22),
    used=st.integers(256 * MIB, 200 * GIB),
    reasons=st.lists(st.sampled_from(list(Throttle)), unique=True),
    now=st.builds(Link, st.integers(1, 9), st.integers(1, 32)),
    clock=st.floats(0, 9000),
)
def test_whatever_the_world_says_a_line_is_clean_and_fits(
    name: str, holder: str, pid: int, used: int, reasons: list[Throttle], now: Link, clock: float
) -> None:
    sample = replace(
        full(Holder(pid, holder, used)),
        throttles=tuple(reasons),
        link_now=now,
        link_max=Link(9, 32),
        clock_mhz=clock,
    )
    strange = (replace(FAST, name=name), SLOW)
    for own in (frozenset({pid}), frozenset[int]()):
        samples = {SLOW.name: sample, name: replace(FINE, utilisation_percent=20.0)}
        found = findings(Scene(strange, samples, runs(16, 15, devices=strange), own, generating=True))
        for finding in (f for lines in found.values() for f in lines):
            assert len(finding.text) <= MOST_CHARS
            assert finding.text == clean_line(finding.text) != ""


def test_a_short_name_is_still_a_name() -> None:
    given_names = ("NVIDIA GeForce RTX 5080", "AMD Radeon RX 7900 XTX", "NVIDIA ", "attic", "Intel(R) Arc A770")
    assert [short_name(n) for n in given_names] == ["RTX 5080", "RX 7900 XTX", "NVIDIA", "attic", "Arc A770"]


# -- steady ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    key: str
    text: str = ""


def shown(readings: Iterable[Iterable[Said]], *, interval_s: float = 1.0, hold_s: float = 3.0) -> list[list[str]]:
    steady: Steady[Said] = Steady()
    seen = []
    for n, found in enumerate(readings):
        steady = steady.update({"d": tuple(found)} if found else {}, n * interval_s, hold_s)
        seen.append([f"{f.key}{f.text}" for f in steady.shown("d")])
    return seen


A, B = Said("a"), Said("b")


def test_it_must_hold_before_it_shows_and_before_it_goes() -> None:
    assert shown([[A]] * 5 + [[]] * 4) == [[], [], [], ["a"], ["a"], ["a"], ["a"], [], []]


def test_what_flaps_never_shows_and_once_shown_stays() -> None:
    assert not any(shown([[A], [A], []] * 10))
    assert all(shown([[A]] * 4 + [[], [], [A]] * 10)[3:])


def test_newer_words_show_at_once() -> None:
    assert shown([[Said("a", str(n))] for n in range(6)])[3:] == [["a3"], ["a4"], ["a5"]]


def test_findings_hold_each_by_itself() -> None:
    assert shown([[A], [A], [A, B], [A, B], [B], [B], [B], [B]])[3:] == [["a"], ["a"], ["a", "b"], ["b"], ["b"]]


def test_slow_readings_are_given_two() -> None:
    assert shown([[A], [A], [A], [], []], interval_s=10.0, hold_s=20.0) == [[], [], ["a"], ["a"], []]


def test_drawing_twice_is_not_another_reading_and_a_clock_that_goes_back_begins_anew() -> None:
    steady: Steady[Said] = Steady()
    for _ in range(9):
        steady = steady.update({"d": (A,)}, 5.0, 3.0)
    assert steady.shown("d") == []
    steady = steady.update({"d": (A,)}, 8.0, 3.0)
    assert steady.shown("d") == [A]
    assert steady.update({"d": (A,)}, 1.0, 3.0).shown("d") == []
    assert steady.shown("another") == []


def test_the_worst_that_has_held_is_the_line() -> None:
    late, early = Finding("throttled", "hot"), Finding("brake", "slow")
    steady: Steady[Finding] = Steady()
    lines = []
    for second in range(10):
        found = [late, early] if 3 <= second < 6 else [early]
        steady = steady.update({"d": found}, second, 2.0)
        line = worst(steady, "d")
        lines.append(line.text if line else "")
    assert lines == ["", "", "slow", "slow", "slow", "hot", "hot", "slow", "slow", "slow"]
