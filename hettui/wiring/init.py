"""`hettui init`: a commented configuration for this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hettui.adapters.files.config_toml import load, write_text
from hettui.adapters.files.paths import config_file, remember_config
from hettui.adapters.hosts.prober import probe
from hettui.domain.config.inventory import assemble, device_names
from hettui.domain.config.values import Config, DeviceConfig
from hettui.domain.config.writing import commented_config
from hettui.domain.devices.device import Device, Host
from hettui.domain.errors import UsageError
from hettui.domain.hosts.facts import HostFacts
from hettui.domain.session.session import Session
from hettui.domain.units import MIB
from hettui.wiring.hosts import known, remember
from hettui.wiring.sessions import engine_or_problem, local_hardware, read_shape

_CPU_SHARE = 0.75
"""Of a remote machine's free memory."""


def write_for(session: Session) -> Config:
    """The configuration of a session that has none: its devices and its model, in the usual place, to be opened next
    time. Raises UsageError when a file is in the way, ConfigError when it cannot be written."""
    target = config_file()
    if target.exists():
        raise UsageError(f"{target} exists already: it is left as it is")
    devices = session.config.devices or as_configured(session.devices)
    model = session.config.model_path
    write_text(target, commented_config(devices, model and os.path.abspath(model), session.config.hosts))  # noqa: PTH100 - links stay
    remember_config(target)
    return load(target)


def write_config(path: str | None, model: str | None, *, force: bool, hosts: Sequence[str] = ()) -> Path:
    """Writes it and returns where. Raises UsageError when a file is in the way, ModelFileError for a bad model,
    HostError for a host that is not reached."""
    target = Path(path).expanduser() if path else config_file()
    if target.exists() and not force:
        raise UsageError(f"{target} exists already: name another file, or use --force (the old one is kept as .bak)")
    if model:
        model = os.path.realpath(read_shape(model).file.paths[0])
    engine, _ = engine_or_problem(Config())
    devices = as_configured(assemble(Config(), local_hardware(engine)))
    found_hosts: list[Host] = []
    for host in known(None, hosts) if hosts else ():
        facts = probe(host)
        remember([(host, facts)])
        found_hosts.append(replace(host, bin=host.bin or folder_of(facts)))
        devices += devices_there(facts, {device.name for device in devices})
    write_text(target, commented_config(devices, model, found_hosts))
    return target


def folder_of(facts: HostFacts) -> str | None:
    """Where its rpc server is; None where the name alone finds nothing."""
    return facts.server.rpartition("/")[0] or None if facts.server else None


def devices_there(facts: HostFacts, taken: set[str]) -> list[DeviceConfig]:
    """The cards of another host; its CPU where it has none. A CPU is given most of what is free: who has a budget is
    planned on."""
    usable = [one for one in facts.hardware() if one.engine_name]
    cards = [one for one in usable if one.backend != "cpu"] or usable
    found = []
    for card, short in zip(cards, device_names(cards), strict=True):
        name = f"{facts.host} CPU" if card.backend == "cpu" else short
        name = f"{facts.host} {name}" if name in taken else name
        taken.add(name)
        free_bytes = card.free_bytes or card.total_bytes
        budget = int((free_bytes or 0) * _CPU_SHARE) if card.backend == "cpu" else (free_bytes or 0) - 512 * MIB
        found.append(DeviceConfig(name, card.id, facts.host, budget_bytes=max(0, budget) if free_bytes else None))
    return found


def as_configured(devices: Sequence[Device]) -> list[DeviceConfig]:
    """The cards that can be used; where none can, all of them: llama.cpp may be installed later."""
    cards = [device for device in devices if device.backend != "cpu"]
    usable = [card for card in cards if not card.missing]
    return [DeviceConfig(name=card.name, id=card.id) for card in usable or cards]
