"""Clusters over three machines, by commands and by keys; two desks; a hettui that is killed; a host that is gone."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count

import pytest

from tests.hosts import bed as beds
from tests.hosts.bed import HETTUI, Bed
from tests.hosts.driving import configure, hettui, log_of, programs_here, settled, spread
from tests.patience import until

WHY_NOT = beds.missing()
pytestmark = [
    pytest.mark.engine,
    pytest.mark.xdist_group("hosts and clusters"),
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]
URL = ("--url", "http://127.0.0.1:8080")
HOSTS = {"attic": "attic", "cellar": "cellar"}


@pytest.fixture(scope="module")
def shared_bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    made = beds.make(tmp_path_factory.mktemp("bed"), 3, programs_here(), ("attic", "cellar"))
    yield made
    made.end()


@pytest.fixture
def bed(shared_bed: Bed) -> Iterator[Bed]:
    """Ports of every machine are the same afterwards, and nothing of hettui's runs."""
    before = {box.name: box.ports() for box in shared_bed.boxes}
    yield shared_bed
    settled(shared_bed)
    # One of them may be gone by then.
    for box in shared_bed.boxes:
        assert box.ports() == before[box.name]


def test_three_machines_by_commands(bed: Bed) -> None:
    config = spread(bed, HOSTS, str(programs_here()), here=True)
    planned = hettui(bed, "devices", config, "--json")
    assert {one["host"] for one in json.loads(planned.stdout)["devices"]} == {"local", "attic", "cellar"}
    done = hettui(bed, "up", config)
    assert done.returncode == 0, done.stderr
    assert [len(box.workers()) for box in bed.boxes] == [1, 1, 1]
    assert hettui(bed, "status").returncode == 0
    answer = hettui(bed, "chat", "Say hello.", "--max-tokens", "4", *URL)
    assert answer.returncode == 0, answer.stderr
    measured = hettui(bed, "bench", config, "-p", "16", "-n", "4", "-r", "1", "--parallel", "1", "--no-sum", "--json")
    assert measured.returncode == 0, measured.stderr
    again = hettui(bed, "up", config)
    assert "It runs already" in again.stdout


