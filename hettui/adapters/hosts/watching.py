"""Readings of other hosts, each by one session that goes on, on a thread of its own: one that hangs holds nobody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hettui.adapters.hosts.card_mirror import CardMirror
from hettui.adapters.hosts.identity import worker_id
from hettui.adapters.hosts.session import Session
from hettui.adapters.hosts.ssh import Line, far_script, new_marker, why
from hettui.adapters.machine.sysfs import drm_cards
from hettui.domain.devices.device import Host
from hettui.domain.hosts.far_side import script
from hettui.domain.hosts.refusal import without_ssh
from hettui.domain.telemetry.far_readings import FarReadings
from hettui.domain.telemetry.readings import DeviceSample
from hettui.domain.text import clean_line
from hettui.ports import PartlyRead, TelemetrySource, TelemetryTarget

PERIOD_S = 1.0
STALE_S = 3.5
"""After three periods without a word nothing is known any more."""
CONNECT_S = 25.0
PAUSES_S = (3.0, 15.0, 60.0)
"""Before a host is asked again that was not reached, longer and longer."""


CardReaders = Callable[[Path, Path], Sequence[TelemetrySource]]


class HostBook:
    """Which hosts there are, by the names that devices use. Whoever opens a configuration writes it."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}

    def write(self, hosts: Sequence[Host]) -> None:
        self.hosts = {host.name: host for host in hosts}


class FarSource:
    """Implements TelemetrySource for devices of other hosts: never blocks, and says of each host why it has nothing."""

    def __init__(self, book: HostBook, mark: str, readers: CardReaders = lambda sys, proc: ()) -> None:
        """`readers` makes the sources of cards whose kernel files lie below two folders."""
        self._book = book
        self._mark = mark
        self._readers = readers
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
                watch = self._watches[target.host] = _Watch(Line(host.name, host.ssh), self._readers)
            if (problem := watch.problem()) is not None:
                errors[target.name] = problem
            elif (found := watch.of_kernel(target) or self._of(target, watch.readings)) is not None:
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
        return readings.of_card(target.backend, target.uuid, number)

    def close(self) -> None:
        for watch in self._watches.values():
            watch.close()


class _Watch:
    """One host. The thread alone touches the session; what it writes is replaced as a whole or only added to."""

    def __init__(self, line: Line, readers: CardReaders) -> None:
        self._line = line
        self.readings = FarReadings()
        self._make_readers = readers
        self._mirror = CardMirror()
        self._readers: tuple[TelemetrySource, ...] = ()
        self._read = (self._mirror, 0)
        """Of which mirror, with how many cards, the readers are."""
        self._last: dict[str, tuple[int, DeviceSample | None]] = {}
        """By target: what was read of which block."""
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

    def of_kernel(self, target: TelemetryTarget) -> DeviceSample | None:
        """A card of which the kernel there tells, by its address, read as one of ours."""
        mirror = self._mirror
        if not mirror.cards or not mirror.blocks or mirror.root is None:
            return None
        if self._read != (mirror, mirror.cards):
            self._readers = tuple(self._make_readers(mirror.root / "sys", mirror.root / "proc"))
            self._read = mirror, mirror.cards
            self._last.clear()
        address = target.pci_address or _numbered(mirror.root / "sys", target)
        # Whose processes use it is not known here.
        alone = replace(target, pids=(), pci_address=address)
        blocks, last = self._last.get(target.name, (0, None))
        if blocks != mirror.blocks:
            # Once for each block: what is worked out of a counter and a clock would else be nothing, and then twice.
            blocks = mirror.blocks
            last = next((s for reader in self._readers if (s := reader.sample([alone]).get(target.name))), None)
            self._last[target.name] = blocks, last
        return last

    def close(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        try:
            self._run_on()
        finally:
            self._mirror.close()

    def _run_on(self) -> None:
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
        before, self._mirror = self._mirror, CardMirror()
        before.close()
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
                self._mirror.take(words)
            if readings.heard_s is not None and self.readings is not readings:
                self.readings, self._refused = readings, None
        if self._stop.is_set():
            return ""
        return why(self._line, list(session.noise), session.returncode, late=not session.over).what


def _numbered(sys: Path, target: TelemetryTarget) -> str | None:
    """The address of ROCm's card of that number: a host that was never probed."""
    digits = target.engine_name.removeprefix("ROCm")
    cards = drm_cards(sys, frozenset({"amdgpu"})) if target.backend == "rocm" and digits.isdecimal() else ()
    return cards[int(digits)].pci_address if digits.isdecimal() and int(digits) < len(cards) else None
