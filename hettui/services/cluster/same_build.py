"""Whether the llama.cpp of another machine goes with the one here, asked before a master is started."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.errors import LaunchError
from hettui.domain.hosts.worker import sum_in
from hettui.domain.llama.build import EngineInfo
from hettui.domain.llama.protocol import Version, refusal, word
from hettui.services.cluster.world import OwnBuild
from hettui.services.events import Event, Notice


class SameBuild:
    """Remembers of which hosts it was said that they have another build."""

    def __init__(self, own: OwnBuild, emit: Callable[[Event], None]) -> None:
        self._own = own
        self._emit = emit
        self._told: set[tuple[str, str]] = set()

    async def check(self, spec: ProcessSpec, engine: EngineInfo, version: Version, log: Sequence[str]) -> None:
        """`version` is the worker's answer, `log` what its holder has written. Raises LaunchError when the master
        could not use it."""
        own = await self._own.protocol(engine)
        if own is None:
            # Without an rpc server here nobody knows; the master will say it.
            return
        remedy = f"install the same build there: hettui hosts push --host {spec.host}"
        if (reason := refusal(spec.device or spec.name, spec.host, own, version, remedy)) is not None:
            raise LaunchError(reason)
        there = sum_in(log)
        if there is None or (spec.host, there) in self._told or there == await self._own.sum(engine):
            return
        self._told.add((spec.host, there))
        self._emit(Notice(word(spec.host, version)))
