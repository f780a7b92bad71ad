"""How far a build is, read from what ninja, make and others print, and why it ended."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line
from hettui.domain.units import format_seconds

_NINJA = late_pattern(r"^\[(\d{1,6})/(\d{1,6})\]", re.MULTILINE)
_MAKE = late_pattern(r"^\[ {0,2}(\d{1,3})%\]", re.MULTILINE)
_QUANTIZE = late_pattern(r"^\[ {0,5}(\d{1,6})/ {0,5}(\d{1,6})\]", re.MULTILINE)
_CONVERT = late_pattern(r"Writing: +(\d{1,3})%\|")


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps that are done, and all of them."""

    done: int
    total: int


def read_steps(said: str) -> Steps | None:
    """The last that is told here: ninja's and llama-quantize's `[n/m]`, make's and the converter's per cent."""
    found = [
        (match.start(), Steps(*numbers))
        for pattern in (_NINJA, _QUANTIZE, _MAKE, _CONVERT)
        for match in list(pattern.finditer(said))[-1:]
        if (numbers := _numbers(match)) and 0 <= numbers[0] <= numbers[1] and numbers[1]
    ]
    return max(found, key=lambda one: one[0])[1] if found else None


def _numbers(match: re.Match[str]) -> tuple[int, int]:
    return int(match[1]), int(match[2]) if match.re.groups > 1 else 100


@dataclass(slots=True)
class Pace:
    """Time left, from the steps of this run: a resumed build counts only what is left of it."""

    first: Steps | None = None
    first_s: float = 0.0

    def left_s(self, steps: Steps, now_s: float) -> float | None:
        """None before there is anything to go by. `now_s`: of any clock that only goes forward."""
        if self.first is None or steps.done < self.first.done or steps.total != self.first.total:
            self.first, self.first_s = steps, now_s
        made = steps.done - self.first.done
        if made < 1 or now_s <= self.first_s:
            return None
        return (now_s - self.first_s) / made * (steps.total - steps.done)


def progress_text(what: str, steps: Steps | None, left_s: float | None) -> str:
    """One line: `compiling 41/228, 18 %, about 12 min 03 s left`."""
    if steps is None:
        return f"{what} …"
    left = f", about {format_seconds(left_s)} left" if left_s is not None and steps.done < steps.total else ""
    return f"{what} {steps.done}/{steps.total}, {steps.done * 100 // steps.total} %{left}"


_CAUSES: tuple[tuple[str, str], ...] = (
    (r"No space left on device", "the disk is full: free some space"),
    (r"Killed signal terminated program|fatal error: Killed|virtual memory exhausted|std::bad_alloc|"
     r"Cannot allocate memory", "the compiler found no memory: build with fewer --jobs"),
    (r"unsupported GNU version|host_config\.h.*#error.*unsupported",
     "this CUDA release does not know so new a compiler: name an older g++ in CUDAHOSTCXX, or install a newer CUDA"),
    (r"nvcc fatal *: *Unsupported gpu architecture '([\w]+)'", "nvcc does not know the architecture {0}"),
    (r"CUDA Toolkit not found", "cmake does not find the CUDA toolkit: put its bin folder on PATH"),
    (r"Could NOT find Vulkan", "cmake does not find Vulkan's headers or glslc: install them"),
    (r"SPIRV-HeadersConfig\.cmake|find_package\(SPIRV-Headers",
     "cmake does not find SPIR-V's headers: install spirv-headers"),
    (r"C\+\+ compiler lacks SYCL support", "the compiler knows no SYCL: source oneAPI's setvars.sh first"),
    (r"No CMAKE_CXX_COMPILER could be found", "cmake finds no C++ compiler: install g++"),
    (r"The (?:C|CXX|CUDA|HIP) compiler\s+\"?([^\"\s]+)\"?\s+is not able to compile a simple test program",
     "the compiler {0} cannot compile the simplest program"),
    (r"No matching distribution found for (\S+)", "the index has no {0}"),
    (r"(?:NewConnectionError|ConnectTimeoutError|Temporary failure in name resolution|Network is unreachable|"
     r"Could not fetch URL)", "the package index is not reached"),
)  # fmt: skip
_ERROR = late_pattern(r"^(?:.*?: )?(?:fatal )?(?:error|ERROR)\b:? *(.+)$", re.MULTILINE)
_CMAKE_ERROR = late_pattern(r"^CMake Error[^\n]*:\n+((?:  [^\n]+\n?)+)", re.MULTILINE)
_VERSIONS = late_pattern(r"from versions: ([^)]{1,100000})\)")


def why_failed(said: str) -> str:
    """What a log says about its end, in one line; empty where it says nothing."""
    for pattern, words in _CAUSES:
        if match := re.search(pattern, said):
            return words.format(*(clean_line(one, 80) for one in match.groups()))
    if match := _CMAKE_ERROR.search(said):
        return "cmake says: " + clean_line(" ".join(match[1].split()), 300)
    errors = list(_ERROR.finditer(said))
    # The first one: what follows it follows from it.
    return clean_line(errors[0][0], 300) if errors else ""


def offered_builds(said: str) -> list[int]:
    """The builds that an index has, as pip tells where it does not have the one that was asked for."""
    match = _VERSIONS.search(said)
    words = re.findall(r"\b(\d{4,6})\.0\.0\b", match[1]) if match else ()
    return sorted({int(word) for word in words})


def nearest_builds(wanted: int, builds: Sequence[int]) -> str:
    """`b11400 and b11450`: those around it, else empty."""
    below = [one for one in builds if one < wanted][-1:]
    above = [one for one in builds if one > wanted][:1]
    return " and ".join(f"b{one}" for one in (*below, *above))
