"""`hettui init`: a commented configuration for this machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hettui.adapters.files.config_toml import load, write_text
from hettui.adapters.files.paths import config_file, remember_config
from hettui.domain.config.inventory import assemble
from hettui.domain.config.values import Config, DeviceConfig
from hettui.domain.config.writing import commented_config
from hettui.domain.devices.device import Device
from hettui.domain.errors import UsageError
from hettui.domain.session.session import Session
from hettui.wiring.sessions import engine_or_problem, local_hardware, read_shape


def write_for(session: Session) -> Config:
    """The configuration of a session that has none: its devices and its model, in the usual place, to be opened next
    time. Raises UsageError when a file is in the way, ConfigError when it cannot be written."""
    target = config_file()
    if target.exists():
        raise UsageError(f"{target} exists already: it is left as it is")
    devices = _as_configured(session.devices)
    model = session.config.model_path
    write_text(target, commented_config(devices, model and os.path.abspath(model)))  # noqa: PTH100 - links stay
    remember_config(target)
    return load(target)


def write_config(path: str | None, model: str | None, *, force: bool) -> Path:
    """Writes it and returns where. Raises UsageError when a file is in the way, ModelFileError for a bad model."""
    target = Path(path).expanduser() if path else config_file()
    if target.exists() and not force:
        raise UsageError(f"{target} exists already: name another file, or use --force (the old one is kept as .bak)")
    if model:
        model = os.path.realpath(read_shape(model).file.paths[0])
    engine, _ = engine_or_problem(Config())
    devices = _as_configured(assemble(Config(), local_hardware(engine)))
    write_text(target, commented_config(devices, model))
    return target


def _as_configured(devices: Sequence[Device]) -> list[DeviceConfig]:
    """The cards that can be used; where none can, all of them: llama.cpp may be installed later."""
    cards = [device for device in devices if device.backend != "cpu"]
    usable = [card for card in cards if not card.missing]
    return [DeviceConfig(name=card.name, id=card.id) for card in usable or cards]
