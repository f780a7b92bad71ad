"""Which ports a cluster's processes get: configured ones that are free, those of running ones, else the next free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hettui.domain.cluster.launch import Cluster, default_ports
from hettui.domain.errors import LaunchError
from hettui.ports import Ports
from hettui.services.cluster.supervisor import Supervised


def with_free_port(cluster: Cluster, master: Supervised | None, ports: Ports) -> Cluster:
    """The cluster with the API's real port. A port that somebody else holds is refused before anything starts."""
    serving = cluster.serving
    running = master.spec.address[1] if master and master.alive else None
    if running is not None and serving.port in (0, running):
        return replace(cluster, serving=replace(serving, port=running))
    if serving.port == 0:
        port = ports.free(serving.host, 0, frozenset())
        return replace(cluster, serving=replace(serving, port=port))
    if not ports.is_free(serving.host, serving.port):
        raise LaunchError(
            f"port {serving.port} on {serving.host} is in use: choose another [serving] port, or stop what holds it"
        )
    return cluster


def worker_ports(cluster: Cluster, workers: Mapping[str, Supervised], ports: Ports) -> dict[str, int]:
    """Free ports for the workers that do not run yet, by device name; running ones keep theirs."""
    chosen: dict[str, int] = {}
    for name, port in default_ports(cluster.devices).items():
        running = workers.get(name)
        if running and running.alive:
            chosen[name] = running.spec.address[1]
            continue
        device = next(d for d in cluster.devices if d.name == name)
        if device.port is None:
            port = ports.free("127.0.0.1", port, frozenset(chosen.values()))
        elif not ports.is_free("127.0.0.1", port):
            raise LaunchError(
                f'port {port} of device "{name}" is in use: choose another port for it, or stop what holds it'
            )
        chosen[name] = port
    return chosen


def may_move(cluster: Cluster, device: str | None) -> bool:
    """Whether the port of this device's worker, or of the API (None), was hettui's own choice."""
    if device is None:
        return cluster.serving.port == 0
    return any(d.name == device and d.port is None for d in cluster.devices)


def same_worker(a: object, b: object) -> bool:
    """Whether one worker process can serve both: locks, budgets and layer counts are none of its business."""
    keys = ("id", "host", "via", "backend", "engine_name", "uuid", "threads", "port", "expose")
    return all(getattr(a, key) == getattr(b, key) for key in keys)
