"""kill -9 of every process in every state, on the real engine: a known state, a story, and nobody left behind."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest

from tests.faults.rig import LAYERS, Rig
from tests.patience import patience

pytestmark = pytest.mark.engine

DETECTED_S = 0.5
WORKERS = ("worker big", "worker middle", "worker small")


def at(rig: Rig, moment: str) -> dict[str, Any]:
    """Brings the cluster to a moment and says what it is like then."""
    rig.reopen()
    if moment == "loading":
        rig.ask("start", layers=LAYERS, wait=False)
        return rig.until(lambda r: r["state"] == "LOADING" and bool(r["pids"].get("master")))
    assert "error" not in rig.ask("start", layers=LAYERS)
    if moment == "answering":
        rig.ask("chat")
        return rig.until(lambda r: r["tokens"] > 3)
    return rig.ask("look")


def resting(report: dict[str, Any]) -> bool:
    return report["state"] == "FAILED" and not report["pids"]


@pytest.mark.parametrize("moment", ["idle", "loading", "answering"])
@pytest.mark.parametrize("name", [*WORKERS, "master"])
def test_a_killed_process_ends_the_cluster_with_its_story(rig: Rig, name: str, moment: str) -> None:
    pid = at(rig, moment)["pids"][name]
    rig.kill(pid)
    died_s = time.monotonic()
    rig.until(lambda r: r["state"] in ("FAILED", "STOPPING"), DETECTED_S)
    assert time.monotonic() - died_s < patience(DETECTED_S)
    report = rig.until(resting, 15)
    assert report["blamed"] == name, report
    # It is told a moment before it is recorded.
    rig.ask("settle")
    assert "SIGKILL" in report["problem"]
    assert ("while the model was loading" in report["problem"]) == (moment == "loading")
    if name != "master":
        assert report["consequences"][0].startswith("master"), report
    if moment == "answering":
        rig.until(lambda r: r["chat_end"] not in (None, "complete"))
        assert any("cut off" in line for line in report["consequences"])
    assert rig.table() == {}
    assert rig.record() is None
    if moment == "idle":
        # One more start, and all is well.
        assert "error" not in rig.ask("start", layers=LAYERS)
        rig.check()
    rig.close("quit")
    assert rig.table() == {}


def test_a_restart_policy_brings_a_killed_worker_back(rig: Rig) -> None:
    rig.reopen()
    rig.ask("start", layers=LAYERS, restarts=2)
    before = rig.ask("look")["pids"]
    rig.kill(before["worker middle"])
    report = rig.until(lambda r: r["state"] == "READY" and r["pids"]["worker middle"] != before["worker middle"])
    assert report["pids"]["worker big"] == before["worker big"]
    assert report["pids"]["master"] != before["master"]
    rig.check()
    rig.close("quit")


@pytest.mark.parametrize("moment", ["starting", "loading", "idle", "answering", "stopping"])
def test_hettui_killed_in_any_state_is_followed_by_one_that_takes_over_or_cleans(rig: Rig, moment: str) -> None:
    if moment == "starting":
        rig.reopen()
        rig.ask("start", layers=LAYERS, wait=False)
        rig.until(lambda r: r["state"] == "STARTING" and any(r["pids"].values()))
    elif moment == "stopping":
        pids = at(rig, "idle")["pids"]
        # A frozen one makes the stop last.
        rig.kill(pids["worker small"], signal.SIGSTOP)
        rig.ask("stop", wait=False)
        rig.until(lambda r: r["state"] == "STOPPING" and not r["pids"].get("master"))
    else:
        at(rig, moment)
    before = rig.table()
    rig.close("kill")
    report = rig.reopen()
    if moment in ("idle", "answering", "loading"):
        report = rig.until(lambda r: r["state"] == "READY" and bool(r["measured"]))
        assert rig.table() == before
        assert report["layers"] == list(LAYERS)
        assert report["measured"] == ["big", "host", "middle", "small"]
        rig.ask("chat")
        rig.until(lambda r: r["tokens"] > 3)
    else:
        assert report["state"] == "FAILED", report
        assert "Stop ends them" in report["problem"]
    rig.check()
    # The owner before was killed with its master: this one starts anew and stops for good.
    assert rig.ask("start", layers=[10, 10, 11]).get("error") is None
    rig.check()
    rig.ask("stop")
    assert rig.table() == {}
    rig.close("quit")


def test_a_frozen_worker_is_named_and_goes_on_after_20_seconds(rig: Rig) -> None:
    pid = at(rig, "answering")["pids"]["worker middle"]
    rig.kill(pid, signal.SIGSTOP)
    begun_s = time.monotonic()
    report = rig.until(lambda r: r["frozen"] == ["worker middle"], 5)
    tokens = report["tokens"]
    assert f"kill -CONT {pid}" in " ".join(report["notices"])
    report = rig.until(lambda r: time.monotonic() - begun_s > 20)
    assert report["state"] == "READY"
    assert report["tokens"] <= tokens + 1
    rig.kill(pid, signal.SIGCONT)
    report = rig.until(lambda r: r["chat_end"] is not None or r["tokens"] > tokens + 5)
    assert report["chat_end"] in (None, "complete")
    assert rig.until(lambda r: not r["frozen"])["state"] == "READY"
    rig.close("quit")


def test_a_frozen_worker_cannot_hold_up_a_stop(rig: Rig) -> None:
    pid = at(rig, "answering")["pids"]["worker middle"]
    rig.kill(pid, signal.SIGSTOP)
    begun_s = time.monotonic()
    report = rig.ask("stop")
    assert time.monotonic() - begun_s < patience(10)
    assert report["state"] == "DOWN"
    assert rig.table() == {}
    rig.close("quit")


def test_a_second_hettui_is_refused_while_the_first_lives_and_not_afterwards(rig: Rig, tmp_path: Any) -> None:
    at(rig, "idle")
    assert not rig.runs.acquire()
    assert rig.runs.owner() == rig.owner_pid
    rig.close("kill")
    # The lock of a dead process is no lock.
    assert rig.runs.acquire()
    rig.runs.release()
    assert rig.reopen()["state"] == "READY"
    rig.close("quit")


def test_a_damaged_record_loses_nobody(rig: Rig) -> None:
    at(rig, "idle")
    before = rig.table()
    rig.close("kill")
    whole = rig.runs.path.read_bytes()
    rig.runs.path.write_bytes(whole[: len(whole) // 2])
    report = rig.reopen()
    assert report["state"] == "FAILED"
    assert all(str(pid) in report["problem"] for pid in before)
    assert any("is damaged" in text for text in report["notices"])
    assert rig.ask("stop")["state"] == "DOWN"
    assert rig.table() == {}
    rig.close("quit")
