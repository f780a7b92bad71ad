"""Python's cycle collector beside a screen that must answer keys.

A full collection looks at every object: with Textual and everything else imported that takes a fifth of a second, in
which no key is taken, and a streaming answer sets one off every second. What is there after the start stays until the
end, so it is taken out of the collector's sight; the rest is looked at less often. Until then nothing is collected at
all (`hettui.cli` switches it off): what imports and the first frame leave behind is little, and looking for it took a
fifth of the time to that frame. What closed dialogs leave behind are cycles, a tenth of a megabyte each: they are
collected when nobody has pressed a key for a moment.
"""

from __future__ import annotations

import gc
import time

_THRESHOLDS = (10_000, 20, 50)
LOOK_S = 2.0
_REST_S = 1.0
_WORTH = 2
"""Collections of the youngest since the last full one: 20,000 objects more than went by themselves."""


def calm_collector() -> None:
    """Once, when the screen stands."""
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()


def keep() -> None:
    """What was imported since stays as well."""
    gc.freeze()


class RestingCollector:
    """A full collection when there is something to be collected, and nobody waits meanwhile."""

    def __init__(self) -> None:
        self._heard_s = 0.0

    def heard(self) -> None:
        """A key, or the mouse."""
        self._heard_s = time.monotonic()

    def look(self) -> None:
        """Every `LOOK_S`, on the screen's thread."""
        _, young, old = gc.get_count()
        worth = young + _THRESHOLDS[1] * old >= _WORTH
        if worth and gc.isenabled() and time.monotonic() - self._heard_s >= _REST_S:
            gc.collect()
