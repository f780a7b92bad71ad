"""Configuration meets hardware: who is who, and what is missing stays with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hettui.domain.config.inventory import assemble, device_names
from hettui.domain.config.values import Config, DeviceConfig
from hettui.domain.devices.device import Hardware
from hettui.domain.errors import ConfigError, DoesNotFit, HettuiError
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.session.session import Session, initial_split, runnable
from hettui.domain.units import GIB, MIB
from tests.fakes import cluster, shape, workers


def card(number: int, name: str, free_gib: float | None, engine_name: str | None) -> Hardware:
    return Hardware(
        id=f"pci:0000:0{number}:00.0",
        name=name,
        backend="cuda",
        free_bytes=None if free_gib is None else int(free_gib * GIB),
        pci_address=f"0000:0{number}:00.0",
        uuid=f"GPU-{number}",
        engine_name=engine_name,
    )


CARDS = (
    card(1, "NVIDIA GeForce RTX 5080", 15, "CUDA0"),
    card(2, "NVIDIA GeForce RTX 3060", None, "CUDA1"),
    card(3, "NVIDIA GeForce GTX 1660 SUPER", 5, None),
    Hardware("cpu", "CPU", "cpu", free_bytes=32 * GIB, engine_name="CPU"),
)


def test_without_configured_devices_every_card_is_attached() -> None:
    devices = assemble(Config(), CARDS)
    assert [d.name for d in devices] == list(device_names(CARDS[:3]))
    assert [d.via for d in devices] == ["master"] * 3
    assert devices[0].budget_bytes == 15 * GIB - 512 * MIB
    assert devices[1].budget_bytes is None, "unknown, not nothing"
    assert "no backend" in (devices[2].missing or "")


def test_a_card_of_the_kernel_s_that_the_engine_does_not_list_stands_in_nobody_s_way() -> None:
    graphics = Hardware("pci:0000:c4:00.0", "AMD GPU [1002:164e]", "rocm", pci_address="0000:c4:00.0")
    radeon = replace(graphics, id="pci:0000:03:00.0", name="AMD Radeon RX 7900 XTX", total_bytes=24 * GIB)
    assert [d.name for d in assemble(Config(), (*CARDS, graphics, radeon))] == list(device_names(CARDS[:3]))
    (alone,) = assemble(Config(), (graphics, radeon, CARDS[3]))
    assert alone.id == radeon.id
    assert "no backend" in (alone.missing or "")
    (named,) = assemble(Config(devices=(DeviceConfig(name="twin", id=graphics.id),)), (graphics,))
    assert "hettui devices" in (named.missing or "")


def test_names_are_short_and_like_cards_can_be_told_apart() -> None:
    makers = (
        "NVIDIA H100 80GB HBM3",
        "AMD Radeon RX 7900 XTX",
        "Intel(R) Arc(TM) A770 Graphics",
        "AMD Radeon",
        "NVIDIA",
    )
    names = device_names([card(n, name, 1, None) for n, name in enumerate(makers)])
    assert names == ("H100 80GB HBM3", "RX 7900 XTX", "A770 Graphics", "Radeon", "NVIDIA")
    twins = [card(n, "NVIDIA GeForce RTX 3060", 1, None) for n in (1, 2)]
    assert device_names([*twins, CARDS[0]]) == ("RTX 3060 #1", "RTX 3060 #2", "RTX 5080")
    assert [d.name for d in assemble(Config(), twins)] == ["RTX 3060 #1", "RTX 3060 #2"]


@pytest.mark.parametrize(
    "id",
    ["pci:0000:01:00.0", "PCI:00000000:01:00.0", "01:00.0", "uuid:GPU-1", "gpu-1", "CUDA0", "cuda0", "cuda:0", None],
)
def test_a_card_is_found_by_each_of_its_names(id: str | None) -> None:
    entry = DeviceConfig(name="rtx 5080", id=id, margin_bytes=GIB)
    (device,) = assemble(Config(devices=(entry,)), CARDS)
    assert (device.uuid, device.engine_name, device.missing) == ("GPU-1", "CUDA0", None)
    assert device.budget_bytes == 14 * GIB
    assert device.name == "rtx 5080"


def test_one_card_is_one_device_however_it_is_spelled() -> None:
    twice = (DeviceConfig(name="a", id="pci:00000000:01:00.0"), DeviceConfig(name="b", id="GPU-1"))
    with pytest.raises(ConfigError, match='"a" and "b" are the same card, pci:0000:01:00.0'):
        assemble(Config(devices=twice), CARDS)
    for first, second in (("0000:09:00.0", "09:00.0"), ("CUDA7", "cuda:7")):
        away = (DeviceConfig(name="a", id=first), DeviceConfig(name="b", id=second))
        with pytest.raises(ConfigError, match="the same card"):
            assemble(Config(devices=away), CARDS)
    workers = tuple(DeviceConfig(name=name, id="cpu") for name in "ab")
    assert len(assemble(Config(devices=workers), CARDS)) == 2


def test_a_stated_budget_wins_over_free_memory() -> None:
    (device,) = assemble(Config(devices=(DeviceConfig(name="5080", id="CUDA0", budget_bytes=GIB),)), CARDS)
    assert device.budget_bytes == GIB


def test_a_name_that_fits_two_cards_is_asked_about() -> None:
    with pytest.raises(ConfigError, match="may be any of 2 cards"):
        assemble(Config(devices=(DeviceConfig(name="RTX"),)), CARDS)


def test_a_card_that_is_not_here_stays_with_its_reason() -> None:
    (device,) = assemble(Config(devices=(DeviceConfig(name="gone", id="uuid:GPU-9"),)), CARDS)
    assert "nothing with id uuid:GPU-9 is here" in (device.missing or "")


def test_a_cpu_is_a_worker_without_a_measured_budget() -> None:
    (device,) = assemble(Config(devices=(DeviceConfig(name="slow", id="cpu", threads=2),)), CARDS)
    assert (device.via, device.budget_bytes, device.engine_name, device.threads) == ("worker", None, "CPU", 2)


def test_a_remote_card_is_a_worker_and_cannot_be_named_by_pci_address() -> None:
    (device,) = assemble(Config(devices=(DeviceConfig(name="3060", host="attic", id="CUDA0"),)), ())
    assert (device.via, device.engine_name, device.missing) == ("worker", "CUDA0", None)
    with pytest.raises(ConfigError, match="only known on this machine"):
        assemble(Config(devices=(DeviceConfig(name="3060", host="attic", id="pci:0000:01:00.0"),)), ())


def session(**changes: object) -> Session:
    devices = workers(240, 180, 90)
    made = Session(Config(), (), devices, cluster(devices), shape())
    return replace(made, **changes)  # type: ignore[arg-type]


def test_configured_layers_are_the_first_split_when_they_can_be() -> None:
    devices = tuple(replace(d, layers=n) for d, n in zip(workers(1, 1, 1), (20, 5, 6), strict=True))
    assert initial_split(Workload(shape(), Config().params), devices).layers == (20, 5, 6)
    assert initial_split(Workload(shape(), Config().params), devices[:2]).host_layers == 6
    with pytest.raises(ConfigError, match="ask for 43 layers, but SmolLM2 135M has 31"):
        initial_split(Workload(shape(), Config().params), (*devices, replace(devices[0], name="more", layers=12)))


def test_what_cannot_be_started_says_why() -> None:
    plan = Plan(session().devices, Split((16, 10, 5), 31))
    assert runnable(session(), plan).devices == plan.devices
    with pytest.raises(HettuiError, match="no model is chosen"):
        runnable(session(shape=None), plan)
    with pytest.raises(HettuiError, match="build it with"):
        runnable(session(cluster=None, problem="no llama.cpp: build it with RPC"), plan)
    crammed = replace(plan, split=Split((0, 0, 31), 31))
    with pytest.raises(DoesNotFit, match="d2 is short by"):
        runnable(session(), crammed)
    assert runnable(session(), crammed, force=True)
    gone = replace(plan, devices=(replace(plan.devices[0], missing="d0 is not here"), *plan.devices[1:]))
    with pytest.raises(HettuiError, match="d0 is not here"):
        runnable(session(), gone)


def test_a_configured_bandwidth_comes_before_the_card_s_own() -> None:
    card = Hardware("pci:0000:01:00.0", "RTX 3060", "cuda", engine_name="CUDA0", bandwidth_bytes_per_s=360e9)
    for said, expected in ((None, 360e9), (200_000_000_000, 2e11)):
        config = Config(devices=(DeviceConfig("a", id=card.id, bandwidth_bytes=said),))
        assert assemble(config, [card])[0].bandwidth_bytes_per_s == expected
    absent = Config(devices=(DeviceConfig("b", id="pci:0000:09:00.0", bandwidth_bytes=10**11),))
    assert assemble(absent, [card])[0].bandwidth_bytes_per_s == 1e11
