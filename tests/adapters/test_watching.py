"""Readings of another host over one session: there while it answers, told as missing when it does not."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from hettui.adapters.hosts import watching
from hettui.adapters.hosts.watching import FarSource, HostBook
from hettui.domain.devices.device import Host
from hettui.domain.telemetry.readings import DeviceSample
from hettui.domain.units import MIB
from hettui.ports import PartlyRead, TelemetryTarget
from tests import own_ports
from tests.far_host import FarHost, far_host
from tests.patience import until

UUID = "GPU-1f2e3d4c-0000-1111-2222-333344445555"
CPU = TelemetryTarget("a", "cpu", budget_bytes=64 * MIB, host="attic", engine_name="CPU")
CARD = TelemetryTarget("card", "cuda", uuid=UUID, host="attic", engine_name="CUDA0")


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarHost]:
    for far in far_host(tmp_path / "far", own_ports.first() + 35):
        for name, value in far.desk_env.items():
            monkeypatch.setenv(name, value)
        yield far


@pytest.fixture
def source(far: FarHost) -> Iterator[FarSource]:
    book = HostBook()
    book.write([Host("attic", "me@attic")])
    made = FarSource(book, far.desk_env["HETTUI_RUN"])
    yield made
    made.close()


def read(source: FarSource, *targets: TelemetryTarget) -> tuple[dict[str, DeviceSample], dict[str, str]]:
    try:
        return source.sample(targets), {}
    except PartlyRead as partly:
        return partly.samples, partly.errors


def test_a_worker_and_a_card_are_read(far: FarHost, source: FarSource) -> None:
    far.made().has_card(f"{UUID}, 5000, 12288, 97, 71, 168.40, 170.00, 1800, 2100, 3, 16, 60")
    far.hold()
    far.says("listens")
    first, errors = read(source, CPU, CARD)
    assert (first, set(errors)) == ({}, {"a", "card"})
    until(lambda: set(read(source, CPU, CARD)[0]) == {"a", "card"}, said=lambda: read(source, CPU, CARD))
    samples, _ = read(source, CPU, CARD)
    resident = int(Path(f"/proc/{far.worker()}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert samples["a"].used_bytes == pytest.approx(resident, rel=0.2)
    assert samples["a"].holders is not None
    assert samples["a"].holders[0].pid == far.worker()
    assert (samples["card"].used_bytes, samples["card"].temperature_c) == (5000 * MIB, 71)
    until(lambda: read(source, CPU)[0]["a"].utilisation_percent is not None)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def test_a_host_that_falls_silent_is_told_and_no_old_reading_is_shown(
    far: FarHost, source: FarSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "STALE_S", 1.5)
    far.made().has_card(f"{UUID}, 5000, 12288, 97, 71, 168.40, 170.00, 1800, 2100, 3, 16, 60")
    until(lambda: read(source, CARD)[0], said=lambda: read(source, CARD))
    stopped: set[int] = set()
    # Its scripts start and end small programs all the time: those of now may be gone, and others come.
    while new := set(far.living()) - stopped:
        stopped |= new
        send(new, signal.SIGSTOP)
    until(lambda: "attic has said nothing for" in read(source, CARD)[1].get("card", ""))
    assert read(source, CARD)[0] == {}
    send(stopped, signal.SIGCONT)
    until(lambda: "card" in read(source, CARD)[0])


def test_a_host_that_is_not_reached_says_why(far: FarHost, source: FarSource) -> None:
    far.made(before="echo 'me@attic: Permission denied (publickey).' >&2; exit 255")
    until(lambda: "lets no key of yours in" in read(source, CPU)[1].get("a", ""), said=lambda: read(source, CPU))


def test_of_a_host_that_nobody_knows_nothing_is_said(source: FarSource) -> None:
    assert read(source, TelemetryTarget("x", "cpu", host="elsewhere")) == ({}, {})
