"""Configuration files: read and checked, changed with comments and order kept, written so that nothing is half.

Reading uses the standard library, which is fast; only writing needs tomlkit.
"""

from __future__ import annotations

import errno
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.bounded import read_file
from hettui.domain.config.problem import Problem
from hettui.domain.config.reading import read_config
from hettui.domain.config.values import Config
from hettui.domain.errors import ConfigError
from hettui.domain.llama.params import RuntimeParams, scaled
from hettui.domain.patterns import late_pattern
from hettui.domain.plan.plan import Plan, plain_settings
from hettui.domain.text import clean_line

if TYPE_CHECKING:
    import tomlkit

_MAX_BYTES = 1024 * 1024


def load(path: str | Path) -> Config:
    """Reads and checks one file. Raises ConfigError: `FILE:LINE: [section] key: found …, allowed: …`."""
    file = Path(path).expanduser()
    text = _read_text(file)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax(file, text, str(error))) from None
    except RecursionError:
        raise ConfigError(f"{file}: nested too deeply") from None
    config, problems = read_config(data)
    if config is None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError(_sentence(file, text, problems[0]) + more)
    return _with_real_paths(replace(config, path=str(file)), file.absolute().parent)


def _read_text(file: Path) -> str:
    try:
        data = read_file(file, _MAX_BYTES, pipe=True)
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist: write one with hettui init {file}") from None
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise ConfigError(f"{file} is larger than a configuration can be: is it the right file?") from None
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: byte {error.start} is not UTF-8: is it the right file?") from None


def _syntax(file: Path, text: str, message: str) -> str:
    match = re.search(r"\(at line (\d+), column \d+\)", message)
    line = match[1] if match else text.count("\n") + 1
    return f"{file}:{line}: {clean_line(message.split(' (at ')[0], 200)}"


def _sentence(file: Path, text: str, problem: Problem) -> str:
    where = f"[{problem.section}]" if problem.index is None else f"[[{problem.section}]]"
    if problem.key is not None:
        where += f" {clean_line(problem.key, 60)}"
    return f"{file}:{_line_of(text, problem)}: {clean_line(where, 100)}: {problem.message}"


_HEADER = late_pattern(r"\s*\[\[?\s*([^\]#]+?)\s*\]\]?\s*(?:#.*)?")


def _line_of(text: str, problem: Problem) -> int:
    """The line of the key in its (n-th) table, or of the table; tomllib does not tell."""
    seen = -1
    table_line = 1
    inside, within = False, ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            inside = False
            name = header[1].strip("\"' ")
            if name.startswith(f"{problem.section}.") and problem.key is not None:
                # [keys.cluster]: a table in the table.
                inside, within = True, name.removeprefix(f"{problem.section}.") + "."
            elif name == problem.section:
                within = ""
                seen += 1
                if problem.index is None or seen == problem.index:
                    inside, table_line = True, number
        elif problem.key is not None and (key := re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line)):
            if within + key[1] == problem.key and inside:
                return number
        elif problem.key is None and re.match(rf"\s*{re.escape(problem.section)}\s*=", line):
            return number
    return table_line


def _with_real_paths(config: Config, folder: Path) -> Config:
    def real(path: str | None) -> str | None:
        if path is None:
            return None
        expanded = Path(os.path.expandvars(path)).expanduser()
        return str(expanded if expanded.is_absolute() else folder / expanded)

    draft = config.params.draft
    if draft is not None and draft.model:
        config = replace(config, params=replace(config.params, draft=replace(draft, model=real(draft.model) or "")))

    def file_of(said: str) -> str:
        name, scale = scaled(said)
        return f"{real(name)}:{scale}" if scale else real(name) or said

    params = config.params
    if params.mmproj or params.lora or params.control_vector:
        lora, vectors = (tuple(map(file_of, said)) for said in (params.lora, params.control_vector))
        params = replace(params, mmproj=real(params.mmproj or None) or "", lora=lora, control_vector=vectors)
        config = replace(config, params=params)
    return replace(
        config,
        model_path=real(config.model_path),
        model_folders=tuple(real(one) or one for one in config.model_folders),
        llama_cpp_bin=real(config.llama_cpp_bin),
        serving=replace(config.serving, api_key_file=real(config.serving.api_key_file), slot_save_path=None),
        keeping=replace(config.keeping, folder=real(config.keeping.folder)),
    )


