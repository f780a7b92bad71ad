"""What the planner aims at. Imports nothing of ours: the command parser needs it before anything else."""

from __future__ import annotations

from typing import Literal

Objective = Literal["balanced", "latency", "throughput", "fit"]
"""What the planner aims at."""

OBJECTIVES: tuple[Objective, ...] = ("balanced", "latency", "throughput", "fit")
