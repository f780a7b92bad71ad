"""Other machines for commands: which are known, what they are, what hettui left there."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hettui.adapters.files.config_toml import load
from hettui.adapters.files.hosts_file import load_hosts, save_hosts
from hettui.adapters.files.paths import config_file, last_config, memory_dir
from hettui.adapters.hosts import prober
from hettui.adapters.hosts.pushing import drop, send
from hettui.adapters.hosts.ssh import Line
from hettui.adapters.llama.engine_package import package_of
from hettui.adapters.llama.own_build import build_sum
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Host
from hettui.domain.devices.found import Found
from hettui.domain.errors import HostError, UsageError
from hettui.domain.hosts.facts import HostFacts
from hettui.domain.hosts.known import KnownHost
from hettui.domain.hosts.push import Package, Progress, Pushed, unfit
from hettui.domain.hosts.report import Cleaned
from hettui.domain.llama.build import EngineInfo
from hettui.domain.text import clean_line
from hettui.wiring.chosen import engine_of


def known(config_path: str | None, named: Sequence[str] = ()) -> tuple[Host, ...]:
    """The configured hosts; with names, those of them, and others as ssh knows them. Raises ConfigError, UsageError."""
    configured = _config(config_path).hosts
    if not named:
        return configured
    by_name = {host.name: host for host in configured} | {host.ssh: host for host in configured if host.ssh}
    found = []
    for name in named:
        found.append(by_name.get(name) or destination(name))
    return tuple(found)


def destination(text: str) -> Host:
    """A host that nobody configured. Raises UsageError."""
    if text.startswith("-") or not text or not text.isprintable() or " " in text:
        raise UsageError(
            f"--host {clean_line(text, 60)}: one destination such as me@attic, or an alias of ~/.ssh/config"
        )
    return Host(short_name(text), text)


def all_known() -> dict[str, KnownHost]:
    """What is remembered of hosts, by where ssh goes."""
    return load_hosts(memory_dir())


def own_engine(config_path: str | None) -> EngineInfo:
    """Of this machine. Raises EngineError, ConfigError."""
    config = _config(config_path)
    return engine_of(config)


def short_name(destination: str) -> str:
    """`attic` for `me@attic.lan` and `ssh://me@attic:22`."""
    place = destination.removeprefix("ssh://").rpartition("@")[2]
    name = place.partition("]")[0].lstrip("[") if place.startswith("[") else place.partition(":")[0]
    first = name.partition(".")[0]
    return name if not first or first.isdecimal() else first


def _config(config_path: str | None) -> Config:
    if config_path:
        return load(config_path)
    path = last_config() or config_file()
    return load(path) if Path(path).exists() else Config()


def probed(hosts: Sequence[Host]) -> list[HostFacts | HostError]:
    """In their order. Blocks. What they say is remembered for the next plan."""
    found = prober.probe_all(hosts)
    remember([(host, one) for host, one in zip(hosts, found, strict=True) if isinstance(one, HostFacts)])
    return found


def remember(found: Sequence[tuple[Host, HostFacts]]) -> None:
    """For plans that are made without asking."""
    known_hosts = load_hosts(memory_dir())
    for host, facts in found:
        if host.ssh and facts.whole:
            known_hosts[host.ssh] = KnownHost(
                host.ssh, facts.hardware(), facts.round_trip_s, time.time(), facts.line_bytes_per_s
            )
    save_hosts(memory_dir(), known_hosts)


def connected(host: Host) -> bool:
    """Whether ssh got there, after whatever it asked on this terminal. Sessions of the next hours ask nothing."""
    return subprocess.run(Line(host.name, host.ssh or host.name).question(), check=False).returncode == 0


def pushed(hosts: Sequence[Host], engine: EngineInfo, tell: Callable[[Progress], None]) -> list[Pushed | HostError]:
    """In their order: the rpc server of this machine, brought to each, and tried there. Blocks. Raises EngineError."""
    package = package_of(engine)
    found: list[Pushed | HostError] = []
    for host in hosts:
        try:
            found.append(_pushed(host, package, tell))
        except HostError as error:
            found.append(error)
    return found


def _pushed(host: Host, package: Package, tell: Callable[[Progress], None]) -> Pushed:
    begun_s = time.monotonic()
    bare = replace(host, bin=None)
    if (reason := unfit(package, prober.probe(bare))) is not None:
        raise HostError(reason)
    line = Line(host.name, host.ssh or host.name)
    folder, sent_bytes = send(line, package, tell)
    facts = prober.probe(bare)
    if facts.server is None or not facts.server.startswith(folder) or facts.trouble:
        drop(line, package)
        why = facts.trouble or "its home may be mounted noexec"
        raise HostError(
            f"{host.name}: llama.cpp of this machine was sent and cannot be run there: {why}. It is taken away again; "
            "build llama.cpp there, and name its folder as bin in [[hosts]]"
        )
    remember([(host, facts)])
    note = f'bin = "{host.bin}" in [[hosts]] still names another one: leave it out' if host.bin else ""
    return Pushed(host.name, folder, sent_bytes, time.monotonic() - begun_s, note)


def in_want(hosts: Sequence[Host], engine: EngineInfo) -> list[Host]:
    """Those of them that have no llama.cpp, or another one than this machine, and name no folder of their own. Blocks.

    Raises HostError where one is not reached.
    """
    own, found = build_sum(engine.rpc_server), []
    for host in hosts:
        if host.bin is None and prober.probe(host).build != own:
            found.append(host)
    return found


def cleaned(hosts: Sequence[Host]) -> list[Cleaned | HostError]:
    """In their order. Blocks."""
    found: list[Cleaned | HostError] = []
    for host in hosts:
        try:
            found.append(Cleaned.of(host.name, prober.clean(host)))
        except HostError as error:
            found.append(error)
    return found


def with_hosts(found: Found, hosts: Sequence[Host]) -> Found:
    """What was found here, and behind it what the hosts have; why one of them says nothing."""
    hardware, problems = list(found.hardware), list(found.problems)
    for one in probed(hosts):
        if isinstance(one, HostError):
            problems.append(str(one))
        else:
            hardware += one.hardware()
            problems += [f"{one.host}: {text}" for text in (one.trouble, *one.problems) if text]
            if not one.server:
                problems.append(f"{one.host}: no rpc server in {one.looked}; name its folder as bin in [[hosts]]")
    return Found(tuple(hardware), tuple(problems))
