"""What a host said of itself, and what is made of a host that says odd things."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hettui.domain.devices.device import Host
from hettui.domain.errors import HostError
from hettui.domain.hosts.facts import HostFacts, read_facts
from hettui.domain.hosts.report import Cleaned, found_json, found_text, list_text
from hettui.domain.units import GIB, MIB
from tests import examples

UUID = "GPU-1f2e3d4c-0000-1111-2222-333344445555"
OTHER = "GPU-aaaaaaaa-0000-1111-2222-333344445555"
ATTIC = f"""\
begin
os Linux 6.8.0
arch x86_64
name attic
machine 1234
libc glibc 2.39
cpus 16
cpu AMD Ryzen 9 5950X
memory_kib 65536000 60000000
limit_bytes 34359738368 2147483648
disk_kib 1048576
cache_kib 2048
has setsid
has nvidia-smi
server /opt/llama.cpp/bin/rpc-server
version version: 11434 (abcdef)
said error: unknown device: none-such
said available devices:
said   CUDA0: NVIDIA GeForce RTX 3060 (11910 MiB, 11500 MiB free)
said   CUDA1: NVIDIA GeForce GTX 1660 SUPER (5936 MiB, 9999 MiB free)
said No devices found
nvidia {UUID}, 00000000:01:00.0, NVIDIA GeForce RTX 3060, 550.90, 12288, 11800, 41, 4, 16
nvidia {OTHER}, 00000000:04:00.0, NVIDIA GeForce GTX 1660 SUPER, 550.90, 6144, 5000, [N/A], 3, 4
card 0000:01:00.0 0x10de 0x2504 nvidia – –
card 0000:0c:00.0 0x1002 0x164e amdgpu 536870912 20971520
worker 0a1b 4711 18052 worker 3060 of desk
worker odd
log 0a1b.log
end""".splitlines()


def facts(lines: list[str]) -> HostFacts:
    return read_facts("attic", [line.split(" ") for line in lines])


def test_cards_are_paired_with_the_rpc_servers_list() -> None:
    found = facts(ATTIC)
    first, second, amd, cpu = found.hardware()
    assert (first.id, first.name, first.engine_name) == (f"uuid:{UUID}", "NVIDIA GeForce RTX 3060", "CUDA0")
    assert (first.total_bytes, first.free_bytes, first.host) == (11910 * MIB, 11500 * MIB, "attic")
    assert (first.temperature_c, first.pcie_link, first.driver) == (41, "gen4 x16", "550.90")
    assert (second.engine_name, second.uuid, second.temperature_c) == ("CUDA1", OTHER, None)
    # Free memory is bounded by the total, and by what the driver says.
    assert (second.free_bytes, second.total_bytes) == (5000 * MIB, 5936 * MIB)
    assert (amd.name, amd.engine_name, amd.trouble) == ("AMD 0x164e", None, "its rpc server does not list it")
    assert (amd.id, amd.total_bytes) == ("pci:0000:0c:00.0", 512 * MIB)
    assert cpu.name == "AMD Ryzen 9 5950X (16 threads)"
    # A limit of the processes' group counts as the machine's memory.
    assert (cpu.total_bytes, cpu.free_bytes) == (32 * GIB, 30 * GIB)


def test_the_rest_is_read() -> None:
    found = facts(ATTIC)
    assert (found.cpus, found.disk_free_bytes, found.cache_bytes, found.logs) == (16, GIB, 2 * MIB, 1)
    assert found.version == "11434 (abcdef)"
    assert [(w.id, w.pid, w.port, w.what) for w in found.workers] == [("0a1b", 4711, 18052, "worker 3060 of desk")]
    assert found.whole
    assert found.trouble is None
    assert not facts(ATTIC[:-1]).whole


def test_a_host_without_llama_cpp_has_its_cards_with_the_reason() -> None:
    lines = [line for line in ATTIC if not line.startswith(("server", "said", "version"))]
    found = facts([*lines, "missing the PATH there"])
    assert [one.trouble for one in found.hardware() if one.backend == "cuda"] == [
        "there is no rpc server that could use it"
    ] * 2
    assert all(one.engine_name is None for one in found.hardware())
    assert "no rpc server in the PATH there" in found_text([found])[0]


def test_an_rpc_server_that_cannot_run_says_why() -> None:
    lines = [line for line in ATTIC if not line.startswith("said")]
    words = "said rpc-server: /lib/libc.so.6: version `GLIBC_2.38' not found"
    found = facts([*lines, words])
    assert found.trouble is not None
    assert "GLIBC_2.38" in found.trouble
    assert all(not one.engine_name for one in found.hardware() if one.backend != "cpu")


@pytest.mark.parametrize(
    "odd",
    [
        "nvidia NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
        "nvidia a,b", "card x", "memory_kib many", "cpus -3", "limit_bytes 99999999999999999999", "worker 1 2",
        "said   CUDA0: x (99999999999 MiB, 1 MiB free)", "\x1b[31mos evil", "", "cpus 99999999999999999999999999",
    ],
)  # fmt: skip
def test_odd_lines_are_no_facts(odd: str) -> None:
    found = facts([odd, "end"])
    assert [one.backend for one in found.hardware()] == ["cpu"] or odd.startswith("card")
    assert found.cpus is None
    assert "\x1b" not in "".join(found_text([found]))


@settings(max_examples=examples.of(60), deadline=None)
@given(st.lists(st.text(max_size=60), max_size=12))
def test_a_host_may_print_anything(lines: list[str]) -> None:
    found = facts(lines)
    json.dumps(found_json([Host("attic", "attic")], [found]))
    assert all(line.isprintable() for line in "\n".join(found_text([found])).splitlines())


def test_two_names_of_one_machine_are_told() -> None:
    one, two = read_facts("a", [["machine", "7"], ["end"]]), read_facts("b", [["machine", "7"], ["end"]])
    assert all("the same machine" in text for text in found_text([one, two]))
    assert "the same machine" not in found_text([one])[0]


def test_the_reports() -> None:
    hosts = (Host("attic", "me@attic", None, 0), Host("cellar", "cellar", "/opt/x"))
    assert "none" in list_text(hosts).splitlines()[1]
    assert "no host is configured" in list_text(())
    cleaned = Cleaned.of("attic", [["ended", "0a"], ["removed", "0a.log"], ["cache", "2048"], ["problem", "pid", "7"]])
    assert cleaned.as_text() == "attic: 1 worker ended, 1 file removed, a cache of 2 MiB; pid 7"
    said = found_json(hosts, [HostError("attic is away"), cleaned])["hosts"]
    assert isinstance(said, list)
    assert said[0] == {"host": "attic", "problem": "attic is away"}
