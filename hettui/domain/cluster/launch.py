"""Cluster and split into ordered process specifications: the exact command lines of llama.cpp.

Rules that come from llama.cpp b10068 and b11434:
- `--device` stands after `--rpc`, which connects while arguments are parsed, and fixes the device order;
- integer `-ts` counts whose sum is `-ngl` come out exactly, nothing else does;
- `RPCn` numbers endpoints in `--rpc` order; every worker here lends one device, so n is its rank in `--rpc`;
- an rpc server takes an IPv4 literal for `-H` and has no authentication, so it listens on loopback.

A device without layers is left out of the master's command line: its worker stays free and can be probed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from ipaddress import IPv4Address
from pathlib import PurePosixPath

from hettui.domain.cluster.address import is_loopback, tcp_hosts
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.devices.device import LOCAL, MAX_DEVICES, Device, Host
from hettui.domain.door.words import DOOR, NAME, DoorWords
from hettui.domain.errors import ConfigError, EngineError
from hettui.domain.hosts.worker import HOLDER, RemoteWorker
from hettui.domain.llama.build import EngineInfo
from hettui.domain.llama.options import flag, memory_options, option, spoken, words_of
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.plan.beside_place import draft_place, projector_place
from hettui.domain.plan.split import HOST, Split
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line, shell_join, shell_word

FIRST_RPC_PORT = 50052
FIRST_REMOTE_PORT = 18052
"""Below what Linux gives to whoever asks for any port (32768 to 60999): an rpc server cannot open a port on which a
connection has ended within the last minute."""
FIRST_INNER_PORT = 17080
"""Of a master behind a front door."""
LOOPBACK = "127.0.0.1"
RPC_SERVER = "ggml-rpc-server"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - only where the configuration says expose = true
_MAX_LINE_CHARS = 1 << 20

_LOAD_MODE_FLAGS = {
    "none": ("--no-mmap",),
    "mmap": ("--mmap",),
    "mlock": ("--no-mmap", "--mlock"),
    "mmap+mlock": ("--mmap", "--mlock"),
    "dio": ("--direct-io",),
}
"""For builds without `--load-mode` (b10068)."""
_SAID_APART = frozenset({"load-mode", "split-mode", "mmproj", "mmproj-device", "lora", "control-vector"})
"""`beside_words` says them, `_load_mode`, and whoever says where layers go."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Everything about a cluster that a split does not change."""

    model_path: str
    params: RuntimeParams
    serving: Serving
    devices: tuple[Device, ...]
    """In device order."""
    engine: EngineInfo
    hosts: tuple[Host, ...] = ()
    holder: tuple[str, ...] = HOLDER
    """The command that holds a worker on another host."""
    door: tuple[str, ...] = DOOR
    """The command of the front door."""
    large_tensors: tuple[int, ...] = ()
    """As `domain/hosts/kept.py` has them; none: not known."""


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What to start, in this order; stopping goes the other way."""

    workers: tuple[ProcessSpec, ...]
    master: ProcessSpec
    owners: Mapping[str, str] = field(default_factory=dict)
    """Device name by what llama.cpp calls it: `RPC0`, `CUDA0`, and the endpoint `127.0.0.1:50052`."""
    door: ProcessSpec | None = None
    """What clients talk to, where requests wait over a restart."""

    @property
    def processes(self) -> tuple[ProcessSpec, ...]:
        return (*((self.door,) if self.door else ()), *self.workers, self.master)


def default_ports(devices: Sequence[Device]) -> dict[str, int]:
    """A port for every worker, by device name: the configured one, else counting up: from llama.cpp's default, for
    those on other hosts from a lower one."""
    taken = {d.port for d in devices if d.via == "worker" and d.port}
    ports: dict[str, int] = {}
    for device in devices:
        if device.via != "worker":
            continue
        first = FIRST_RPC_PORT if device.host == LOCAL else FIRST_REMOTE_PORT
        ports[device.name] = device.port or next(port for port in range(first, 65536) if port not in taken)
        taken.add(ports[device.name])
    return ports


def plan_launch(
    cluster: Cluster,
    split: Split,
    ports: Mapping[str, int] | None = None,
    inner: int = FIRST_INNER_PORT,
    control: str = "NAME",
) -> LaunchPlan:
    """The processes for one split. `ports` are the workers' ports by device name, else `default_ports`; `inner` is the
    port of a master behind a front door, `control` the name of the line to that.

    Raises ConfigError when the cluster cannot be expressed to llama.cpp at all, EngineError when workers are
    needed and the build has none.
    """
    check(cluster)
    if cluster.params.shares_tensors:
        from hettui.domain.memory.tensor_limits import across_workers

        if reason := across_workers(cluster.devices, split):
            raise ConfigError(reason)
    ports = ports or default_ports(cluster.devices)
    workers = tuple(
        _worker(cluster, device, ports[device.name]) for device in cluster.devices if device.via == "worker"
    )
    names = _device_names(cluster, split, ports)
    door = _door(cluster, control)
    if door is not None:
        serving = replace(cluster.serving, host=LOOPBACK, port=inner)
        cluster = replace(cluster, serving=serving)
    return LaunchPlan(workers, _master(cluster, split, names), names.owners, door)


def check(cluster: Cluster) -> None:
    """What no split can repair. Raises ConfigError or EngineError with the remedy."""
    devices = cluster.devices
    _check_dense(cluster)
    if len(devices) > MAX_DEVICES:
        raise ConfigError(
            f"{len(devices)} devices, but llama.cpp drives at most {MAX_DEVICES}: remove some [[devices]]"
        )
    for device in devices:
        if device.via == "master" and device.host != LOCAL:
            raise ConfigError(
                f'device "{device.name}" is on host "{device.host}": a remote device needs via = "worker"'
            )
        if device.via == "master" and device.backend == "cpu":
            raise ConfigError(
                f'device "{device.name}" is the CPU: the master always has it; use via = "worker" to lend it'
            )
        if device.host != LOCAL and device.expose:
            _check_direct(cluster, device)
        if device.via == "worker" and device.host == LOCAL and cluster.engine.rpc_server is None:
            raise EngineError(
                f'device "{device.name}" needs a worker, but no ggml-rpc-server was found beside '
                f"{cluster.engine.server}: build llama.cpp with -DGGML_RPC=ON"
            )


def _check_dense(cluster: Cluster) -> None:
    """A build that lists its options, and has not this one, would end at once."""
    listed = cluster.engine.options
    if cluster.params.n_cpu_ffn and listed and not listed.intersection(option("n-cpu-ffn").spellings):
        raise ConfigError(
            "[serving] n-cpu-ffn: this llama.cpp build has no --n-cpu-ffn; use a newer one, or leave it out: the plan "
            "puts the FFN of single blocks into this machine's memory by override-tensor, which every build has"
        )


def _check_direct(cluster: Cluster, device: Device) -> None:
    """Without ssh only at an address that is named, and that no stranger can reach."""
    address = address_of(cluster.hosts, device)
    try:
        place = IPv4Address(address or "")
    except ValueError:
        raise ConfigError(
            f'device "{device.name}" has expose = true: name the IPv4 address of host "{device.host}" in your own '
            "network as address in its [[hosts]], or remove expose: then it is reached through ssh"
        ) from None
    if not place.is_private or place.is_loopback or place.is_unspecified:
        raise ConfigError(
            f'{address}, the address of host "{device.host}", is no address of a private network: RPC has no password, '
            f'anyone there could run code through device "{device.name}"; remove expose'
        )


def address_of(hosts: Sequence[Host], device: Device) -> str | None:
    """Where an exposed worker of another host listens; None: behind the tunnel, or on this machine."""
    host = next((h for h in hosts if h.name == device.host), None)
    return host.address if host is not None and device.expose and device.host != LOCAL else None


def unsafe(cluster: Cluster, *, has_key: bool) -> str | None:
    """Why this cluster must not be started unless somebody insists; None when it is safe by itself."""
    host = cluster.serving.host
    if is_loopback(host) or has_key:
        return None
    return (
        f"llama-server would listen on {host} without a key: anyone on that network could use it; "
        "set [serving] api-key-file or host 127.0.0.1"
    )


def exposures(devices: Sequence[Device]) -> list[str]:
    """A sentence for every worker that listens on more than loopback, for the screen and the doctor."""
    return [
        f'the worker of "{clean_line(d.name, 60)}" listens {_where(d)}: RPC has no password, so anyone there can run '
        "code on it; remove expose = true unless that network is yours alone"
        for d in devices
        if d.via == "worker" and d.expose
    ]


def _where(device: Device) -> str:
    if device.host == LOCAL:
        return "on every network of this machine"
    return f"at an address of {clean_line(device.host, 60)} without ssh"


def worker_name(device: Device) -> str:
    """What its process is called, in logs, on the screen and in messages."""
    return f"worker {clean_line(device.name, 80)}"


def _cuda_index(device: Device) -> str:
    """What CUDA_VISIBLE_DEVICES takes: the UUID, which no reordering changes, else the index in PCI order."""
    return device.uuid or re.sub(r"\D", "", device.engine_name) or "0"


def _cuda_env(devices: Sequence[Device]) -> dict[str, str]:
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(_cuda_index(d) for d in devices if d.backend == "cuda"),
    }


def _attached(devices: Sequence[Device], split: Split) -> list[Device]:
    """What the master sees: not a card that cannot be used, such as one that the user hides, unless it has layers."""
    held = zip(devices, split.layers, strict=True)
    return [d for d, layers in held if d.via == "master" and (layers or not d.missing)]


def _worker(cluster: Cluster, device: Device, port: int) -> ProcessSpec:
    own_name = "CUDA0" if device.backend == "cuda" else device.engine_name
    env = _cuda_env([device]) if device.backend == "cuda" else {}
    options = ["-d", own_name] if own_name else []
    if device.threads is not None:
        options += ["-t", str(device.threads)]
    if device.host == LOCAL:
        address = ("-H", EVERYWHERE if device.expose else LOOPBACK, "-p", str(port))
        argv, env = (str(cluster.engine.rpc_server), *address, *options), {**dict(cluster.engine.env), **env}
    else:
        argv, env = _held(cluster, device, port, options, env), {}
    place = address_of(cluster.hosts, device) or LOOPBACK
    return ProcessSpec(worker_name(device), "worker", argv, env, device.host, device.name, address=(place, port))


def worker_there(cluster: Cluster, device: Device, port: int) -> ProcessSpec:
    """A worker of another host as it stands there, without anything of hettui's: on loopback, on the same port."""
    host = next((h for h in cluster.hosts if h.name == device.host), None)
    said = PurePosixPath(host.bin) if host is not None and host.bin else None
    usual = PurePosixPath(RPC_SERVER)
    program = usual if said is None else said if said.name.endswith("rpc-server") else said / usual
    own = _worker(
        replace(cluster, engine=replace(cluster.engine, env=())), replace(device, host=LOCAL, expose=False), port
    )
    return replace(own, argv=(str(program), *own.argv[1:]))


