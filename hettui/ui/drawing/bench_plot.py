"""Earlier runs of one model as bars over one scale that begins at 0: a tenth more looks like a tenth more."""

from __future__ import annotations

from collections.abc import Sequence

_LEVELS = " ▁▂▃▄▅▆▇█"
HEIGHT = 4


def history_plot(values: Sequence[float], width: int, height: int = HEIGHT) -> list[str]:
    """`height` rows of at most `width` cells, the newest at the right; the scale's top stands at the left."""
    if not values:
        return []
    top = max(values)
    label = f"{top:.1f}"
    room = max(1, width - len(label) - 2)
    shown = values[-room:] if len(values) > room else values
    cells = 2 if 2 * len(shown) <= room else 1
    rows = []
    for row in range(height - 1, -1, -1):
        bars = ""
        for value in shown:
            eighths = round(value / top * height * 8) if top > 0 else 0
            glyph = _LEVELS[min(8, max(0, eighths - row * 8))]
            bars += glyph + " " * (cells - 1)
        name = label if row == height - 1 else "0" if row == 0 else ""
        rows.append(f"{name:>{len(label)}} ▏{bars}".rstrip())
    return rows
