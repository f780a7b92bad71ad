"""Which of a build's tools are on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from hettui.adapters.engines.source import pip_command
from hettui.adapters.files.bounded import read_text_file
from hettui.adapters.processes.said import TooLong, TooMuch, run_for_words
from hettui.domain.engines.tools import Toolkit, Tools, family_of, read_cmake, read_nvcc

_PROGRAMS = {
    "cmake": ("cmake",), "ninja": ("ninja", "ninja-build"), "make": ("make", "gmake"), "glslc": ("glslc",),
    "c++": ("c++", "g++", "clang++"), "hipcc": ("hipcc",), "icpx": ("icpx",),
}  # fmt: skip
_HEADERS = {"vulkan": "vulkan/vulkan.h", "spirv": "spirv/unified1/spirv.hpp"}
_INCLUDES = ("/usr/include", "/usr/local/include")
_ASK_S = 15.0
_MOST_BYTES = 64 * 1024
_MOST_TOOLKITS = 16
_FIRST_BYTES = 8192


def gather(folder: Path, environ: Mapping[str, str], *, has_source: bool, root: Path = Path("/")) -> Tools:
    """`folder`: where the build would be, which need not be there. `root`: where the system lies."""
    search = environ.get("PATH", os.defpath)
    if (rocm := root / "opt/rocm/bin").is_dir():
        search += f":{rocm}"
    found = {tool for tool, names in _PROGRAMS.items() if any(shutil.which(name, path=search) for name in names)}
    sdk = [f"{environ['VULKAN_SDK']}/include"] if environ.get("VULKAN_SDK") else []
    for tool, header in _HEADERS.items():
        if any((root / place.lstrip("/") / header).is_file() for place in (*_INCLUDES, *sdk)):
            found.add(tool)
    cmake = shutil.which("cmake", path=search)
    return Tools(
        frozenset(found),
        read_cmake(_said([cmake, "--version"], environ)) if cmake else None,
        _toolkits(search, environ, root),
        _family(root),
        free_bytes(folder),
        has_source,
        pip_command() is not None,
        _has_amx(root),
    )


def free_bytes(folder: Path) -> int | None:
    """Where it lies, or will lie."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def maker(environ: Mapping[str, str]) -> tuple[str, str] | None:
    """cmake's name of the generator, and its program; ninja before make."""
    search = environ.get("PATH", os.defpath)
    for tool, generator in (("ninja", "Ninja"), ("make", "Unix Makefiles")):
        for name in _PROGRAMS[tool]:
            if program := shutil.which(name, path=search):
                return generator, program
    return None


def _has_amx(root: Path) -> bool:
    """By the first processor's flags."""
    try:
        with (root / "proc/cpuinfo").open("rb") as file:
            return b"amx_tile" in file.read(_FIRST_BYTES).split()
    except OSError:
        return False


def _family(root: Path) -> str | None:
    for name in ("etc/os-release", "usr/lib/os-release"):
        try:
            return family_of(read_text_file(root / name, _MOST_BYTES, "replace"))
        except OSError:
            continue
    return None


def _toolkits(search: str, environ: Mapping[str, str], root: Path) -> tuple[Toolkit, ...]:
    on_path = shutil.which("nvcc", path=search)
    places = [Path(on_path)] if on_path else []
    places += sorted(root.glob("usr/local/cuda*/bin/nvcc")) + sorted(root.glob("opt/cuda/bin/nvcc"))
    found: dict[str, Toolkit] = {}
    for place in places[:_MOST_TOOLKITS]:
        home = str(place.resolve().parent.parent)
        version = read_nvcc(_said([str(place), "--version"], environ)) if home not in found else None
        if version:
            found[home] = Toolkit(home, version, on_path == str(place))
    return tuple(found.values())


def _said(argv: list[str], environ: Mapping[str, str]) -> str:
    """What a program prints; empty where it does not answer."""
    try:
        result = run_for_words(argv, environ, _ASK_S, _MOST_BYTES)
    except (OSError, TooLong, TooMuch):
        return ""
    return (result.out + result.err).decode("utf-8", "replace")
