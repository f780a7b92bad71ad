"""hettui on the bed's desk, as a user drives it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from hettui.adapters.llama.binaries import find_engine
from tests.hosts.bed import HETTUI, Bed


def programs_here() -> Path:
    """The folder of llama.cpp's binaries."""
    return find_engine(None, {"PATH": "/nowhere"}).server.parent


def hettui(bed: Bed, *words: str) -> subprocess.CompletedProcess[str]:
    return bed.desk.run(*HETTUI, *words, seconds=120)


def configure(bed: Bed, bin: str = "", ssh: str = "attic", patience_s: int = 60) -> str:
    """One device in the attic. Without `bin` its llama.cpp is looked for."""
    model = demo_model(cache_dir(), lambda done, total: None)
    place = f'bin = "{bin}"' if bin else ""
    text = f"""
[model]
path = "{model}"
[serving]
port = 8080
ctx-size = 512
[[hosts]]
name = "attic"
ssh = "{ssh}"
{place}
patience = {patience_s}
[[devices]]
name = "far"
host = "attic"
id = "cpu"
threads = 1
budget = "2GiB"
"""
    bed.desk.write("cluster.toml", text)
    return "cluster.toml"


def log_of(bed: Bed, name: str = "far") -> str:
    return bed.desk.run("sh", "-c", f"cat ~/.local/state/hettui/logs/log-worker-{name}.log").stdout
