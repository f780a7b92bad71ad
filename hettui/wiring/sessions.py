"""Opens a session: configuration, binaries, hardware and model header, each allowed to be missing."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from hettui.adapters.files.config_toml import load
from hettui.adapters.files.hosts_file import load_hosts
from hettui.adapters.files.key_file import first_key
from hettui.adapters.files.learned_file import load_learned, save_learned
from hettui.adapters.files.paths import config_file, last_config, memory_dir
from hettui.adapters.files.sizes import file_sizes
from hettui.adapters.gpu.amdgpu import AmdGpuSource
from hettui.adapters.gpu.intel_gpu import IntelGpuSource
from hettui.adapters.gpu.nvml import NvmlSource
from hettui.adapters.llama.discovery import discover
from hettui.adapters.llama.gguf import read_model
from hettui.adapters.machine.memory_speed import read_speed
from hettui.domain.cluster.launch import Cluster, check, unsafe
from hettui.domain.cluster.run_state import RunState
from hettui.domain.config.inventory import assemble
from hettui.domain.config.values import Config
from hettui.domain.devices.device import LOCAL, Device, Hardware
from hettui.domain.devices.found import Found
from hettui.domain.door.words import DOOR_MODULE
from hettui.domain.errors import ConfigError, DoesNotFit, EngineError, HettuiError, ModelFileError
from hettui.domain.hosts.known import hardware_of, with_lines
from hettui.domain.hosts.worker import HOLDER_MODULE
from hettui.domain.llama.build import NEWEST_BUILD, EngineInfo
from hettui.domain.llama.options import allocations
from hettui.domain.llama.params import AUTO, Drafting
from hettui.domain.memory.workload import Workload
from hettui.domain.model.companions import ALONE
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.session.room import Room, no_room, room_as_found
from hettui.domain.session.session import Session, runnable
from hettui.domain.text import clean_line
from hettui.services.cluster.world import Request
from hettui.wiring.chosen import engine_of, is_named
from hettui.wiring.companions import alone, with_companions


def engine_or_problem(config: Config) -> tuple[EngineInfo | None, str | None]:
    """The binaries, or the sentence why there are none: planning works without them.

    Raises EngineError when a place was named explicitly: a typo shall not look like a machine without llama.cpp.
    """
    try:
        return engine_of(config), None
    except EngineError as error:
        if is_named(config):
            raise
        return None, str(error)


def local_hardware(engine: EngineInfo | None) -> tuple[Hardware, ...]:
    return look_around(engine).hardware


def look_around(engine: EngineInfo | None) -> Found:
    """Cards and CPU of this machine, and what their drivers refuse."""
    nvml = NvmlSource()
    try:
        return discover(engine, nvml, (AmdGpuSource(), IntelGpuSource()))
    finally:
        nvml.close()


def configured_is_missing(found: Found) -> bool:
    """Whether the configuration that is used on this machine names a card that is not found."""
    path = last_config() or config_file()
    try:
        config = load(path) if path.exists() else Config()
        return bool(config.devices) and any(d.missing for d in assemble(config, found.hardware, found.problems))
    except ConfigError:
        return False


def read_shape(path: str) -> ModelShape:
    """The model's header. Raises ModelFileError."""
    return ModelShape.of(read_model(path))


def open_session(
    config: Config, devices: tuple[Device, ...] | None = None, looked: tuple[EngineInfo, Found] | None = None
) -> Session:
    """Brings everything together. `devices` replaces the configured ones; `looked` is what was found here just now.

    A model that cannot be read raises: a session without the model that was asked for helps nobody.
    """
    shape = read_shape(config.model_path) if config.model_path else None
    engine, problem = (looked[0], None) if looked else engine_or_problem(config)
    found = looked[1] if looked else look_around(engine)
    learned = load_learned(memory_dir())
    hosts = load_hosts(memory_dir()) if config.hosts else {}
    if devices is None:
        devices = assemble(config, (*found.hardware, *hardware_of(config.hosts, hosts)), found.problems)
    devices = with_lines(devices, config.hosts, hosts)
    if learned.host_bytes_per_s is None and any(d.backend == "cpu" and d.host == LOCAL for d in devices):
        learned.host_bytes_per_s = read_speed()
        save_learned(memory_dir(), learned)
    devices = learned.with_measured(devices)
    config, draft = with_draft(config, shape, devices, engine)
    config, companions = with_companions(config, shape, devices, engine, draft)
    cluster = None
    if engine is not None:
        cluster = cluster_of(config, devices, engine)
        check(cluster)
    beside = named_sizes(config)
    return Session(
        config,
        found.hardware,
        devices,
        cluster,
        shape,
        problem,
        found.problems,
        learned=learned,
        file_bytes=beside,
        draft=draft,
        companions=companions,
    )


