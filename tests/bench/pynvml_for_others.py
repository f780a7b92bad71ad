"""The scripted cards of `tests.bench.gauges` for any program that imports pynvml, by its real package's constants.

Written to a folder of its own as `pynvml.py`, in front of PYTHONPATH; `HETTUI_BENCH_PYNVML` is the real module's file,
`HETTUI_BENCH_CARDS` the number of cards, `HETTUI_BENCH_STILL=1` lets no reading change.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any

from tests.bench.gauges import scripted
from tests.fake_nvml import NVMLError as FakeError

_spec = importlib.util.spec_from_file_location("real_pynvml", os.environ["HETTUI_BENCH_PYNVML"])
assert _spec is not None
assert _spec.loader is not None
_real = importlib.util.module_from_spec(_spec)
sys.modules["real_pynvml"] = _real
_spec.loader.exec_module(_real)
globals().update({name: value for name, value in vars(_real).items() if not name.startswith("__")})
_fake = scripted(int(os.environ["HETTUI_BENCH_CARDS"]), still=os.environ.get("HETTUI_BENCH_STILL") == "1")
_UNSUPPORTED = 3


def _answer(name: str) -> Any:
    def ask(*arguments: Any, **named: Any) -> Any:
        try:
            return getattr(_fake, name)(*arguments)
        except (FakeError, AttributeError) as error:
            raise _real.NVMLError(getattr(error, "value", _UNSUPPORTED)) from None

    ask.__name__ = name
    return ask


for _name in list(vars(_real)):
    if _name.startswith(("nvmlDevice", "nvmlSystem", "nvmlInit", "nvmlShutdown")) and callable(getattr(_real, _name)):
        globals()[_name] = _answer(_name)


def nvmlInitWithFlags(flags: int) -> None:  # noqa: N802 - NVML's own names
    pass


def nvmlSystemGetCudaDriverVersion() -> int:  # noqa: N802
    return 13000
