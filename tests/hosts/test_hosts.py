"""hettui on real machines: reached, refused, started, cut off, survived, and nothing left where nothing should be."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import bed as beds
from tests.hosts.bed import HETTUI, SHELLS, Bed
from tests.hosts.driving import configure, hettui, log_of, programs_here
from tests.patience import patience, until

WHY_NOT = beds.missing()
pytestmark = [
    pytest.mark.engine,
    pytest.mark.xdist_group("hosts"),
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]


@pytest.fixture(scope="module")
def programs() -> Path:
    return programs_here()


@pytest.fixture(scope="module")
def shared_bed(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("bed")
    made = beds.make(folder, 1, programs)
    yield made
    made.end()


@pytest.fixture
def bed(shared_bed: Bed) -> Iterator[Bed]:
    """Nothing runs at its begin, and nothing was logged; nothing may run at its end."""
    shared_bed.desk.run("sh", "-c", "rm -rf ~/.local/state/hettui/logs")
    yield shared_bed
    hettui(shared_bed, "down")
    until(lambda: not shared_bed.desk.processes(), said=shared_bed.desk.processes)
    until(lambda: not shared_bed.attic.processes(), said=shared_bed.attic.processes)
    assert "127.0.0.1:18" not in shared_bed.desk.run("ss", "-Hltn").stdout


def up(bed: Bed, programs: Path, folder: str = "", patience_s: int = 60) -> int:
    """Starts it; the worker's pid there."""
    done = hettui(bed, "up", configure(bed, folder or str(programs), patience_s=patience_s))
    assert done.returncode == 0, done.stderr
    (worker,) = bed.attic.workers()
    return worker


def test_every_way_in_is_found_and_every_refusal_is_a_sentence(bed: Bed, programs: Path) -> None:
    good = ["attic", "six", "jumped", "mux", "forward", "command", *(u for u in SHELLS if u not in ("me", "locked"))]
    refused = {
        "locked": "lets no key of yours in and would ask for a password", "wrong": "ssh-copy-id wrong",
        "unknown": "its host key is not known here", "changed": "its host key has CHANGED",
        "closed": "is up and has no sshd there: Connection refused", "nowhere": "No route to host",
        "noname": "Could not resolve its name no-such-machine.invalid", "jumpdown": ":2299) is up and has no sshd",
    }  # fmt: skip
    words = [word for alias in (*good, *refused) for word in ("--host", alias)]
    done = hettui(bed, "hosts", "probe", "--json", *words)
    assert done.returncode == 1
    said = {one["host"]: one for one in json.loads(done.stdout)["hosts"]}
    for alias in good:
        assert said[alias].get("name") == "attic", said[alias]
        assert said[alias]["whole"]
    for alias, sentence in refused.items():
        assert sentence in said[alias].get("problem", ""), said[alias]
    assert len({said[alias]["machine"] for alias in good}) == 1
    assert 0 < said["attic"]["round_trip_s"] < patience(1)
    # The doctor asks the same probe: this machine's other half has the same clock.
    looked = hettui(bed, "doctor", "--host", "attic", "--json")
    found = {one["id"]: one for one in json.loads(looked.stdout)["findings"]}
    assert found["network.clocks"]["severity"] == "good"
    assert found["memory.ram"]["severity"] == "good"
    unreached = hettui(bed, "doctor", "--host", "nowhere", "--json")
    assert unreached.returncode == 1
    refusal = {one["id"]: one for one in json.loads(unreached.stdout)["findings"]}["network.hosts"]
    assert "No route to host" in refusal["words"]


def test_a_cluster_on_another_machine_leaves_nothing(bed: Bed, programs: Path) -> None:
    worker = up(bed, programs, "/home/my llama/bin")
    status = bed.attic.run("cat", f"/proc/{worker}/status").stdout
    ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
    assert ignored >> 12 & 1, "SIGPIPE is not ignored there"
    listens = bed.attic.run("ss", "-Hltn").stdout
    assert "127.0.0.1:18052" in listens
    assert "0.0.0.0:18052" not in listens
    done = hettui(bed, "chat", "Say hello.", "--max-tokens", "4", "--url", "http://127.0.0.1:8080")
    assert done.returncode == 0, done.stderr
    probed = json.loads(hettui(bed, "hosts", "probe", "cluster.toml", "--json").stdout)["hosts"][0]
    assert [w["what"] for w in probed["workers"]] == ["worker far of desk"]
    assert hettui(bed, "down").returncode == 0
    assert bed.attic.workers() == []
    cleaned = hettui(bed, "hosts", "clean", "cluster.toml")
    assert "attic: 0 workers ended, 1 file removed" in cleaned.stdout
    assert bed.attic.run("find", "/home/me", "-path", "*hettui*").stdout == ""


