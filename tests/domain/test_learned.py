"""What launches teach: the same plan is measured next time, anything else is forecast as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hettui.adapters.learned_file import load_learned, save_learned
from hettui.domain.learned import Learned, device_key, launch_key
from hettui.domain.memory import Memory, forecast
from hettui.domain.params import RuntimeParams
from hettui.domain.reconcile import differences
from hettui.domain.split import Split
from hettui.domain.units import MIB
from tests.fakes import shape, workers

PARAMS, SPLIT = RuntimeParams(), Split((11, 0, 20), 31)
DEVICES = workers(400, 400, 400)
KEY = launch_key(shape(), PARAMS, DEVICES, SPLIT, 11434)
MEASURED = {"d0": Memory(1, 2, 50 * MIB), "d2": Memory(1, 2, 60 * MIB), "host": Memory(1, 0, 70 * MIB)}


def test_a_launch_is_measured_next_time() -> None:
    learned = Learned()
    assert learned.add_launch(KEY, MEASURED, ["d0", "d2"])
    assert not learned.add_launch(KEY, MEASURED, ["d0", "d2"])
    outlook = learned.corrected(forecast(shape(), PARAMS, SPLIT, DEVICES), KEY)
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
        outlook = forecast(shape(), params, split, DEVICES, build=build)
        assert learned.corrected(outlook, launch_key(shape(), params, DEVICES, split, build)) == outlook


def test_half_a_report_teaches_nothing() -> None:
    learned = Learned()
    assert not learned.add_launch(KEY, {"d0": MEASURED["d0"]}, ["d0", "d2"])
    assert learned.compute == {}


def test_a_card_keeps_its_overhead() -> None:
    learned = Learned()
    card = replace(DEVICES[0], backend="cuda", uuid="GPU-1")
    assert learned.add_overhead(card, 700 * MIB, Memory(100 * MIB, 50 * MIB, 30 * MIB))
    assert [d.overhead_bytes // MIB for d in learned.with_overheads((card, DEVICES[1]))] == [520, 20]
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
    outlook = forecast(shape(), PARAMS, SPLIT, DEVICES)
    exact = {"d0": outlook.devices[0], "d2": outlook.devices[2], "host": outlook.host}
    assert differences(shape(), outlook, exact, DEVICES) == []
    heavier = replace(outlook.devices[2], compute_bytes=outlook.devices[2].compute_bytes + 9 * MIB)
    (found,) = differences(shape(), outlook, exact | {"d2": heavier}, DEVICES)
    assert (found.device, found.part) == ("d2", "compute buffer")
    assert "reserved" in found.words
    (lost,) = differences(shape(), outlook, exact | {"d0": replace(outlook.devices[0], context_bytes=0)}, DEVICES)
    assert lost.part == "context"
