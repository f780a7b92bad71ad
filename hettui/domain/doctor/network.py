"""Who listens, and the other machines: reached, of one build, with clocks that agree."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from hettui.domain.doctor.facts import Facts, FarHost, ListenerFacts
from hettui.domain.doctor.finding import Finding, unchecked
from hettui.domain.llama.build import build_of
from hettui.domain.text import shell_word

RPC_PORT = 50052
_RPC_PROGRAMS = ("rpc-server", "ggml-rpc-server")
_SLOW_S = 0.005
_SKEW_S = 5.0


def listeners(facts: Facts) -> Iterator[Finding]:
    """RPC has no password: whoever reaches a worker's port can run code on that machine."""
    id = "network.rpc"
    if facts.listeners is None:
        yield unchecked(id, "/proc/net/tcp cannot be read")
        return
    open_ones = [one for one in facts.listeners if _is_rpc(one) and not _is_loopback(one.address)]
    for one in open_ones:
        who = f"{one.program} (pid {one.pid})" if one.program else "somebody, maybe another user's rpc server,"
        yield Finding(
            id,
            "fault" if one.program else "warning",
            f"{who} listens on port {one.port} of {_every(one.address)}: RPC has no password, whoever reaches it can "
            "run code here",
            (f"{one.address}:{one.port}",),
            "start it with -H 127.0.0.1 and reach it through ssh, as hettui does",
            subject=str(one.port),
        )
    if not open_ones:
        yield Finding(id, "good", "no worker's port is open to a network")


def _is_rpc(one: ListenerFacts) -> bool:
    return one.program in _RPC_PROGRAMS or (one.program is None and one.port == RPC_PORT)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None) or found
    return bool(mapped.is_loopback)


def _every(address: str) -> str:
    return "every network of this machine" if address in ("0.0.0.0", "::") else address  # noqa: S104


def hosts(facts: Facts) -> Iterator[Finding]:
    """Configured hosts are reached, have an rpc server, and are near enough."""
    id = "network.hosts"
    if not facts.hosts:
        yield Finding(id, "good", "no other machine is configured")
    for host in facts.hosts:
        if not host.asked:
            yield unchecked(id, f"{host.name} was not asked: hettui doctor without --local asks it")
        elif host.facts is None:
            yield Finding(
                id,
                "fault",
                host.problem or f"{host.name} is not reached",
                (),
                "try it by hand",
                f"ssh {shell_word(host.ssh or host.name)} true",
                host.name,
            )
        else:
            yield from _reached(id, host)


def _reached(id: str, host: FarHost) -> Iterator[Finding]:
    far = host.facts
    assert far is not None  # noqa: S101 - its caller looked
    if far.server is None:
        yield Finding(
            id,
            "fault",
            f"{host.name} has no rpc server in {far.looked or 'its PATH'}",
            (),
            "name its folder as bin in [[hosts]]",
            f"hettui hosts probe --host {shell_word(host.ssh or host.name)}",
            host.name,
        )
    elif far.trouble:
        yield Finding(
            id, "fault", f"{host.name}'s rpc server cannot be run: {far.trouble}", (far.server,), subject=host.name
        )
    elif far.round_trip_s is not None and far.round_trip_s > _SLOW_S:
        yield Finding(
            id,
            "warning",
            f"a word to {host.name} and back takes {far.round_trip_s * 1e3:.0f} ms, and every token goes "
            "there and back",
            (f"round trip {far.round_trip_s * 1e3:.1f} ms",),
            "a cable instead of Wi-Fi; hettui plans with it",
            subject=host.name,
        )
    else:
        trip = "" if far.round_trip_s is None else f", {far.round_trip_s * 1e3:.1f} ms away"
        yield Finding(id, "good", f"{host.name} is reached{trip}", subject=host.name)
    for problem in far.problems:
        yield Finding(id, "warning", f"{host.name}: {problem}", subject=host.name)


def builds(facts: Facts) -> Iterator[Finding]:
    """Worker and master are of one build: the RPC protocol changes from one to the other."""
    id, engine = "network.builds", facts.engine
    far = [(h.name, build_of(h.facts.version)) for h in facts.hosts if h.facts and h.facts.version]
    if engine is None or not far:
        yield unchecked(id, "there is no second build to compare with")
        return
    other = [(name, build) for name, build in far if build and engine.build and build != engine.build]
    for name, build in other:
        yield Finding(
            id,
            "fault",
            f"llama.cpp is b{engine.build} here and b{build} on {name}: worker and master must be of one build",
            (),
            "put the same build on both",
            subject=name,
        )
    if not other:
        yield Finding(id, "good", "the same llama.cpp build everywhere, as far as builds say theirs")


def clocks(facts: Facts) -> Iterator[Finding]:
    """Clocks that differ make the logs of two machines hard to read together."""
    id = "network.clocks"
    known = [(h.name, h.facts.clock_off_s) for h in facts.hosts if h.facts and h.facts.clock_off_s is not None]
    if not known:
        yield unchecked(id, "no other machine told its time")
        return
    off = [(name, seconds) for name, seconds in known if abs(seconds) > _SKEW_S]
    for name, seconds in off:
        yield Finding(
            id,
            "note",
            f"{name}'s clock is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}: logs "
            "of both are hard to read together",
            (),
            "let it be set",
            "sudo timedatectl set-ntp true",
            name,
        )
    if not off:
        yield Finding(id, "good", "the machines' clocks agree")
