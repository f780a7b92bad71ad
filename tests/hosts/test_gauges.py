"""Cards of another machine read as our own: NVIDIA's by nvidia-smi, AMD's and Intel's by the kernel's files there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hettui.adapters.gpu.amdgpu import AmdGpuSource
from hettui.adapters.gpu.intel_gpu import IntelGpuSource
from hettui.domain.telemetry.readings import DeviceSample
from hettui.ports import TelemetryTarget
from tests import sysfs_trees
from tests.hosts import bed as beds
from tests.hosts.bed import Bed
from tests.hosts.driving import programs_here
from tests.patience import until

WHY_NOT = beds.missing()
pytestmark = [
    pytest.mark.xdist_group("hosts and builds"),
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]
UUID = "GPU-1f2e3d4c-0000-1111-2222-333344445555"
SMI = f"""#!/bin/sh
line='{UUID}, 5000, 12288, 97, 71, 168.40, 170.00, 1800, 2100, 3, 16, 60'
case "$*" in *-lms*) while sleep 0.2; do echo "$line"; done ;; *) echo "$line" ;; esac
"""
AMD, INTEL = "0000:03:00.0", "0000:06:00.0"
READ = f"""
import time
from hettui.adapters.hosts.watching import FarSource, HostBook
from hettui.domain.devices.device import Host
from hettui.ports import PartlyRead, TelemetryTarget
from hettui.wiring.engine import _readers_of
book = HostBook()
book.write([Host("attic", "attic")])
source = FarSource(book, "mark", _readers_of)
targets = [
    TelemetryTarget("nv", "cuda", uuid="{UUID}", host="attic", engine_name="CUDA0"),
    TelemetryTarget("amd", "rocm", pci_address="{AMD}", host="attic", engine_name="ROCm0"),
    TelemetryTarget("numbered", "rocm", host="attic", engine_name="ROCm0"),
    TelemetryTarget("intel", "vulkan", pci_address="{INTEL}", host="attic", engine_name="Vulkan1"),
]
while True:
    try:
        found = source.sample(targets)
    except PartlyRead as partly:
        found = partly.samples
    if len(found) == len(targets):
        print({{name: repr(sample) for name, sample in found.items()}}, flush=True)
    time.sleep(0.3)
"""


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    made = beds.make(tmp_path / "bed", 4, programs_here())
    yield made
    made.end()


def test_the_same_cards_as_here(bed: Bed, tmp_path: Path) -> None:
    tree = sysfs_trees.Tree(tmp_path / "tree")
    amd = sysfs_trees.rx_7900(tree)
    sysfs_trees.arc_b580(tree)
    there = _as_sys(tree.sys, tmp_path / "there")
    assert bed.attic.run("mount", "--bind", str(there), "/sys").returncode == 0
    assert bed.attic.run("mount", "-t", "tmpfs", "tmpfs", "/usr/local/sbin").returncode == 0
    bed.attic.write("/usr/local/sbin/nvidia-smi", SMI)
    bed.attic.run("chmod", "755", "/usr/local/sbin/nvidia-smi")
    here = _read_here(tree)
    argv = bed.desk.enter([sys.executable, "-P", "-c", READ])
    said = tmp_path / "said"
    with said.open("wb") as out, subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out):
        try:
            until(lambda: said.read_text().count("\n") > 1, said=said.read_text)
            last = said.read_text().splitlines()[-1]
            assert repr(here["amd"]) in last, f"\n{here['amd']}\n{last}"
            # Its power is the change of a counter, which does not change here.
            assert _without_power(here["intel"]) in _without_power(last), f"\n{here['intel']}\n{last}"
            assert last.count(repr(here["amd"])) == 2, "the card of that number is another one"
            assert "used_bytes=5242880000" in last
            # What changes there changes here.
            (there / amd.relative_to(tree.sys) / "gpu_busy_percent").write_text("12\n")
            until(lambda: "utilisation_percent=12" in said.read_text().splitlines()[-1], said=said.read_text)
        finally:
            bed.desk.run("pkill", "-f", "HostBook")


def _without_power(said: object) -> str:
    return re.sub(r"power_w=[^,]*", "", str(said))


def _read_here(tree: sysfs_trees.Tree) -> dict[str, DeviceSample]:
    found: dict[str, DeviceSample] = {}
    for name, address, kind in (("amd", AMD, AmdGpuSource), ("intel", INTEL, IntelGpuSource)):
        found |= kind(tree.sys, tree.proc).sample([TelemetryTarget(name, "vulkan", pci_address=address)])
    return found


def _as_sys(tree: Path, copy: Path) -> Path:
    """With links as they are where it lies at /sys."""
    shutil.copytree(tree, copy, symlinks=True)
    for path in copy.rglob("*"):
        if path.is_symlink() and (target := str(path.readlink())).startswith(str(tree)):
            path.unlink()
            path.symlink_to(target.replace(str(tree), "/sys", 1))
    return copy
