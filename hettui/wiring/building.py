"""Builds an engine: source, cmake, compilers, a look at what came of it, and its place on the shelf."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from hettui.adapters.engines.shelf import Shelf, copy_binaries
from hettui.adapters.engines.source import fetch_source, source_of
from hettui.adapters.engines.steps import LOG, Step, held, run_step, size_of_log, tail_of
from hettui.adapters.engines.toolbox import gather, maker
from hettui.adapters.files.bounded import read_text_file
from hettui.adapters.files.paths import cache_path, engines_path
from hettui.adapters.gpu.bus import bus_cards
from hettui.adapters.gpu.nvml import NvmlSource
from hettui.adapters.llama.binaries import SERVER, ask_engine
from hettui.adapters.llama.discovery import discover
from hettui.adapters.llama.own_build import asked
from hettui.adapters.machine.doctor import memory_facts
from hettui.adapters.machine.limits import usable_cpus
from hettui.domain.devices.device import Hardware
from hettui.domain.doctor.facts import NVIDIA
from hettui.domain.doctor.generations import capability_of
from hettui.domain.engines.progress import Pace, Steps, read_steps, why_failed
from hettui.domain.engines.recipe import PACKAGE, PresentCard, Recipe, cmake_arguments, targets
from hettui.domain.engines.record import EngineRecord
from hettui.domain.engines.tools import Lack, Tools, jobs_for, lacking, needed_bytes, toolkit_for
from hettui.domain.errors import HettuiError
from hettui.domain.llama.build import ChosenEngine, EngineInfo
from hettui.domain.records import dataclass

Tell = Callable[[str, Steps | None, float | None], None]
"""What is being done, how far it is, seconds left."""
_CMAKE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Outlook:
    """A build before it begins."""

    recipe: Recipe
    folder: Path
    """Of source and build folders of this llama.cpp."""
    lacks: tuple[Lack, ...]
    jobs: int
    needed_bytes: int
    has_source: bool
    begun: bool
    """An earlier one was broken off: this goes on from there."""
    cmake: tuple[str, ...]
    tools: Tools

    @property
    def build_folder(self) -> Path:
        return self.folder / f"build-{self.recipe.name}"


def present_cards() -> list[PresentCard]:
    """What the driver and the bus show, each card once."""
    nvml = NvmlSource()
    try:
        hardware: tuple[Hardware, ...] = discover(None, nvml, ()).hardware
    finally:
        nvml.close()
    found = [
        PresentCard(NVIDIA, one.name, capability_of(one.compute_capability))
        for one in hardware
        if one.compute_capability
    ]
    driven = {one.pci_address for one in hardware if one.compute_capability}
    # Without a driver only the bus tells of a card. A processor's graphics say little of a name: no window of 1 GiB.
    found += [
        PresentCard(one.vendor, one.name)
        for one in bus_cards() or ()
        if one.address not in driven and (one.vendor == NVIDIA or (one.largest_bar_bytes or 0) >= 1 << 30)
    ]
    return found


def tools_here(build: int) -> Tools:
    folder = _folder(build)
    return gather(folder, os.environ, has_source=source_of(folder) is not None)


def outlook(recipe: Recipe, jobs: int | None, tools: Tools) -> Outlook:
    """Nothing is done for it."""
    folder = _folder(recipe.build)
    toolkit = toolkit_for(recipe, tools) if recipe.cuda else None
    root = toolkit.root if toolkit and not toolkit.on_path else None
    needed = needed_bytes(recipe, has_source=tools.has_source)
    most = jobs or jobs_for(usable_cpus(), memory_facts().available)
    begun = (folder / f"build-{recipe.name}" / "CMakeCache.txt").is_file()
    cmake = cmake_arguments(recipe, toolkit_root=root, amx=tools.amx)
    return Outlook(recipe, folder, lacking(recipe, tools), most, needed, tools.has_source, begun, cmake, tools)


def _folder(build: int) -> Path:
    return cache_path() / "engines" / f"b{build}"


def build(plan: Outlook, tell: Tell) -> EngineRecord:
    """The finished engine, on the shelf. Blocks for long. Raises HettuiError with what is kept.

    Whatever interrupts it, the same call goes on from there.
    """
    recipe = plan.recipe
    source = fetch_source(recipe, plan.folder, lambda what: tell(what, None, None))
    with held(plan.build_folder, recipe.name) as lock:
        _Compiling(plan, source, lock, tell).run()
        tell("looking whether it runs", None, None)
        record = _shelved(plan)
        shutil.rmtree(plan.build_folder, ignore_errors=True)
    return record


class _Compiling:
    """cmake, and then what it has written."""

    def __init__(self, plan: Outlook, source: Path, lock: int, tell: Tell) -> None:
        self._plan, self._source, self._lock, self._tell = plan, source, lock, tell
        self._folder, self._log = plan.build_folder, plan.build_folder / LOG

    def run(self) -> None:
        made_by = maker(os.environ)
        if made_by is None:
            raise HettuiError("neither ninja nor make is here: install one of them")
        generator, program = made_by
        self._forget_other(generator)
        source, folder = str(self._source), str(self._folder)
        self._step("cmake", ["cmake", "-S", source, "-B", folder, "-G", generator, *self._plan.cmake], signal.SIGTERM)
        rpc = read_text_file(self._source / "tools" / "rpc" / "CMakeLists.txt", 1 << 20, "replace")
        jobs = str(self._plan.jobs)
        # ninja takes half-written files away when it is interrupted, and only then.
        self._step("compiling", [program, "-C", folder, "-j", jobs, *targets(rpc)], signal.SIGINT)

    def _forget_other(self, generator: str) -> None:
        """cmake does not go on from what it wrote for another program."""
        cache = self._folder / "CMakeCache.txt"
        with suppress(OSError, ValueError):
            if f"CMAKE_GENERATOR:INTERNAL={generator}\n" not in read_text_file(cache, _CMAKE_BYTES, "replace"):
                cache.unlink()
                shutil.rmtree(self._folder / "CMakeFiles", ignore_errors=True)

    def _step(self, what: str, argv: list[str], stop: signal.Signals) -> None:
        pace, since = Pace(), size_of_log(self._log)

        def told(said: str) -> None:
            if steps := read_steps(said):
                self._tell(what, steps, pace.left_s(steps, time.monotonic()))

        self._tell(what, None, None)
        code = run_step(Step(argv, self._log, keep=(self._lock,), stop=stop), told)
        if code:
            why = why_failed(tail_of(self._log, since)) or f"{argv[0]} ended with {code}"
            raise HettuiError(
                f"{what} {self._plan.recipe.name}: {why}. The log is {self._log}; what is built is kept, the same "
                "command goes on from there"
            )


def _shelved(plan: Outlook) -> EngineRecord:
    shelf, recipe = Shelf(engines_path()), plan.recipe
    with shelf.new() as new:
        try:
            copy_binaries(plan.build_folder / "bin", new / "bin")
        except OSError as error:
            raise HettuiError(f"{recipe.name} cannot be put into {shelf.folder}: {error.strerror}") from None
        engine = ask_engine(ChosenEngine(recipe.name, new / "bin" / SERVER))
        record = EngineRecord(
            recipe.name, f"bin/{SERVER}", f"built from {PACKAGE} {recipe.build}.0.0", now(), recipe.build,
            recipe.backends, (*recipe.cuda, *recipe.hip), protocol_of(engine),
        )  # fmt: skip
        shelf.place(new, record)
    return record


def protocol_of(engine: EngineInfo) -> str | None:
    """RPC's, for which the rpc server is started for a moment."""
    version = asked(engine) if engine.rpc_server else None
    return None if version is None else ".".join(map(str, version))


def now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