def _held(cluster: Cluster, device: Device, port: int, options: list[str], env: Mapping[str, str]) -> tuple[str, ...]:
    """The local process that holds a worker on another host: see domain/hosts/worker.py."""
    host = next((h for h in cluster.hosts if h.name == device.host), None)
    if host is None or host.ssh is None:
        raise ConfigError(f'device "{device.name}" names host "{device.host}", which no [[hosts]] table describes')
    large_bytes = sum(cluster.large_tensors)
    held = RemoteWorker(
        worker_name(device), host.name, host.ssh, port, tuple(options), env, host.bin, host.lease_s,
        host.patience_s, fixed=device.port is not None or device.expose, cache_bytes=host.cache_bytes,
        address=address_of(cluster.hosts, device), kept_sizes=tuple(sorted(set(cluster.large_tensors))),
        kept_bytes=min(large_bytes, device.budget_bytes or large_bytes),
    )  # fmt: skip
    return (*cluster.holder, *held.words())


def door_words(cluster: Cluster, control: str) -> DoorWords | None:
    """What this cluster's front door is told; None where clients talk to llama-server itself."""
    serving = cluster.serving
    if not serving.hold_requests:
        return None
    prefix = spoken(("", *serving.extra_args)).get("api-prefix", "").rstrip("/")
    hosts = tcp_hosts(serving.host)
    return DoorWords(hosts, serving.port, control, serving.hold_seconds, serving.hold_limit, prefix)


