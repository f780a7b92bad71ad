"""Keeps the state file equal to what runs: written at every change, removed when nothing runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from hettui.domain.cluster.run_state import RunState
from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.errors import HettuiError
from hettui.ports import RunStore
from hettui.services.cluster.supervisor import Supervised
from hettui.services.cluster.world import Request
from hettui.services.events import Event, Notice


class RecordKeeper:
    """Writes only what differs from what it wrote last."""

    def __init__(self, store: RunStore, emit: Callable[[Event], None]) -> None:
        self._store = store
        self._emit = emit
        self._last: RunState | None = None
        self._wrote = False
        self._complained = False
        self.closed = False
        """What runs is somebody else's business now."""

    def write(
        self,
        request: Request | None,
        snapshot: ClusterSnapshot,
        processes: Sequence[Supervised],
        owners: dict[str, str],
    ) -> None:
        """A file that cannot be written is told once: the cluster runs on, but nobody could take it over."""
        if self.closed:
            return
        state = None
        if request is not None and processes:
            state = RunState(
                self._store.boot_id,
                os.getpid(),
                snapshot.state,
                request.cluster,
                request.split,
                tuple(p.record() for p in processes),
                owners,
                request.weights_bytes,
                request.config_path,
                request.demo,
                snapshot.problem,
                request.keeping,
                request.terms,
            )
        if self._wrote and state == self._last:
            return
        try:
            self._store.save(state)
        except HettuiError as error:
            if not self._complained:
                self._complained = True
                self._emit(Notice(f"{error}: another hettui could not take this cluster over", "warning"))
        else:
            self._last, self._wrote, self._complained = state, True, False
