"""An id in any usual spelling has one form, and no two cards share it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.devices.identity import card_uuid, in_pci_order, one_form, pci_address

LONG = "99999999-2222-3333-4444-5555555555ab"


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("cpu", "cpu"),
        ("CPU", "cpu"),
        ("pci:0000:04:00.0", "pci:0000:04:00.0"),
        ("pci:00000000:04:00.0", "pci:0000:04:00.0"),
        ("0000000A:0C:1F.7", "pci:000a:0c:1f.7"),
        ("04:00.0", "pci:0000:04:00.0"),
        ("PCI:0000:04:00", "pci:0000:04:00.0"),
        ("10000:E1:00.0", "pci:10000:e1:00.0"),
        ("00010000:e1:00.0", "pci:10000:e1:00.0"),
        (f"GPU-{LONG}", f"uuid:GPU-{LONG}"),
        (f"uuid:gpu-{LONG.upper()}", f"uuid:GPU-{LONG}"),
        (LONG, f"uuid:GPU-{LONG}"),
        (f"uuid:{LONG}", f"uuid:GPU-{LONG}"),
        (f"MIG-{LONG}", f"uuid:MIG-{LONG}"),
        ("CUDA1", "CUDA1"),
        ("cuda:1", "CUDA1"),
        ("rocm0", "ROCm0"),
        ("MTL0", "MTL0"),
    ],
)
def test_every_usual_spelling_has_one_form(written: str, form: str) -> None:
    assert one_form(written) == form
    assert one_form(form) == form


@pytest.mark.parametrize(
    "text", ["", " ", "1", "gpu", "04:00.9", "04:2f.0", "big1", "pci:", "uuid:", "GPU-", "x" * 999]
)
def test_what_is_no_id(text: str) -> None:
    assert one_form(text) is None


@given(st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(0, 255), st.integers(0, 31)), unique=True))
def test_two_addresses_never_become_one(places: list[tuple[int, int, int]]) -> None:
    nvml = [pci_address(f"{domain:08X}:{bus:02X}:{slot:02X}.0") for domain, bus, slot in places]
    assert None not in nvml
    assert len(set(nvml)) == len(places)
    assert [pci_address(address) for address in nvml] == nvml


def test_longer_domains_come_last() -> None:
    places = ["10000:01:00.0", "0000:02:00.0", "ffff:01:00.0", "0000:01:00.0"]
    assert sorted(places, key=in_pci_order) == ["0000:01:00.0", "0000:02:00.0", "ffff:01:00.0", "10000:01:00.0"]


@given(st.uuids())
def test_a_uuid_is_the_same_with_and_without_its_beginning(uuid: object) -> None:
    assert card_uuid(str(uuid)) == card_uuid(f"GPU-{uuid}".upper()) == card_uuid(f"uuid:{uuid}") == f"GPU-{uuid}"
