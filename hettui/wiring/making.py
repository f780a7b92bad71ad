"""`hettui models quantize` and `convert`: through the tools of the engine in use and of its source."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from hettui.adapters.engines.source import fetch_source
from hettui.adapters.engines.steps import Step, run_step, size_of_log, tail_of
from hettui.adapters.engines.toolbox import free_bytes
from hettui.adapters.files.fetched_file import Fetched, load_fetched, save_fetched
from hettui.adapters.files.paths import cache_path, log_dir, memory_dir, state_dir
from hettui.adapters.library.fetch import SPARE_BYTES, file_sha256
from hettui.adapters.llama.gguf import HeaderReader, read_model
from hettui.adapters.processes.local import scrubbed_environment
from hettui.adapters.processes.said import TooLong, TooMuch, run_for_words
from hettui.domain.config.values import Config
from hettui.domain.engines.progress import Pace, Steps, read_steps
from hettui.domain.engines.recipe import Recipe
from hettui.domain.errors import EngineError, HettuiError, ModelFileError, UsageError
from hettui.domain.library.making import (
    Quantising,
    check_imatrix,
    convert_arguments,
    converted_bytes,
    converted_name,
    header_bytes,
    quantised_bytes,
    quantised_name,
    quantize_arguments,
    read_outtype,
    read_type,
    why_not_made,
)
from hettui.domain.llama.build import EngineInfo
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line
from hettui.domain.units import format_bytes
from hettui.wiring.chosen import engine_of

Tell = Callable[[str, Steps | None, float | None], None]
_DRY_S = 120.0
_ASK_S = 60.0
_MOST_BYTES = 8 << 20
_MODULES = ("torch", "transformers", "numpy", "sentencepiece", "safetensors")
_ASKING = "import importlib.util as u, sys; print(*[n for n in sys.argv[1:] if u.find_spec(n) is None])"
_MOST_PARTS = 1000


@dataclass(frozen=True, slots=True)
class Made:
    """A model that was made, or would be."""

    path: str
    size_bytes: int | None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for beside the names."""

    to: str | None = None
    imatrix: str | None = None
    allow_requantize: bool = False
    threads: int | None = None
    python: str | None = None
    force: bool = False


def quantize(config: Config, file: str, type_text: str, wish: Wish, tell: Tell, *, dry: bool) -> Made:
    """Blocks. Raises HettuiError; nothing half-made keeps a model's name."""
    kind = read_type(type_text)
    check_imatrix(kind, wish.imatrix)
    model = read_model(file)
    engine = engine_of(config)
    program = _quantizer(engine)
    target = _target(wish.to, Path(model.paths[0]).parent, quantised_name(Path(model.paths[0]).name, kind))
    part = target.with_name(f".{target.name}.part")
    run = Quantising(model.paths[0], str(part), kind, wish.imatrix, wish.allow_requantize, wish.threads)
    tensor_bytes = sum(one.size_bytes for one in model.tensors)
    size = _dry_size(engine, program, run, model.file_bytes, tensor_bytes)
    if dry:
        return Made(str(target), size)
    _check(target, size, force=wish.force)
    env = dict(engine.env)
    _run("quantising", quantize_arguments(str(program), run), env, part, tell)
    return _finished(part, target, f"quantised from {clean_line(Path(file).name, 120)}", tell)


def _quantizer(engine: EngineInfo) -> Path:
    for folder in (engine.server.parent, engine.server.resolve().parent):
        if (folder / "llama-quantize").is_file():
            return folder / "llama-quantize"
    raise EngineError(
        f"there is no llama-quantize beside {engine.server}: hettui engine build --use makes an engine that has it"
    )


def _dry_size(engine: EngineInfo, program: Path, run: Quantising, source_bytes: int, tensor_bytes: int) -> int | None:
    """By the tool's own `--dry-run`. Raises HettuiError for what it would refuse."""
    argv = quantize_arguments(str(program), run, dry=True)
    try:
        result = run_for_words(argv, scrubbed_environment() | dict(engine.env), _DRY_S, _MOST_BYTES)
    except (OSError, TooLong, TooMuch):
        raise HettuiError(f"{program} --dry-run does not answer") from None
    said = (result.out + result.err).decode("utf-8", "replace")
    if result.returncode and (why := why_not_made(said)):
        raise HettuiError(f"{clean_line(run.source, 200)} cannot be made {run.type}: {why}")
    return quantised_bytes(said, source_bytes, tensor_bytes)


