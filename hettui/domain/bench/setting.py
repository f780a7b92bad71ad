"""Everything that a bench run carries so that it can be repeated, put together from what is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import PurePath
from typing import Any

from hettui.domain.bench.run import BenchDevice, Setting
from hettui.domain.chat.wire import ServerFacts
from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.devices.device import Hardware
from hettui.domain.llama.foreign import ForeignServer, without_secrets
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line, shell_join

_MAX_LINE_CHARS = 1 << 16


def setting_of(
    session: Session,
    cluster: ClusterSnapshot,
    facts: ServerFacts,
    machine: Mapping[str, Any],
    version: str,
    limits_w: Mapping[str, float],
) -> Setting:
    """Of a cluster that hettui runs: what runs, which may be something else than what the session is about."""
    applied = cluster.applied
    model_path = (applied.model_path if applied else None) or session.config.model_path or facts.model_path
    params = (applied.params if applied else None) or session.config.params
    devices = applied.devices if applied else session.devices
    layers = applied.split.layers if applied else (None,) * len(devices)
    cards = {h.id: h for h in session.hardware}
    known = []
    for device, count in zip(devices, layers, strict=True):
        card = cards.get(device.id) or next(
            (h for h in session.hardware if device.uuid and h.uuid == device.uuid), None
        )
        known.append(
            BenchDevice(
                clean_line(device.name, 200),
                device.backend,
                device.via,
                count,
                card.name if card else None,
                card.driver if card else None,
                device.budget_bytes,
                limits_w.get(device.name),
            )
        )
    builds = {"hettui": version}
    if session.cluster is not None:
        builds["llama.cpp"] = session.cluster.engine.version
    return Setting(
        model=_title(session, model_path, facts),
        model_path=model_path,
        builds=_with_server(builds, facts),
        commands=cluster.commands,
        devices=tuple(known),
        split=applied.split.layers if applied else None,
        params=asdict(params),
        machine=machine,
        simulated=session.simulated,
        **_of_server(facts),
    )


def _title(session: Session, model_path: str | None, facts: ServerFacts) -> str:
    """The session's, unless another model runs: a change of model may have failed, and what ran before runs on."""
    if model_path == session.config.model_path and session.title:
        return session.title
    return facts.model_name or clean_line(PurePath(model_path or "").stem, 200)


def setting_of_foreign(
    title: str,
    server: ForeignServer | None,
    commands: Sequence[Sequence[str]],
    hardware: Sequence[Hardware],
    facts: ServerFacts,
    machine: Mapping[str, Any],
    version: str,
    limits_w: Mapping[str, float],
) -> Setting:
    """Of a server that somebody else started: from its command line, where that can be seen."""
    server = server or ForeignServer()
    devices = []
    for index, name in enumerate(server.devices):
        card = next((h for h in hardware if h.engine_name == name), None)
        devices.append(
            BenchDevice(
                clean_line(name, 200),
                name.rstrip("0123456789").lower(),
                "worker" if name.startswith("RPC") else "master",
                server.split[index] if index < len(server.split) else None,
                card.name if card else None,
                card.driver if card else None,
                power_limit_w=limits_w.get(card.name) if card else None,
            )
        )
    lines = (clean_line(shell_join(without_secrets(argv)), _MAX_LINE_CHARS) for argv in commands)
    return Setting(
        model=title or facts.model_name or "",
        model_path=server.model_path or facts.model_path,
        builds=_with_server({"hettui": version}, facts),
        commands=tuple(lines),
        devices=tuple(devices),
        split=server.split or None,
        params=server.params,
        machine=machine,
        **_of_server(facts),
    )


def with_sum(setting: Setting, sha256: str | None) -> Setting:
    return replace(setting, model_sha256=sha256)


def _with_server(builds: dict[str, str], facts: ServerFacts) -> dict[str, str]:
    return builds | ({"llama-server": facts.build} if facts.build else {})


def _of_server(facts: ServerFacts) -> dict[str, Any]:
    return {
        "model_type": facts.model_type,
        "model_bytes": facts.model_bytes,
        "model_params": facts.model_params,
        "slots": facts.slots,
        "slot_context_tokens": facts.slot_context_tokens,
    }
