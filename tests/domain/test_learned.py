"""What launches teach: the same plan is measured next time, anything else is forecast as before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hettui.adapters.files.learned_file import load_learned, save_learned
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.forecast import Memory, forecast
from hettui.domain.memory.reconcile import differences
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.learned import Learned, launch_key
from hettui.domain.speed.learning import device_key, speed_key
from hettui.domain.speed.pace import pace, seconds_per_token, stages_s
from hettui.domain.speed.shares import Decode
from hettui.domain.units import MIB
from tests.fakes import shape, workers

PARAMS, SPLIT = RuntimeParams(), Split((11, 0, 20), 31)
DEVICES = workers(400, 400, 400)
KEY = launch_key(Workload(shape(), PARAMS, 11434), DEVICES, SPLIT)
MEASURED = {"d0": Memory(1, 2, 50 * MIB), "d2": Memory(1, 2, 60 * MIB), "host": Memory(1, 0, 70 * MIB)}


def test_a_launch_is_measured_next_time() -> None:
    learned = Learned()
    assert learned.add_launch(KEY, MEASURED, ["d0", "d2"])
    assert not learned.add_launch(KEY, MEASURED, ["d0", "d2"])
    outlook = learned.corrected(forecast(Workload(shape(), PARAMS), SPLIT, DEVICES), KEY)
    assert [m.compute_bytes // MIB for m in (*outlook.devices, outlook.host)] == [50, 0, 60, 70]
    assert outlook.measured == {0, 2, 3}


def test_what_differs_is_forecast() -> None:
    learned = Learned()
    learned.add_launch(KEY, MEASURED, ["d0", "d2"])
    for params, split, build in (
        (replace(PARAMS, ubatch_size=256), SPLIT, 11434),
        (PARAMS, Split((12, 0, 19), 31), 11434),
        (PARAMS, SPLIT, 10068),
    ):
        outlook = forecast(Workload(shape(), params, build), split, DEVICES)
        assert learned.corrected(outlook, launch_key(Workload(shape(), params, build), DEVICES, split)) == outlook


def test_half_a_report_teaches_nothing() -> None:
    learned = Learned()
    assert not learned.add_launch(KEY, {"d0": MEASURED["d0"]}, ["d0", "d2"])
    assert learned.compute == {}


def test_a_card_keeps_its_overhead() -> None:
    learned = Learned()
    card = replace(DEVICES[0], backend="cuda", uuid="GPU-1")
    assert learned.add_overhead(card, 700 * MIB, Memory(100 * MIB, 50 * MIB, 30 * MIB))
    assert [d.overhead_bytes // MIB for d in learned.with_measured((card, DEVICES[1]))] == [520, 20]
    assert device_key(DEVICES[1]) is None
    assert not learned.add_overhead(DEVICES[1], 700 * MIB, Memory())
    # Less than the buffers: the reading is older than they are.
    assert not learned.add_overhead(card, 10 * MIB, Memory(100 * MIB))


def test_it_survives_a_restart_and_a_damaged_file(tmp_path: Path) -> None:
    learned = Learned()
    learned.add_launch(KEY, MEASURED, ["d0", "d2"])
    save_learned(tmp_path, learned)
    assert load_learned(tmp_path) == learned
    for damage in ("", "[]", '{"compute": [1], "overhead": {"a": -1, "b": true}}', '{"compute": {"x": 5}}', "\x00"):
        (tmp_path / "measured.json").write_text(damage)
        assert load_learned(tmp_path) == Learned()
    save_learned(tmp_path / "missing", learned)


def test_a_difference_beyond_the_uncertainty_is_named() -> None:
    outlook = forecast(Workload(shape(), PARAMS), SPLIT, DEVICES)
    exact = {"d0": outlook.devices[0], "d2": outlook.devices[2], "host": outlook.host}
    assert differences(shape(), outlook, exact, DEVICES) == []
    heavier = replace(outlook.devices[2], compute_bytes=outlook.devices[2].compute_bytes + 9 * MIB)
    (found,) = differences(shape(), outlook, exact | {"d2": heavier}, DEVICES)
    assert (found.device, found.part) == ("d2", "compute buffer")
    assert "reserved" in found.words
    (lost,) = differences(shape(), outlook, exact | {"d0": replace(outlook.devices[0], context_bytes=0)}, DEVICES)
    assert lost.part == "context"


def test_speeds_are_told_apart_by_runs_with_other_splits() -> None:
    """Two CPUs, one twice as slow as its data says: a few runs tell which, and how much."""
    learned, model = Learned(), shape()
    devices = tuple(replace(d, threads=n) for d, n in zip(workers(400, 400), (2, 4), strict=True))
    truth = tuple(replace(d, measured_slowness=x) for d, x in zip(devices, (2.0, 1.0), strict=True))
    for layers in ((20, 11), (5, 26), (28, 3), (12, 19)) * 3:
        token_s = sum(stages_s(model, truth, layers).values())
        assert learned.add_decode(model, devices, Split(layers, 31), Decode(token_s))
    found = [pace(d).layer_s({"dense q4": 1.0}) for d in learned.with_measured(devices)]
    assert found == pytest.approx([2.0 / 10, 1.0 / 20], rel=0.15)
    expected = seconds_per_token(model, learned.with_measured(devices), (16, 15))
    assert expected == pytest.approx(sum(stages_s(model, truth, (16, 15)).values()), rel=0.05)
    assert pace(learned.with_measured(devices)[0]).known
    assert not pace(devices[0]).known


def test_a_run_with_the_host_teaches_no_speed() -> None:
    learned = Learned()
    assert not learned.add_decode(shape(), DEVICES, Split((10, 10, 10), 31), Decode(0.1))
    assert learned.speeds == {}


def test_speeds_come_back_from_the_file(tmp_path: Path) -> None:
    learned = Learned(host_bytes_per_s=2e10)
    learned.add_decode(shape(), DEVICES, SPLIT, Decode(0.5, at_unix_s=1e9))
    load = Workload(shape(), RuntimeParams())
    assert learned.add_rate(load, Plan(DEVICES, SPLIT), "prompt", 120.5)
    assert not learned.add_rate(load, Plan(DEVICES, SPLIT), "prompt", 120.5)
    save_learned(tmp_path, learned)
    found = load_learned(tmp_path)
    assert found.speeds == learned.speeds
    assert found.rates_of(load, Plan(DEVICES, SPLIT)) == {"prompt": 120.5}
    assert found.at_unix_s > 1e9
    sound = json.loads((tmp_path / "measured.json").read_text())
    (row,) = sound["stages"].values()
    broken: tuple[dict[str, object], ...] = (
        {"names": "layer"},
        {"names": ["a"]},
        {"names": None},
        {"vector": [1, None]},
        {"windows": -1},
        {"windows": "1"},
        {"at_unix_s": []},
        {"information": [[-x for x in line] for line in row["information"]]},
        {"information": [[1e300]]},
    )
    for damage in broken:
        (tmp_path / "measured.json").write_text(
            json.dumps({"stages": {"a": row | damage, "b": 3}, "host_bytes_per_s": "x"})
        )
        assert load_learned(tmp_path) == Learned()


def test_factors_of_an_earlier_hettui_are_set_aside_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "measured.json").write_text(
        '{"overhead": {"GPU-1": 7}, "speeds": {"local GPU-1 master": {"factor": 3.28, "doubt": 0.1}}}'
    )
    found = load_learned(tmp_path)
    assert (found.overhead, found.speeds) == ({"GPU-1": 7}, {})
    assert "set aside" in found.set_aside
    assert "\n" not in found.set_aside
    found.add_decode(shape(), DEVICES, SPLIT, Decode(0.5, at_unix_s=1e9))
    save_learned(tmp_path, found)
    assert load_learned(tmp_path).set_aside == ""


def test_another_way_to_the_same_card_is_another_speed() -> None:
    card = replace(DEVICES[0], backend="cuda", uuid="GPU-1", via="master")
    assert speed_key(card) != speed_key(replace(card, via="worker"))
    assert speed_key(DEVICES[0]) != speed_key(replace(DEVICES[0], threads=8))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"host_off": 2.5, "host_answers": 3}, (2.5, 3)),
        ({"host_off": 2.5}, (1.0, 0)),
        ({"host_off": 1e9, "host_answers": 3}, (1.0, 0)),
        ({"host_off": "2", "host_answers": 3}, (1.0, 0)),
        ({"host_off": 2.0, "host_answers": True}, (1.0, 0)),
        ({"host_off": 2.0, "host_answers": -1}, (1.0, 0)),
    ],
)
def test_the_hosts_pace_is_kept_and_a_damaged_one_is_none(
    tmp_path: Path, said: dict[str, object], expected: tuple[float, int]
) -> None:
    (tmp_path / "measured.json").write_text(json.dumps({"host_bytes_per_s": 40e9, **said}))
    found = load_learned(tmp_path)
    assert (found.host_off, found.host_answers) == expected
    save_learned(tmp_path, found)
    assert load_learned(tmp_path) == found
