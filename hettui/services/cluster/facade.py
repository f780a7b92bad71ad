"""What the engine has in hand: a cluster that it runs, or one of another hettui that it shows."""

from __future__ import annotations

from typing import Protocol

from hettui.domain.cluster.run_state import RunState
from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.ports import ContextFolder, LlamaClient
from hettui.services.cluster.world import Request, Supervision


class ClusterFacade(Protocol):
    """All methods run on the engine's loop; what becomes of them comes as events."""

    @property
    def follows_others(self) -> bool:
        """What changes is found by looking: nobody here changes it."""

    @property
    def snapshot(self) -> ClusterSnapshot: ...

    @property
    def client(self) -> LlamaClient | None:
        """Of the master; None while there is none to ask."""

    @property
    def model_path(self) -> str | None:
        """The model of what runs; None when nothing does."""

    @property
    def contexts(self) -> ContextFolder | None:
        """Where its slots can be saved; None where they cannot."""

    async def start(self, request: Request) -> None:
        """Returns when it is ready. Raises the reason when it fails, or when nothing may be changed."""

    async def stop(self, patience_s: float = 0.0) -> None:
        """Returns when it is gone; answers may end within `patience_s`. Raises HettuiError when nothing may be
        changed."""

    async def settled(self) -> None:
        """Returns when nothing is at work any more."""

    async def leave(self) -> None:
        """Everything runs on without us."""

    def expect_takeover(self) -> None:
        """Until `take_over` the state is not that nothing runs, but that nobody knows. Before anything else."""

    async def take_over(
        self, record: RunState | None, api_key: str | None = None, supervision: Supervision | None = None
    ) -> None:
        """Goes on with what the record says; None: nothing is recorded."""

    def read_logs(self) -> None:
        """What was written since the last time. Raises HettuiError or OSError where that cannot be read."""

    async def watch_slots(self) -> None:
        """Follows what requests do to the slots. Ends only where there is nothing to follow."""
