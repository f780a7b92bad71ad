"""Which ports a cluster's processes get: configured ones that are free, those of running ones, else the next free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hettui.domain.cluster.address import tcp_hosts, unusable
from hettui.domain.cluster.launch import FIRST_INNER_PORT, LOOPBACK, Cluster, default_ports
from hettui.domain.errors import ConfigError, LaunchError
from hettui.ports import Obstacle, Ports
from hettui.services.cluster.supervisor import Supervised


def with_free_port(cluster: Cluster, serves: Supervised | None, ports: Ports) -> Cluster:
    """The cluster with the API's real port, which `serves` has now: the front door, else the master. What cannot be
    opened is refused before anything starts.

    Raises ConfigError for a host that llama-server cannot serve at, LaunchError for what is not free.
    """
    serving = cluster.serving
    if reason := unusable(serving.host, cluster.engine.build):
        raise ConfigError(reason)
    running = serves.spec.address[1] if serves and serves.alive else None
    if running is not None and serving.port in (0, running):
        return replace(cluster, serving=replace(serving, port=running))
    hosts = tcp_hosts(serving.host)
    for host in hosts:
        if not ports.is_free(host, serving.port):
            raise LaunchError(_refused(host, serving.port, ports.obstacle(host, serving.port)))
    if serving.port == 0:
        port = ports.free(hosts[0], 0, frozenset())
        return replace(cluster, serving=replace(serving, port=port))
    return cluster


def inner_port(cluster: Cluster, ports: Ports) -> int:
    """Of a master that stands behind a front door."""
    if not cluster.serving.hold_requests:
        return FIRST_INNER_PORT
    return ports.free(LOOPBACK, FIRST_INNER_PORT, frozenset({cluster.serving.port}))


def _refused(host: str, port: int, obstacle: Obstacle | None) -> str:
    if obstacle == "not here":
        return (
            f"{host} is no address of this machine: choose another [serving] host, such as 127.0.0.1, or 0.0.0.0 for "
            "all that it has"
        )
    if obstacle == "not allowed":
        return f"port {port} on {host} may not be opened by this user: choose a [serving] port above 1023"
    return f"port {port} on {host} is in use: choose another [serving] port, or stop what holds it"


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
            port = ports.free(LOOPBACK, port, frozenset(chosen.values()))
        elif not ports.is_free(LOOPBACK, port):
            if ports.obstacle(LOOPBACK, port) == "not allowed":
                raise LaunchError(
                    f'port {port} of device "{name}" may not be opened by this user: choose one above 1023 for it'
                )
            raise LaunchError(
                f'port {port} of device "{name}" is in use: choose another port for it, or stop what holds it'
            )
        chosen[name] = port
    return chosen


def may_move(cluster: Cluster, device: str | None) -> bool:
    """Whether the port of this device's worker, or of the API (None), was hettui's own choice."""
    if device is None:
        return cluster.serving.port == 0 or cluster.serving.hold_requests
    return any(d.name == device and d.port is None for d in cluster.devices)


def same_worker(a: object, b: object) -> bool:
    """Whether one worker process can serve both: locks, budgets and layer counts are none of its business."""
    keys = ("id", "host", "via", "backend", "engine_name", "uuid", "threads", "port", "expose")
    return all(getattr(a, key) == getattr(b, key) for key in keys)
