"""A commented configuration for the devices that were found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hettui.domain.config.schema import KEYS, KEYS_DOC, SECTIONS, Key, Section
from hettui.domain.config.values import DeviceConfig
from hettui.domain.devices.device import LOCAL, Host
from hettui.domain.screen.actions import ACTIONS
from hettui.domain.units import MIB


def commented_config(devices: Sequence[DeviceConfig], model_path: str | None, hosts: Sequence[Host] = ()) -> str:
    """A whole configuration with every key, the optional ones commented out with their default."""
    lines = ["# hettui's configuration. A key that is commented out shows its default.", ""]
    for section in SECTIONS:
        lines += [f"# {section.doc}"]
        if section.many:
            known: Sequence[Mapping[str, Any]] = _entries(section.name, devices, hosts)
            for given in known:
                lines += [f"[[{section.name}]]", *_key_lines(section, given), ""]
            if not known:
                lines += [f"# [[{section.name}]]", *("# " + line for line in _key_lines(section, {}, plain=True)), ""]
        else:
            given = {"path": model_path} if section.name == "model" and model_path else {}
            lines += [f"[{section.name}]", *_key_lines(section, given), ""]
    lines += [f"# {KEYS_DOC}", f"[{KEYS}]", *_action_lines()]
    return "\n".join(lines) + "\n"


def _entries(section: str, devices: Sequence[DeviceConfig], hosts: Sequence[Host]) -> list[Mapping[str, Any]]:
    if section == "hosts":
        return [{"name": h.name, "ssh": h.ssh, "bin": h.bin} for h in hosts]
    if section != "devices":
        return []
    found: list[Mapping[str, Any]] = []
    for d in devices:
        budget = None if d.budget_bytes is None else f"{d.budget_bytes // MIB}MiB"
        found.append({"name": d.name, "id": d.id, "host": d.host if d.host != LOCAL else None, "budget": budget})
    return found


def _action_lines() -> list[str]:
    some = [action for action in ACTIONS if action.group == "Cluster" and action.keys]
    return [f'# "{action.id}" = "{", ".join(action.keys)}"'.ljust(38) + f" # {action.sentence}" for action in some]


def _key_lines(section: Section, given: Mapping[str, Any], *, plain: bool = False) -> list[str]:
    lines = []
    for key in section.keys:
        value = given.get(key.name)
        text = f"{key.name} = {_toml(value if value is not None else _example(key))}"
        commented = value is None and not plain
        lines.append(f"{'# ' if commented else ''}{text}".ljust(38) + f" # {key.doc}")
    return lines


_EXAMPLES = {
    "id": "cpu", "layers": 12, "budget": "10GiB", "bandwidth": "360GB", "threads": 4, "port": 50052, "ascii": True,
    "psu": "1200W", "rest": "225W", "n-max": 8, "n-min": 0, "p-min": 0.75,
}  # fmt: skip
"""For keys whose default is no value."""


def _example(key: Key) -> Any:
    if key.default is not None:
        return key.default
    if key.choices:
        return key.choices[0]
    return _EXAMPLES.get(key.name, "…")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted) + '"'
    return str(value)
