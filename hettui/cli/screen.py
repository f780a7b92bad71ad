"""`hettui` and `hettui demo`: the screen, or the demo cluster without one."""

from __future__ import annotations

import gc
import json
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hettui.cli.progress import show_fetch
from hettui.cli.signals import interruptible
from hettui.domain.errors import UsageError


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
    from hettui.wiring.demo import demo_session, fetch_model

    with interruptible():
        fetch_model(show_fetch)
    from hettui.wiring.screen import run_session

    return run_session(lambda: demo_session(show_fetch), options.theme, options.record)


def _headless_demo(session: Any, *, as_json: bool, record: str | None) -> int:
    from hettui.services import smoke
    from hettui.services.smoke_report import smoke_json, smoke_text
    from hettui.wiring.engine import build_engine
    from hettui.wiring.ownership import own_run
    from hettui.wiring.replay import recorder_to
    from hettui.wiring.sessions import request_for

    plan = session.initial_plan
    with tempfile.TemporaryDirectory(prefix="hettui-demo-") as folder:
        request = request_for(session, plan).passing()
        with (
            own_run("demo") as runs,
            build_engine(Path(folder), runs, interval_s=0.25) as engine,
            recorder_to(record, engine) as recorder,
        ):
            if recorder is not None:
                recorder.begin(session)
                recorder.hide(request.api_key)
            result = smoke.run(engine, request)
    report = (session.workload, plan, result)
    print(json.dumps(smoke_json(*report), indent=1) if as_json else smoke_text(*report))
    return 0