def with_draft(
    config: Config, shape: ModelShape | None, devices: tuple[Device, ...], engine: EngineInfo | None
) -> tuple[Config, ModelShape | None]:
    """The configuration with a place for its draft model, and that model; None without one. Raises ModelFileError, and
    ConfigError for one that cannot draft for this model."""
    draft = config.params.draft
    if draft is None or not draft.has_model or shape is None:
        return config, None
    from hettui.domain.model.vocabulary import Words, misfit
    from hettui.domain.planner.drafts import with_draft_placed

    drafted = read_shape(draft.model)
    if why := misfit(Words.of(shape), Words.of(drafted)):
        path = clean_line(draft.model, 300)
        raise ConfigError(f"[draft] model {path} cannot propose tokens to {clean_line(shape.name, 60)}: {why}")
    build = NEWEST_BUILD if engine is None else engine.build
    workload = Workload(shape, config.params, build, config.serving.extra_args, drafted)
    return replace(config, params=with_draft_placed(workload, devices)), drafted


def cluster_of(config: Config, devices: tuple[Device, ...], engine: EngineInfo) -> Cluster:
    """The configured cluster over these devices."""
    holder, door = ((sys.executable, "-P", "-m", module) for module in (HOLDER_MODULE, DOOR_MODULE))
    return Cluster(config.model_path or "", config.params, config.serving, devices, engine, config.hosts, holder, door)


def named_sizes(config: Config) -> dict[str, int]:
    """Sizes of the files that `extra-args` name: of a draft model, of a vision tower, of adapters."""
    return file_sizes(file for one in allocations(config.serving.extra_args) for file in one.files)


def with_model(session: Session, path: str) -> Session:
    """The same session with another model and the planner's plan for it. Raises ModelFileError and leaves the old one
    as it is."""
    from hettui.domain.library.found import Kind, kind_of, no_model

    shape = read_shape(path)
    kind = kind_of(shape.file)
    problem = no_model(shape) if kind is Kind.MODEL else f"a {kind.value[0]} and no model: name the model it belongs to"
    if problem:
        raise ModelFileError(f"{clean_line(path, 300)} is {problem}")
    draft = session.draft
    if draft is not None and not _suits(shape, draft):
        draft = None
    config = replace(session.config, model_path=shape.file.paths[0], params=alone(session.config.params))
    return _opened_anew(replace(session, config=config, shape=shape, companions=ALONE), draft)


def _suits(shape: ModelShape, draft: ModelShape) -> bool:
    from hettui.domain.model.vocabulary import Words, misfit

    return misfit(Words.of(shape), Words.of(draft)) is None


def _opened_anew(session: Session, draft: ModelShape | None) -> Session:
    """With the planner's place for the draft, if there is one, and its plan for the whole."""
    from hettui.domain.library.fit import judge
    from hettui.domain.planner.drafts import with_draft_placed

    shape, around = session.shape, session.surroundings
    assert shape is not None  # noqa: S101 - whoever asks has one
    params = session.config.params
    if draft is None:
        if params.draft is not None and params.draft.has_model:
            params = replace(params, draft=None)
    else:
        mine = params.draft if params.draft is not None and params.draft.has_model else Drafting()
        params = replace(params, draft=replace(mine, model=draft.file.paths[0], device=AUTO))
        said = session.config.serving.extra_args
        workload = Workload(shape, params, session.build, said, draft, session.companions)
        params = with_draft_placed(workload, around.devices)
    config = replace(session.config, params=params)
    around = replace(around, params=params, draft=draft, companions=session.companions)
    path = shape.file.paths[0]
    cluster = session.cluster and replace(session.cluster, model_path=path, params=params, devices=around.devices)
    plan = judge(shape, around, session.learned).plan
    return replace(session, config=config, cluster=cluster, devices=around.devices, chosen=plan, draft=draft)


