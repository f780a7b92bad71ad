"""What was forecast against what llama.cpp then reserved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hettui.domain.devices.device import HOST_KEY, Device
from hettui.domain.memory.forecast import Forecast, Memory
from hettui.domain.memory.layout import compute_error_bytes
from hettui.domain.model.shape import ModelShape
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line
from hettui.domain.units import MIB, mib

_PRINTED_BYTES = MIB // 25
"""llama.cpp prints MiB with two decimals, and a few buffers add up."""

_DRAFT_ERROR = 0.02


@dataclass(frozen=True, slots=True)
class Difference:
    """One buffer of one device that is further off than hettui says it may be."""

    device: str
    part: str
    forecast_bytes: int
    reserved_bytes: int

    @property
    def words(self) -> str:
        name = "the host" if self.device == HOST_KEY else clean_line(self.device, 40)
        return (
            f"{name}: {mib(self.reserved_bytes)} MiB of {self.part} reserved, {mib(self.forecast_bytes)} MiB forecast"
        )


def _draft_error(expected: Memory) -> int:
    """Of its buffers one is a forecast: by far the smallest."""
    return max(MIB, round(expected.draft_bytes * _DRAFT_ERROR))


def differences(
    shape: ModelShape, outlook: Forecast, measured: Mapping[str, Memory], devices: Sequence[Device]
) -> list[Difference]:
    """What is hettui's to explain; empty when everything is as forecast, or nothing was reported.

    `outlook` is the plain forecast, without what launches taught.
    """
    found = []
    names = [d.name for d in devices] + [HOST_KEY]
    for name, expected in zip(names, (*outlook.devices, outlook.host), strict=True):
        reserved = measured.get(name)
        if reserved is None:
            continue
        error = compute_error_bytes(shape, expected.compute_bytes)
        for part, forecast_bytes, reserved_bytes, tolerance in (
            ("weights", expected.weights_bytes, reserved.weights_bytes, 0),
            ("context", expected.context_bytes, reserved.context_bytes, 0),
            ("compute buffer", expected.compute_bytes, reserved.compute_bytes, error),
            ("draft", expected.draft_bytes, reserved.draft_bytes, _draft_error(expected)),
        ):
            if part == "draft" and outlook.draft is None:
                continue
            if abs(forecast_bytes - reserved_bytes) > tolerance + _PRINTED_BYTES:
                found.append(Difference(name, part, forecast_bytes, reserved_bytes))
    return found