def test_an_ssh_that_is_killed_loses_no_worker_and_a_killed_worker_is_named(bed: Bed, programs: Path) -> None:
    worker = up(bed, programs)
    bed.desk.run("sh", "-c", "kill -9 $(pgrep -x ssh)")
    until(lambda: "attic is there again" in log_of(bed), 60, said=lambda: log_of(bed))
    assert bed.attic.workers() == [worker]
    bed.attic.run("kill", "-9", str(worker))
    until(lambda: "killed by SIGKILL" in hettui(bed, "status").stdout)
    assert hettui(bed, "down").returncode == 0
    assert bed.attic.workers() == []


def test_a_desk_that_lost_its_power_finds_its_workers_and_replaces_or_ends_them(bed: Bed, programs: Path) -> None:
    worker = up(bed, programs)
    bed.cut(on=True)
    try:
        bed.desk.run("sh", "-c", "kill -9 -1")
        bed.desk.run("sh", "-c", "rm -rf /run/user/me/hettui")
    finally:
        bed.cut(on=False)
    assert bed.attic.workers() == [worker]
    # Nor does it take for weights what was cut short when the lights went out there, too.
    kept = "/home/me/.cache/hettui/rpc/*"
    whole = bed.attic.run("sh", "-c", f"wc -c <{kept}; truncate -s 4096 {kept}").stdout
    assert up(bed, programs) != worker
    assert bed.attic.run("sh", "-c", f"wc -c <{kept}").stdout == whole != "4096\n"
    bed.desk.run("sh", "-c", "kill -9 -1")
    done = hettui(bed, "down")
    assert "What was left of the cluster's workers on attic is ended." in done.stderr
    assert bed.attic.workers() == []


def test_a_line_that_is_lost_for_longer_than_its_patience_comes_back(bed: Bed, programs: Path) -> None:
    worker = up(bed, programs, patience_s=10)
    bed.cut(on=True)
    try:
        until(lambda: "the line to attic was lost" in log_of(bed), said=lambda: log_of(bed))
    finally:
        bed.cut(on=False)
    until(lambda: "attic is there again" in log_of(bed), 60, said=lambda: log_of(bed))
    assert bed.attic.workers() == [worker]
    again = hettui(bed, "up", "cluster.toml")
    assert again.returncode == 0, again.stderr
    assert "the master has lost its worker on attic: it is started anew" in again.stderr
    assert bed.attic.workers() == [worker]
    done = hettui(bed, "chat", "Say hello.", "--max-tokens", "4", "--url", "http://127.0.0.1:8080")
    assert done.returncode == 0, done.stderr


def test_a_start_that_was_given_up_while_the_other_machine_was_slow_leaves_no_worker(bed: Bed, programs: Path) -> None:
    """It was asked to end before there was anything to end."""
    bed.attic.write(".bashrc", "export PATH=$HOME/slow:$PATH")
    # Whoever asks, and however late, goes on when the folder is gone.
    waits = 'touch ~/slow/begun; while [ -e ~/slow ]; do sleep 0.1; done; exec /usr/bin/df "$@"'
    bed.attic.run("mkdir", "slow")
    bed.attic.write("slow/df", f"#!/bin/sh\n{waits}\n")
    bed.attic.run("chmod", "+x", "slow/df")
    try:
        argv = bed.desk.enter([*HETTUI, "up", configure(bed, str(programs))])
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as starting:
            until(lambda: bed.attic.run("test", "-e", "slow/begun").returncode == 0)
            bed.desk.run("pkill", "-INT", "-f", "hettui up")
            starting.communicate()
        assert starting.returncode == 130
        assert bed.desk.processes() == []
    finally:
        bed.attic.run("rm", "-r", ".bashrc", "slow")
