"""Every sample loads, and gives the cluster that its comments promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from hettui.adapters.files.config_toml import load
from hettui.adapters.files.resources import resource_folder
from hettui.domain.cluster.launch import Cluster, plan_launch
from hettui.domain.config.inventory import assemble
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.split import Split, proportional
from hettui.domain.session.session import initial_split
from tests.fakes import ENGINE, shape

SAMPLES = sorted(resource_folder("sample_configs").glob("*.toml"))


def test_there_are_samples() -> None:
    assert {p.stem for p in SAMPLES} >= {"three-cards-one-box", "two-hosts", "cpu-only"}


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_a_sample_loads_and_can_be_launched(path: Path) -> None:
    config = load(path)
    devices = assemble(config, ())
    cluster = Cluster(config.model_path or "", config.params, config.serving, devices, ENGINE, config.hosts)
    model = shape(blocks=48)
    plan = plan_launch(cluster, initial_split(Workload(model, config.params), devices))
    assert len(plan.workers) == sum(d.via == "worker" for d in devices)


def test_the_three_cards_get_the_scaled_split_of_the_article() -> None:
    config = load(resource_folder("sample_configs") / "three-cards-one-box.toml")
    layers = tuple(d.layers for d in config.devices)
    assert layers == proportional([18, 12, 8], 49)
    devices = assemble(config, ())
    cluster = Cluster("m.gguf", config.params, config.serving, devices, ENGINE)
    argv = plan_launch(cluster, Split((23, 16, 10), 49)).master.argv
    assert argv[argv.index("--device") + 1] == "CUDA0,RPC0,RPC1"
    assert argv[argv.index("-ts") + 1] == "23,16,10"
