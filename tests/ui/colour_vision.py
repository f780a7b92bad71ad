"""How colours look to eyes that do not tell red from green, and how far apart two colours are."""

from __future__ import annotations

import math

from hettui.ui.colours.colour_math import RGB, linear

Light = tuple[float, float, float]

# Machado, Oliveira and Fernandes 2009, severity 1.0: on linear light.
NORMAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
PROTANOPIA = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
DEUTERANOPIA = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
EYES = (NORMAL, PROTANOPIA, DEUTERANOPIA)

# sRGB's primaries in CIE XYZ, divided by the white of D65.
_TO_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)


def _times(matrix: tuple[Light, ...], light: Light) -> Light:
    red, green, blue = (sum(k * part for k, part in zip(row, light, strict=True)) for row in matrix)
    return red, green, blue


def lab(color: RGB, eye: tuple[Light, ...]) -> Light:
    """CIE L*a*b* of what such an eye sees."""
    red, green, blue = map(linear, color)
    seen = tuple(min(1.0, max(0.0, part)) for part in _times(eye, (red, green, blue)))
    x, y, z = (
        part ** (1 / 3) if part > 216 / 24389 else (24389 / 27 * part + 16) / 116
        for part in _times(_TO_XYZ, (seen[0], seen[1], seen[2]))
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def difference(one: RGB, other: RGB) -> float:
    """CIE 1976's ΔE to the eye that tells these two least; about 2.3 is just noticed side by side."""
    return min(math.dist(lab(one, eye), lab(other, eye)) for eye in EYES)
