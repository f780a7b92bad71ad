"""The data files that come with hettui: in the package as the wheel has them, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2]


def resource_folder(name: str) -> Path:
    """The folder `themes` or `sample_configs`."""
    packaged = _PACKAGE / f"_{name}"
    return packaged if packaged.is_dir() else _PACKAGE.parent / name
