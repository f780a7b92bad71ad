"""`hettui engine`: which llama.cpp are here, installed, in use, removed."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hettui.adapters.engines.shelf import Shelf, backends_beside, size_of
from hettui.adapters.engines.source import run_pip
from hettui.adapters.engines.steps import held
from hettui.adapters.files.config_toml import load
from hettui.adapters.files.paths import cache_path, config_file, engines_path, last_config
from hettui.adapters.llama.binaries import SERVER, WORKERS, ask_engine, list_devices, other_engines
from hettui.domain.config.values import Config
from hettui.domain.engines.progress import why_failed
from hettui.domain.engines.record import EngineRecord, InUse, Listed, checked_name, known, rolled_back, used
from hettui.domain.errors import EngineError, HettuiError, UsageError
from hettui.domain.llama.build import ChosenEngine, EngineInfo, build_of
from hettui.domain.patterns import late_pattern
from hettui.domain.text import clean_line
from hettui.wiring.building import now, protocol_of
from hettui.wiring.chosen import engine_of

_PACKAGE = late_pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?:==[A-Za-z0-9.+!_-]{1,60})?")
_INNER = ("", "bin", "build/bin")
"""Where llama.cpp's own build and its packages lay programs."""
_MOST_FOLDERS = 5000
_MOST_LIBRARY_FOLDERS = 8


def shelf() -> Shelf:
    return Shelf(engines_path())


def listed() -> list[Listed]:
    """Every engine that hettui knows; each is asked for its devices. Blocks."""
    ours, config = shelf(), _config()
    runs, problem = None, ""
    try:
        runs = engine_of(config).server
    except EngineError as error:
        problem = str(error)
    found = []
    for record in ours.records():
        chosen = ours.engine(record, os.environ)
        outside = Path(record.server).is_absolute()
        size = _size_beside(chosen.server.resolve()) if outside else size_of(ours.folder / record.name)
        found.append(_of_ours(record, chosen, size, runs=chosen.server == runs))
    for source, engine in other_engines(os.environ):
        if isinstance(engine, EngineError):
            found.append(Listed(source, "", problem=str(engine), runs=str(engine) == problem))
        elif all(str(engine.server) != one.where for one in found):
            found.append(_of_others(source, engine, runs=engine.server == runs))
    if config.llama_cpp_bin and not any(one.runs for one in found):
        found.insert(0, Listed("[llama-cpp] bin", config.llama_cpp_bin, runs=not problem, problem=problem))
    elif problem and not any(one.problem == problem for one in found) and found:
        found.append(Listed(ours.in_use().name or "llama-server", "", problem=problem, runs=True))
    return found


def _of_ours(record: EngineRecord, chosen: ChosenEngine, size_bytes: int | None, *, runs: bool) -> Listed:
    devices, problem = None, ""
    try:
        devices = tuple(one.name for one in list_devices(ask_engine(chosen)).devices)
    except EngineError as error:
        problem = str(error)
    return Listed(
        record.name, str(chosen.server), record.build, record.backends, devices, record.protocol, size_bytes, runs,
        True, record.source, record.made, problem,
    )  # fmt: skip


def _of_others(source: str, engine: EngineInfo, *, runs: bool) -> Listed:
    devices = None
    with suppress(EngineError):
        devices = tuple(one.name for one in list_devices(engine).devices)
    server = engine.server.resolve()
    return Listed(
        source, str(engine.server), build_of(engine.version), backends_beside(server), devices, protocol_of(engine),
        _size_beside(server), runs, source=source,
    )  # fmt: skip


def _size_beside(server: Path) -> int | None:
    """Of a folder that is llama.cpp's alone."""
    return size_of(server.parent) if any(server.parent.glob("libggml*.so*")) else None


def _config() -> Config:
    path = last_config() or config_file()
    with suppress(HettuiError):
        return load(path) if path.exists() else Config()
    return Config()


def overridden() -> str:
    """What wins over `hettui engine use`, where something does."""
    if _config().llama_cpp_bin:
        return "[llama-cpp] bin of the configuration"
    return "LLAMA_CPP_BIN" if os.environ.get("LLAMA_CPP_BIN") else ""


def use(name: str | None) -> InUse:
    """This one from now on; None: whatever else is found. Raises UsageError, EngineError where it does not run."""
    ours = shelf()
    if name is not None:
        record = ours.record(known(name, [one.name for one in ours.records()]))
        assert record is not None  # noqa: S101 - it is among those that were read
        ask_engine(ours.engine(record, os.environ))
    after = used(ours.in_use(), name)
    ours.choose(after)
    return after


def use_previous() -> InUse:
    """Raises UsageError where there was none, or it is gone."""
    ours = shelf()
    before = ours.in_use()
    if before == InUse():
        raise UsageError("no engine was ever chosen here: hettui engine use NAME does")
    after = rolled_back(before)
    if after.name is not None:
        known(after.name, [one.name for one in ours.records()])
    ours.choose(after)
    return after


