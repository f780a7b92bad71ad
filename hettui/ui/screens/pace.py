"""How often the sensors are asked."""

from __future__ import annotations

from hettui.services.backend import EngineFacade

INTERVALS_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Between two rounds of readings."""
RESTING_INTERVAL_S = 5.0
"""While no card is to be seen: alerts still want to know."""
_USUAL_S = 1.0


class SensorPace:
    """Tells the engine when it changes."""

    def __init__(self, engine: EngineFacade) -> None:
        self._engine = engine
        self._wanted_s = self._asked_s = _USUAL_S

    @property
    def fastest(self) -> bool:
        """They cannot be asked more often."""
        return self._wanted_s == INTERVALS_S[0]

    @property
    def slowest(self) -> bool:
        return self._wanted_s == INTERVALS_S[-1]

    def change(self, steps: int) -> str:
        """More readings, or fewer: on a slow line, or on a laptop's battery. What there is to say of it."""
        place = INTERVALS_S.index(self._wanted_s) - steps
        self._wanted_s = INTERVALS_S[min(max(place, 0), len(INTERVALS_S) - 1)]
        return f"the sensors are asked every {self._wanted_s:g} s"

    def keep(self, *, seen: bool) -> None:
        """Asks as often as is wanted, or seldom while no card is `seen` and no answer is written: while one is, the
        readings tell how long each device takes for its part."""
        wanted_s = self._wanted_s if seen else max(self._wanted_s, RESTING_INTERVAL_S)
        if wanted_s != self._asked_s:
            self._asked_s = wanted_s
            self._engine.sample_every(wanted_s)
