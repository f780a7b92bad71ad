"""Writes the tables of README that the program itself knows: `make docs`. A test holds that they are up to date."""

from __future__ import annotations

from pathlib import Path

from hettui.domain.config.schema import SECTIONS, Key
from hettui.domain.screen.actions import ACTIONS
from hettui.domain.screen.keymap import DEFAULT

README = Path(__file__).resolve().parent.parent / "README.md"


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


PARTS = {"configuration": configuration, "keys": keys}


def written(text: str) -> str:
    """`text` with every generated part as it should be."""
    for name, part in PARTS.items():
        before, _, rest = text.partition(begin(name))
        _, found, after = rest.partition(END)
        if not found:
            raise ValueError(f"README has no place for {name}: {begin(name)} … {END}")
        text = f"{before}{begin(name)}\n\n{part()}\n\n{END}{after}"
    return text


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