def remove(name: str, *, force: bool) -> None:
    """Raises UsageError for the one in use and for one that runs, unless forced."""
    ours = shelf()
    record = ours.record(known(name, [one.name for one in ours.records()]))
    assert record is not None  # noqa: S101
    in_use = ours.in_use()
    if in_use.name == name and not force:
        raise UsageError(f"{name} is in use: use another one first, or --force")
    if (pids := ours.pids(record)) and not force:
        said = ", ".join(map(str, pids[:4]))
        raise UsageError(f"{name} runs (pid {said}): stop it first (hettui down), or --force")
    ours.remove(name)
    if name in (in_use.name, in_use.previous):
        ours.choose(InUse(*(None if one == name else one for one in (in_use.name, in_use.previous))))


def install(what: str, name: str | None) -> EngineRecord:
    """A folder that has llama-server, a wheel, or a package of the index. Blocks. Raises HettuiError."""
    path = Path(what).expanduser()
    if path.is_dir():
        return _from_folder(Path(os.path.abspath(path)), name)  # noqa: PTH100
    if path.suffix == ".whl":
        if not path.is_file():
            raise UsageError(f"{clean_line(what, 200)} is not there")
        return _from_package(str(path.absolute()), path.name.partition("-")[0], f"the wheel {path.name}", name)
    if not _PACKAGE.fullmatch(what):
        raise UsageError(f"{clean_line(what, 200)} is no folder, no .whl file and no name of a package")
    return _from_package(what, what.partition("==")[0], f"the package {what}", name)


def _from_folder(folder: Path, name: str | None) -> EngineRecord:
    """Nothing is copied: the folder stays its owner's."""
    server = next((found for inner in _INNER if (found := folder / inner / SERVER).is_file()), None)
    if server is None:
        raise UsageError(f"no llama-server is in {clean_line(str(folder), 200)}, its bin or its build/bin")
    own = next((part for part in reversed(folder.parts[1:]) if part not in ("bin", "build")), "engine")
    named = _free_name(name, own)
    engine = ask_engine(ChosenEngine(named, server))
    record = _record(named, str(server), f"the folder {folder}", engine, ())
    with shelf().new() as new:
        shelf().place(new, record)
    return record


def _from_package(requirement: str, own: str, source: str, name: str | None) -> EngineRecord:
    named, ours = _free_name(name, own), shelf()
    log_folder = cache_path() / "engines" / f"install-{named}"
    with held(log_folder, named) as lock, ours.new() as new:
        words = ["install", "--no-compile", "--only-binary", ":all:", "--target", str(new / "package"), requirement]
        if said := run_pip(words, log_folder / "pip.log", (lock,)):
            raise HettuiError(
                f"pip did not install {clean_line(requirement, 100)}: {why_failed(said) or 'its log says why'} "
                f"({log_folder / 'pip.log'})"
            )
        server, libraries = _programs(new / "package")
        env = (("LD_LIBRARY_PATH", ":".join(libraries)),) if libraries else ()
        placed = tuple((key, ":".join(str(new / one) for one in libraries)) for key, _ in env)
        engine = ask_engine(ChosenEngine(named, server, placed))
        record = _record(named, server.relative_to(new).as_posix(), source, engine, env)
        ours.place(new, record)
    return record


def _programs(folder: Path) -> tuple[Path, list[str]]:
    """llama-server, and the folders with libraries as the engine's folder sees them. Raises HettuiError."""
    servers, libraries = [], []
    for place in _folders(folder):
        for program in (SERVER, *WORKERS, "llama-quantize", "llama-bench"):
            if (path := place / program).is_file() and not path.is_symlink():
                path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o100)
                servers += [path] if program == SERVER else []
        if any(place.glob("*.so*")):
            libraries.append(place.relative_to(folder.parent).as_posix())
    # A folder of programs that pip makes has scripts of that name, which need their Python.
    real = [path for path in servers if path.parent != folder / "bin"] or servers
    if not real:
        raise HettuiError("the package holds no llama-server: hettui engine build makes one from source")
    near = real[0].parent.relative_to(folder.parent).as_posix()
    ordered = sorted(libraries, key=lambda one: (one != near, one))
    return real[0], ordered[:_MOST_LIBRARY_FOLDERS]


def _folders(folder: Path) -> Iterator[Path]:
    for number, (root, _, _) in enumerate(os.walk(folder)):
        if number >= _MOST_FOLDERS:
            return
        yield Path(root)


def _record(name: str, server: str, source: str, engine: EngineInfo, env: tuple[tuple[str, str], ...]) -> EngineRecord:
    backends = backends_beside(engine.server.resolve())
    return EngineRecord(
        name, server, clean_line(source, 300), now(), build_of(engine.version), backends, (), protocol_of(engine), env
    )


def _free_name(name: str | None, own: str) -> str:
    wanted = checked_name(name or re.sub(r"[^A-Za-z0-9._+-]", "-", own).lstrip(".-_+")[:80] or "engine")
    if shelf().record(wanted) is not None:
        raise UsageError(f"an engine {wanted} is here already: remove it first, or say another --name")
    return wanted
