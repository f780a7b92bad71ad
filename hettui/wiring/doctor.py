"""Gathers the facts that `hettui doctor` looks at: this machine's, or those of a host as its probe tells them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import field, replace
from pathlib import Path

from hettui.adapters.files.config_toml import load
from hettui.adapters.files.paths import cache_path, config_file, last_config, memory_dir
from hettui.adapters.gpu.amdgpu import AmdGpuSource
from hettui.adapters.gpu.bus import bus_cards
from hettui.adapters.gpu.intel_gpu import IntelGpuSource
from hettui.adapters.gpu.nvidia_facts import NvidiaCard, driver_module, nvidia_facts
from hettui.adapters.gpu.nvml import NvmlSource
from hettui.adapters.llama.cuda_code import cuda_build, cuda_library
from hettui.adapters.machine.doctor import cpu_limit_w, kernel_facts, memory_facts, place
from hettui.adapters.processes.listeners import listeners
from hettui.adapters.processes.proc import kernel_log
from hettui.domain.cluster.launch import exposures, unsafe
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Hardware
from hettui.domain.devices.found import Found
from hettui.domain.devices.identity import pci_address
from hettui.domain.doctor.facts import CardFacts, ConfigFacts, EngineFacts, Facts, FarHost, KeyFile, Place
from hettui.domain.doctor.far import facts_of_host
from hettui.domain.doctor.finding import Fix
from hettui.domain.errors import HettuiError, HostError
from hettui.domain.llama.build import EngineInfo
from hettui.domain.llama.options import option_spelled
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.session.doubts import warnings
from hettui.domain.session.room import no_room, room_as_found
from hettui.domain.session.session import Session
from hettui.domain.telemetry.bounds import plausible
from hettui.domain.telemetry.readings import DeviceSample
from hettui.domain.text import clean_line, nearest
from hettui.ports import TelemetryTarget
from hettui.wiring import hosts as other_machines
from hettui.wiring.sessions import api_key, engine_or_problem, look_around, open_session, read_shape

_LOG_BYTES = 4 << 20
_ABOUT_CARDS = late_pattern(r"NVRM: Xid|amdgpu .*(GPU reset|ring \S+ timeout)", re.IGNORECASE)
_HIDING = (
    "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL",
    "GGML_VK_VISIBLE_DEVICES", "ONEAPI_DEVICE_SELECTOR", "ZE_AFFINITY_MASK",
)  # fmt: skip
_WORD_CHARS = 80
_RPC_PROGRAMS = ("rpc-server", "ggml-rpc-server")
_TOKEN_VARIABLES = ("HF_TOKEN_PATH",)


@dataclass(frozen=True, slots=True)
class Opened:
    """The configuration and what came of opening it."""

    path: str | None
    config: Config = field(default_factory=Config)
    problem: str = ""
    session: Session | None = None
    session_problem: str = ""


def local_facts(config_path: str | None, *, ask_hosts: bool) -> Facts:
    """This machine's. Blocks: drivers and binaries are asked, and hosts where `ask_hosts` says so."""
    opened = _opened(config_path)
    engine, problem = _engine(opened.config)
    found = look_around(engine) if opened.session is None else Found(opened.session.hardware, opened.session.refused)
    driver, extras = nvidia_facts()
    return Facts(
        bus=bus_cards(),
        cards=_cards(found.hardware, extras),
        refused=tuple(clean_line(text, 300) for text in found.problems),
        nvidia=driver,
        kernel=kernel_facts(kernel_log(lambda line: bool(_ABOUT_CARDS.search(line)), _LOG_BYTES), os.environ),
        engine=None if engine is None else engine_facts(engine, found),
        engine_problem=problem,
        memory=memory_facts(),
        cpu_limit_w=cpu_limit_w(),
        places=_places(opened.config.model_path),
        listeners=listeners(_RPC_PROGRAMS),
        hosts=_hosts(opened.config, ask=ask_hosts),
        config=config_facts(opened, engine, problem),
        environ={name: clean_line(os.environ[name], _WORD_CHARS) for name in _HIDING if name in os.environ},
    )


