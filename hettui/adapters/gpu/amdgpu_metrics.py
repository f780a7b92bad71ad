"""What holds an AMD card's clocks down, from the driver's table of readings (`gpu_metrics`).

The table is binary and has many versions. Only 1.3 is read, which the cards from RDNA 1 to RDNA 4 and MI100 and MI200
use: its `indep_throttle_status` has the same bits for all of them. Layout and bits: kgd_pp_interface.h and
amdgpu_smu.h of the kernel.
"""

from __future__ import annotations

import struct

from hettui.domain.records import dataclass
from hettui.domain.telemetry.readings import Throttle

_SIZE = 120
_HEADER = struct.Struct("<HBB")
"""Size of the table, version, revision."""
_STATUS = struct.Struct("<Q")
_STATUS_AT = 112

_POWER_BITS = 0xFF
"""PPT0 to PPT3, SPL, FPPT, SPPT, SPPT of an APU."""
_MEMORY_BIT, _EDGE_BIT, _HOTSPOT_BIT = 1 << 34, 1 << 35, 1 << 36

_NEAR_C = 5.0
_NEAR_POWER = 0.93


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the sensors say themselves: value and limit of each, None where one of them is not known."""

    edge_c: tuple[float | None, float | None] = (None, None)
    junction_c: tuple[float | None, float | None] = (None, None)
    memory_c: tuple[float | None, float | None] = (None, None)
    power_w: tuple[float | None, float | None] = (None, None)


def throttles(table: bytes | None, evidence: Evidence) -> tuple[Throttle, ...] | None:
    """The reasons; None when the table is of another version or says what the sensors do not bear out.

    Newer firmware sets a bit as soon as its regulator is at work at all: cards far below every limit, at full clocks,
    report their hot spot for hours. A reason counts when the sensor it speaks of is near its limit as well.
    """
    if table is None or len(table) < _SIZE or _HEADER.unpack_from(table) != (_SIZE, 1, 3):
        return None
    (status,) = _STATUS.unpack_from(table, _STATUS_AT)
    if status == 0:
        return ()
    found = []
    heat = ((_EDGE_BIT, evidence.edge_c), (_HOTSPOT_BIT, evidence.junction_c), (_MEMORY_BIT, evidence.memory_c))
    if any(status & bit and _is_near_heat(*reading) for bit, reading in heat):
        found.append(Throttle.HOT)
    if status & _POWER_BITS and _is_near_power(*evidence.power_w):
        found.append(Throttle.POWER_LIMIT)
    return tuple(found) or None


def _is_near_heat(value_c: float | None, limit_c: float | None) -> bool:
    return value_c is not None and limit_c is not None and value_c >= limit_c - _NEAR_C


def _is_near_power(value_w: float | None, limit_w: float | None) -> bool:
    return value_w is not None and limit_w is not None and limit_w > 0 and value_w >= limit_w * _NEAR_POWER


def is_apu(table: bytes | None) -> bool:
    """Versions 2 and 3 are the tables of processors with graphics inside."""
    return table is not None and len(table) >= _HEADER.size and _HEADER.unpack_from(table)[1] in (2, 3)