def drafted_by(session: Session, plan: Plan, path: str | None) -> Session:
    """The same session with this draft model, or without any: with this plan where it still fits, else with the
    planner's for both. Raises ModelFileError with the reason why it cannot draft for the session's model."""
    other = _drafted_by(session, path)
    outlook = other.forecast(plan)
    return replace(other, chosen=plan) if outlook is not None and outlook.fits else other


def _drafted_by(session: Session, path: str | None) -> Session:
    from hettui.domain.model.vocabulary import Words, misfit

    if session.shape is None:
        raise ModelFileError("choose a model before its draft model")
    if path is None:
        return _opened_anew(session, None)
    draft = read_shape(path)
    if why := misfit(Words.of(session.shape), Words.of(draft)):
        raise ModelFileError(f"{clean_line(path, 300)} cannot propose tokens to {clean_line(session.title, 60)}: {why}")
    return _opened_anew(session, draft)


def api_key(config: Config) -> str | None:
    """The key for our own requests: the first one in the key file, else LLAMA_API_KEY. Raises ConfigError."""
    path = config.serving.api_key_file
    return os.environ.get("LLAMA_API_KEY") if path is None else first_key(path)


def _large_tensors(session: Session) -> tuple[int, ...]:
    """Of all files that are loaded: what other hosts may keep of them."""
    from hettui.domain.hosts.kept import large_tensors

    shapes = (shape.file for shape in (session.shape, session.draft) if shape is not None)
    return large_tensors((*shapes, session.companions.projector, *session.companions.adapters))


def request_for(session: Session, plan: Plan, *, force: bool = False, room: Room | None = None) -> Request:
    """What the engine is asked to run. Raises the reason when this plan cannot be started.

    `room`: what is free now; None: as when the session was opened.
    """
    cluster = runnable(session, plan, force=force)
    room = room_as_found(plan.devices, session.hardware) if room is None else room
    if not force and (full := no_room(session, plan, room)) is not None:
        raise DoesNotFit(full)
    key = api_key(session.config)
    if not force and (reason := unsafe(cluster, has_key=key is not None)) is not None:
        raise ConfigError(f"{reason}. To start it all the same: Force start in the palette, or hettui up --force")
    outlook = session.forecast(plan)
    assert outlook is not None  # noqa: S101 - runnable() has refused a session without a model
    drafted, project = outlook.draft, outlook.projecting
    on_workers = sum(
        outlook.devices[i].weights_bytes
        + (drafted.there.weights_bytes if drafted is not None and drafted.device == i else 0)
        + (project.there.weights if project is not None and project.device == i else 0)
        for i, device in enumerate(plan.devices)
        if device.via == "worker"
    )
    config = session.config
    # Whoever reads the record may stand in another folder.
    path = None if config.path is None else os.path.abspath(config.path)  # noqa: PTH100 - links stay as they are
    terms = session.terms(plan)
    if cluster.hosts:
        cluster = replace(cluster, large_tensors=_large_tensors(session))
    return Request(
        cluster, plan.split, on_workers, key, config.supervision, path, session.demo, config.keeping, terms
    )  # fmt: skip


def recorded_session(record: RunState) -> Session:
    """A session of what runs, so that the screen shows that and not something else."""
    config = Config()
    if record.config_path and Path(record.config_path).exists():
        try:
            config = load(record.config_path)
        except HettuiError:
            # It was changed since; what runs does not depend on it any more.
            config = Config(path=record.config_path)
    cluster = record.cluster
    config = replace(config, model_path=cluster.model_path, params=cluster.params, serving=cluster.serving)
    config = replace(config, keeping=record.keeping)
    layers = zip(cluster.devices, record.split.layers, strict=True)
    devices = tuple(replace(device, layers=n) for device, n in layers)
    try:
        return replace(open_session(config, devices), demo=record.demo)
    except HettuiError as error:
        # Model file or binaries have gone since: what runs can still be watched and stopped.
        return Session(config, (), devices, cluster, None, str(error), demo=record.demo)