def _door(cluster: Cluster, control: str) -> ProcessSpec | None:
    told = door_words(cluster, control)
    if told is None:
        return None
    address = (cluster.serving.host, cluster.serving.port)
    return ProcessSpec(NAME, "door", (*cluster.door, *told.words()), {}, LOCAL, address=address)


@dataclass(frozen=True, slots=True)
class _Names:
    """What llama.cpp calls the devices."""

    holding: list[str]
    """Those with layers, in device order."""
    owners: dict[str, str]
    """Who is who, endpoints among them."""
    endpoints: list[str]
    draft: str
    """Of the draft model's device; `none` is the master's CPU."""
    projector: str
    """Of the projector's, likewise."""


def _device_names(cluster: Cluster, split: Split, ports: Mapping[str, int]) -> _Names:
    devices, params = cluster.devices, cluster.params
    places = draft_place(params, devices), projector_place(params, devices)
    found: dict[int, str] = {}
    owners: dict[str, str] = {}
    endpoints: list[str] = []
    # Devices of a draft or a projector alone come behind those with layers, so that they change none of their names.
    apart = dict.fromkeys(one for one in places if one is not None and one not in (HOST, *split.active))
    attached_cuda = [d.name for d in _attached(devices, split) if d.backend == "cuda"]
    for index in (*split.active, *apart):
        device = devices[index]
        if device.via == "worker":
            name = f"RPC{len(endpoints)}"
            endpoints.append(f"{address_of(cluster.hosts, device) or LOOPBACK}:{ports[device.name]}")
            owners[endpoints[-1]] = device.name
        elif device.backend == "cuda":
            name = f"CUDA{attached_cuda.index(device.name)}" if device.name in attached_cuda else device.engine_name
        else:
            name = device.engine_name
        found[index] = name
        owners[name] = device.name
    draft, projector = ("none" if one is None or one == HOST else found[one] for one in places)
    return _Names([found[index] for index in split.active], owners, endpoints, draft, projector)


