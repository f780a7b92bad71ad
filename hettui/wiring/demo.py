"""The demo cluster: real llama.cpp processes on this machine's CPU, and on its GPUs where there are any."""

from __future__ import annotations

from dataclasses import replace

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import Progress, demo_model
from hettui.domain.config.inventory import assemble
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Device
from hettui.domain.errors import EngineError
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.session.session import Session
from hettui.domain.units import MIB
from hettui.wiring.sessions import engine_or_problem, look_around, open_session

BUDGETS_BYTES = {"big": 240 * MIB, "middle": 180 * MIB, "small": 90 * MIB}
"""16 : 12 : 6, as the memories of an RTX 5080, an RTX 3060 and a GTX 1660 Super. No one of them holds it all."""

MAX_ANSWER_TOKENS = 256


def fetch_model(progress: Progress) -> None:
    """If need be: while one still sees how far it is. Raises HettuiError."""
    demo_model(cache_dir(), progress)


def demo_session(progress: Progress) -> Session:
    """Fetches the model if need be and opens the demo. Raises EngineError when there is no engine."""
    config = Config(
        model_path=str(demo_model(cache_dir(), progress)),
        # The master shares this machine's cores with the workers: a draft model would wait for them with every thread.
        params=RuntimeParams(ctx_size=8192, parallel=1, threads=1),
        # So small a model may well talk without end.
        serving=Serving(port=0, extra_args=("--predict", str(MAX_ANSWER_TOKENS))),
    )
    engine, problem = engine_or_problem(config)
    if engine is None:
        raise EngineError(f"{problem}; the demo's engine comes with: pip install 'hettui[demo]'")
    found = look_around(engine)
    cards = tuple(d for d in assemble(Config(), found.hardware) if not d.missing)
    workers = tuple(
        Device(name, via="worker", threads=1, budget_bytes=budget) for name, budget in BUDGETS_BYTES.items()
    )
    return replace(open_session(config, (*cards, *workers), (engine, found)), demo=True)