def quick_facts(session: Session) -> Facts:
    """What is asked before a start: a few small files, no driver and no program."""
    config = session.config
    library = next((h.driver for h in session.hardware if h.backend == "cuda" and h.driver), None)
    engine = session.cluster.engine if session.cluster else None
    return Facts(
        nvidia=replace(driver_module(), library=library),
        engine=None if engine is None else EngineFacts(str(engine.server), engine.build, options=engine.options),
        memory=memory_facts(),
        places=_places(config.model_path),
        config=ConfigFacts(
            config.path,
            keys=key_files(config),
            unknown_args=unknown_arguments(config.serving.extra_args, engine.options) if engine else (),
            load_mode=config.params.load_mode,
        ),
    )


def host_facts(config_path: str | None, destination: str) -> Facts:
    """One host's, as its probe tells them; why it is not reached is among them. Raises UsageError."""
    (host,) = other_machines.known(config_path, [destination])
    (found,) = other_machines.probed([host])
    if isinstance(found, HostError):
        return Facts(host.name, hosts=(FarHost(host.name, host.ssh or "", None, str(found)),))
    return facts_of_host(found, host.ssh or "")


def mend(fix: Fix) -> None:
    """Raises HettuiError with the reason. A link is not followed: what it leads to was not asked about."""
    try:
        descriptor = os.open(fix.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
                raise HettuiError(f"{clean_line(fix.path, 200)} is no file of this user's own: nothing was changed")
            os.fchmod(descriptor, fix.mode)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise HettuiError(f"{clean_line(fix.path, 200)}: {error.strerror}: nothing was changed") from None


def _opened(config_path: str | None) -> Opened:
    path = Path(config_path) if config_path else last_config() or config_file()
    if not config_path and not path.exists():
        config = Config()
        shown = None
    else:
        shown = str(path)
        try:
            config = load(path)
        except HettuiError as error:
            return Opened(shown, problem=str(error))
    try:
        return Opened(shown, config, session=open_session(config))
    except HettuiError as error:
        return Opened(shown, config, session_problem=str(error))


def _engine(config: Config) -> tuple[EngineInfo | None, str]:
    try:
        engine, problem = engine_or_problem(config)
    except HettuiError as error:
        return None, str(error)
    return engine, problem or ""


def engine_facts(engine: EngineInfo, found: Found) -> EngineFacts:
    """The build, by what it lists and what its CUDA library holds."""
    env = dict(engine.env)
    library = cuda_library(engine.server, env)
    inside = cuda_build(library) if library else None
    listed = {one.backend for one in found.hardware if one.engine_name and one.backend != "cpu"}
    return EngineFacts(
        clean_line(str(engine.server), 200), engine.build, clean_line(engine.version, 120),
        frozenset(listed | ({"cuda"} if library else set()) | _libraries(engine.server)),
        None if inside is None else inside.code, None if inside is None else inside.cuda, engine.options,
    )  # fmt: skip


def _libraries(server: Path) -> set[str]:
    """Backends whose libraries lie beside the server."""
    folder = server.resolve().parent
    kinds = {"vulkan": "vulkan", "hip": "rocm", "sycl": "sycl", "musa": "musa"}
    return {name for kind, name in kinds.items() if (folder / f"libggml-{kind}.so").exists()}


def _cards(hardware: Sequence[Hardware], extras: dict[str, NvidiaCard]) -> tuple[CardFacts, ...]:
    samples = _samples([one for one in hardware if one.backend != "cpu"])
    found = []
    for one in hardware:
        extra = extras.get(pci_address(one.pci_address) or "", NvidiaCard())
        found.append(
            CardFacts(
                one, samples.get(one.id), extra.persistence, extra.power_default_w, extra.power_least_w, extra.sliced,
                extra.virtual,
            )
        )  # fmt: skip
    return tuple(found)


def _samples(cards: Sequence[Hardware]) -> dict[str, DeviceSample]:
    """One reading of each card, by its id."""
    targets = [TelemetryTarget(one.id, one.backend, one.uuid, one.pci_address) for one in cards]
    found: dict[str, DeviceSample] = {}
    for source in (NvmlSource(), AmdGpuSource(), IntelGpuSource()):
        # A driver in trouble: what is not told is unknown.
        with closing(source), suppress(Exception):
            found |= {name: plausible(sample) for name, sample in source.sample(targets).items()}
    return found


def _places(model: str | None) -> tuple[Place, ...]:
    run = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    found = [place("logs", memory_dir()), place("the cache", cache_path())]
    found += [place("the run folder", run)] if Path(run).is_dir() else []
    found += [place("the model", Path(model).parent)] if model and Path(model).exists() else []
    return tuple(replace(one, path=clean_line(one.path, 200)) for one in found)


def _hosts(config: Config, *, ask: bool) -> tuple[FarHost, ...]:
    if not ask:
        return tuple(FarHost(host.name, host.ssh or "", asked=False) for host in config.hosts)
    answers = other_machines.probed(config.hosts)
    return tuple(
        FarHost(host.name, host.ssh or "", None, str(one))
        if isinstance(one, HostError)
        else FarHost(host.name, host.ssh or "", one)
        for host, one in zip(config.hosts, answers, strict=True)
    )


def config_facts(opened: Opened, engine: EngineInfo | None, engine_problem: str = "") -> ConfigFacts:
    """What is configured against what is here. What is wrong with llama.cpp is told once, and not here."""
    config, session = opened.config, opened.session
    missing = [d.missing for d in session.devices if d.missing] if session else []
    model_problem = _model_problem(config) if session is None else ""
    other_problem = "" if opened.session_problem in (engine_problem, model_problem) else opened.session_problem
    about = ConfigFacts(
        opened.path,
        opened.problem or other_problem,
        config.model_path,
        model_problem,
        key_files(config),
        unknown_arguments(config.serving.extra_args, engine.options) if engine else (),
        missing=tuple(clean_line(text, 300) for text in missing) if config.devices else (),
        load_mode=config.params.load_mode,
        psu_w=config.psu_w,
        rest_w=config.rest_w,
    )
    if session is None:
        return about
    plan, workload = session.initial_plan, session.workload
    exposed = list(exposures(session.devices))
    if session.cluster is not None and (open_api := unsafe(session.cluster, has_key=_has_key(config))):
        exposed.append(open_api)
    about = replace(about, exposures=tuple(exposed))
    if plan is None or workload is None:
        return about
    return replace(
        about,
        faults=tuple(warnings(session.workload_of(plan) or workload, plan, session.split_modes)),
        no_room=no_room(session, plan, room_as_found(plan.devices, session.hardware)) or "",
        planned=True,
    )


def _model_problem(config: Config) -> str:
    """Of a session that could not be opened it is not known whether that was the model's fault."""
    try:
        if config.model_path:
            read_shape(config.model_path)
    except HettuiError as error:
        return str(error)
    return ""


def _has_key(config: Config) -> bool:
    try:
        return api_key(config) is not None
    except HettuiError:
        # Whatever is wrong with the file is told of it; it is there.
        return True


def key_files(config: Config) -> tuple[KeyFile, ...]:
    """Files that hold keys or tokens, as far as they are configured."""
    named = [("the key file", config.serving.api_key_file)]
    named += [(f"the token of {name}", os.environ.get(name)) for name in _TOKEN_VARIABLES]
    found = []
    for what, path in named:
        if path is None:
            continue
        try:
            status = os.stat(path)  # noqa: PTH116 - the path is a string all the way
            found.append(KeyFile(what, path, stat.S_IMODE(status.st_mode), status.st_uid == os.getuid()))
        except OSError:
            found.append(KeyFile(what, path, None))
    return tuple(found)


def unknown_arguments(words: Sequence[str], options: frozenset[str]) -> tuple[str, ...]:
    """Long options that this build does not list, each with the nearest that it does."""
    found = []
    for word in words:
        name = word.partition("=")[0]
        if not name.startswith("--") or name in options or not options:
            continue
        # Builds rename options: what hettui knows by another spelling is told with that.
        known = option_spelled(name)
        like = next((s for s in known.spellings if s in options), None) if known else nearest(name, sorted(options))
        hint = f"; did you mean {like}?" if like else ""
        found.append(f"{clean_line(name, _WORD_CHARS)} is no option of this build{hint}")
    return tuple(found)
