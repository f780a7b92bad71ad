"""Python's cycle collector beside a screen that must answer keys.

A full collection looks at every object: with Textual and everything else imported that takes a fifth of a second, in
which no key is taken, and a streaming answer sets one off every second. What is there after the start stays until the
end, so it is taken out of the collector's sight; the rest is looked at less often. Until then nothing is collected at
all (`hettui.cli` switches it off): what imports and the first frame leave behind is little, and looking for it took a
fifth of the time to that frame.
"""

from __future__ import annotations

import gc

_THRESHOLDS = (10_000, 20, 50)


def calm_collector() -> None:
    """Once, when the screen stands."""
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()
