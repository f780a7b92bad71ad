"""What the first frame does without, imported right after it, so that no key waits for an import.

And so that all of one version is in memory soon: a hettui that is upgraded while it runs must not mix two.
"""

from __future__ import annotations

import threading
from importlib import import_module

from hettui.ui.terminal.collector import calm_collector

MODULES = (
    "hettui.domain.bench.compare",
    "hettui.domain.bench.report",
    "hettui.domain.chat.figures",
    "hettui.domain.cluster.evidence",
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
    "hettui.services.bench",
    "hettui.services.library.search",
    "hettui.services.tuning",
    "hettui.adapters.engines.shelf",
    "hettui.adapters.library.finder",
    "hettui.adapters.llama.picture_files",
    "hettui.adapters.machine.editor",
    "hettui.ui.drawing.bench_plot",
    "hettui.ui.palette",
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
    "hettui.ui.dialogs.post_mortem",
    "hettui.ui.dialogs.settings",
    "hettui.ui.dialogs.themes",
    "hettui.ui.dialogs.tune",
    "hettui.ui.dialogs.welcome",
    "hettui.ui.panes.aside",
    "hettui.ui.widgets.markdown_rows",
    "hettui.ui.widgets.streams",
    "hettui.wiring.bench",
    "hettui.wiring.doctor",
    "hettui.wiring.host_desk",
    "hettui.wiring.init",
    "hettui.wiring.model_desk",
    "hettui.wiring.tuning",
)
"""Whatever is imported inside a function that the main screen can come to."""


def when_shown() -> None:
    """Once, when the main screen stands."""
    calm_collector()
    threading.Thread(target=import_the_rest, name="imports", daemon=True).start()


def import_the_rest() -> None:
    for name in MODULES:
        import_module(name)
