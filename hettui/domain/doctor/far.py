"""Another host's facts for the same checks: what its probe told; the rest is unknown, and said to be."""

from __future__ import annotations

from hettui.domain.doctor.facts import (
    CardFacts,
    EngineFacts,
    Facts,
    FarHost,
    KernelFacts,
    MemoryFacts,
    NvidiaFacts,
    Place,
)
from hettui.domain.hosts.facts import HostFacts
from hettui.domain.llama.build import build_of


def facts_of_host(host: HostFacts, ssh: str = "") -> Facts:
    """Links under load, power and limits are not asked of another host."""
    hardware = host.hardware()
    driver = next((one.driver for one in host.cards if one.vendor == "NVIDIA" and one.driver), None)
    engine = None
    if host.server is not None and not host.trouble:
        listed = frozenset(one.backend for one in hardware if one.engine_name and one.backend != "cpu")
        engine = EngineFacts(host.server, build_of(host.version) or 0, host.version or "", listed)
    missing = f"there is no rpc server in {host.looked}" if host.looked else "there is no rpc server"
    return Facts(
        host.host,
        cards=tuple(CardFacts(one) for one in hardware),
        refused=host.problems,
        nvidia=NvidiaFacts(library=driver),
        kernel=KernelFacts(release=host.os, no_log=f"the log of {host.host} is not asked for"),
        engine=engine,
        engine_problem=host.trouble or missing,
        memory=MemoryFacts(host.total_bytes, host.free_bytes),
        places=(Place("the cache", host.host, free=host.disk_free_bytes),) if host.disk_free_bytes is not None else (),
        hosts=(FarHost(host.host, ssh, host),),
    )
