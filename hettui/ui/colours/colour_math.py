"""What colours are to the eye: WCAG's contrast, and distances in OKLab. Colours are red, green and blue, 0 to 255."""

from __future__ import annotations

RGB = tuple[int, int, int]


def rgb_of(text: str) -> RGB:
    """Of `#RRGGBB`; what stands behind that, as Textual writes a colour that is not opaque, is left out. Raises
    ValueError for other words."""
    if text[:1] != "#" or len(text) not in (7, 9) or not text[1:].isalnum():
        raise ValueError(f"{text!r} is not #RRGGBB")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def linear(value: int) -> float:
    """One channel of sRGB as light, 0 to 1."""
    part = value / 255
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def luminance(color: RGB) -> float:
    """WCAG's relative luminance, 0 to 1."""
    red, green, blue = map(linear, color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: RGB, other: RGB) -> float:
    """WCAG's contrast ratio, 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def oklab(color: RGB) -> tuple[float, float, float]:
    """Lightness 0 to 1, green to red, blue to yellow (Björn Ottosson's OKLab): distances are about what one sees."""
    red, green, blue = map(linear, color)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )
