"""The first start on a machine: from nothing to a plan that is kept, by keys, and not greeted a second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Terminal

pytestmark = [pytest.mark.engine, pytest.mark.tmux]


@pytest.fixture
def home(home: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Also without the models of whoever runs this."""
    return home | {"HOME": str(tmp_path)}


def test_three_keys_to_a_kept_plan(terminal: Terminal, home: dict[str, str], model: Path) -> None:
    terminal.run(size=(80, 24))
    shown = terminal.wait("the largest that fits")
    assert "llama.cpp" in shown
    terminal.send("Enter")
    shown = terminal.wait(f"{model.name.removesuffix('.gguf')[:8]}")
    terminal.wait("on these devices")
    terminal.send("Enter")
    shown = terminal.wait("Keep this model and these devices")
    assert "CPU 31" in shown
    terminal.send("y")
    terminal.wait("written:")
    config = Path(home["XDG_CONFIG_HOME"]) / "hettui" / "config.toml"
    assert f'path = "{model}"' in config.read_text()
    terminal.send("q")
    terminal.wait("EXIT=0")
    again = Terminal("again", home)
    try:
        again.run(size=(80, 24))
        shown = again.wait("the plan fits")
        assert "Welcome" not in shown
    finally:
        again.close()
