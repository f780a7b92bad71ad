"""Which machine this one's llama.cpp can run on, and which protocols go together."""

from __future__ import annotations

import pytest

from hettui.domain.hosts.facts import HostFacts
from hettui.domain.hosts.push import EngineFile, Package, Progress, Pushed, Seen, no_room, unfit
from hettui.domain.llama.protocol import refusal, speaks, word
from hettui.domain.units import MIB

PACKAGE = Package(
    "ab12", "ggml-rpc-server",
    (EngineFile("ggml-rpc-server", "/x/rpc-server", 100, "1"), EngineFile("liba.so", "/x/liba.so", 900, "2", ("b",))),
    "Linux", "x86_64", (2, 35),
)  # fmt: skip


@pytest.mark.parametrize(
    ("os", "arch", "libc", "why"),
    [
        ("Linux 6.8", "x86_64", "glibc 2.39", None),
        ("Linux 6.8", "amd64", "ldd (Debian GLIBC 2.36-9) 2.36", None),
        (None, None, None, None),
        ("Linux 6.8", "aarch64", "glibc 2.39", "attic is aarch64, the llama.cpp of this machine is for x86_64"),
        ("Darwin 24", "arm64", None, "attic runs Darwin, the llama.cpp of this machine is for Linux"),
        ("Linux 6.8", "x86_64", "glibc 2.31", "attic has glibc 2.31, the llama.cpp of this machine wants 2.35"),
        ("Linux 6.8", "x86_64", "musl libc (x86_64)", "attic has another C library (musl libc (x86_64))"),
    ],
)
def test_where_it_can_run(os: str | None, arch: str | None, libc: str | None, why: str | None) -> None:
    found = unfit(PACKAGE, HostFacts("attic", os=os, arch=arch, libc=libc))
    assert (found is None) == (why is None)
    if why is not None:
        assert found is not None
        assert found.startswith(why)
        assert "build llama.cpp there" in found


def test_room_is_asked_for_with_something_to_spare() -> None:
    assert no_room("attic", 100 * MIB, None) is None
    assert no_room("attic", 100 * MIB, 200 * MIB) is None
    assert "100 MiB are to be sent and 150 MiB are free" in (no_room("attic", 100 * MIB, 150 * MIB) or "")


def test_what_a_host_says_of_a_package_is_read_and_odd_lines_are_not() -> None:
    lines = [["has", "gzip"], ["free", "1024"], ["have", "a", "7"], ["have", "b", "-1"], ["have"], ["free"], ["looked"]]
    assert Seen.of(lines) == Seen(False, True, MIB, {"a": 7})
    assert Seen.of([["whole"]]).whole


def test_the_words_about_a_push() -> None:
    assert PACKAGE.aliases == ("b=liba.so",)
    assert Pushed("attic", "/h/x", 0, 1.0).as_text() == "attic: llama.cpp of this machine, was there already: /h/x"
    assert "60 MiB sent in 9 s" in Pushed("attic", "/h/x", 60 * MIB, 9.2, "and so on").as_text()
    assert Progress("attic", 10, 30, 5.0).left_s == 4
    assert Progress("attic", 10, 30).left_s is None


@pytest.mark.parametrize(
    ("master", "worker", "fits"),
    [((4, 0, 3), (4, 0, 3), True), ((4, 0, 3), (4, 0, 9), True), ((4, 1, 0), (4, 0, 0), True),
     ((4, 0, 0), (4, 1, 0), False), ((4, 0, 3), (5, 0, 0), False), ((7, 0, 0), (4, 0, 3), False)],
)  # fmt: skip
def test_protocols_go_together_as_llama_cpp_says(
    master: tuple[int, int, int], worker: tuple[int, int, int], fits: bool
) -> None:
    assert speaks(master, worker) == fits
    said = refusal("3060", "attic", master, worker, "do this")
    assert (said is None) == fits
    if said is not None:
        assert '"3060"' in said
        assert said.endswith("do this")


def test_both_builds_are_named() -> None:
    said = refusal("3060", "attic", (4, 0, 3), (5, 0, 0), "x")
    assert said is not None
    assert (
        "llama.cpp on attic speaks RPC 5.0.0 (as b10434), that of this machine RPC 4.0.3 (as b10068 to b10092)" in said
    )
    assert "of the same protocol (RPC 9.0.0)" in word("attic", (9, 0, 0))
