"""`hettui bench` and `hettui chat` without a screen: on a server that runs, or on a cluster started for it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from hettui import __version__
from hettui.adapters.files.bench_store import BenchFolder
from hettui.adapters.files.config_toml import load
from hettui.adapters.files.context_folder import PrivateContextFolder
from hettui.adapters.files.learned_file import save_learned
from hettui.adapters.files.paths import config_file, last_config, memory_dir, state_dir
from hettui.adapters.llama.http import HttpLlamaClient
from hettui.adapters.machine.facts import Listener, listener, machine_facts, model_sum
from hettui.adapters.processes.tcp_ports import is_here
from hettui.domain.bench.rates import rates_of
from hettui.domain.bench.run import BenchOutcome, BenchPlan, BenchProgress, BenchRun, Setting
from hettui.domain.bench.setting import setting_of, setting_of_foreign, with_sum
from hettui.domain.cluster.address import api_url, pasted
from hettui.domain.cluster.leftovers import is_rpc_server
from hettui.domain.cluster.run_state import RunState
from hettui.domain.config.values import Config
from hettui.domain.errors import HettuiError, ServerError, UsageError
from hettui.domain.llama.foreign import ForeignServer, read_argv
from hettui.domain.llama.options import spoken
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.plan.plan import Plan
from hettui.domain.records import dataclass
from hettui.domain.session.session import Session
from hettui.ports import TelemetryTarget
from hettui.services.aside import SlotsAside
from hettui.services.bench import BenchRunner
from hettui.services.telemetry.poller import Poller
from hettui.services.telemetry.targets import targets
from hettui.wiring.engine import SystemClock, build_engine, telemetry_sources
from hettui.wiring.ownership import living_record, open_runs, own_run
from hettui.wiring.sessions import (
    api_key,
    engine_or_problem,
    local_hardware,
    open_session,
    read_shape,
    recorded_session,
    request_for,
)

_SENSOR_S = 0.25
_READY_WAIT_S = 600.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Tell = Callable[[BenchProgress], None]


@dataclass(frozen=True, slots=True)
class Target:
    """A server that answers, what belongs to it here, and how its setting is described once it was measured."""

    url: str
    key: str | None
    sensors: tuple[TelemetryTarget, ...]
    describe: Callable[[BenchOutcome], Setting]
    session: Session | None = None
    """Of a cluster that was started for this."""
    model: str | None = None
    """Which one is asked, of a server that has several."""
    slot_folder: str | None = None
    """Its `--slot-save-path`, of one on this machine."""
    teach: Callable[[BenchOutcome], None] = lambda outcome: None
    """Keeps what was measured of a plan of ours."""


@contextmanager
def target(
    url: str | None,
    config_path: str | None,
    session: Session | None,
    model: str | None = None,
    may_start: Callable[[str], bool] = lambda path: True,
) -> Iterator[Target]:
    """The server at `url`; else the configured one when it answers; else one that is started, and stopped at the end,
    where `may_start` says so of its configuration. Where nobody says which, it is the cluster that hettui runs on this
    machine.

    Raises UsageError when nothing says which, or it may not be started.
    """
    if url is not None:
        yield replace(_at(pasted(url), os.environ.get("LLAMA_API_KEY")), model=model)
        return
    if session is None and (record := _running_record(config_path)) is not None and record.master is not None:
        # Not at its front door: what is measured is the master.
        master = record.master.spec
        known = recorded_session(record)
        found = _running(api_url(*master.address, master.argv), api_key(known.config))
        plan = Plan(record.cluster.devices, record.split)
        yield replace(found, teach=partial(_teach, known, plan, record.cluster.params))
        return
    if session is None:
        config = _config(config_path)
        serving = config.serving
        address = api_url(serving.host, serving.port, ("", *serving.extra_args))
        if serving.port and asyncio.run(_answers(address)):
            yield _running(address, api_key(config))
            return
        if not may_start(config.path or ""):
            raise UsageError("nothing runs: hettui up starts the configured cluster, --start starts it for this alone")
        session = open_session(config)
    with _started(session) as started:
        yield started


def _running_record(config_path: str | None) -> RunState | None:
    """Of the cluster that runs, where it is the one that is asked for: any, or that of the named configuration."""
    record = living_record(open_runs())
    if record is None or config_path is None:
        return record
    named = Path(config_path).expanduser().resolve()
    return record if record.config_path and Path(record.config_path).resolve() == named else None


def _config(config_path: str | None) -> Config:
    path = Path(config_path) if config_path else last_config() or config_file()
    if not config_path and not path.exists():
        raise UsageError("which cluster? Name a configuration, --url http://127.0.0.1:8080, or --demo")
    return load(path)


async def _answers(url: str) -> bool:
    client = HttpLlamaClient(url)
    try:
        return await client.health()
    finally:
        await client.close()


@contextmanager
def _started(session: Session) -> Iterator[Target]:
    plan = session.initial_plan
    if plan is None:
        raise UsageError("the configuration names no model: set [model] path")
    request = request_for(session, plan).passing()
    with (
        tempfile.TemporaryDirectory(prefix="hettui-bench-") as folder,
        own_run("bench") as runs,
        build_engine(Path(folder), runs, 3600.0) as engine,
    ):
        engine.start(request).result()
        snapshot = engine.snapshot

        def describe(outcome: BenchOutcome) -> Setting:
            return setting_of(session, snapshot, outcome.facts, machine_facts(), __version__, outcome.limits_w)

        assert snapshot.api is not None  # noqa: S101 - start() returned: it is ready
        sensors = targets(plan.devices, snapshot.processes)
        params = session.config.params if snapshot.applied is None else snapshot.applied.params or session.config.params
        teach = partial(_teach, session, plan, params)
        yield Target(snapshot.api, request.api_key, sensors, describe, session, teach=teach)
        engine.stop().result()


def _teach(session: Session, plan: Plan, params: RuntimeParams, outcome: BenchOutcome) -> None:
    """What the screen learns from its own bench: how fast this plan reads prompts and serves several streams."""
    if session.workload is None:
        return
    workload = session.workload.having(params)
    told = [session.learned.add_rate(workload, plan, what, rate) for what, rate in rates_of(outcome.results)]
    if any(told):
        save_learned(memory_dir(), session.learned)


def _at(url: str, key: str | None) -> Target:
    """The server at an address. At a front door of ours it is the llama-server behind it that is watched meanwhile."""
    record, parts = living_record(open_runs()), urlsplit(url)
    if record is None or record.door is None or record.master is None:
        return _running(url, key)
    if not is_here(parts.hostname or "") or parts.port != record.door.spec.address[1]:
        return _running(url, key)
    master = record.master.spec
    return replace(_running(api_url(*master.address, master.argv), key), url=url.rstrip("/"))


def _running(url: str, key: str | None) -> Target:
    """A server that runs. On this machine its processes are found by the ports that they listen on."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    here = is_here(host)
    found = listener(host, parts.port or (443 if parts.scheme == "https" else 80)) if here else None
    server = read_argv(found.argv) if found else None
    workers = _workers(server)
    engine, _ = engine_or_problem(Config()) if here else (None, None)
    hardware = local_hardware(engine) if here else ()
    sensors = [
        TelemetryTarget(h.name, h.backend, h.uuid, h.pci_address, (found.pid,) if found else ())
        for h in hardware
        if h.backend != "cpu"
    ]
    sensors += [TelemetryTarget(f"worker :{port}", "cpu", pids=(w.pid,)) for port, w in workers]
    if found:
        sensors.append(TelemetryTarget("host", "cpu", pids=(found.pid,)))
    commands = [w.argv for _, w in workers] + ([found.argv] if found else [])

    def describe(outcome: BenchOutcome) -> Setting:
        path = (server.model_path if server else None) or outcome.facts.model_path
        title = outcome.facts.model_name or ""
        with suppress(HettuiError):
            if here and path:
                shape = read_shape(path)
                title = f"{shape.name} {shape.quantisation}".strip()
        facts, machine = outcome.facts, machine_facts() if here else {}
        return setting_of_foreign(title, server, commands, hardware, facts, machine, __version__, outcome.limits_w)

    folder = spoken(found.argv).get("slot-save-path") if found else None
    return Target(url.rstrip("/"), key, tuple(sensors), describe, slot_folder=folder)


