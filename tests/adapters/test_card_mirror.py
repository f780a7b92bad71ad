"""Files about another machine's cards: those of a card are written, nothing else is, whatever the host says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hettui.adapters.hosts.card_mirror import CardMirror
from hettui.adapters.machine.sysfs import drm_cards

DEVICE = "devices/pci0000:00/0000:00:01.0/0000:03:00.0"
REAL = f"{DEVICE}/drm/card0"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CardMirror]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    made = CardMirror()
    yield made
    made.close()


def told(mirror: CardMirror, *lines: str) -> None:
    for line in lines:
        mirror.take(line.split(" "))


def test_a_card_is_found_as_one_of_ours_is(mirror: CardMirror) -> None:
    told(
        mirror, f"drm card0 {DEVICE} {REAL} amdgpu", f"path 1 {DEVICE}/vendor", f"path 2 {DEVICE}/pp_dpm_sclk",
        "f 1 0x1002", "f 2 0: 500Mhz|1: 2410Mhz *", f"table {DEVICE}/gpu_metrics 780001ff",
    )  # fmt: skip
    assert mirror.root is not None
    (card,) = drm_cards(mirror.root / "sys", frozenset({"amdgpu"}))
    assert (card.pci_address, card.driver) == ("0000:03:00.0", "amdgpu")
    assert (card.device / "pp_dpm_sclk").read_text() == "0: 500Mhz\n1: 2410Mhz *"
    assert (card.device / "gpu_metrics").read_bytes() == b"\x78\x00\x01\xff"
    root = mirror.root
    mirror.close()
    assert not root.exists()


@pytest.mark.parametrize(
    "line",
    [
        "path 1 ../../etc/passwd", "path 1 devices/../../x", "path 1 /etc/passwd", "path 1 etc/passwd",
        "path 1 devices/.ssh/x", "path x devices/a", "path 1 devices/" + "/".join("a" * 20), "path 1 devices/a\x00b",
        "f 1 text", "table devices/x zz", "table ../x 00", f"drm ../x {DEVICE} {REAL} amdgpu",
        f"drm card0 {DEVICE} {REAL} ../../x", f"drm card0 {DEVICE} devices/other/drm/card0 amdgpu", "drm", "f",
    ],
)  # fmt: skip
def test_nothing_else_is_written(mirror: CardMirror, tmp_path: Path, line: str) -> None:
    told(mirror, line, "f 1 evil")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written == []


def test_a_host_that_says_too_much_is_cut_off(mirror: CardMirror) -> None:
    for number in range(2500):
        told(mirror, f"path {number} devices/a/f{number}")
    assert len(mirror._files) == 2000
    told(mirror, "f 1 " + "x" * 10_000)
    assert mirror.root is not None
    assert (mirror.root / "sys/devices/a/f1").stat().st_size == 4096
