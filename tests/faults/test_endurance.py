"""Small counts of what `tests.faults.sequences` and `tests.faults.cycles` do in large ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults import cycles, sequences

pytestmark = pytest.mark.engine

SEED = int(os.environ.get("SEQUENCE_SEED", "1000"))


@pytest.mark.parametrize("seed", range(SEED, SEED + 8))
def test_random_commands_leave_what_the_record_says(tmp_path: Path, model: Path, seed: int) -> None:
    print(f"seed {seed}")
    sequences.run_one(tmp_path, model, seed)


def test_start_and_stop_keep_nothing(tmp_path: Path, model: Path) -> None:
    readings = cycles.run(5, model, tmp_path, 1)
    # The first cycle imports and connects what is kept for good.
    settled, last = readings[1], readings[-1]
    assert last.descriptors <= settled.descriptors
    assert last.threads <= settled.threads
    assert last.children == 0
    assert last.resident_kib - settled.resident_kib < 4 * cycles.KIB
