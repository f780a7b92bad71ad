"""llama.cpp on other machines: brought there by one command, another build, another protocol, none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import bed as beds
from tests.hosts.bed import Bed
from tests.hosts.driving import configure, hettui, log_of, programs_here
from tests.patience import until

WHY_NOT = beds.missing()
pytestmark = [
    pytest.mark.engine,
    pytest.mark.xdist_group("hosts and builds"),
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]
OTHER_BUILD = """#!/usr/bin/python3
import socket, struct, sys
if "none-such" in sys.argv:
    print("  CPU: CPU (1000 MiB, 900 MiB free)")
    sys.exit(1)
listener = socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("-p") + 1])))
while True:
    asked, _ = listener.accept()
    with asked, asked.makefile("rwb") as file:
        while head := file.read(9):
            command, size = struct.unpack("<BQ", head)
            file.read(size)
            body = {14: bytes([5, 0, 0]) + bytes(25), 15: struct.pack("<I", 1)}.get(command, struct.pack("<QQ", 1, 1))
            file.write(struct.pack("<Q", len(body)) + body)
            file.flush()
"""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    made = beds.make(tmp_path_factory.mktemp("bed"), 2, programs_here())
    yield made
    made.end()


@pytest.fixture(autouse=True)
def nothing_left(bed: Bed) -> Iterator[None]:
    yield
    hettui(bed, "down")
    until(lambda: not bed.desk.processes(), said=bed.desk.processes)
    until(lambda: not bed.attic.processes(), said=bed.attic.processes)


def test_from_a_bare_box_to_a_worker_in_use_by_one_command(bed: Bed) -> None:
    config = configure(bed)
    bare = hettui(bed, "up", config)
    assert "attic has neither ggml-rpc-server nor rpc-server in the PATH there" in bare.stderr
    assert "hettui hosts push --host attic" in bare.stderr
    done = hettui(bed, "up", "--push", config)
    assert done.returncode == 0, done.stderr
    assert len(bed.attic.workers()) == 1
    assert "/home/me/.cache/hettui/engine/" in "".join(bed.attic.processes())
    assert "another llama.cpp build" not in done.stderr
    answer = hettui(bed, "chat", "Say hello.", "--max-tokens", "4", "--url", "http://127.0.0.1:8080")
    assert answer.returncode == 0, answer.stderr
    hettui(bed, "down")
    again = hettui(bed, "hosts", "push", config)
    assert "was there already" in again.stdout, again.stderr
    cleaned = hettui(bed, "hosts", "clean", config)
    assert ", llama.cpp of " in cleaned.stdout
    assert bed.attic.run("find", "/home/me", "-path", "*hettui*").stdout == ""


def test_another_protocol_is_refused_and_named_on_both_sides(bed: Bed) -> None:
    bed.attic.run("mkdir", "-p", "other")
    bed.attic.write("other/rpc-server", OTHER_BUILD)
    bed.attic.run("chmod", "755", "other/rpc-server")
    bed.desk.run("sh", "-c", "rm -rf ~/.local/state/hettui/logs")
    done = hettui(bed, "up", configure(bed, "~/other"))
    assert done.returncode == 1
    assert "llama.cpp on attic speaks RPC 5.0.0 (as b10434), that of this machine RPC 4.0.3" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("hettui hosts push --host attic")
    assert bed.attic.workers() == []
    assert "master" not in bed.desk.run("sh", "-c", "ls ~/.local/state/hettui/logs").stdout


@pytest.fixture(scope="module")
def other_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same programs, one of them with another sum."""
    folder = tmp_path_factory.mktemp("copy")
    for path in programs_here().iterdir():
        (folder / path.name).symlink_to(path)
    server = folder / "ggml-rpc-server"
    text = server.read_bytes()
    server.unlink()
    server.write_bytes(text + b"another build")
    server.chmod(0o755)
    return folder


def test_another_build_of_the_same_protocol_is_allowed_with_a_word(bed: Bed, other_programs: Path) -> None:
    done = hettui(bed, "up", configure(bed, str(other_programs)))
    assert done.returncode == 0, done.stderr
    assert "attic has another llama.cpp build than this machine, of the same protocol (RPC 4.0.3" in done.stderr
    assert "the worker on attic is of build" in log_of(bed)


def test_without_ssh_where_the_configuration_says_so(bed: Bed) -> None:
    config = configure(bed, str(programs_here()))
    more = f'address = "{bed.address}"\n[[devices]]\nexpose = true'
    text = bed.desk.run("cat", config).stdout.replace("[[devices]]", more)
    bed.desk.write(config, text)
    done = hettui(bed, "up", config)
    assert done.returncode == 0, done.stderr
    assert f"{bed.address}:18052" in bed.attic.ports()
    assert "127.0.0.1:18052" not in [*bed.attic.ports(), *bed.desk.ports()]
    answer = hettui(bed, "chat", "Say hello.", "--max-tokens", "4", "--url", "http://127.0.0.1:8080")
    assert answer.returncode == 0, answer.stderr
    assert "without ssh" in hettui(bed, "status").stdout