class Screen:
    """hettui's screen on the desk, in tmux, each on a server of its own: one that is ending takes nobody in."""

    _made = count()

    def __init__(self, bed: Bed, columns: int = 120, rows: int = 40) -> None:
        self._words = ["tmux", "-L", f"hettui-hosts-{bed.number}-{next(self._made)}", "-f", "/dev/null"]
        argv = bed.desk.enter([*HETTUI, "cluster.toml"], {"TERM": "xterm-256color"})
        self._tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), shlex.join(argv))

    def _tmux(self, *words: str) -> str:
        return subprocess.run([*self._words, *words], capture_output=True, text=True, check=True).stdout

    def text(self) -> str:
        return self._tmux("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def shows(self, *words: str) -> None:
        until(lambda: all(word in self.text() for word in words), said=self.text)

    def close(self) -> None:
        subprocess.run([*self._words, "kill-server"], capture_output=True, check=False)


@pytest.fixture
def screen(bed: Bed) -> Iterator[Screen]:
    assert shutil.which("tmux"), "install tmux"
    spread(bed, HOSTS, str(programs_here()))
    opened = Screen(bed)
    yield opened
    opened.close()


def test_a_question_of_ssh_has_the_terminal_to_itself(bed: Bed) -> None:
    spread(bed, {"attic": "locked"}, str(programs_here()))
    screen = Screen(bed, 80, 24)
    try:
        screen.shows("stopped")
        screen.press("s")
        screen.shows("would ask for a password", "hosts connect")
        screen.press("Escape")
        until(lambda: "What to do" not in screen.text(), said=screen.text)
        screen.press("C-p")
        screen.shows("Search")
        screen.press("hosts")
        screen.shows("a login that may ask")
        screen.press("Enter")
        screen.shows("Other machines", "attic")
        screen.press("Enter")
        screen.shows("gives the terminal to ssh")
        screen.press("Enter")
        for asked in (1, 2, 3):
            until(lambda asked=asked: screen.text().count("'s password:") == asked, said=screen.text)  # type: ignore[misc]
            lines = [line for line in screen.text().splitlines() if line.strip()]
            assert all(line.startswith(("hettui steps aside", "locked@", "Permission denied")) for line in lines), lines
            screen.press("Enter")
        screen.shows("Other machines", "would ask for a password", "gives the terminal to ssh")
    finally:
        screen.close()


def test_two_hosts_by_keys_and_a_hettui_that_is_killed_is_followed_by_one_that_takes_over(
    bed: Bed, screen: Screen
) -> None:
    screen.shows("far", "cellar", "stopped")
    screen.press("s")
    screen.shows("● ready")
    workers = [box.workers() for box in bed.hosts.values()]
    assert [len(found) for found in workers] == [1, 1]
    screen.press("Right")
    screen.shows("plan differs")
    screen.press("a")
    until(lambda: "plan differs" not in screen.text() and "● ready" in screen.text(), said=screen.text)
    assert [box.workers() for box in bed.hosts.values()] == workers
    bed.desk.run("sh", "-c", "kill -9 $(pgrep -f 'hettui cluster.toml')")
    screen.close()
    again = Screen(bed)
    try:
        again.shows("● ready")
        assert [box.workers() for box in bed.hosts.values()] == workers
        again.press("x")
        again.shows("stopped")
        until(lambda: not any(box.workers() for box in bed.hosts.values()))
        again.press("q")
    finally:
        again.close()


def test_two_desks_leave_each_other_s_workers_alone(bed: Bed) -> None:
    for user, port in (("me", 8080), ("you", 8081)):
        config = spread(bed, {"attic": "attic"}, str(programs_here()), user=user, port=port)
        done = hettui(bed, "up", config, user=user)
        assert done.returncode == 0, done.stderr
    assert len(bed.attic.workers()) == 2
    probed = json.loads(hettui(bed, "hosts", "probe", "cluster.toml", "--json").stdout)["hosts"][0]
    assert [one["what"] for one in probed["workers"]] == ["worker far of desk"] * 2
    assert len({one["port"] for one in probed["workers"]}) == 2
    assert hettui(bed, "down").returncode == 0
    assert len(bed.attic.workers()) == 1
    assert hettui(bed, "status", user="you").returncode == 0
    assert hettui(bed, "down", user="you").returncode == 0
    assert bed.attic.workers() == []


def test_a_port_that_is_taken_there_and_a_cut_of_three_seconds_in_mid_answer(bed: Bed) -> None:
    code = "import socket,time;s=socket.create_server(('127.0.0.1',18052));time.sleep(600)"
    holder = subprocess.Popen(bed.attic.enter(["python3", "-c", code]), stdin=subprocess.DEVNULL)
    try:
        until(lambda: "127.0.0.1:18052" in bed.attic.ports())
        done = hettui(bed, "up", configure(bed, str(programs_here())))
        assert done.returncode == 0, done.stderr
        assert "127.0.0.1:18053" in bed.attic.ports()
        words = ["chat", "Write a long story.", "--max-tokens", "40", *URL]
        argv = bed.desk.enter([*HETTUI, *words])
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as talk:
            assert talk.stdout is not None
            assert talk.stdout.read(4)
            bed.cut(on=True)
            try:
                assert bed.desk.run("sleep", "3").returncode == 0
            finally:
                bed.cut(on=False)
            talk.stdout.read()
        assert talk.returncode == 0
    finally:
        bed.attic.run("pkill", "-f", "18052));")
        holder.wait()


def test_a_host_that_is_gone_is_told_and_the_other_one_is_let_go(bed: Bed) -> None:
    """The last one: the machine does not come back."""
    config = spread(bed, HOSTS, str(programs_here()), patience_s=10)
    done = hettui(bed, "up", config)
    assert done.returncode == 0, done.stderr
    cellar = bed.hosts["cellar"]
    cellar.process.kill()
    cellar.process.wait()
    del bed.hosts["cellar"]
    until(lambda: "the line to cellar was lost" in log_of(bed, "cellar"), 60, said=lambda: log_of(bed, "cellar"))
    assert "cellar" in hettui(bed, "status").stdout
    down = hettui(bed, "down")
    assert "cellar" in down.stderr + down.stdout
    assert bed.attic.workers() == []
    refused = hettui(bed, "up", config)
    assert refused.returncode == 1
    assert "cellar" in refused.stderr.splitlines()[-1]
