"""`hettui hosts` as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from hettui.domain.devices.device import Host
from hettui.domain.devices.report import hardware_text
from hettui.domain.errors import HostError
from hettui.domain.hosts.facts import HostFacts
from hettui.domain.hosts.push import Pushed
from hettui.domain.records import dataclass
from hettui.domain.tables import table
from hettui.domain.text import clean_line
from hettui.domain.units import UNKNOWN, format_bytes


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was taken away on one host."""

    host: str
    workers: int
    files: int
    cache_bytes: int
    problems: tuple[str, ...] = ()
    engine_bytes: int = 0
    """Of llama.cpp, as it was pushed there."""

    @classmethod
    def of(cls, host: str, lines: Sequence[Sequence[str]]) -> Cleaned:
        """From the marked lines of the far side's script."""
        kinds = Counter(words[0] for words in lines if words)

        def size_bytes(kind: str) -> int:
            return sum(1024 * int(w[1]) for w in lines if w[:1] == [kind] and len(w) > 1 and w[1].isdecimal())

        problems = tuple(clean_line(" ".join(words[1:]), 200) for words in lines if words[:1] == ["problem"])
        return cls(host, kinds["ended"], kinds["removed"], size_bytes("cache"), problems, size_bytes("engine"))

    def as_text(self) -> str:
        ended = f"{self.workers} worker{'' if self.workers == 1 else 's'} ended"
        cache = f", a cache of {format_bytes(self.cache_bytes)}" if self.cache_bytes else ""
        cache += f", llama.cpp of {format_bytes(self.engine_bytes)}" if self.engine_bytes else ""
        said = f"{clean_line(self.host, 60)}: {ended}, {self.files} file{'' if self.files == 1 else 's'} removed{cache}"
        return "; ".join((said, *self.problems))


def list_json(hosts: Sequence[Host]) -> dict[str, object]:
    return {"hosts": [asdict(host) for host in hosts]}


def list_text(hosts: Sequence[Host]) -> str:
    """Those that are configured; nothing is asked."""
    if not hosts:
        return "no host is configured: add [[hosts]] to the configuration, or try hettui hosts probe --host me@attic"
    rows = [("host", "ssh", "llama.cpp there", "lease")]
    for host in hosts:
        lease = f"{host.lease_s} s" if host.lease_s else "none"
        rows.append(
            (
                clean_line(host.name, 24),
                clean_line(host.ssh or "", 40),
                clean_line(host.bin or "on its PATH", 40),
                lease,
            )
        )
    return "\n".join(table(rows))


def found_json(hosts: Sequence[Host], found: Sequence[HostFacts | Cleaned | Pushed | HostError]) -> dict[str, object]:
    return {
        "hosts": [
            {"host": host.name, "problem": str(one)} if isinstance(one, HostError) else asdict(one)
            for host, one in zip(hosts, found, strict=True)
        ]
    }


def found_text(found: Sequence[HostFacts | Cleaned | Pushed]) -> list[str]:
    """A paragraph for each. Two names of one machine are told."""
    machines = Counter(one.machine for one in found if isinstance(one, HostFacts) and one.machine)
    return [
        facts_text(one, again=machines[one.machine or ""] > 1) if isinstance(one, HostFacts) else one.as_text()
        for one in found
    ]


def facts_text(facts: HostFacts, *, again: bool = False) -> str:
    """What one host is, what can hold layers there, and what runs there."""
    said = (facts.name, facts.os, facts.arch, facts.libc, f"{facts.cpus} CPUs" if facts.cpus else None)
    lines = [f"{clean_line(facts.host, 60)}: {', '.join(filter(None, said)) or UNKNOWN}"]
    if again:
        lines.append("  another name here means the same machine")
    if not facts.whole:
        lines.append("  its answer was cut off: what follows is not all")
    lines.append(
        f"  memory {format_bytes(facts.free_bytes)} free of {format_bytes(facts.total_bytes)}, disk "
        f"{format_bytes(facts.disk_free_bytes)} free, cache {format_bytes(facts.cache_bytes)}, line {facts.line}"
    )
    version = f" ({facts.version})" if facts.version else ""
    lines.append(f"  {facts.server}{version}" if facts.server else f"  no rpc server in {facts.looked or UNKNOWN}")
    lines += [f"  {text}" for text in (facts.trouble, *facts.problems) if text]
    lines += [f"  runs: {w.what or w.id} (pid {w.pid}, port {w.port or UNKNOWN})" for w in facts.workers]
    return "\n".join([*lines, *(f"  {line}" for line in hardware_text(facts.hardware()).splitlines())])
