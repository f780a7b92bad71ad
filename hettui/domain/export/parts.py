"""What every form of export is made of: the cluster's processes as they stand on their own hosts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, replace

from hettui.domain.cluster.address import api_url
from hettui.domain.cluster.launch import LOOPBACK, Cluster, default_ports, plan_launch, worker_there
from hettui.domain.cluster.supervision import Supervision
from hettui.domain.devices.device import LOCAL, Device, Host
from hettui.domain.errors import UsageError
from hettui.domain.llama.params import RuntimeParams, scaled
from hettui.domain.plan.beside_place import draft_place, projector_place
from hettui.domain.plan.split import Split
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line

PRIVATE, READABLE, RUNNABLE = 0o600, 0o644, 0o755
ENV_FILE = "hettui.env"
NO_PORT = 8080
"""In place of port 0: whoever looks for it without hettui must know it."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One file, by its path within the folder."""

    path: str
    text: str
    mode: int = READABLE


@dataclass(frozen=True, slots=True)
class Part:
    """One process on its own host."""

    name: str
    slug: str
    """A word for files and units."""
    argv: tuple[str, ...]
    env: Mapping[str, str]
    port: int
    host: Host | None = None
    """None: this machine."""
    uuid: str | None = None
    """Of its card."""
    local_port: int = 0
    """Of one on another host: this end of the tunnel."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A whole cluster."""

    workers: tuple[Part, ...]
    master: Part
    url: str
    model_path: str
    uuids: tuple[str, ...] = ()
    """Of the cards that the master drives itself."""
    others: Mapping[str, str] = field(default_factory=dict)
    """For the environment file."""
    supervision: Supervision = field(default_factory=Supervision)
    beside: tuple[str, ...] = ()
    """Files that the master reads beside the model: a draft model, a projector, adapters, control vectors."""

    @property
    def here(self) -> tuple[Part, ...]:
        return tuple(part for part in self.workers if part.host is None)

    @property
    def hosts(self) -> dict[str, list[Part]]:
        """Workers of other hosts, by the host's name."""
        found: dict[str, list[Part]] = {}
        for part in self.workers:
            if part.host is not None:
                found.setdefault(part.host.name, []).append(part)
        return found


def parts_of(
    cluster: Cluster,
    split: Split,
    supervision: Supervision,
    key: str | None = None,
    ports: Mapping[str, int] | None = None,
) -> Parts:
    """`key`: what clients have to send, where no file has it; `ports`: of the workers of what runs. Raises ConfigError
    as a start does."""
    serving = cluster.serving
    serving = replace(serving, hold_requests=False, slot_save_path=None, port=serving.port or NO_PORT)
    cluster = replace(cluster, serving=serving)
    ports = dict(ports or default_ports(cluster.devices))
    plan = plan_launch(cluster, split, ports)
    by_name = {device.name: device for device in cluster.devices}
    slugs = _slugs([spec.name for spec in plan.workers])
    workers = []
    for spec in plan.workers:
        device = by_name[spec.device or ""]
        port = ports[device.name]
        if device.host == LOCAL:
            part = Part(spec.name, slugs[spec.name], spec.argv, spec.env, port, uuid=device.uuid)
        else:
            part = _far(cluster, device, port, spec.name, slugs[spec.name])
        workers.append(part)
    master = Part("master", "master", plan.master.argv, plan.master.env, serving.port)
    host = LOOPBACK if serving.host in ("0.0.0.0", "::") else serving.host  # noqa: S104 - where it is asked
    held = zip(cluster.devices, split.layers, strict=True)
    places = draft_place(cluster.params, cluster.devices), projector_place(cluster.params, cluster.devices)
    used = [(d, n or i in places) for i, (d, n) in enumerate(held)]
    uuids = tuple(d.uuid for d, is_used in used if d.via == "master" and is_used and d.uuid)
    others = {"LLAMA_API_KEY": key} if key and not serving.api_key_file else {}
    url = api_url(host, serving.port, plan.master.argv)
    beside = _files_beside(cluster.params)
    return Parts(tuple(workers), master, url, cluster.model_path, uuids, others, supervision, beside)


def _files_beside(params: RuntimeParams) -> tuple[str, ...]:
    found = [params.draft.model if params.draft is not None else "", params.mmproj]
    found += [scaled(said)[0] for said in (*params.lora, *params.control_vector)]
    return tuple(file for file in found if file)


def _far(cluster: Cluster, device: Device, port: int, name: str, slug: str) -> Part:
    host = next((h for h in cluster.hosts if h.name == device.host), None)
    if host is None or host.ssh is None:
        raise UsageError(f"host {clean_line(device.host, 60)} is described by no [[hosts]]")
    there = worker_there(cluster, device, port)
    return Part(name, slug, there.argv, there.env, port, host, device.uuid, port)


def _slugs(names: list[str]) -> dict[str, str]:
    """Each a word of its own."""
    found: dict[str, str] = {}
    for name in names:
        word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "worker"
        slug, number = word, 2
        while slug in found.values():
            slug, number = f"{word}-{number}", number + 1
        found[name] = slug
    return found


def env_text(parts: Parts) -> str:
    """The environment file: the only place for a key."""
    lines = [
        "# Read by every process of the cluster; mode 0600, since a key may stand here.",
        *(f"{name}={value}" for name, value in parts.others.items()),
    ]
    if not parts.others:
        lines.append("# LLAMA_API_KEY=…    what clients have to send; without it nobody is asked")
    return "\n".join(lines) + "\n"
