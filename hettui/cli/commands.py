"""One function for each command. They take parsed options and return the exit code."""

from __future__ import annotations

import gc
import json
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hettui.cli.progress import StartProgress, show_fetch
from hettui.cli.signals import interruptible
from hettui.domain.errors import UsageError
from hettui.domain.llama.params import override_pattern
from hettui.domain.text import clean_line
from hettui.domain.units import parse_bytes


@contextmanager
def _collector_off() -> Iterator[None]:
    """Until the screen stands, which switches it on again: `hettui.ui.terminal.collector` says why."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_collector_off()
def run_screen(options: Namespace) -> int:
    if options.replay is not None:
        if options.config is not None:
            raise UsageError("--replay shows a recording as it is: leave out the configuration")
        from hettui.wiring.screen import run_replay

        return run_replay(options.replay, options.theme)
    from hettui.wiring.screen import run_screen

    return run_screen(options.config, options.theme, options.record)


def run_demo(options: Namespace) -> int:
    if options.json and not options.headless:
        raise UsageError("demo --json needs --headless: the screen prints nothing")
    if options.headless:
        from hettui.wiring.demo import demo_session

        with interruptible():
            session = demo_session(show_fetch)
            return _headless_demo(session, as_json=options.json, record=options.record)
    return _demo_screen(options)


@_collector_off()
def _demo_screen(options: Namespace) -> int:
    from hettui.wiring.demo import demo_session

    with interruptible():
        session = demo_session(show_fetch)
    from hettui.wiring.screen import run_session

    return run_session(session, options.theme, options.record)


def _headless_demo(session: Any, *, as_json: bool, record: str | None) -> int:
    from hettui.services import smoke
    from hettui.services.smoke_report import smoke_json, smoke_text
    from hettui.wiring.engine import build_engine
    from hettui.wiring.ownership import own_run
    from hettui.wiring.replay import recorder_to
    from hettui.wiring.sessions import request_for

    plan = session.initial_plan
    with tempfile.TemporaryDirectory(prefix="hettui-demo-") as folder:
        request = request_for(session, plan)
        with (
            own_run("demo") as runs,
            build_engine(Path(folder), runs, interval_s=0.25) as engine,
            recorder_to(record, engine) as recorder,
        ):
            if recorder is not None:
                recorder.begin(session)
                recorder.hide(request.api_key)
            result = smoke.run(engine, request)
    report = (session.shape, session.config.params, plan, result, session.build)
    print(json.dumps(smoke_json(*report), indent=1) if as_json else smoke_text(*report))
    return 0


def run_devices(options: Namespace) -> int:
    from hettui.domain.config.values import Config
    from hettui.domain.devices.report import hardware_json, hardware_text
    from hettui.wiring.sessions import engine_or_problem, local_hardware

    engine, problem = engine_or_problem(Config())
    hardware = local_hardware(engine)
    if options.json:
        print(json.dumps(hardware_json(hardware), indent=1))
    else:
        print(hardware_text(hardware))
        if problem:
            print(f"hettui: {problem}", file=sys.stderr)
    return 0


def run_model(options: Namespace) -> int:
    from hettui.domain.llama.params import RuntimeParams
    from hettui.domain.session.plan_report import model_details_json, model_text
    from hettui.wiring.sessions import read_shape

    shape = read_shape(options.model)
    params = _overridden(RuntimeParams(), options)
    print(json.dumps(model_details_json(shape, params), indent=1) if options.json else model_text(shape, params))
    return 0


def run_plan(options: Namespace) -> int:
    from hettui.wiring.planning import plan_report

    report = plan_report(
        model=options.model,
        config_path=options.config,
        devices=_device_budgets(options.devices),
        weights=_weights(options.split),
        n_gpu_layers=options.gpu_layers,
        override=lambda params: _overridden(params, options),
        build=_build(options.llama_build),
        objective=options.objective,
    )
    print(json.dumps(report.as_json(), indent=1) if options.json else report.as_text())
    return 0 if report.forecast.fits else 1


def run_chat(options: Namespace) -> int:
    from hettui.cli import bench

    return bench.run_chat(options)


def run_bench(options: Namespace) -> int:
    from hettui.cli import bench

    return bench.run_bench(options)


def run_init(options: Namespace) -> int:
    from hettui.wiring.init import write_config

    path = write_config(options.path, options.model, force=options.force)
    print(f"wrote {path}; open it with: hettui {path}")
    return 0


def run_keys(options: Namespace) -> int:
    from hettui.adapters.files.config_toml import load
    from hettui.domain.screen.keymap import Keymap, key_table

    rows = key_table(Keymap(load(options.config).keys if options.config else {}))
    if options.json:
        names = ("group", "keys", "action", "sentence")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2, ensure_ascii=False))
    elif options.markdown:
        print("| | keys | action | what it does |\n|---|---|---|---|")
        for group, keys, action, sentence in rows:
            print(f"| {group} | {' '.join(f'`{key}`' for key in keys.split()) or '–'} | `{action}` | {sentence} |")
    else:
        for group, keys, action, sentence in rows:
            print(f"{group:<10} {keys or '–':<12} {action:<21} {sentence}")
    return 0


def run_up(options: Namespace) -> int:
    from hettui.domain.units import format_seconds
    from hettui.wiring import headless
    from hettui.wiring.sessions import open_session

    progress = StartProgress(quiet=options.json)
    with interruptible():
        session = open_session(headless.configured(options.config))
        snapshot, already = headless.up(session, force=options.force, listener=progress)
    if options.json:
        print(json.dumps(headless.status().as_json(), indent=1))
    else:
        print(f"{'It runs already' if already else 'The cluster is ready'}: {clean_line(snapshot.api or '')}")
        print(
            f"It runs on by itself; the last start took {format_seconds(progress.load_s)}."
            if progress.load_s
            else "It runs on by itself."
        )
    return 0


def run_down(options: Namespace) -> int:
    from hettui.domain.errors import LaunchError
    from hettui.wiring import headless

    count, stuck = headless.down(StartProgress(quiet=options.json))
    if stuck:
        raise LaunchError(stuck)
    if options.json:
        print(json.dumps({"stopped": count}))
    else:
        print(f"Stopped {count} process{'' if count == 1 else 'es'}." if count else "Nothing ran.")
    return 0


def run_status(options: Namespace) -> int:
    from hettui.wiring import headless

    report = headless.status()
    print(json.dumps(report.as_json(), indent=1) if options.json else report.as_text())
    return 0 if report.ready else 1


def run_logs(options: Namespace) -> int:
    from hettui.cli.signals import Interrupted
    from hettui.wiring import headless

    lines = headless.log_lines(options.process, options.lines, follow=options.follow)
    if options.json and not options.follow:
        print(json.dumps({"lines": [{"process": name, "line": line} for name, line in lines]}, indent=1))
        return 0
    try:
        with interruptible():
            for name, line in lines:
                # Lines are clean already; names come from the configuration.
                said = json.dumps({"process": name, "line": line}) if options.json else f"{clean_line(name)} | {line}"
                print(said, flush=options.follow)
    except Interrupted as interrupted:
        # The ordinary end of following.
        return 0 if interrupted.name == "SIGINT" else 128 + interrupted.number
    return 0


def _overridden(params: Any, options: Namespace) -> Any:
    """llama.cpp's settings with what the command line says."""
    names = (
        "ctx_size",
        "kv_unified",
        "batch_size",
        "ubatch_size",
        "cache_type_k",
        "cache_type_v",
        "flash_attn",
        "swa_full",
        "load_mode",
        "n_cpu_moe",
    )
    said = {name: value for name in names if (value := getattr(options, name, None)) is not None}
    if (overrides := getattr(options, "override_tensor", None)) is not None:
        said["override_tensor"] = _overrides(overrides)
    parallel = getattr(options, "parallel", None)
    if parallel is not None:
        said["parallel"] = _parallel(parallel)
    for name, least in (("ctx_size", 0), ("n_cpu_moe", 0), ("batch_size", 1), ("ubatch_size", 1)):
        if name in said and said[name] < least:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} {said[name]}: it must be a whole number of at least {least}")
    return replace(params, **said)