def _workers(server: ForeignServer | None) -> list[tuple[int, Listener]]:
    """Rpc servers of this machine. Where an ssh listens, the worker is on another one: its memory is not the ssh's."""
    here = [(host, port) for host, port in (server.endpoints if server else ()) if is_here(host)]
    found = [(port, listener(host, port)) for host, port in here]
    return [(port, one) for port, one in found if one is not None and is_rpc_server(one.argv)]


def measure(where: Target, plan: BenchPlan, tell: Tell) -> BenchOutcome:
    """Blocks. SIGINT, SIGTERM and SIGHUP end it; what was measured until then is returned, marked."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        outcome = asyncio.run(_measure(where, plan, tell))
        where.teach(outcome)
        return outcome
    finally:
        # The loop leaves the system's defaults behind.
        for number, handler in before.items():
            signal.signal(number, handler)


@asynccontextmanager
async def _contexts_aside(client: HttpLlamaClient, folder: str | None) -> AsyncIterator[None]:
    """Who uses the server finds the slots as they were, where it can save them."""
    if folder is None:
        yield
        return

    def say(text: str) -> None:
        print(f"hettui: {text}", file=sys.stderr)

    place = PrivateContextFolder(Path(folder))
    place.sweep()
    aside = SlotsAside(lambda: client, place.aside_name, place.remove, say)
    await aside.put()
    try:
        yield
    finally:
        await aside.back()


async def _measure(where: Target, plan: BenchPlan, tell: Tell) -> BenchOutcome:
    clock = SystemClock()
    client = HttpLlamaClient(where.url, where.key, model=where.model)
    runner = BenchRunner(client, clock, tell)
    poller = Poller(telemetry_sources(), clock, runner.hear, _SENSOR_S)
    poller.targets = where.sensors
    polling = asyncio.create_task(poller.run())
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, runner.stop)
    try:
        await _wait_until_ready(client)
        async with _contexts_aside(client, where.slot_folder):
            return await runner.run(plan)
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        polling.cancel()
        poller.close()
        await client.close()


async def _wait_until_ready(client: HttpLlamaClient) -> None:
    """A server that loads is waited for; one that is not there is not."""
    deadline = time.monotonic() + _READY_WAIT_S
    while True:
        state, said = await client.look()
        if state == "ready":
            return
        if state != "loading":
            raise ServerError(said)
        if time.monotonic() > deadline:
            raise ServerError(f"llama-server does not become ready: {said}")
        await asyncio.sleep(0.5)


def finished_run(
    plan: BenchPlan, outcome: BenchOutcome, setting: Setting, tell_sum: Callable[[int, int], None] | None
) -> BenchRun:
    """The run with all that belongs to it. `tell_sum` None: without the model's sum, which reads the whole file."""
    if tell_sum is not None and setting.model_path:
        setting = with_sum(setting, model_sum(state_dir(), _parts(setting.model_path), tell_sum))
    now = datetime.now().astimezone()
    return BenchRun(
        f"{now:%Y%m%d-%H%M%S}-{uuid4().hex[:4]}",
        now.isoformat(timespec="seconds"),
        plan,
        setting,
        outcome.results,
        outcome.devices,
        outcome.skipped,
        outcome.problem,
    )


def _parts(path: str) -> Sequence[str]:
    try:
        return read_shape(path).file.paths
    except HettuiError:
        return (path,)


def bench_folder() -> BenchFolder:
    """Where runs are kept."""
    return BenchFolder(state_dir() / "bench")


def keep(run: BenchRun) -> BenchRun:
    """On disk, whatever is done with it next. A run without a single sample is not worth keeping."""
    if any(result.samples for result in run.results):
        bench_folder().save(run)
    return run


def llama_bench_of(where: Target) -> str:
    """Where the second opinion would come from. Raises UsageError or EngineError when there can be none."""
    from hettui.wiring.second_opinion import program_of

    if where.session is None:
        raise UsageError("llama-bench needs the devices to itself: a second opinion works for --demo or CONFIG only")
    return program_of(where.session)


def with_second_opinion(run: BenchRun, where: Target) -> BenchRun:
    """Once the cluster is gone. Raises as `llama_bench_of`, and EngineError when llama-bench fails."""
    from hettui.wiring.second_opinion import second_opinion

    program = llama_bench_of(where)
    assert where.session is not None  # noqa: S101 - llama_bench_of looked
    return replace(run, second_opinion=second_opinion(program, where.session, run.plan))