def convert(config: Config, folder: str, outtype: str, wish: Wish, tell: Tell, *, dry: bool) -> Made:
    """A Hugging Face folder into one GGUF. Blocks. Raises HettuiError."""
    outtype = read_outtype(outtype)
    place = Path(os.path.abspath(Path(folder).expanduser()))  # noqa: PTH100
    if not (place / "config.json").is_file():
        raise UsageError(f"{clean_line(folder, 200)} is no folder of a model: it has no config.json")
    parts = sorted(place.glob("*.safetensors"))[:_MOST_PARTS]
    target = _target(wish.to, place.parent, converted_name(place.name, outtype))
    size = converted_bytes(map(_header, parts), outtype) if parts else None
    if dry:
        return Made(str(target), size)
    _check(target, size, force=wish.force)
    python = wish.python or sys.executable
    _check_python(python)
    recipe = Recipe(engine_of(config).build)
    source = fetch_source(recipe, cache_path() / "engines" / f"b{recipe.build}", lambda what: tell(what, None, None))
    part = target.with_name(f".{target.name}.part")
    argv = convert_arguments(python, str(source / "convert_hf_to_gguf.py"), str(place), str(part), outtype)
    # Nothing is fetched for it, and no code of the model's is run that somebody has not asked for.
    _run("converting", argv, {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}, part, tell)
    return _finished(part, target, f"converted from {clean_line(place.name, 120)}", tell)


def _header(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return os.pread(descriptor, header_bytes(os.pread(descriptor, 8, 0)), 8)
        finally:
            os.close(descriptor)
    except (OSError, ModelFileError) as error:
        raise ModelFileError(f"{clean_line(str(path), 200)} cannot be read: {error}") from None


def _check_python(python: str) -> None:
    try:
        result = run_for_words([python, "-P", "-c", _ASKING, *_MODULES], os.environ, _ASK_S, _MOST_BYTES)
    except (OSError, TooLong, TooMuch):
        raise UsageError(f"{clean_line(python, 200)} is no Python that runs: correct --python") from None
    missing = result.out.decode("utf-8", "replace").split()
    if result.returncode or missing:
        lacks = ", ".join(missing) or "what the converter needs"
        raise HettuiError(
            f"llama.cpp's converter needs {clean_line(lacks, 100)}, which {clean_line(python, 200)} does not have. "
            f"In a folder of its own: python3 -m venv ~/convert && ~/convert/bin/pip install {' '.join(_MODULES)}, and "
            "then --python ~/convert/bin/python"
        )


def _target(to: str | None, folder: Path, name: str) -> Path:
    if to is None:
        return Path(os.path.abspath(folder / name))  # noqa: PTH100
    place = Path(os.path.abspath(Path(to).expanduser()))  # noqa: PTH100
    return place / name if place.is_dir() else place


def _check(target: Path, size: int | None, *, force: bool) -> None:
    if target.suffix.lower() != ".gguf":
        raise UsageError(f"--to {clean_line(str(target), 200)}: a folder, or a name that ends in .gguf")
    if target.exists() and not force:
        raise UsageError(f"{clean_line(str(target), 200)} is there already: --force replaces it")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{clean_line(str(target.parent), 200)} cannot be written: name another place with --to")
    free = free_bytes(target.parent)
    if size is not None and free is not None and size + SPARE_BYTES > free:
        raise HettuiError(
            f"{clean_line(target.name, 160)} will take {format_bytes(size)}, and {format_bytes(free)} are free where "
            "it would lie: free some space, or name another place with --to"
        )


def _run(what: str, argv: tuple[str, ...], env: dict[str, str], part: Path, tell: Tell) -> None:
    log, pace = log_dir() / "making.log", Pace()
    since = size_of_log(log)

    def told(said: str) -> None:
        if steps := read_steps(said.replace("\r", "\n")):
            tell(what, steps, pace.left_s(steps, time.monotonic()))
        elif not said:
            tell("", None, None)

    tell(what, None, None)
    code = -1
    try:
        code = run_step(Step(argv, log, env=env), told)
    finally:
        if code:
            part.unlink(missing_ok=True)
    if code:
        why = why_not_made(tail_of(log, since)) or f"{Path(argv[0]).name} ended with {code}"
        raise HettuiError(f"{what} {clean_line(part.name[1:-5], 120)}: {why}. The log is {log}")


def _finished(part: Path, target: Path, source: str, tell: Tell) -> Made:
    """Looked at, summed, and given its name."""

    def summed(done: int, total: int) -> None:
        tell("reading its sum", Steps(done >> 20, max(total >> 20, 1)), None)

    try:
        size = part.stat().st_size
        descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            HeaderReader(target, partial(os.pread, descriptor), size).read()
        finally:
            os.close(descriptor)
        digest = file_sha256(part, summed)
        os.replace(part, target)  # noqa: PTH105 - as in atomic.py
    except (OSError, ModelFileError) as error:
        part.unlink(missing_ok=True)
        raise HettuiError(f"what was made for {clean_line(str(target), 200)} is no sound model: {error}") from None
    known = load_fetched(memory_dir())
    known[str(target)] = Fetched(source, size, digest)
    with suppress(OSError, HettuiError):
        save_fetched(state_dir(), known)
    return Made(str(target), size, digest)
