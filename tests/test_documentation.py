"""What README says of keys and configuration is what the program knows; its links and pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hettui.cli.commands import COMMANDS
from hettui.cli.parser import build_parser
from tests.documentation import MAN, PARTS, README, manual, written

PAGES = [README, *sorted((README.parent / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PARTS, ids=lambda page: page.name)
def test_the_generated_tables_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert written(text, page) == text, "run make docs"


def test_the_manual_page_is_up_to_date() -> None:
    assert MAN.read_text(encoding="utf-8") == manual(), "run make docs"


def test_links_lead_somewhere() -> None:
    links = [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target
    ]
    assert links
    assert not [(page.name, target) for page, target in links if not (page.parent / target).exists()]


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "screen"])
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([command, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"example: hettui {command}" in said
    assert any(f"hettui {command}" in page.read_text(encoding="utf-8") for page in PAGES)


def test_readme_is_short_and_every_page_is_in_the_contents() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 160
    contents = (README.parent / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in PAGES if page.parent.name == "docs"} - {"README.md"}
    assert not [name for name in pages if f"({name})" not in contents]


def test_the_rooms_that_are_named_are_there() -> None:
    """Files and folders in backticks, as from the package or from the repository."""
    text = (README.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {
        name
        for name in re.findall(r"`([a-z_]+(?:/[a-z_]+)+(?:\.py)?/?)`", text)
        if name.split("/")[0] in ("hettui", "domain", "services", "adapters", "ui", "wiring", "cli", "tests")
    }
    assert "domain/plan/split" in named
    roots = (README.parent, README.parent / "hettui")
    gone = [n for n in named if not any((r / n).exists() or (r / f"{n}.py").exists() for r in roots)]
    assert not gone
