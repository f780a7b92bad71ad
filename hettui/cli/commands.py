"""Where each command's function is: it takes parsed options, returns the exit code, and is imported when called."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from typing import cast

COMMANDS = {
    "screen": "hettui.cli.screen:run_screen",
    "demo": "hettui.cli.screen:run_demo",
    "hosts": "hettui.cli.hosts:run_hosts",
    "doctor": "hettui.cli.doctor:run_doctor",
    "devices": "hettui.cli.plan:run_devices",
    "engine": "hettui.cli.engine:run_engine",
    "model": "hettui.cli.plan:run_model",
    "models": "hettui.cli.models:run_models",
    "plan": "hettui.cli.plan:run_plan",
    "init": "hettui.cli.init:run_init",
    "keys": "hettui.cli.init:run_keys",
    "up": "hettui.cli.running:run_up",
    "down": "hettui.cli.running:run_down",
    "status": "hettui.cli.running:run_status",
    "logs": "hettui.cli.running:run_logs",
    "requests": "hettui.cli.requests:run_requests",
    "chat": "hettui.cli.chat:run_chat",
    "bench": "hettui.cli.bench:run_bench",
    "report": "hettui.cli.report:run_report",
    "tune": "hettui.cli.tune:run_tune",
    "agents": "hettui.cli.agents:run_agents",
    "export": "hettui.cli.export:run_export",
    "completion": "hettui.cli.completion:run_completion",
    "man": "hettui.cli.man:run_man",
}


def command(name: str) -> Callable[[Namespace], int]:
    """The function of one command."""
    module, _, function = COMMANDS[name].partition(":")
    return cast("Callable[[Namespace], int]", getattr(import_module(module), function))