_BUILD_DIGITS = 6


def _build(text: str | None) -> int | None:
    if text is None:
        return None
    number = text.removeprefix("b")
    if not number.isdigit() or len(number) > _BUILD_DIGITS:
        raise UsageError(f"--llama-build {text}: it must be a build number such as b11434")
    return int(number)


def _overrides(text: str) -> tuple[str, ...]:
    for one in text.split(","):
        try:
            override_pattern(one)
        except ValueError as error:
            raise UsageError(f"--override-tensor {one}: it {error}") from None
    return tuple(text.split(","))


def _parallel(text: str) -> int:
    if text == "auto" or text == "-1":
        return -1
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f'--parallel {text}: it must be "auto" or a whole number of at least 1')
    return int(text)


def _device_budgets(text: str | None) -> list[tuple[str, int]] | None:
    if text is None:
        return None
    devices: list[tuple[str, int]] = []
    for part in text.split(","):
        name, separator, budget = part.rpartition("=")
        try:
            size = parse_bytes(budget)
        except ValueError as error:
            raise UsageError(f"--devices {part}: {error}") from error
        if not separator or not name.strip():
            raise UsageError(f"--devices {part}: it must be NAME=BUDGET, such as big=16GiB")
        if name.strip() in (known for known, _ in devices):
            raise UsageError(f"--devices names {name.strip()} twice")
        devices.append((name.strip(), size))
    return devices


def _weights(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        weights = [float(part) for part in text.replace("/", ",").split(",")]
    except ValueError:
        raise UsageError(f"--split {text}: it must be numbers such as 16,10,5") from None
    if not all(0 <= w < float("inf") for w in weights) or not any(weights):
        raise UsageError(f"--split {text}: weights are at least 0 and one is above 0")
    return weights
