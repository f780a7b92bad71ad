"""`hettui devices`, `model` and `plan`: what is there and what could run, without starting anything."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from hettui.cli.options import build_number, device_budgets, overridden, weights

if TYPE_CHECKING:
    from hettui.domain.devices.found import Found


def run_devices(options: Namespace) -> int:
    from hettui.domain.config.values import Config
    from hettui.domain.devices.report import hardware_json, hardware_text
    from hettui.wiring.hosts import known, with_hosts
    from hettui.wiring.sessions import configured_is_missing, engine_or_problem, look_around

    if options.forget_speeds:
        return _forget_speeds(as_json=options.json)
    engine, problem = engine_or_problem(Config())
    found = look_around(engine)
    if options.speeds:
        return _speeds(found, as_json=options.json)
    hosts = [] if options.local else known(options.config)
    here = found
    if hosts:
        found = with_hosts(found, hosts)
    if options.json:
        print(json.dumps(hardware_json(found.hardware, found.problems), indent=1))
    else:
        print(hardware_text(found.hardware))
        for reason in (*found.problems, *([problem] if problem else [])):
            print(f"hettui: {reason}", file=sys.stderr)
    unreached = len(found.problems) > len(here.problems)
    return 1 if unreached or (here.problems and configured_is_missing(here)) else 0


def _speeds(found: Found, *, as_json: bool) -> int:
    import time

    from hettui.domain.speed.report import speeds_json, speeds_text
    from hettui.wiring.speeds import known_speeds

    known, set_aside = known_speeds(found)
    print(json.dumps(speeds_json(known), indent=1) if as_json else speeds_text(known, time.time()))
    if set_aside:
        print(f"hettui: {set_aside}", file=sys.stderr)
    return 0


def _forget_speeds(*, as_json: bool) -> int:
    from hettui.wiring.speeds import forget_speeds

    count = forget_speeds()
    devices = f"{count} device{'' if count == 1 else 's'}"
    print(json.dumps({"forgotten": count}) if as_json else f"Forgotten: the speeds of {devices}.")
    return 0


def run_model(options: Namespace) -> int:
    from hettui.domain.llama.params import RuntimeParams
    from hettui.domain.memory.workload import Workload
    from hettui.domain.session.model_report import model_details_json, model_text
    from hettui.wiring.sessions import read_shape

    workload = Workload(read_shape(options.model), overridden(RuntimeParams(), options))
    print(json.dumps(model_details_json(workload), indent=1) if options.json else model_text(workload))
    return 0


def run_plan(options: Namespace) -> int:
    from hettui.wiring.planning import plan_report

    report = plan_report(
        model=options.model,
        config_path=options.config,
        devices=device_budgets(options.devices),
        weights=weights(options.split),
        n_gpu_layers=options.gpu_layers,
        override=lambda params: overridden(params, options),
        build=build_number(options.llama_build),
        objective=options.objective,
        rig_path=options.rig,
    )
    print(json.dumps(report.as_json(), indent=1) if options.json else report.as_text())
    # A card that a driver refuses is a failure when it was asked for, not when a plan is made for another machine.
    refused = bool(options.config and report.refused and any(d.missing for d in report.plan.devices))
    return 0 if report.fits and not refused else 1
