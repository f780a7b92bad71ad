"""Writes the tables of README and docs that the program itself knows: `make docs`. A test holds that they are up to
date."""

from __future__ import annotations

from pathlib import Path

from hettui.cli.described import commands_of
from hettui.cli.man import page as page_of
from hettui.cli.parser import build_parser
from hettui.domain.config.schema import SECTIONS, Key
from hettui.domain.devices.common_cards import CARDS
from hettui.domain.doctor.checks import BY_ID, CHECKS
from hettui.domain.doctor.finding import by_urgency
from hettui.domain.doctor.generations import CUDA_DRIVERS, FROM_MEMORY, GENERATIONS, READ_ON, SOURCE
from hettui.domain.screen.actions import ACTIONS
from hettui.domain.screen.keymap import DEFAULT
from tests.doctor_facts import WRONG
from tests.seed_rig import doctor_page

README = Path(__file__).resolve().parent.parent / "README.md"
DOCS = README.parent / "docs"
DOCTOR, KEYS, CONFIGURATION = DOCS / "doctor.md", DOCS / "keys.md", DOCS / "configuration.md"


def begin(name: str) -> str:
    return f"<!-- {name}: written by make docs -->"


END = "<!-- end -->"


def configuration() -> str:
    """Every key of the configuration."""
    lines = []
    for section in SECTIONS:
        heading = f"[[{section.name}]]" if section.many else f"[{section.name}]"
        lines += [f"**`{heading}`** {section.doc}", "", "| key | default | what | allowed |", "|---|---|---|---|"]
        lines += [
            f"| `{key.name}` | {_default(key)} | {_cell(key.doc)} | {_cell(key.allowed)} |" for key in section.keys
        ]
        lines.append("")
    return "\n".join(lines).rstrip()


def _default(key: Key) -> str:
    if key.required:
        return "needed"
    if key.default is None:
        return "–"
    return f"`{str(key.default).lower() if isinstance(key.default, bool) else key.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def keys() -> str:
    """Every action: its keys, what it does, and its name for `[keys]`."""
    lines = ["| key | does | name |", "|---|---|---|"]
    group = None
    for action in ACTIONS:
        if action.group != group:
            group = action.group
            lines.append(f"| **{group}** | | |")
        shown = " ".join(f"`{key}`" for key in DEFAULT.all_shown(action.id).split()) or "palette"
        name = "" if action.fixed else f"`{action.id}`"
        lines.append(f"| {_cell(shown)} | {_cell(action.sentence)} | {name} |")
    return "\n".join(lines)


def checks() -> str:
    """Every check with what it says on a scripted machine on which something is wrong."""
    lines = ["| check | asks | for example |", "|---|---|---|"]
    for check in CHECKS:
        one = by_urgency(BY_ID[check.id].look(WRONG[check.id]))[0]
        remedy = f" → {one.remedy}" if one.remedy else ""
        command = f" `{_cell(one.command)}`" if one.command else ""
        quick = " ¹" if check.quick else ""
        said = f"{one.severity}: {_cell(one.words)}{_cell(remedy)}{command}"
        lines.append(f"| `{check.id}`{quick} | {_cell(check.asks)} | {said} |")
    return "\n".join(lines)


def generations() -> str:
    """Drivers and CUDA releases by generation."""
    lines = [f"Source: {SOURCE}, read on {READ_ON}; {FROM_MEMORY}.", ""]
    lines += [
        "| generation | capability | cards | driver branch | CUDA | open kernel module |",
        "|---|---|---|---|---|---|",
    ]
    for one in GENERATIONS:
        driver = f"{one.first_driver} to {one.last_driver}" if one.last_driver else f"{one.first_driver} or newer"
        first = ".".join(map(str, one.first_cuda))
        cuda = f"{first} to {'.'.join(map(str, one.last_cuda))}" if one.last_cuda else f"{first} or newer"
        number = ".".join(map(str, one.capability))
        lines.append(f"| {one.name} | {number} | {one.cards} | {driver} | {cuda} | {one.open_module} |")
    least = ", ".join(f"CUDA {cuda}: {driver}" for cuda, driver in CUDA_DRIVERS.items())
    return "\n".join([*lines, "", f"The least driver branch for a build, by CUDA's major release: {least}."])


def cards() -> str:
    """Cards that are known by their names."""
    told = [f"{card.name} ({card.gib} GiB, {card.bandwidth_bytes_per_s / 1e9:.0f} GB/s)" for card in CARDS]
    return ", ".join(told) + "."


def rig() -> str:
    """The doctor's page of the scripted rig. Plans change with the planner: they stand in the page with their date."""
    return f"```text\n$ hettui doctor\n{doctor_page()}\n```"


PARTS = {
    CONFIGURATION: {"configuration": configuration},
    KEYS: {"keys": keys},
    DOCTOR: {"checks": checks, "generations": generations, "rig": rig, "cards": cards},
}


def written(text: str, page: Path) -> str:
    """`text` with every generated part of its page as it should be."""
    for name, part in PARTS[page].items():
        before, _, rest = text.partition(begin(name))
        _, found, after = rest.partition(END)
        if not found:
            raise ValueError(f"{page.name} has no place for {name}: {begin(name)} … {END}")
        text = f"{before}{begin(name)}\n\n{part()}\n\n{END}{after}"
    return text


MAN = DOCTOR.parent / "hettui.1"


def manual() -> str:
    """The manual page, which the wheel carries."""
    return page_of(commands_of(build_parser()))


if __name__ == "__main__":
    MAN.write_text(manual(), encoding="utf-8")
    for page in PARTS:
        page.write_text(written(page.read_text(encoding="utf-8"), page), encoding="utf-8")
