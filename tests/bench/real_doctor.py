"""The doctor on a machine with real NVIDIA cards, compared with nvidia-smi: `python -m tests.bench.real_doctor [BIN]`.

BIN is a folder of llama.cpp's binaries with CUDA. Prints every finding, then a line for each fact that two programs
tell, and ends with 1 where they differ. Nothing is changed or started.
"""

from __future__ import annotations

import os
import subprocess
import sys

from hettui.adapters.gpu.nvidia_facts import nvidia_facts
from hettui.domain.doctor.checks import examined
from hettui.domain.doctor.facts import Facts
from hettui.domain.doctor.report import findings_text
from hettui.wiring.doctor import local_facts

FIELDS = (
    "pci.bus_id",
    "driver_version",
    "persistence_mode",
    "power.default_limit",
    "pcie.link.gen.max",
    "pcie.link.width.max",
)
_MOST_BYTES = 1 << 20


def by_nvidia_smi() -> list[list[str]]:
    """A row for each card."""
    argv = ["nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout[:_MOST_BYTES]
    return [[word.strip() for word in line.split(",")] for line in said.splitlines() if line.strip()]


def compared(facts: Facts) -> list[tuple[str, str, str]]:
    """What it is about, what the doctor knows, what nvidia-smi says."""
    _, extras = nvidia_facts()
    found = []
    for bus_id, driver, persistence, default_w, generation, width in by_nvidia_smi():
        address = bus_id.lower()[-12:]
        card = next((c for c in facts.cards if (c.hardware.pci_address or "") == address), None)
        extra, most = extras.get(address), card.sample.link_max if card and card.sample else None
        found += [
            (f"{address} driver", facts.nvidia.library or "–", driver),
            (f"{address} module", facts.nvidia.module or "–", driver),
            (f"{address} persistence", "–" if extra is None else str(extra.persistence), str(persistence == "Enabled")),
            (f"{address} limit", str(extra and f"{extra.power_default_w or 0:.0f}"), default_w.partition(".")[0]),
            (f"{address} link", str(most), f"gen{generation} x{width}"),
            (f"{address} on the bus", str(any(b.address == address for b in facts.bus or ())), "True"),
        ]  # fmt: skip
    return found


def main(words: list[str]) -> int:
    if words:
        os.environ["LLAMA_CPP_BIN"] = words[0]
        os.environ["LD_LIBRARY_PATH"] = f"{words[0]}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    facts = local_facts(None, ask_hosts=False)
    print(findings_text("local", list(examined(facts))))
    print()
    rows = compared(facts)
    for what, ours, theirs in rows:
        print(f"{'same  ' if ours == theirs else 'DIFFER'}  {what}: {ours} / {theirs}")
    return 0 if rows and all(ours == theirs for _, ours, theirs in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
