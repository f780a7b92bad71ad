"""hettui on the bed's desk, as a user drives it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from hettui.adapters.llama.binaries import find_engine
from tests.hosts.bed import HETTUI, Bed
from tests.patience import until


def programs_here() -> Path:
    """The folder of llama.cpp's binaries."""
    return find_engine(None, {"PATH": "/nowhere"}).server.parent


def hettui(bed: Bed, *words: str, user: str = "me") -> subprocess.CompletedProcess[str]:
    return bed.desk.as_user(user).run(*HETTUI, *words, seconds=120)


def configure(bed: Bed, bin: str = "", ssh: str = "attic", patience_s: int = 60, *, user: str = "me") -> str:
    """One device in the attic. Without `bin` its llama.cpp is looked for."""
    return spread(bed, {"attic": ssh}, bin, patience_s, user=user)


def spread(
    bed: Bed,
    hosts: Mapping[str, str],
    bin: str = "",
    patience_s: int = 60,
    *,
    here: bool = False,
    user: str = "me",
    port: int = 8080,
) -> str:
    """One device on each host, by its name and where ssh goes; `here`: one on the desk, too."""
    model = demo_model(cache_dir(), lambda done, total: None)
    lines = ["[model]", f'path = "{model}"', "[serving]", f"port = {port}", "ctx-size = 512", "parallel = 1"]
    for name, ssh in hosts.items():
        lines += ["[[hosts]]", f'name = "{name}"', f'ssh = "{ssh}"', f"patience = {patience_s}"]
        lines += [f'bin = "{bin}"'] if bin else []
    for name in (*hosts, *(["here"] if here else [])):
        device = "far" if name == "attic" else name
        lines += ["[[devices]]", f'name = "{device}"', 'id = "cpu"', "threads = 1", 'budget = "2GiB"']
        lines += [] if name == "here" else [f'host = "{name}"']
    bed.desk.as_user(user).write("cluster.toml", "\n".join(lines))
    return "cluster.toml"


def settled(bed: Bed, user: str = "me") -> None:
    """Nothing of hettui's runs or listens on any machine."""
    hettui(bed, "down", user=user)
    for box in bed.boxes:
        until(lambda box=box: not box.processes(), said=box.processes)  # type: ignore[misc]
        assert not [port for port in box.ports() if ":18" in port or ":8080" in port], box.ports()


def log_of(bed: Bed, name: str = "far") -> str:
    return bed.desk.run("sh", "-c", f"cat ~/.local/state/hettui/logs/log-worker-{name}.log").stdout
