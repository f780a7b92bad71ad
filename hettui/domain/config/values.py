"""The configuration as data: what a file may say, with its meaning, default and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from hettui.domain.cluster.supervision import OnExit, OnHangup, Supervision
from hettui.domain.devices.device import LOCAL, Host, Via
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.records import dataclass
from hettui.domain.slots.policy import KeepPolicy
from hettui.domain.units import MIB

DEFAULT_MARGIN_BYTES = 512 * MIB


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """One `[[devices]]` table. What is None is decided by what is found on the machine."""

    name: str
    id: str | None = None
    host: str = LOCAL
    via: Via | None = None
    layers: int | None = None
    locked: bool = False
    margin_bytes: int = DEFAULT_MARGIN_BYTES
    budget_bytes: int | None = None
    bandwidth_bytes: int | None = None
    """A second, of its memory."""
    threads: int | None = None
    port: int | None = None
    expose: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration file, checked. `params`, `serving` and `keeping` come from `[serving]`."""

    path: str | None = None
    model_path: str | None = None
    model_folders: tuple[str, ...] = ()
    """Where models are looked for, beside the usual places."""
    params: RuntimeParams = field(default_factory=RuntimeParams)
    serving: Serving = field(default_factory=Serving)
    llama_cpp_bin: str | None = None
    hosts: tuple[Host, ...] = ()
    devices: tuple[DeviceConfig, ...] = ()
    psu_w: float | None = None
    """What the machine's power supply can give."""
    rest_w: float | None = None
    """What the machine draws beside its cards."""
    theme: str = "ember"
    ascii: bool | None = None
    """Only ASCII characters on the screen; None: as the terminal says."""
    bell: bool = False
    """An alert also rings the terminal's bell."""
    on_exit: OnExit = "ask"
    on_hangup: OnHangup = "leave"
    supervision: Supervision = field(default_factory=Supervision)
    keeping: KeepPolicy = field(default_factory=KeepPolicy)
    """`context-…` and `slot-save-path` of `[serving]`."""
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What `[keys]` changes: see `keymap.Keymap`."""
