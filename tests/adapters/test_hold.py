"""What holds a worker on another host: its start, its log, its end, a lost line, a lease that is over."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hettui.adapters.hosts.session import split_log
from hettui.adapters.processes import proc
from tests import own_ports
from tests.far_host import FarHost, far_host
from tests.patience import patience, until

MARK = b"##hettui-1##"


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarHost]:
    yield from far_host(tmp_path / "far", own_ports.first() + 30)


def gone(pid: int) -> bool:
    return proc.start_time(pid) is None


@pytest.mark.parametrize(
    ("held", "data", "out", "kept", "end"),
    [
        (b"", b"a line\n", b"a line\n", b"", None),
        (b"", b"no end", b"no end", b"", None),
        (b"", b"text##het", b"text", b"##het", None),
        (b"##het", b"ty\n", b"##hetty\n", b"", None),
        (b"##het", b"tui-1## exit 137 itself\nmore", b"", b"", ["exit", "137", "itself"]),
        (b"", b"x##hettui-1## exit", b"x", b"##hettui-1## exit", None),
        (b"##hettui-1## exit", b" 0 asked\n", b"", b"", ["exit", "0", "asked"]),
    ],
)
def test_the_last_line_is_told_from_the_log(
    held: bytes, data: bytes, out: bytes, kept: bytes, end: list[str] | None
) -> None:
    assert split_log(held, data, MARK) == (out, kept, end)


SHELLS = [("/bin/sh", "/bin/sh", "")]
SHELLS += [(shell, "/bin/sh", "") for shell in ("/usr/bin/fish", "/bin/tcsh") if Path(shell).exists()]
SHELLS += [("/bin/sh", "busybox sh", "")] if shutil.which("busybox") else []
NOISY = ("/bin/sh", "/bin/sh", "echo '*** be nice ***'; echo noise >&2")


@pytest.mark.parametrize(
    ("shell", "sh", "before"), [NOISY, *(pytest.param(*case, marks=pytest.mark.many) for case in SHELLS)]
)
def test_a_worker_is_started_and_ended_whatever_the_shells_are(far: FarHost, shell: str, sh: str, before: str) -> None:
    holder = far.made(shell=shell, sh=sh, before=before).hold("-d", "CPU")
    far.says(f"listens {far.port} 1 None -d CPU\n")
    far.says("tick 1\ntick 2\ntick 3\n")
    assert not far.said().startswith("***")
    with socket.create_connection(("127.0.0.1", far.port), 5):
        pid = far.worker()
    # It dies neither of a client that vanishes nor of a hang-up.
    ignored = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigIgn"))
    assert {signal.SIGPIPE, signal.SIGHUP} <= {n for n in range(1, 65) if int(ignored.split()[1], 16) >> (n - 1) & 1}
    holder.terminate()
    assert holder.wait(patience(30)) == -signal.SIGTERM
    assert gone(pid)
    assert far.records() == []
    until(lambda: not far.living(), said=far.living)


@pytest.mark.parametrize("name", ["ggml-rpc-server", pytest.param("rpc-server", marks=pytest.mark.many)])
def test_it_ends_as_the_worker_ended(far: FarHost, name: str) -> None:
    holder = far.made(name=name).hold("bad")
    assert holder.wait(patience(30)) == 3
    holder = far.hold()
    far.says("listens")
    os.kill(far.worker(), signal.SIGKILL)
    assert holder.wait(patience(30)) == -signal.SIGKILL
    assert "hettui: the worker on attic was killed by SIGKILL; if nobody there did it" in far.said()


def test_no_worker_there_is_127_and_says_where_it_was_looked_for(far: FarHost) -> None:
    holder = far.made(name="").hold()
    assert holder.wait(patience(30)) == 127
    assert f"attic has neither ggml-rpc-server nor rpc-server in {far.home}/lc (127: not found)" in far.said()


def test_another_port_is_taken_there_when_one_is_in_use(far: FarHost) -> None:
    far.made()
    with socket.socket() as other:
        other.bind(("127.0.0.1", far.port))
        other.listen()
        far.hold()
        far.says(f"listens {far.port + 1}")


def test_a_lost_line_is_reached_again_and_the_worker_lives(far: FarHost) -> None:
    holder = far.made().hold()
    far.holds()
    pid, before = far.worker(), far.sessions()
    os.kill(before[-1], signal.SIGKILL)
    far.says("hettui: the line to attic was lost: ")
    far.says("hettui: attic is there again\n")
    assert far.worker() == pid
    ticks = far.said().count("tick")
    until(lambda: far.said().count("tick") > ticks, said=far.said)
    assert far.said().count("listens") == 1
    told = far.said().splitlines()[:-1]
    # A line that was cut goes on behind the holder's own words.
    log = "".join("".join(line.split()) for line in told if not line.startswith("hettui: "))
    seen = [int(number) for number in re.findall(r"tick(\d+)", log)]
    # Nothing of its log is lost, and nothing comes twice.
    assert seen == list(range(1, len(seen) + 1))
    assert re.fullmatch(r"listens[^:]*?(tick\d+)+", log), log
    holder.terminate()
    assert holder.wait(patience(30)) == -signal.SIGTERM
    assert gone(pid)


def test_a_worker_whose_holder_was_killed_is_replaced_by_the_next_start(far: FarHost) -> None:
    far.made().hold()
    far.says("listens")
    first = far.worker()
    far.holders[-1].kill()
    far.holders[-1].wait()
    far.hold()
    until(lambda: far.said().count("listens") == 2, said=far.said)
    assert gone(first)
    assert far.worker() != first


def test_a_worker_that_nobody_asks_for_ends_with_its_lease(far: FarHost) -> None:
    holder = far.made().hold(lease_s=2)
    far.holds()
    pid = far.worker()
    # As a machine that sleeps, or a line that is silent.
    os.kill(holder.pid, signal.SIGSTOP)
    until(lambda: gone(pid))
    os.kill(holder.pid, signal.SIGCONT)
    assert holder.wait(patience(30)) == 69
    assert "hettui: the worker on attic was ended there when its lease of 2 s was over" in far.said()
    assert far.records() == []


def test_without_a_lease_it_lives_on(far: FarHost) -> None:
    holder = far.made().hold(lease_s=0)
    far.says("listens")
    pid = far.worker()
    holder.kill()
    holder.wait()
    until(lambda: not [s for s in far.sessions() if not gone(s)])
    assert not gone(pid)


def test_what_was_asked_to_end_while_it_starts_ends(far: FarHost) -> None:
    holder = far.made(before="sleep 1").hold()
    until(far.sessions)
    holder.terminate()
    assert holder.wait(patience(30)) in (-signal.SIGTERM, 69)
    until(lambda: not far.living(), said=far.living)
    assert far.records() == []


@pytest.mark.parametrize("sh", ["/bin/sh", *(["busybox sh"] if shutil.which("busybox") else [])])
def test_what_the_cache_holds_is_taken_for_a_tensor_only_where_it_is_as_large_as_one(far: FarHost, sh: str) -> None:
    """b10068 and b11434 never look: a file that a kill or a full disk has cut short made answers wrong."""
    cache = far.made(sh=sh).home / ".cache/hettui/rpc"
    cache.mkdir(parents=True)
    whole, torn, foreign = (cache / (letter * 16) for letter in "abc")
    whole.write_bytes(bytes(5000))
    torn.write_bytes(bytes(4096))
    foreign.write_bytes(bytes(7000))
    (cache / "notes").write_text("not llama.cpp's")
    (cache.parent / "rpc.sizes").write_text("7000\n")
    holder = far.hold(cache_bytes=64 << 20, kept=[5000, 6000])
    far.says(f"listens {far.port} 1 None -c\n")
    assert sorted(path.name for path in cache.iterdir()) == [whole.name, foreign.name, "notes"]
    holder.terminate()
    holder.wait(patience(30))
    # Of a model of which nothing is known all is left as it is, and what was known of others stays known.
    assert (cache.parent / "rpc.sizes").read_text().split() == ["7000", "5000", "6000"]


def test_weights_that_have_no_room_there_are_not_kept(far: FarHost) -> None:
    (far.made().home / "tools/df").write_text("#!/bin/sh\necho\necho disk 9 9 3000000 9% /\n")
    (far.home / "tools/df").chmod(0o755)
    cache = far.home / ".cache/hettui/rpc"
    cache.mkdir(parents=True)
    (cache / ("a" * 16)).write_bytes(bytes(5000))
    far.hold(cache_bytes=64 << 30, kept=[5000, 1 << 30])
    far.says("weights are not kept on attic: 1024 MiB, and 2 GiB to spare, are not free")
    far.says(f"listens {far.port} 1 None\n")
    assert [path.name for path in cache.iterdir()] == ["a" * 16]


def test_a_start_that_was_given_up_before_it_began_does_not_begin_and_others_do(far: FarHost) -> None:
    """The far side takes up two starts when both are wanted no more."""
    waits = 'until [ -e "$HOME/go" ]; do sleep 0.05; done'
    far.made(before=f'n=$(wc -l <"{far.home}/sessions"); case $n in 1 | 3) HOME="{far.home}"; {waits} ;; esac')
    for count in (1, 3):
        holder = far.hold()
        until(lambda count=count: len(far.sessions()) == count)  # type: ignore[misc]
        holder.terminate()
        assert holder.wait(patience(30)) == -signal.SIGTERM
    (far.home / "go").touch()
    until(lambda: not far.living(), said=far.living)
    assert "listens" not in far.said()
    far.hold()
    far.says("listens")