# -- writing -----------------------------------------------------------------------------------------------------


def save_plan(path: str | Path, plan: Plan, settings: RuntimeParams | None = None) -> None:
    """Writes layers, locks and order of the devices, and the settings of the plan where they differ from what the file
    says; everything else stays as the user wrote it. `settings`: those with which the plan runs, as they are wanted;
    None: only a context that the planner chose.

    Devices that the file does not name are left out: they were discovered, and will be again.
    """
    import tomlkit

    file = Path(path).expanduser()
    document = tomlkit.parse(_read_text(file))
    if settings is not None:
        _set_serving(document, settings)
    if plan.ctx_size is not None:
        _set(document.setdefault("serving", tomlkit.table()), "ctx-size", plan.ctx_size)
    tables: Any = document.get("devices")
    if tables:
        _set_devices(document, tables, plan)
    write_text(file, tomlkit.dumps(document))


def _set_serving(document: tomlkit.TOMLDocument, settings: RuntimeParams) -> None:
    """What is said there already, and what is not as llama.cpp has it by itself."""
    import tomlkit

    usual = RuntimeParams()
    for name in plain_settings():
        key, value = name.replace("_", "-"), getattr(settings, name)
        said: Any = document.get("serving", {})
        if key in said or value != getattr(usual, name):
            spelled = "auto" if name == "parallel" and value < 0 else value
            _set(document.setdefault("serving", tomlkit.table()), key, spelled)


def _set_devices(document: tomlkit.TOMLDocument, tables: Any, plan: Plan) -> None:
    by_name = {str(table["name"]): table for table in tables}
    for device, layers in zip(plan.devices, plan.split.layers, strict=True):
        table = by_name.get(device.name)
        if table is not None:
            _set(table, "layers", layers)
            if device.locked or "locked" in table:
                _set(table, "locked", device.locked)
            if device.threads is not None:
                # The search for the best split may have found another number.
                _set(table, "threads", device.threads)
    _reorder(document, tables, [d.name for d in plan.devices])


def save_values(path: str | Path, values: Mapping[tuple[str, str], str | int | bool]) -> None:
    """Writes single values, such as `("model", "path")`; a section that is missing is added at the end."""
    import tomlkit

    file = Path(path).expanduser()
    document = tomlkit.parse(_read_text(file))
    for (section, key), value in values.items():
        if section not in document:
            document[section] = tomlkit.table()
        _set(document[section], key, value)
    write_text(file, tomlkit.dumps(document))


def drop_section(path: str | Path, section: str) -> None:
    """Takes a whole section out, if it is there."""
    import tomlkit

    file = Path(path).expanduser()
    document = tomlkit.parse(_read_text(file))
    if document.pop(section, None) is not None:
        write_text(file, tomlkit.dumps(document))


def _set(table: Any, key: str, value: object) -> None:
    """Only what differs is touched, so that the user's spelling of equal values stays."""
    if key not in table or table[key] != value:
        table[key] = value


def _reorder(document: tomlkit.TOMLDocument, tables: Any, names: list[str]) -> None:
    present = [str(table["name"]) for table in tables]
    wanted = [name for name in names if name in present]
    if wanted == present or sorted(wanted) != sorted(present):
        return
    copies = {str(table["name"]): table for table in tables}
    ordered = [copies[name] for name in wanted]
    while len(tables):
        del tables[0]
    for table in ordered:
        tables.append(table)


def write_text(path: Path, text: str) -> None:
    """Replaces a file at once: temporary file, fsync, rename. The version before is kept as `.bak`.

    A link is written through to its target, permissions stay. Raises ConfigError; the old file is then untouched.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        if target.exists():
            replace_file(target.with_name(target.name + ".bak"), read_file(target, _MAX_BYTES), mode)
        replace_file(target, text.encode("utf-8"), mode)
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}; it is as it was before") from error
