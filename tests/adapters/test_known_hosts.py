"""What is remembered of a host is planned with; what may have changed since is not believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hettui.adapters.files.hosts_file import load_hosts, save_hosts
from hettui.domain.config.inventory import assemble
from hettui.domain.config.values import Config, DeviceConfig
from hettui.domain.devices.device import Device, Hardware, Host
from hettui.domain.errors import ConfigError
from hettui.domain.hosts.known import KnownHost, hardware_of, with_lines
from hettui.domain.speed.prior import prior
from hettui.domain.units import GIB, MIB

UUID = "GPU-1f2e3d4c-0000-1111-2222-333344445555"
CARD = Hardware(
    f"uuid:{UUID}", "NVIDIA GeForce RTX 3060", "cuda", "as it was called then", 12 * GIB, 1 * GIB, "0000:01:00.0", UUID,
    "CUDA0",
)  # fmt: skip
CPU = Hardware("cpu", "Ryzen", "cpu", "attic", 64 * GIB, 60 * GIB, engine_name="CPU")
HOSTS = (Host("attic", "me@attic"), Host("cellar", "cellar"))
KNOWN = {"me@attic": KnownHost("me@attic", (CARD, CPU), 0.05, 1.0)}


def devices(*entries: DeviceConfig) -> tuple[Device, ...]:
    return assemble(Config(hosts=HOSTS, devices=entries), hardware_of(HOSTS, KNOWN))


@pytest.mark.parametrize("name", ["uuid:" + UUID, "CUDA0", "pci:0000:01:00.0", None])
def test_a_card_of_a_known_host_has_its_memory_and_identity(name: str | None) -> None:
    (device,) = devices(DeviceConfig("RTX 3060", name, "attic"))
    assert (device.uuid, device.engine_name, device.via, device.missing) == (UUID, "CUDA0", "worker", None)
    # What was free when it was asked says nothing of now.
    assert device.budget_bytes == 12 * GIB - 512 * MIB


def test_a_host_that_was_never_asked_is_planned_for_as_its_configuration_says() -> None:
    (device,) = devices(DeviceConfig("RTX 3060", "CUDA0", "cellar"))
    assert (device.uuid, device.engine_name, device.budget_bytes) == (None, "CUDA0", None)
    with pytest.raises(ConfigError, match="only known on this machine"):
        devices(DeviceConfig("RTX 3060", "pci:0000:01:00.0", "cellar"))


def test_a_cpu_of_another_host_needs_a_budget_as_one_of_this_machine_does() -> None:
    (device,) = devices(DeviceConfig("far", "cpu", "attic"))
    assert (device.backend, device.budget_bytes) == ("cpu", None)


def test_cards_of_hosts_are_never_attached_to_the_master() -> None:
    assert assemble(Config(hosts=HOSTS), hardware_of(HOSTS, KNOWN)) == ()


def test_what_is_kept_comes_back_and_damage_counts_as_not_known(tmp_path: Path) -> None:
    save_hosts(tmp_path, KNOWN)
    assert load_hosts(tmp_path) == KNOWN
    place = tmp_path / "hosts.json"
    for damage in ("", "{}", "[1, {}]", place.read_text().replace("0.05", '"fast"')):
        place.write_text(damage)
        assert load_hosts(tmp_path) == {}


def test_the_way_there_counts_in_a_tokens_time() -> None:
    far = Device("far", host="attic", via="worker")
    (known,) = with_lines((far,), HOSTS, KNOWN)
    assert known.round_trip_s == 0.05
    assert prior(known).hop_s == pytest.approx(0.052)
    assert prior(far).hop_s == pytest.approx(0.004)
    (same,) = with_lines((Device("far", host="cellar", via="worker"),), HOSTS, KNOWN)
    assert same.round_trip_s is None
