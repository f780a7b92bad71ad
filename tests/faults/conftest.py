"""The real engine under a rig that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hettui.adapters.files.paths import cache_dir
from hettui.adapters.library.demo_model import demo_model
from tests.faults.rig import Rig


@pytest.fixture(scope="session")
def model() -> Path:
    """SmolLM2, fetched once for all runs."""
    return demo_model(cache_dir(), lambda done, total: None)


@pytest.fixture
def rig(tmp_path: Path, model: Path) -> Iterator[Rig]:
    built = Rig(tmp_path, model)
    yield built
    built.clear()
