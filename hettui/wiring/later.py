"""What the first frame does without, imported right after it, so that no key waits for an import.

And so that all of one version is in memory soon: a hettui that is upgraded while it runs must not mix two.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module

from hettui.services.events import ClusterChanged, Event
from hettui.ui.terminal.collector import calm_collector, keep

MODULES = (
    "hettui.domain.chat.figures",
    "hettui.domain.library.found",
    "hettui.domain.library.fit",
    "hettui.domain.chat.parallel",
    "hettui.domain.doctor.checks",
    "hettui.domain.doctor.report",
    "hettui.domain.llama.beside_words",
    "hettui.domain.llama.drafting",
    "hettui.domain.memory.tensor_forecast",
    "hettui.domain.planner.placing",
    "hettui.domain.planner.shared_pace",
    "hettui.domain.session.choices",
    "hettui.domain.session.imagined",
    "hettui.domain.session.plan_report",
    "hettui.services.library.search",
    "hettui.adapters.engines.shelf",
    "hettui.adapters.library.finder",
    "hettui.adapters.llama.picture_files",
    "hettui.adapters.machine.editor",
    "hettui.ui.dialogs.add_card",
    "hettui.ui.dialogs.ask",
    "hettui.ui.dialogs.chat_list",
    "hettui.ui.dialogs.chat_settings",
    "hettui.ui.dialogs.choices",
    "hettui.ui.dialogs.doctor",
    "hettui.ui.dialogs.draft_picker",
    "hettui.ui.dialogs.help",
    "hettui.ui.dialogs.hosts",
    "hettui.ui.dialogs.jump",
    "hettui.ui.dialogs.model_picker",
    "hettui.ui.dialogs.model_work",
    "hettui.ui.dialogs.model_works",
    "hettui.ui.dialogs.settings",
    "hettui.ui.dialogs.themes",
    "hettui.ui.dialogs.tune",
    "hettui.ui.dialogs.welcome",
    "hettui.ui.panes.aside",
    "hettui.wiring.doctor",
    "hettui.wiring.host_desk",
    "hettui.wiring.init",
    "hettui.wiring.model_desk",
)
"""Whatever is imported inside a function that the main screen can come to, and does not need a cluster that runs: but
for Textual's palette, a megabyte that is imported when it is opened."""

ONCE_RUNNING = (
    "hettui.domain.bench.compare",
    "hettui.domain.bench.report",
    "hettui.domain.cluster.evidence",
    "hettui.services.bench",
    "hettui.services.tuning",
    "hettui.ui.dialogs.post_mortem",
    "hettui.ui.drawing.bench_plot",
    "hettui.ui.widgets.markdown_rows",
    "hettui.ui.widgets.streams",
    "hettui.wiring.bench",
    "hettui.wiring.tuning",
)
"""What talks with a cluster, measures it, and shows what it says: until one runs nobody waits for it, and it holds
4 MiB, most of them the parser and the highlighter of answers."""


class Later:
    """Imports on threads of its own: when the main screen stands, and when a cluster runs, too."""

    def __init__(self) -> None:
        self._door = threading.Lock()
        self._awaited = {"screen", "cluster"}

    def when_shown(self) -> None:
        """Once, when the main screen stands."""
        calm_collector()
        _begin(import_the_rest)
        self._come("screen")

    def hear(self, event: Event) -> None:
        """What the engine says, on its thread."""
        if self._awaited and isinstance(event, ClusterChanged) and event.snapshot.processes:
            self._come("cluster")

    def _come(self, what: str) -> None:
        with self._door:
            due = self._awaited == {what}
            self._awaited.discard(what)
        if due:
            _begin(import_for_what_runs)


def import_the_rest() -> None:
    for name in MODULES:
        import_module(name)
    keep()


def import_for_what_runs() -> None:
    for name in ONCE_RUNNING:
        import_module(name)
    keep()


def _begin(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="imports", daemon=True).start()
