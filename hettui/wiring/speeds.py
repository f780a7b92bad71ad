"""What is known of the devices' speeds, and how it is forgotten."""

from __future__ import annotations

import time

from hettui.adapters.files.learned_file import load_learned, save_learned
from hettui.adapters.files.paths import memory_dir
from hettui.domain.devices.found import Found
from hettui.domain.speed.report import KnownSpeed, known_speed_of


def known_speeds(found: Found) -> tuple[list[KnownSpeed], str]:
    """Of every device that was ever measured, and a sentence about what was set aside."""
    learned, now_s = load_learned(memory_dir()), time.time()
    known = [known_speed_of(key, evidence, found.hardware, now_s) for key, evidence in learned.speeds.items()]
    return known, learned.set_aside


def forget_speeds() -> int:
    """Of how many devices something was known."""
    learned = load_learned(memory_dir())
    count = learned.forget_speeds()
    save_learned(memory_dir(), learned)
    return count
