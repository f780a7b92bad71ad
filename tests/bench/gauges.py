"""What the gauges cost: eight scripted cards at 1 Hz, and keys while a driver hangs.

    python -m tests.bench.gauges
    python -m tests.bench.gauges --beside "nvitop --interval 1"

The screen runs with the real engine and the real NVML adapter over a scripted NVML whose readings change every time.
The UI thread's own time is what its clock says; everything else is seen from outside, on a pseudo-terminal. With
`--beside` another program is measured in the same run and the same size; on a machine with real cards give `--cards 0`
to have hettui show those.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shlex
import statistics
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from hettui.adapters.gpu.nvml import NvmlSource
from tests.bench.terminal import Cost, Terminal
from tests.fake_nvml import Card, FakeNvml

SIZE = (120, 40)
GIB = 1 << 30


def scripted(count: int, *, still: bool = False) -> FakeNvml:
    """Cards under load: every reading wanders, as on a real card; with `still` none does, as on one that idles."""
    dice = random.Random(1)

    def wander(low: int, high: int) -> Any:
        return lambda *_: low if still else dice.randint(low, high)

    def card(index: int) -> Card:
        used, busy = wander(9 * 1024, 9 * 1024 + 3), wander(40, 60)
        says: dict[str, Any] = {
            "MemoryInfo": lambda *_: SimpleNamespace(total=16 * GIB, used=used() << 20, free=6 * GIB),
            "UtilizationRates": lambda: SimpleNamespace(gpu=busy(), memory=busy()),
            "Temperature": wander(60, 64),
            "TemperatureV": wander(60, 64),  # for nvitop
            "TemperatureThreshold": lambda kind: {0: 95, 1: 90}[kind],
            "PowerUsage": wander(180_000, 220_000),
            "EnforcedPowerLimit": 360_000,
            "PowerManagementLimit": 360_000,  # for nvitop
            "CurrPcieLinkGeneration": 4,
            "CurrPcieLinkWidth": 16,
            "MaxPcieLinkGeneration": 4,
            "MaxPcieLinkWidth": 16,
            "ClockInfo": wander(2400, 2600),
            "MaxClockInfo": 2900,
            "MemoryBusWidth": 256,
            "FanSpeed": wander(40, 44),
            "CurrentClocksEventReasons": 0,
            "TotalEnergyConsumption": wander(1, 10**9),
            "ComputeRunningProcesses": [SimpleNamespace(pid=4000 + index, usedGpuMemory=9 * GIB)],
        }
        return Card(f"Scripted RTX {index}", f"GPU-{index}", f"00000000:{index + 1:02x}:00.0", says)

    return FakeNvml([card(index) for index in range(count)])


def child(cards: int, hang_after_s: float | None, still: bool = False, plain: bool = False) -> None:
    """The program under test: hettui's screen on scripted cards; `plain`: written as Textual writes."""
    from hettui.adapters.processes.run_folder import RunFolder
    from hettui.domain.config.values import Config
    from hettui.domain.devices.device import Device
    from hettui.services.chat.keeper import ChatKeeper, Unkept
    from hettui.services.learner import Learner
    from hettui.wiring.backend import ScreenBackend
    from hettui.wiring.engine import build_engine
    from tests.bench.scene import write_plainly
    from tests.truth.compare import shape_of
    from tests.ui.stage import build, session

    if plain:
        write_plainly()
    nvml = scripted(cards, still=still)
    devices = tuple(
        Device(f"{c.name}", f"pci:{c.bus_id[4:]}", backend="cuda", uuid=c.uuid, budget_bytes=9 * GIB,
               bandwidth_bytes_per_s=4e11, engine_name=f"CUDA{i}")
        for i, c in enumerate(nvml.cards)
    )  # fmt: skip
    opened = session(devices, shape_of("llama-70b", 80))
    assert isinstance(opened.config, Config)
    if hang_after_s is not None:
        threading.Timer(hang_after_s, lambda: _hang(nvml)).start()
    sensors = [lambda: NvmlSource(nvml)]
    with TemporaryDirectory() as folder, build_engine(Path(folder), RunFolder(Path(folder)), sensors=sensors) as engine:
        learner = Learner(lambda _: None)
        chats = ChatKeeper(Unkept())
        app = build(ScreenBackend(engine, lambda: opened, learner, chats))  # type: ignore[arg-type]
        app.run()
        learner.close()
        chats.close()
    # Without waiting for a hung driver.
    os._exit(0)


def _hang(nvml: FakeNvml) -> None:
    for card in nvml.cards:
        card.hung = threading.Event()


def run_child(
    cards: int,
    hang_after_s: float | None = None,
    *,
    still: bool = False,
    plain: bool = False,
    size: tuple[int, int] = SIZE,
) -> Terminal:
    code = f"from tests.bench.gauges import child; child({cards}, {hang_after_s}, {still}, {plain})"
    terminal = Terminal([sys.executable, "-c", code], size)
    terminal.wait_for(b"Scripted RTX 0")
    return terminal


def key_times(terminals: Sequence[Terminal], count: int = 60) -> list[list[float]]:
    """In turns, so that what the machine does besides hits all alike."""
    found: list[list[float]] = [[] for _ in terminals]
    for n in range(count):
        for terminal, times in zip(terminals, found, strict=True):
            times.append(terminal.answer_s(b"\x1b[C" if n % 2 else b"\x1b[D"))
    return found


def told(times: list[float]) -> str:
    ninth = statistics.quantiles(times, n=10)[-1]
    return f"median {statistics.median(times) * 1000:.1f} ms, nine of ten within {ninth * 1000:.1f} ms"


def beside(argv: list[str], seconds: float, settle_s: float) -> Cost:
    terminal = Terminal(argv, SIZE)
    terminal.spend(settle_s)
    try:
        return terminal.measure(seconds)
    finally:
        terminal.close(b"q")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cards", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--beside", help="another program's command line")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {SIZE[0]}×{SIZE[1]}\n")
    if options.cards:
        terminal = run_child(options.cards)
        terminal.spend(5)
        cost = terminal.measure(options.seconds)
        terminal.close(b"q")
        print(f"hettui, {options.cards} scripted cards: {cost}")
        print(f"  of that the UI thread: {cost.main_thread_cpu_s / cost.seconds:.2%} of a core")
        well, hung = run_child(options.cards), run_child(options.cards, 2.0)
        for terminal in (well, hung):
            terminal.spend(5)
        times = key_times((well, hung))
        for what, found in zip(("that answers", "that hangs"), times, strict=True):
            print(f"from a key to its answer, with a driver {what}: {told(found)}")
        for terminal in (well, hung):
            terminal.close(b"q")
    else:
        print(f"hettui: {beside(['hettui'], options.seconds, 8)}")
    if options.beside:
        print(f"{options.beside}: {beside(shlex.split(options.beside), options.seconds, 8)}")


if __name__ == "__main__":
    main()
