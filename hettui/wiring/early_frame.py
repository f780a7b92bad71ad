"""The early frame stands on the terminal before Textual is imported, where the session is open by then.

What imports Textual here imports it too late: `python -m tests.lean` holds what is loaded until it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hettui.adapters.files.panes_file import load_panes
from hettui.adapters.files.paths import memory_dir
from hettui.adapters.machine.first_terminal import FirstTerminal, terminal_size
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.errors import ConfigError
from hettui.domain.planner.objectives import remembered
from hettui.domain.session.session import Session
from hettui.ui.colours.theme_file import ThemeColours, plain_colour, read_theme
from hettui.ui.first_frame import Begin, FirstFrame, first_frame
from hettui.ui.presenting.known import Known
from hettui.ui.terminal.cells import Picture
from hettui.wiring.looks import Looks

if TYPE_CHECKING:
    from hettui.ui.terminal.begun import Begun


class EarlyFrame(FirstTerminal):
    """Implements Begun once it stands. It is written where the session has been opened, on its thread."""

    def __init__(self, looks: Looks, read_only: str | None) -> None:
        """`read_only` as for the screen."""
        super().__init__()
        self._looks = looks
        self._read_only = read_only
        self._trouble: BaseException | None = None
        self.picture = Picture()

    def show(self, session: Session) -> None:
        """On any thread, with the session as the screen will show it."""
        try:
            frame = self._frame(session)
            if frame is not None:
                self.picture = frame.picture
                self.take(frame.text)
        except Exception as error:
            self._trouble = error

    @property
    def begun(self) -> Begun | None:
        """None when it does not stand: then it will not any more. Raises what went wrong with it."""
        stands = self.leave()
        if self._trouble is not None:
            raise self._trouble
        return self if stands else None

    def _frame(self, session: Session) -> FirstFrame | None:
        theme = self._colours(self._looks.theme or session.config.theme)
        panes = load_panes(memory_dir())
        welcomed = session.config.path is None and session.config.model_path is None
        if theme is None or welcomed:
            return None
        known = Known(session, ClusterSnapshot(ClusterState.LOOKING))
        # What would be searched for is left out, and stands there when it is found.
        facts = known.facts(
            mark="READ-ONLY" if self._read_only else "", closed=bool(self._read_only), search=remembered
        )
        begin = Begin(facts, known.shown.place, known.editor.history, panes, self._read_only or "")
        return first_frame(begin, terminal_size(), theme, self._looks.terminal)

    def _colours(self, name: str) -> ThemeColours | None:
        """None where one cannot tell without Textual."""
        found: ThemeColours | None = None
        for path, data in self._looks.themes.parsed.items():
            if data.get("name") == name:
                try:
                    found = read_theme(path, data, plain_colour)
                except ConfigError:
                    return None
        return found
