"""Hosts asked what they are, all at once, and cleaned."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from hettui.adapters.hosts.session import Session
from hettui.adapters.hosts.ssh import Line, ask, far_script, new_marker
from hettui.domain.devices.device import Host
from hettui.domain.errors import HostError
from hettui.domain.hosts.facts import HostFacts, read_facts
from hettui.domain.hosts.far_side import script
from hettui.domain.units import KIB, MIB

MOST_AT_ONCE = 16
_CLEAN_S = 60.0
_ECHO_S = 15.0
_WORDS = 9
_SIZES = (256 * KIB, 4 * MIB)
_LONG_S = 0.4
_LEAST_S = 1e-3


def probe(host: Host, seconds: float = 25.0) -> HostFacts:
    """Blocks. Raises HostError."""
    begun_s = time.time()
    facts = read_facts(host.name, ask(_line(host), ["common", "probe"], [host.bin or ""], seconds=seconds))
    off_s = facts.clock_unix_s and clock_off_s(facts.clock_unix_s, begun_s, time.time())
    trip_s = round_trip_s(host)
    rate = line_bytes_per_s(host, trip_s or 0.0)
    return replace(facts, round_trip_s=trip_s, line_bytes_per_s=rate, clock_off_s=off_s)


def clock_off_s(said_s: float, begun_s: float, ended_s: float) -> float:
    """How far a clock is ahead that said `said_s`, in whole seconds, some time between the two."""
    if said_s > ended_s:
        return said_s - ended_s
    return min(0.0, said_s + 1 - begun_s)


def round_trip_s(host: Host) -> float | None:
    """The median of a few words there and back over one session; None when it does not answer. Blocks for a moment."""
    with _at_work(host, "echo") as session:
        times = [] if session is None else list(_times_s(session))
        if not times:
            return None
        from statistics import median

        return median(times)


def line_bytes_per_s(host: Host, trip_s: float) -> float | None:
    """What the line to it takes, once it is under way: of a little, and where that went fast of more. What ssh packs
    shrinks no further. None when it does not answer. Blocks for a second or two."""
    found = None
    for size in _SIZES:
        took_s = _sent_s(host, size)
        if took_s is None:
            return found
        found = size / max(took_s - trip_s, _LEAST_S)
        if took_s > _LONG_S:
            break
    return found


def _sent_s(host: Host, size: int) -> float | None:
    with _at_work(host, "sink") as session:
        if session is None:
            return None
        begun_s = time.monotonic()
        session.write(secrets.token_bytes(size))
        session.end_input()
        taken = session.until(lambda: ["got", str(size)] in session.not_heard, _ECHO_S)
        return time.monotonic() - begun_s if taken else None


@contextmanager
def _at_work(host: Host, name: str) -> Iterator[Session | None]:
    """A session in which that script of the far side is ready; None when it does not get so far."""
    line, mark = _line(host), new_marker()
    text = script([far_script("common"), far_script(name)], [], {"M": mark})
    try:
        session = Session(line.session(), line.environment, text, mark, mark)
    except OSError:
        yield None
        return
    try:
        yield session if session.until(lambda: ["ready"] in session.not_heard, _ECHO_S) else None
    finally:
        session.close()


def _times_s(session: Session) -> Iterator[float]:
    while session.said() is not None:
        pass
    for _ in range(_WORDS):
        begun_s = time.monotonic()
        session.write(b"w\n")
        if not session.until(lambda: bool(session.not_heard), _ECHO_S):
            return
        yield time.monotonic() - begun_s
        session.said()


def probe_all(hosts: Sequence[Host]) -> list[HostFacts | HostError]:
    """In their order; where one is not reached, why. Blocks, as long as the slowest."""
    if not hosts:
        return []
    with ThreadPoolExecutor(min(MOST_AT_ONCE, len(hosts)), thread_name_prefix="probe") as pool:
        return list(pool.map(_tried, hosts))


def clean(host: Host) -> list[list[str]]:
    """Ends what hettui runs there and takes away what it left; what was done, a line's words each. Raises HostError."""
    return ask(_line(host), ["common", "clean"], seconds=_CLEAN_S)


def _line(host: Host) -> Line:
    return Line(host.name, host.ssh or host.name)


def _tried(host: Host) -> HostFacts | HostError:
    try:
        return probe(host)
    except HostError as error:
        return error
