"""What stands behind the screen of a live cluster: the engine, and the files that a screen reads and keeps."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hettui import __version__
from hettui.adapters.files.config_toml import drop_section, save_plan, save_values
from hettui.adapters.files.panes_file import load_panes, save_panes
from hettui.adapters.files.paths import (
    cache_path,
    last_model,
    memory_dir,
    remember_model,
)
from hettui.domain.bench.run import BenchOutcome, BenchRun
from hettui.domain.cluster.snapshot import ClusterSnapshot
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Host
from hettui.domain.errors import HettuiError
from hettui.domain.library.places import Completion
from hettui.domain.plan.plan import Plan
from hettui.domain.screen.panes import PanesState
from hettui.domain.session.room import Room, room_as_read
from hettui.domain.session.session import Session
from hettui.domain.telemetry.readings import TelemetrySnapshot
from hettui.services.chat.keeper import ChatKeeper
from hettui.services.cluster.world import Request
from hettui.services.engine import Engine
from hettui.services.events import ClusterChanged, Event, Notice, TelemetryUpdated
from hettui.services.host_desk import HostDesk
from hettui.services.learner import Learner
from hettui.wiring.sessions import api_key, drafted_by, open_session, request_for, with_model

if TYPE_CHECKING:
    from hettui.domain.doctor.finding import Finding
    from hettui.services.library.search import ModelCatalogue, ModelSearch, PathCompleter
    from hettui.services.model_desk import ModelDesk
    from hettui.services.tuning import TuneJob


class ScreenBackend:
    """Implements Backend."""

    def __init__(
        self,
        engine: Engine,
        opener: Callable[[], Session],
        learner: Learner,
        chats: ChatKeeper,
        read_only: str | None = None,
        tell_hosts: Callable[[Sequence[Host]], None] = lambda hosts: None,
        claim: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`claim` makes this hettui the cluster's owner, or says why not."""
        self._claim = claim
        self._tell_hosts = tell_hosts
        self.engine = engine
        self.chats = chats
        self.read_only = read_only
        self.leaves = False
        """The user chose to leave the cluster running."""
        self.panes = PanesState()
        self._config = Config()
        self._opener = opener
        self._learner = learner
        self._idle: TelemetrySnapshot | None = None
        """The last readings, if nothing of the cluster ran then."""
        engine.subscribe(learner)
        engine.subscribe(self._note_readings)

    @cached_property
    def _catalogue(self) -> ModelCatalogue:
        from hettui.adapters.library.finder import ModelFiles
        from hettui.services.library.search import ModelCatalogue

        return ModelCatalogue(ModelFiles(Path.home(), os.environ, cache_path()))

    @cached_property
    def hosts(self) -> HostDesk:
        from hettui.wiring.host_desk import HostDeskAdapter

        return HostDeskAdapter(self._tell_hosts)

    @cached_property
    def model_desk(self) -> ModelDesk:
        from hettui.wiring.model_desk import ModelDeskAdapter

        return ModelDeskAdapter()

    def open(self) -> Session:
        session = self._opener()
        self._config = session.config
        self._tell_hosts(session.cluster.hosts if session.cluster else session.config.hosts)
        if session.learned.set_aside:
            self.engine.publish(Notice(session.learned.set_aside))
        self.panes = load_panes(memory_dir())
        return session

    def begin(self) -> None:
        self.engine.take_over(self._key, self._config.supervision)

    @property
    def _key(self) -> str | None:
        try:
            return api_key(self._config)
        except HettuiError:
            # Told when it is needed: what runs is taken over all the same.
            return None

    def own(self) -> str | None:
        if self.read_only is None:
            return None
        if reason := self._claim():
            return reason
        self.read_only = None
        self.engine.own(self._key, self._config.supervision)
        return None

    def look(self, session: Session) -> Session:
        # A demo's devices are its own, whatever else is in the machine.
        return session if session.demo else open_session(session.config)

    def leave_running(self) -> None:
        self.leaves = True

    def runs_on(self, hangup: bool) -> bool:
        """Whether the cluster outlives an end that nobody answers questions at."""
        return (self._config.on_hangup if hangup else self._config.on_exit) == "leave"

    def with_model(self, session: Session, path: str) -> Session:
        other = with_model(session, path)
        if other.config.path is None and other.config.model_path is not None and not other.demo:
            remember_model(other.config.model_path)
        return other

    def with_draft(self, session: Session, plan: Plan, path: str | None) -> Session:
        return drafted_by(session, plan, path)

    def find_models(self, session: Session, changed: Callable[[], None]) -> ModelSearch:
        config = session.config
        return self._catalogue.search(
            config.model_folders, config.model_path, session.surroundings, session.learned, changed
        )

    def path_completer(self, tell: Callable[[str, Completion], None]) -> PathCompleter:
        from hettui.services.library.search import PathCompleter

        return PathCompleter(self._catalogue.finder, tell)

    def first_run(self, session: Session) -> bool:
        unknown = session.config.path is None and session.config.model_path is None
        return unknown and self.read_only is None and last_model() is None

    def write_config(self, session: Session) -> Session:
        from hettui.wiring.init import write_for

        self._config = write_for(session)
        return replace(session, config=self._config)

    def request(self, session: Session, plan: Plan, *, force: bool = False) -> Request:
        request = request_for(session, plan, force=force, room=self._room(plan))
        self._learner.expect(session)
        return request

    def preflight(self, session: Session) -> str:
        from hettui.domain.doctor.checks import before_a_start
        from hettui.domain.doctor.report import in_short
        from hettui.wiring.doctor import quick_facts

        return in_short(before_a_start(quick_facts(session)))

    def examine(self, session: Session) -> list[Finding]:
        from hettui.domain.doctor.checks import examined
        from hettui.wiring.doctor import local_facts

        return list(examined(local_facts(session.config.path, ask_hosts=True)))

    def tune_job(self, session: Session, plan: Plan) -> TuneJob:
        from hettui.wiring.tuning import job_of

        return job_of(session, plan, lambda wanted: self.request(session, wanted))

    def _note_readings(self, event: Event) -> None:
        """On the engine's thread."""
        if isinstance(event, TelemetryUpdated):
            self._idle = None if self.engine.snapshot.processes else event.snapshot
        elif isinstance(event, ClusterChanged) and event.snapshot.processes:
            self._idle = None

    def _room(self, plan: Plan) -> Room:
        """While the cluster runs its own memory is not told apart with certainty: then nothing is known."""
        from hettui.adapters.machine.psutil_host import cpu_hardware

        idle = self._idle
        return Room() if idle is None else room_as_read(plan.devices, idle, cpu_hardware().free_bytes)

    def editor(self) -> Callable[[str], str]:
        from hettui.adapters.machine.editor import UserEditor

        return UserEditor(os.environ).edit

    def bench_runs(self, session: Session) -> list[BenchRun]:
        from hettui.wiring.bench import bench_folder

        return bench_folder().runs(session.title)

    def keep_bench(self, session: Session, measured: ClusterSnapshot, outcome: BenchOutcome) -> BenchRun:
        from hettui.adapters.machine.facts import machine_facts
        from hettui.domain.bench.setting import setting_of
        from hettui.wiring.bench import finished_run, keep

        facts, limits_w = outcome.facts, outcome.limits_w
        setting = setting_of(session, measured, facts, machine_facts(), __version__, limits_w)
        return keep(finished_run(outcome.plan, outcome, setting, lambda done, total: None))

    def keep_panes(self, state: PanesState) -> None:
        if self.read_only is None:
            save_panes(memory_dir(), state)

    def save(self, session: Session, plan: Plan) -> str | None:
        path, model = session.config.path, session.config.model_path
        if path is None:
            return None
        if model is not None and model != self._config.model_path:
            # Layers of one model with the path of another could not be opened again.
            save_values(path, {("model", "path"): model})
            self._config = replace(self._config, model_path=model)
        self._save_draft(path, session)
        save_plan(path, plan, plan.asked(session.config.params))
        return path

    def _save_draft(self, path: str, session: Session) -> None:
        """One that was chosen on the screen, or taken away there."""
        was, now = self._config.params.draft, session.config.params.draft
        model = now.model if now is not None and now.has_model else None
        if model == (was.model if was is not None and was.has_model else None):
            return
        if model is None or (was is not None and not was.has_model):
            # What the section says of another kind of speculation means nothing beside a model.
            drop_section(path, "draft")
        if model is not None:
            save_values(path, {("draft", "model"): model})
        self._config = replace(self._config, params=replace(self._config.params, draft=now))

    def keep_theme(self, session: Session, name: str) -> str | None:
        if session.config.path is None:
            return None
        save_values(session.config.path, {("ui", "theme"): name})
        return session.config.path
