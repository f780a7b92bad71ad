"""`hettui devices`, `model` and `plan`: what is there and what could run, without starting anything."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

from hettui.cli.options import build_number, device_budgets, overridden, weights


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
    )
    print(json.dumps(report.as_json(), indent=1) if options.json else report.as_text())
    return 0 if report.forecast.fits else 1
