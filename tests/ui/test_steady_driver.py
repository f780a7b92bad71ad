"""A terminal that is gone is not begun again: the kernel sends SIGCONT behind its SIGHUP."""

from __future__ import annotations

import pytest

from hettui.ui.terminal.begun import SteadyDriver


@pytest.mark.parametrize("suspended", [False, True])
def test_it_begins_again_only_where_it_was_suspended(monkeypatch: pytest.MonkeyPatch, suspended: bool) -> None:
    begun: list[None] = []
    monkeypatch.setattr(SteadyDriver, "resume_application_mode", lambda _: begun.append(None))
    driver = SteadyDriver.__new__(SteadyDriver)
    driver._auto_restart, driver._must_signal_resume = True, suspended
    driver._sigcont_application()
    assert bool(begun) == suspended
