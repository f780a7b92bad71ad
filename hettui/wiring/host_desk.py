"""Other machines for the screen."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hettui.adapters.hosts.prober import probe
from hettui.adapters.hosts.ssh_config import aliases
from hettui.domain.config.inventory import assemble
from hettui.domain.devices.device import Host
from hettui.domain.errors import EngineError, HostError, UsageError
from hettui.domain.hosts.facts import HostFacts
from hettui.domain.hosts.known import with_lines
from hettui.domain.hosts.push import Progress, Pushed
from hettui.domain.session.session import Session
from hettui.wiring import hosts
from hettui.wiring.init import as_configured, devices_there, folder_of
from hettui.wiring.sessions import cluster_of


class HostDeskAdapter:
    """Implements HostDesk."""

    def __init__(self, tell_hosts: Callable[[Sequence[Host]], None]) -> None:
        self._tell_hosts = tell_hosts

    def offered(self, session: Session) -> tuple[Host, ...]:
        configured = session.config.hosts
        taken = {host.ssh for host in configured} | {host.name for host in configured}
        return (*configured, *(self.named(name) for name in aliases(Path.home()) if name not in taken))

    def named(self, destination: str) -> Host:
        return hosts.destination(destination)

    def ask(self, host: Host) -> HostFacts:
        facts = probe(host)
        hosts.remember([(host, facts)])
        return facts

    def log_in(self, host: Host) -> bool:
        # Ctrl-C at ssh's question is ssh's. A handler and no SIG_IGN: the child does not inherit it.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            print(f"hettui steps aside: ssh {host.ssh} asks what it has to; Ctrl-C gives up\n", flush=True)
            return hosts.connected(host)
        finally:
            signal.signal(signal.SIGINT, before)

    def push(self, session: Session, host: Host, tell: Callable[[Progress], None]) -> Pushed:
        if session.cluster is None:
            raise EngineError(session.problem or "there is no llama.cpp on this machine")
        (done,) = hosts.pushed([host], session.cluster.engine, tell)
        if isinstance(done, HostError):
            raise done
        return done

    def with_host(self, session: Session, host: Host, facts: HostFacts) -> Session:
        config = session.config
        if config.path is not None:
            raise UsageError(f"{config.path} is used: add [[hosts]] and its [[devices]] there (hettui init shows how)")
        entries = list(config.devices) or as_configured(session.devices)
        there = devices_there(facts, {entry.name for entry in entries})
        if not there:
            raise HostError(f"{host.name}: no rpc server in {facts.looked}: p brings that of this machine there")
        entries = [entry for entry in entries if entry.host != host.name]
        known = [one for one in config.hosts if one.name != host.name]
        found = replace(host, bin=host.bin or folder_of(facts))
        config = replace(config, hosts=(*known, found), devices=(*entries, *there))
        remembered = [card for card in session.hardware if card.host != host.name]
        hardware = (*remembered, *facts.hardware())
        devices = session.learned.with_measured(assemble(config, hardware, session.refused))
        devices = with_lines(devices, config.hosts, hosts.all_known())
        cluster = session.cluster and cluster_of(config, devices, session.cluster.engine)
        self._tell_hosts(config.hosts)
        return replace(session, config=config, hardware=hardware, devices=devices, cluster=cluster)
