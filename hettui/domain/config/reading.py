"""A parsed configuration as values, or everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from hettui.domain.cluster.process import RestartPolicy
from hettui.domain.cluster.supervision import Supervision
from hettui.domain.config.drafting import draft_problems, drafting
from hettui.domain.config.problem import Problem
from hettui.domain.config.schema import KEYS, SECTIONS, WORDS_FOR_KEYS, Key, Section
from hettui.domain.config.values import Config, DeviceConfig
from hettui.domain.devices.device import LOCAL, Host
from hettui.domain.devices.identity import one_form
from hettui.domain.llama.options import option_spelled
from hettui.domain.llama.params import RuntimeParams, Serving, override_pattern
from hettui.domain.patterns import late_pattern
from hettui.domain.screen.keymap import read_keymap
from hettui.domain.slots.policy import KeepPolicy
from hettui.domain.text import clean_line, nearest
from hettui.domain.units import parse_bytes

_WATTS = late_pattern(r"\s*(\d{1,6}(?:\.\d{1,3})?)\s*(k?)w\s*", re.IGNORECASE)
_MOST_WATTS = 100_000

_BY_NAME = {section.name: section for section in SECTIONS}


def read_config(data: Mapping[str, Any]) -> tuple[Config | None, list[Problem]]:
    """A parsed TOML file as a Config, or everything that is wrong with it. Paths are left as they are written."""
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    for name, content in data.items():
        section = _BY_NAME.get(name)
        if name == KEYS and isinstance(content, Mapping):
            values[name], wrong = read_keymap(content)
            problems += [Problem(name, None, action, message) for action, message in wrong]
        elif section is None and name != KEYS:
            problems.append(Problem(name, None, None, f"unknown section{_hint(name, (*_BY_NAME, KEYS))}"))
        elif section is not None and section.many:
            values[name] = _read_many(section, content, problems)
        elif section is None or not isinstance(content, Mapping):
            problems.append(Problem(name, None, None, f"found {_found(content)}, allowed: a table [{name}]"))
        else:
            values[name] = _read_table(section, content, None, problems)
    if not problems:
        _check_names(values, problems)
        problems += draft_problems(values)
    return (None, problems) if problems else (_build(values), [])


def _read_many(section: Section, content: Any, problems: list[Problem]) -> list[dict[str, Any]]:
    if not isinstance(content, list) or not all(isinstance(entry, Mapping) for entry in content):
        problems.append(Problem(section.name, None, None, f"found one table, allowed: [[{section.name}]]"))
        return []
    return [_read_table(section, entry, index, problems) for index, entry in enumerate(content)]


def _read_table(
    section: Section, content: Mapping[str, Any], index: int | None, problems: list[Problem]
) -> dict[str, Any]:
    keys = {key.name: key for key in section.keys}
    result: dict[str, Any] = {}
    for name, raw in content.items():
        key = keys.get(name)
        if key is None:
            message = WORDS_FOR_KEYS if name == "api-key" else f"unknown key{_hint(name, keys)}"
            problems.append(Problem(section.name, index, name, message))
            continue
        try:
            result[name] = _check(key, raw)
        except ValueError as error:
            detail = str(error) or f"found {_found(raw)}, allowed: {key.allowed}"
            problems.append(Problem(section.name, index, name, detail))
    for key in section.keys:
        if key.required and key.name not in content:
            problems.append(Problem(section.name, index, None, f"{key.name} is missing: {key.doc}"))
    return result


def _check(key: Key, raw: Any) -> Any:
    """The value, or ValueError: with a message of its own, or empty for the usual "found …, allowed …"."""
    if key.kind == "boolean":
        if isinstance(raw, bool):
            return raw
    elif key.kind == "slots" and raw == "auto":
        return -1
    elif key.kind in ("integer", "slots"):
        in_range = isinstance(raw, int) and not isinstance(raw, bool) and raw >= (key.least or 0)
        if in_range and (key.most is None or raw <= key.most):
            return raw
    elif key.kind == "size":
        return _check_size(raw)
    elif key.kind == "watts":
        return _check_watts(raw)
    elif key.kind == "fraction":
        if isinstance(raw, int | float) and not isinstance(raw, bool) and 0 <= raw <= 1:
            return float(raw)
    elif key.kind == "limit":
        return 0 if raw == "off" else _check_size(raw)
    elif key.kind == "overrides":
        if isinstance(raw, list) and all(isinstance(word, str) for word in raw):
            for word in raw:
                override_pattern(word)
            return tuple(raw)
    elif key.kind == "files":
        # llama-server cuts at commas.
        if isinstance(raw, list) and all(isinstance(w, str) and w and w.isprintable() and "," not in w for w in raw):
            return tuple(raw)
    elif key.kind == "paths":
        if isinstance(raw, list) and all(isinstance(word, str) and word and word.isprintable() for word in raw):
            return tuple(raw)
    elif key.kind in ("texts", "options"):
        if isinstance(raw, list) and all(isinstance(word, str) for word in raw):
            return _check_options(raw)
    elif isinstance(raw, str) and raw and raw.isprintable() and _may_stand(key, raw):
        return raw
    raise ValueError


def _may_stand(key: Key, raw: str) -> bool:
    if key.kind == "device-id":
        return one_form(raw) is not None
    if key.kind == "destination":
        # ssh would take it for an option, and an option may name a program to run.
        return not raw.startswith("-") and not any(c.isspace() for c in raw)
    return not key.choices or raw in key.choices


def _check_size(raw: Any) -> int:
    if isinstance(raw, str):
        try:
            return parse_bytes(raw)
        except ValueError:
            raise ValueError from None
    if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
        return raw
    raise ValueError


def _check_watts(raw: Any) -> float:
    match = _WATTS.fullmatch(raw) if isinstance(raw, str) else None
    value = float(match[1]) * (1000 if match[2].lower() == "k" else 1) if match else raw
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST_WATTS:
        return float(value)
    raise ValueError


def _check_options(words: list[str]) -> tuple[str, ...]:
    for word, following in zip(words, [*words[1:], ""], strict=False):
        known = option_spelled(word)
        if known is None:
            continue
        if known.owned is not None:
            raise ValueError(f"{word} is set by hettui: use {known.owned}")
        if known.refused:
            raise ValueError(f"{clean_line(word, 60)}: {known.refused}")
        value = word.partition("=")[2] if "=" in word else following
        if known.shape and not re.fullmatch(known.shape, value):
            raise ValueError(
                f'{clean_line(known.spellings[0], 60)} "{clean_line(value, 60)}": it must be {known.shape_said}'
            )
    return tuple(words)


def _found(raw: Any) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str):
        return f'"{clean_line(raw, 60)}"'
    if isinstance(raw, Mapping):
        return "a table"
    return clean_line(str(raw), 60)


def _hint(name: str, known: Iterable[str]) -> str:
    like = nearest(name, known)
    return f"; did you mean {like}?" if like else f"; known are {', '.join(known)}"


def _check_names(values: Mapping[str, Any], problems: list[Problem]) -> None:
    hosts = [host["name"] for host in values.get("hosts", [])]
    for section in ("hosts", "devices"):
        seen: set[str] = set()
        for index, entry in enumerate(values.get(section, [])):
            if entry["name"] in seen or (section == "hosts" and entry["name"] == LOCAL):
                problems.append(Problem(section, index, "name", f'the name "{entry["name"]}" is taken: choose another'))
            seen.add(entry["name"])
    for index, device in enumerate(values.get("devices", [])):
        host = device.get("host", LOCAL)
        if host != LOCAL and host not in hosts:
            known = ", ".join(f'"{name}"' for name in (LOCAL, *hosts))
            problems.append(Problem("devices", index, "host", f'found "{host}", allowed: {known}, or add a [[hosts]]'))


def _build(values: Mapping[str, Any]) -> Config:
    serving = {name.replace("-", "_"): value for name, value in values.get("serving", {}).items()}
    params = {f.name for f in fields(RuntimeParams)}
    keeping = _keeping(serving)
    devices = []
    for entry in values.get("devices", []):
        known = dict(entry)
        for size in ("margin", "budget", "bandwidth"):
            if size in known:
                known[f"{size}_bytes"] = known.pop(size)
        devices.append(DeviceConfig(**known))
    return Config(
        model_path=values.get("model", {}).get("path"),
        model_folders=values.get("model", {}).get("folders", ()),
        params=RuntimeParams(**{k: v for k, v in serving.items() if k in params}, draft=drafting(values)),
        serving=Serving(**{k: v for k, v in serving.items() if k not in params}),
        keeping=keeping,
        llama_cpp_bin=values.get("llama-cpp", {}).get("bin"),
        hosts=tuple(Host(**_with_units(host, _HOST_UNITS)) for host in values.get("hosts", [])),
        devices=tuple(devices),
        supervision=_supervision(values.get("supervision", {})),
        psu_w=values.get("machine", {}).get("psu"),
        rest_w=values.get("machine", {}).get("rest"),
        keys=values.get(KEYS, {}),
        **{name.replace("-", "_"): value for name, value in values.get("ui", {}).items()},
    )


def _keeping(serving: dict[str, Any]) -> KeepPolicy:
    """Takes what is about kept contexts out of `[serving]`."""
    default = KeepPolicy()
    minutes = serving.pop("context_snapshot_minutes", None)
    return KeepPolicy(
        limit_bytes=serving.pop("context_keep", default.limit_bytes),
        folder=serving.pop("slot_save_path", default.folder),
        at_stop=serving.pop("context_at_stop", default.at_stop),
        snapshot_s=default.snapshot_s if minutes is None else minutes * 60.0,
        snapshot_tokens=serving.pop("context_snapshot_tokens", default.snapshot_tokens),
    )


_HOST_UNITS = {"lease": "lease_s", "patience": "patience_s", "cache": "cache_bytes"}


def _with_units(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in entry.items()}


def _supervision(said: Mapping[str, Any]) -> Supervision:
    default = Supervision()
    restart = RestartPolicy(
        limit=said.get("restarts", default.restart.limit),
        window_s=said.get("restart-window", default.restart.window_s),
        first_pause_s=said.get("restart-pause", default.restart.first_pause_s),
    )
    return Supervision(
        restart,
        load_timeout_s=said.get("load-timeout", default.load_timeout_s),
        stop_grace_s=said.get("stop-grace", default.stop_grace_s),
        answer_patience_s=said.get("answer-patience", default.answer_patience_s),
    )
