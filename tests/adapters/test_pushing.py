"""llama.cpp brought to another machine: whole, in parts, damaged, where there is no room, and taken away again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hettui.adapters.files.cksum import blocks_of, cksum, cksum_of
from hettui.adapters.hosts import prober
from hettui.adapters.hosts.pushing import drop, send
from hettui.adapters.hosts.ssh import Line
from hettui.adapters.llama.engine_package import package_of
from hettui.domain.devices.device import Host
from hettui.domain.errors import HostError
from hettui.domain.hosts.push import Package, Progress
from hettui.domain.hosts.report import Cleaned
from tests import own_ports
from tests.fakes import ENGINE
from tests.far_host import FarHost, far_host

ATTIC = Host("attic", "me@attic")
BIG = 3_000_000


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarHost]:
    for far in far_host(tmp_path / "far", own_ports.first() + 37):
        for name, value in far.desk_env.items():
            monkeypatch.setenv(name, value)
        yield far


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """An rpc server that lists a card, and libraries of which one has two names."""
    folder = tmp_path / "build" / "bin"
    folder.mkdir(parents=True)
    server = folder / "ggml-rpc-server"
    server.write_text("#!/bin/sh\necho '  CUDA0: NVIDIA RTX 3060 (12000 MiB, 11000 MiB free)'\n")
    server.chmod(0o755)
    (folder / "libggml.so").write_bytes(os.urandom(BIG))
    (folder / "libggml.so.0").write_bytes((folder / "libggml.so").read_bytes())
    (folder / "libggml-rpc.so").write_bytes(b"GLIBC_2.34 and GLIBC_2.4")
    (folder / "libllama.so").write_bytes(b"of the master")
    return package_of(type(ENGINE)(folder / "llama-server", server, "PATH", "", frozenset()))


def place(far: FarHost) -> Path:
    return far.home / ".cache/hettui/engine"


def test_what_is_sent_is_what_an_rpc_server_needs(package: Package) -> None:
    names = {file.name: file.aliases for file in package.files}
    assert names == {"ggml-rpc-server": (), "libggml.so": ("libggml.so.0",), "libggml-rpc.so": ()}
    assert package.glibc == (2, 34)


@pytest.mark.parametrize("text", [b"", b"a", b"hello\n", bytes(range(256)) * 300], ids=len)
def test_the_sum_is_that_of_the_command(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "f").write_bytes(text)
    said = subprocess.run(["cksum", tmp_path / "f"], capture_output=True, text=True, check=True).stdout.split()
    assert cksum_of(tmp_path / "f") == f"{said[0]}.{said[1]}"
    assert cksum([text[:7], text[7:]]) == (int(said[0]), len(text))
    assert b"".join(blocks_of(tmp_path / "f", 3)) == text[3:]


def test_a_bare_host_has_an_rpc_server_afterwards_and_not_twice(far: FarHost, package: Package) -> None:
    far.made(name="")
    told: list[Progress] = []
    folder, sent_bytes = send(Line("attic", "me@attic"), package, told.append)
    assert (folder, sent_bytes) == (str(place(far) / package.sum), package.size_bytes)
    assert told[-1].done_bytes == told[-1].total_bytes == package.size_bytes
    assert (Path(folder) / "libggml.so.0").read_bytes() == (Path(folder) / "libggml.so").read_bytes()
    facts = prober.probe(ATTIC)
    assert facts.server == f"{folder}/ggml-rpc-server"
    assert [one.name for one in facts.devices] == ["CUDA0"]
    assert send(Line("attic", "me@attic"), package, told.append) == (folder, 0)
    cleaned = Cleaned.of("attic", prober.clean(ATTIC))
    assert cleaned.engine_bytes > BIG
    assert not place(far).parent.exists()


def test_what_was_begun_is_gone_on_with_and_what_is_damaged_is_sent_anew(far: FarHost, package: Package) -> None:
    far.made(name="")
    big = next(file for file in package.files if file.size_bytes == BIG)
    text = Path(big.path).read_bytes()
    part = place(far) / f"{package.sum}.part-{os.uname().nodename}"
    part.mkdir(parents=True)
    (part / big.name).write_bytes(text[:2_000_000])
    assert send(Line("attic", "me@attic"), package, lambda _: None)[1] == package.size_bytes - 2_000_000
    assert (place(far) / package.sum / big.name).read_bytes() == text
    for kept in (text[:1_000_000] + b"damaged", b"x" * BIG):
        drop(Line("attic", "me@attic"), package)
        part.mkdir(parents=True)
        (part / big.name).write_bytes(kept)
        send(Line("attic", "me@attic"), package, lambda _: None)
        assert (place(far) / package.sum / big.name).read_bytes() == text
        assert not part.exists()


def test_a_line_that_ends_in_the_middle_leaves_a_part_and_says_so(far: FarHost, package: Package) -> None:
    # Each login may write files of so many blocks of 512 bytes.
    far.made(name="", before="trap '' XFSZ; ulimit -f 2000")
    with pytest.raises(HostError, match=r"the same command goes on from where it stood"):
        send(Line("attic", "me@attic"), package, lambda _: None)
    (part,) = place(far).glob("*.part-*")
    assert sum(file.stat().st_size for file in part.iterdir()) > 1_000_000
    assert not (place(far) / "current").exists()
    prober.clean(ATTIC)
    assert not place(far).exists()


def test_a_disk_without_room_is_told_before_and_in_the_middle(far: FarHost, package: Package) -> None:
    far.made(name="")
    far._program("tools/df", "#!/bin/sh\necho x\necho / 1 1 1000 1% /\n")
    with pytest.raises(HostError, match=r"3 MiB are to be sent and 1 MiB are free"):
        send(Line("attic", "me@attic"), package, lambda _: None)
    # The first look finds room, whoever asks later finds none.
    text = 'n=$(cat {0} 2>/dev/null); echo "x$n" >{0}; [ -z "$n" ] && k=9999999 || k=0; echo x; echo "/ 1 1 $k 1% /"\n'
    far._program("tools/df", "#!/bin/sh\n" + text.format(far.home / "asked"))
    far._program("tools/gzip", "#!/bin/sh\nhead -c 1000000\necho 'gzip: No space left on device' >&2\nexit 1\n")
    with pytest.raises(HostError, match=r"its disk became full; what was sent is taken away again"):
        send(Line("attic", "me@attic"), package, lambda _: None)
    assert not list(place(far).glob("*.part-*"))


def test_another_engine_of_this_desk_replaces_the_one_before_which_is_kept(
    far: FarHost, package: Package, tmp_path: Path
) -> None:
    far.made(name="")
    folders = []
    for number in range(3):
        changed = tmp_path / "build/bin/libggml-rpc.so"
        changed.write_bytes(b"%d" % number)
        server = tmp_path / "build/bin/ggml-rpc-server"
        os.utime(server, (number, number))
        engine = type(ENGINE)(server.parent / "llama-server", server, "PATH", "", frozenset())
        folders.append(Path(send(Line("attic", "me@attic"), package_of(engine), lambda _: None)[0]).name)
    there = {path.name for path in place(far).iterdir() if path.is_dir()}
    assert there == set(folders[1:])
    assert (place(far) / "current").read_text().strip() == folders[-1]
