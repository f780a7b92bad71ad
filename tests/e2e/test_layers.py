"""The sliders against llama-server's own verbose log, on the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hettui.adapters.llama.binaries import find_engine
from hettui.adapters.llama.gguf import read_model
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.cluster.launch import Cluster
from hettui.domain.devices.device import HOST_KEY, Device
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.memory.forecast import forecast
from hettui.domain.memory.workload import Workload
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.services.cluster.world import Request
from hettui.services.engine import Engine
from hettui.wiring.engine import build_engine
from tests.patience import patience

# One engine for all of them.
pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("layers")]

DEVICES = tuple(Device(name, via="worker", threads=1) for name in ("big", "middle", "small"))
PARAMS = RuntimeParams(ctx_size=1024)
MIB = 1024 * 1024

SPLITS = [
    (16, 10, 5),
    (11, 10, 10),
    (20, 0, 11),  # an empty device
    (20, 0, 8),  # layers on the CPU, and an empty device
    (5, 5, 5),  # half on the CPU
    (0, 0, 1),  # only the output layer away from the CPU
    (31, 0, 0),
    (0, 0, 0),  # everything on the CPU
    (1, 29, 1),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    runs = RunFolder(tmp_path_factory.mktemp("run"))
    with build_engine(tmp_path_factory.mktemp("logs"), runs) as built:
        yield built


@pytest.mark.parametrize("layers", SPLITS, ids=str)
def test_the_masters_log_says_what_the_sliders_say(engine: Engine, model: Path, layers: tuple[int, ...]) -> None:
    shape, split = ModelShape.of(read_model(model)), Split(layers, 31)
    # Level 5 prints where each layer goes; one cluster takes all splits in turn, as `a` does on the screen.
    serving = Serving(port=0, extra_args=("-lv", "5"))
    cluster = Cluster(str(model), PARAMS, serving, DEVICES, find_engine(None, {"PATH": "/nowhere"}))
    engine.start(Request(cluster, split)).result(patience(60))
    applied = engine.snapshot.applied
    assert applied is not None
    expected = {d.name: n for d, n in zip(DEVICES, layers, strict=True) if n}
    if split.host_layers:
        expected[HOST_KEY] = split.host_layers
    assert dict(applied.measured_layers) == expected

    outlook = forecast(Workload(shape, PARAMS), split, DEVICES)
    for device, predicted in zip((*DEVICES, None), (*outlook.devices, outlook.host), strict=True):
        measured = applied.measured.get(device.name if device else HOST_KEY)
        if measured is None:
            assert predicted.weights_bytes == 0
            continue
        assert abs(measured.weights_bytes - predicted.weights_bytes) < 0.011 * MIB
        assert abs(measured.context_bytes - predicted.context_bytes) < 0.011 * MIB


def test_a_plan_with_ffn_in_this_machines_memory_runs_as_planned(engine: Engine, model: Path) -> None:
    """The last two blocks of one worker and all ten of another: the model is dense, and the engine b10068."""
    shape = ModelShape.of(read_model(model))
    plan = Plan(DEVICES, Split((16, 10, 5), 31)).with_away(0, 2, shape.moves).with_away(1, 10, shape.moves)
    params = plan.settings(PARAMS)
    cluster = Cluster(str(model), params, Serving(port=0), DEVICES, find_engine(None, {"PATH": "/nowhere"}))
    engine.start(Request(cluster, plan.split)).result(patience(60))
    applied = engine.snapshot.applied
    assert applied is not None
    outlook, before = (forecast(Workload(shape, said, 10068), plan.split, DEVICES) for said in (params, PARAMS))
    for device, predicted, whole in zip(DEVICES, outlook.devices, before.devices, strict=True):
        measured = applied.measured[device.name]
        assert abs(measured.weights_bytes - predicted.weights_bytes) < 0.011 * MIB
        assert abs(measured.context_bytes - predicted.context_bytes) < 0.011 * MIB
        assert predicted.context_bytes == whole.context_bytes
        assert (predicted.weights_bytes < whole.weights_bytes) == (device.name != "small")
    assert abs(applied.measured[HOST_KEY].weights_bytes - outlook.host.weights_bytes) < 0.022 * MIB
