"""Processes of a cluster that no record describes: what they are, as far as their command lines tell."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePath

from hettui.domain.door.words import DOOR_MODULE, NAME
from hettui.domain.text import clean_line

_SAID = 60


def is_server(argv: Sequence[str]) -> bool:
    """llama-server, which somebody may be talking to; all else of a cluster only lends devices."""
    return bool(argv) and PurePath(argv[0]).name.removesuffix(".exe") == "llama-server"


def is_rpc_server(argv: Sequence[str]) -> bool:
    """A worker, by either of the names that builds gave it; not an ssh that carries the port of one."""
    return bool(argv) and PurePath(argv[0]).name.removesuffix(".exe") in ("ggml-rpc-server", "rpc-server")


def described(pid: int, argv: Sequence[str]) -> str:
    """One process, for people: program, pid, model, port."""
    if not argv:
        return f"pid {pid}"
    name = NAME if DOOR_MODULE in argv else PurePath(argv[0]).name
    said = [f"{clean_line(name, _SAID)} (pid {pid})"]
    if model := _value(argv, "-m", "--model"):
        said.append(f"with {clean_line(PurePath(model).name, _SAID)}")
    if port := _value(argv, "--port", "-p"):
        said.append(f"at port {clean_line(port, 5)}")
    return " ".join(said)


def unrecognised(found: Sequence[tuple[int, Sequence[str]]]) -> str:
    """What to say instead of starting over them, or of saying that nothing runs."""
    what = ", ".join(described(pid, argv) for pid, argv in found)
    return (
        f"processes of an earlier hettui run, and no record tells their cluster: {what}. They are left alone until "
        "Stop (x, or hettui down) ends them; then Start starts anew"
    )


def _value(argv: Sequence[str], *names: str) -> str | None:
    return next((after for word, after in pairwise(argv) if word in names), None)
