"""`hettui plan`: a plan from a model, a configuration or named budgets, and llama.cpp's settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hettui.adapters.files.config_toml import load
from hettui.adapters.files.learned_file import load_learned
from hettui.adapters.files.paths import memory_dir
from hettui.domain.cluster.launch import Cluster, LaunchPlan, plan_launch
from hettui.domain.config.values import Config
from hettui.domain.devices.device import LOCAL, Device, Host
from hettui.domain.errors import UsageError
from hettui.domain.llama.build import EngineInfo
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.tensor_limits import why_not
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.aim import Objective
from hettui.domain.plan.plan import Plan
from hettui.domain.planner.objectives import Beside
from hettui.domain.session.asked import NamedDevice, asked_plan
from hettui.domain.session.plan_report import PlanReport
from hettui.wiring.companions import with_companions
from hettui.wiring.sessions import cluster_of, engine_or_problem, named_sizes, open_session, read_shape, with_draft

# Where no binaries are found the command lines name them as they are called.
_ANY_ENGINE = EngineInfo(Path("llama-server"), Path("ggml-rpc-server"), "none found", "", frozenset())


def plan_report(
    *,
    model: str,
    config_path: str | None,
    devices: list[NamedDevice] | None,
    weights: list[float] | None,
    n_gpu_layers: int | None,
    override: Callable[[RuntimeParams], RuntimeParams],
    build: int | None = None,
    objective: Objective | None = None,
    rig_path: str | None = None,
) -> PlanReport:
    """The plan that was asked for. Raises UsageError, ConfigError or ModelFileError."""
    if rig_path is not None:
        if config_path or devices is not None:
            raise UsageError("--rig brings its devices and settings along: leave CONFIG and --devices out")
        return _plan_for_rig(rig_path, model, weights, n_gpu_layers, override, build, objective)
    config = load(config_path) if config_path else Config()
    config = replace(config, model_path=model, params=override(config.params))
    shares = config.params.shares_tensors
    anonymous = _anonymous(devices, weights if not config_path else None, shares=shares)
    ram_bytes, refused = None, tuple[str, ...]()
    if anonymous is None:
        session = open_session(config)
        cluster, shape, members, learned = session.cluster, session.shape, session.devices, session.learned
        ram_bytes, refused = session.ram_bytes, session.refused
    else:
        engine, _ = engine_or_problem(config)
        learned = load_learned(memory_dir())
        cluster, shape, members = None if engine is None else _cluster(config, anonymous, engine), None, anonymous
    shape = shape or read_shape(model)
    cluster = cluster or _cluster(config, members, _ANY_ENGINE)
    cluster = replace(cluster, model_path=shape.file.paths[0])
    config, draft = with_draft(config, shape, members, cluster.engine)
    config, companions = with_companions(config, shape, members, cluster.engine, draft)
    said = config.serving.extra_args
    workload = Workload(shape, config.params, build or cluster.engine.build, said, draft, companions)
    beside = Beside(ram_bytes, learned.host_rate_bytes_per_s)
    plan, best = asked_plan(
        workload, members, weights=weights, n_gpu_layers=n_gpu_layers, objective=objective, beside=beside
    )
    cluster = replace(cluster, devices=plan.devices, params=plan.settings(config.params))
    launch, modes = _launch(cluster, workload, plan), cluster.engine.split_modes
    return PlanReport(workload, plan, launch, learned, best, ram_bytes, refused, said, named_sizes(config), modes)


def _plan_for_rig(
    path: str,
    model: str,
    weights: list[float] | None,
    n_gpu_layers: int | None,
    override: Callable[[RuntimeParams], RuntimeParams],
    build: int | None,
    objective: Objective | None,
) -> PlanReport:
    """For the machine of somebody's report: nothing of this one counts."""
    from hettui.wiring.rig import rig_at

    rig, shape = rig_at(path), read_shape(model)
    names = dict.fromkeys(d.host for d in rig.devices if d.host != LOCAL)
    config = Config(
        model_path=shape.file.paths[0], params=override(rig.params), hosts=tuple(Host(name, name) for name in names)
    )
    workload = Workload(shape, config.params, build or rig.build, rig.extra_args)
    plan, best = asked_plan(workload, rig.devices, weights=weights, n_gpu_layers=n_gpu_layers, objective=objective)
    cluster = replace(_cluster(config, plan.devices, _ANY_ENGINE), params=plan.settings(config.params))
    launch = _launch(cluster, workload, plan)
    return PlanReport(workload, plan, launch, rig.learned, best, rig.ram_bytes, (), rig.extra_args, rig.file_bytes)


def _launch(cluster: Cluster, workload: Workload, plan: Plan) -> LaunchPlan | None:
    """None where cards cannot share the model's tensors: the report says why."""
    asked = workload.having(cluster.params)
    reason = why_not(asked, plan.devices, plan.split, cluster.engine.split_modes)
    return None if reason else plan_launch(cluster, plan.split)


def _cluster(config: Config, members: tuple[Device, ...], engine: EngineInfo) -> Cluster:
    return cluster_of(config, members, engine)


def _anonymous(
    devices: list[NamedDevice] | None, weights: list[float] | None, *, shares: bool = False
) -> tuple[Device, ...] | None:
    """Devices that only have a name, and no card behind it: their workers run anywhere, and their speed is known only
    where a bandwidth is said. Where they share tensors they stand for cards in one machine. None: the real ones."""
    found = _named(devices, weights)
    if found is None or not shares:
        return found
    return tuple(replace(d, via="master", backend="cuda", engine_name=f"CUDA{i}") for i, d in enumerate(found))


def _named(devices: list[NamedDevice] | None, weights: list[float] | None) -> tuple[Device, ...] | None:
    if devices is not None:
        return tuple(
            Device(
                d.name,
                id="",
                via="worker",
                budget_bytes=d.budget_bytes,
                bandwidth_bytes_per_s=d.bandwidth_bytes_per_s,
                measured_slowness=None if d.bandwidth_bytes_per_s is None else 1.0,
            )
            for d in devices
        )
    if weights is not None:
        return tuple(Device(f"d{i}", id="", via="worker") for i in range(len(weights)))
    return None