def _master(cluster: Cluster, split: Split, names: _Names) -> ProcessSpec:
    params, serving, engine = cluster.params, cluster.serving, cluster.engine
    argv = [str(engine.server), flag("model"), cluster.model_path, *words_of(serving, ("host", "port"))]
    argv += words_of(params, (o.name for o in memory_options() if o.name not in _SAID_APART))
    argv += _load_mode(params.load_mode, engine)
    if names.endpoints:
        argv += [flag("rpc"), ",".join(names.endpoints)]
    argv += [flag("device"), ",".join(names.holding) or "none", flag("gpu-layers"), str(split.n_gpu_layers)]
    if names.holding:
        argv += [
            flag("split-mode"),
            params.split_mode,
            flag("tensor-split"),
            ",".join(str(split.layers[i]) for i in split.active),
        ]
    if params.draft is not None:
        from hettui.domain.llama.drafting import draft_words

        argv += draft_words(params.draft, names.draft, engine.options)
    told: Mapping[str, str] = {}
    if params.mmproj or params.lora or params.control_vector:
        from hettui.domain.llama.beside_words import beside_words

        words, told = beside_words(params, names.projector, engine.options)
        argv += words
    # Everything is set above, so llama.cpp must not adjust anything; level 4 prints the buffers.
    argv += [flag("fit"), "off", flag("log-verbosity"), "4"]
    argv += words_of(serving, ("alias", "api-key-file", "slot-save-path"))
    argv += serving.extra_args
    env = {**dict(engine.env), **told}
    if any(d.backend == "cuda" and d.host == LOCAL for d in cluster.devices):
        env |= _cuda_env(_attached(cluster.devices, split))
    return ProcessSpec("master", "master", tuple(argv), env, address=(serving.host, serving.port))


def _load_mode(mode: str, engine: EngineInfo) -> tuple[str, ...]:
    if mode == "auto":
        return ()
    if "--mmap" in engine.options:
        return _LOAD_MODE_FLAGS[mode]
    return (flag("load-mode"), mode)


def shell_line(spec: ProcessSpec) -> str:
    """The process as a line for people, who can paste it into a shell: it names the very files that are there."""
    words = [f"{key}={shell_word(value)}" for key, value in spec.env.items()]
    return clean_line(" ".join([*words, shell_join(spec.argv)]), _MAX_LINE_CHARS)
