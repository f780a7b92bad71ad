"""Hosts asked what they are, all at once, and cleaned."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from hettui.adapters.hosts.ssh import Line, ask
from hettui.domain.devices.device import Host
from hettui.domain.errors import HostError
from hettui.domain.hosts.facts import HostFacts, read_facts

MOST_AT_ONCE = 16
_CLEAN_S = 60.0


def probe(host: Host, seconds: float = 25.0) -> HostFacts:
    """Blocks. Raises HostError."""
    return read_facts(host.name, ask(_line(host), ["common", "probe"], [host.bin or ""], seconds=seconds))


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
