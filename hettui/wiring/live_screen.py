"""The screen over a real engine. Imported once the early frame stands: engine and Textual are most of a start."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from hettui.adapters.files.chat_store import ChatFolder
from hettui.adapters.files.learned_file import save_learned
from hettui.adapters.files.paths import log_dir, memory_dir
from hettui.adapters.hosts.watching import HostBook
from hettui.adapters.machine.limits import default_threads
from hettui.adapters.processes.run_folder import RunFolder
from hettui.domain.errors import HettuiError
from hettui.domain.session.session import Session
from hettui.services.backend import Backend
from hettui.services.chat.keeper import ChatKeeper
from hettui.services.learner import Learner, Times
from hettui.ui.terminal.lean_textual import import_without_palette
from hettui.wiring.backend import ScreenBackend
from hettui.wiring.early_frame import EarlyFrame
from hettui.wiring.ending import Ending, watching
from hettui.wiring.engine import build_engine
from hettui.wiring.later import Later
from hettui.wiring.looks import Looks
from hettui.wiring.ownership import owned_by

if TYPE_CHECKING:
    from hettui.ui.app import HettuiApp


def run_live(
    runs: RunFolder,
    opener: Callable[[], Session],
    looks: Looks,
    early: EarlyFrame,
    read_only: str | None,
    record: str | None,
) -> int:
    """`opener` waits for the session, which is open already where the early frame stands."""
    times = Times(cpu_threads=default_threads())
    learner = Learner(lambda learned: save_learned(memory_dir(), learned), times)
    chats = ChatKeeper(ChatFolder(memory_dir() / "chats", Path.cwd()))
    book = HostBook()
    with (
        closing(learner),
        closing(chats),
        build_engine(log_dir(), runs, read_only=read_only, takes_over=True, book=book) as engine,
        ExitStack() as stack,
    ):
        own = ScreenBackend(engine, opener, learner, chats, read_only, book.write, lambda: _claim(runs))
        backend, mark = _recorded(own, record, stack)
        begun, later = early.begun, Later()
        engine.subscribe(later.hear)
        app = _app()(
            backend,
            looks.themes,
            # Styled in another one first, everything would be styled twice.
            looks.theme if begun is None else looks.theme or opener().config.theme,
            [read_only] if read_only else [],
            mark,
            when_shown=later.when_shown,
            shelf=looks.shelf,
            terminal=looks.terminal,
            begun=begun,
        )
        ending = Ending(engine, app.exit_from_thread, own.runs_on, early.attributes or None)
        with watching(ending):
            error = app.run()
        leaves = own.leaves or ending.left or (app.crash is not None and own.runs_on(True))
        running = bool(engine.snapshot.processes) and own.read_only is None
        engine.close(leave=leaves)
    if leaves and running:
        print("hettui: the cluster runs on. hettui takes it over again, hettui down stops it.", file=sys.stderr)
    if trouble := app.crash or error:
        raise trouble
    return ending.code if ending.code is not None else app.return_code or 0


def _app() -> type[HettuiApp]:
    # Textual costs most of the start-up time: no other command should pay for it.
    import_without_palette()
    from hettui.ui.app import HettuiApp

    return HettuiApp


def _claim(runs: RunFolder) -> str | None:
    """Makes this process the owner, or says who is."""
    try:
        return None if runs.acquire() else owned_by(runs)
    except HettuiError as error:
        return str(error)


def _recorded(own: ScreenBackend, path: str | None, stack: ExitStack) -> tuple[Backend, Callable[[], str]]:
    """The backend, recorded where a path says so, and what the header says of that."""
    if path is None:
        return own, lambda: ""
    from hettui.wiring.replay import RecordedBackend, recorder_to

    recorder = stack.enter_context(recorder_to(path, own.engine))
    backend = own if recorder is None else RecordedBackend(own, recorder)
    return backend, lambda: "REC" if recorder and recorder.recording else ""
