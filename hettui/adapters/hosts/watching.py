"""Readings of other hosts, each by one session that goes on, on a thread of its own: one that hangs holds nobody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from hettui.adapters.hosts.identity import worker_id
from hettui.adapters.hosts.session import Session
from hettui.adapters.hosts.ssh import Line, far_script, new_marker, why
from hettui.domain.devices.device import Host
from hettui.domain.hosts.far_side import script
from hettui.domain.hosts.refusal import without_ssh
from hettui.domain.telemetry.far_readings import FarReadings
from hettui.domain.telemetry.readings import DeviceSample
from hettui.domain.text import clean_line
from hettui.ports import PartlyRead, TelemetryTarget

PERIOD_S = 1.0
STALE_S = 3.5
"""After three periods without a word nothing is known any more."""
CONNECT_S = 25.0
PAUSES_S = (3.0, 15.0, 60.0)
"""Before a host is asked again that was not reached, longer and longer."""


class HostBook:
    """Which hosts there are, by the names that devices use. Whoever opens a configuration writes it."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}

    def write(self, hosts: Sequence[Host]) -> None:
        self.hosts = {host.name: host for host in hosts}


class FarSource:
    """Implements TelemetrySource for devices of other hosts: never blocks, and says of each host why it has nothing."""

    def __init__(self, book: HostBook, mark: str) -> None:
        self._book = book
        self._mark = mark
        self._watches: dict[str, _Watch] = {}

    def sample(self, targets: Sequence[TelemetryTarget]) -> dict[str, DeviceSample]:
        wanted = {t.host for t in targets}
        for name in [name for name in self._watches if name not in wanted or name not in self._book.hosts]:
            self._watches.pop(name).close()
        samples: dict[str, DeviceSample] = {}
        errors: dict[str, str] = {}
        for target in targets:
            host = self._book.hosts.get(target.host)
            if host is None or host.ssh is None:
                continue
            watch = self._watches.get(target.host)
            if watch is None:
                watch = self._watches[target.host] = _Watch(Line(host.name, host.ssh))
            if (problem := watch.problem()) is not None:
                errors[target.name] = problem
            elif (found := self._of(target, watch.readings)) is not None:
                samples[target.name] = found
        if errors:
            raise PartlyRead(samples, errors)
        return samples

    def _of(self, target: TelemetryTarget, readings: FarReadings) -> DeviceSample | None:
        if target.backend == "cpu":
            name = f"worker {clean_line(target.name, 80)}"
            return readings.of_worker(worker_id(self._mark, name), name, target.budget_bytes)
        digits = target.engine_name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
        number = int(digits) if digits.isdecimal() else None
        return readings.of_card(target.backend, target.uuid, target.pci_address, number)

    def close(self) -> None:
        for watch in self._watches.values():
            watch.close()


class _Watch:
    """One host. The thread alone touches the session; what it writes is replaced as a whole or only added to."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.readings = FarReadings()
        self._refused: str | None = None
        self._stop = threading.Event()
        self._begun_s = time.monotonic()
        threading.Thread(target=self._run, name=f"watch {line.host}", daemon=True).start()

    def problem(self) -> str | None:
        """Why nothing is known now."""
        heard_s, now_s = self.readings.heard_s, time.monotonic()
        if heard_s is not None and now_s - heard_s < STALE_S:
            return None
        if self._refused is not None:
            return self._refused
        host = clean_line(self._line.host, 40)
        if heard_s is None:
            return f"{host} is being asked" if now_s - self._begun_s < CONNECT_S else f"{host} does not answer"
        return f"{host} has said nothing for {now_s - heard_s:.0f} s"

    def close(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        attempt = 0
        while not self._stop.is_set():
            begun_s = time.monotonic()
            self._refused = self._follow()
            attempt = 0 if time.monotonic() - begun_s > PAUSES_S[-1] else attempt + 1
            self._stop.wait(PAUSES_S[min(attempt, len(PAUSES_S)) - 1])

    def _follow(self) -> str:
        """Until the line is lost: why."""
        mark = new_marker()
        text = script([far_script("common"), far_script("watch")], [str(int(PERIOD_S * 1000))], {"M": mark})
        try:
            session = Session(self._line.session(), self._line.environment, text, mark, mark)
        except OSError as error:
            return without_ssh(self._line.host, error.strerror or str(error)).what
        try:
            return self._listen(session)
        finally:
            session.close()

    def _listen(self, session: Session) -> str:
        readings = FarReadings()
        deadline = time.monotonic() + CONNECT_S
        next_s = 0.0
        while not (self._stop.is_set() or session.over):
            now_s = time.monotonic()
            if readings.heard_s is None and now_s > deadline:
                break
            if now_s >= next_s:
                session.write(b"r\n")
                next_s = now_s + PERIOD_S
            session.wait(next_s - now_s)
            while (words := session.said()) is not None:
                readings.take(words, time.monotonic())
            if readings.heard_s is not None and self.readings is not readings:
                self.readings, self._refused = readings, None
        if self._stop.is_set():
            return ""
        return why(self._line, list(session.noise), session.returncode, late=not session.over).what
