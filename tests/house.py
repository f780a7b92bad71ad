"""The house rules that no linter knows: lengths of modules and functions, and no circle of imports.

`python -m tests.house` in `make check`. A name on the lists below needs its reason beside it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
RECORDS = "hettui/domain/records.py"
MOST_LINES, MOST_FUNCTION_LINES = 400, 50

LONG_MODULES = {
    "hettui/domain/screen/actions.py": "one table",
    "hettui/domain/memory/graph.py": "one sketch, in llama.cpp's order: in pieces a model's path cannot be followed",
}
LONG_FUNCTIONS: dict[str, str] = {}
"""`file:function`."""


def long_modules() -> Iterator[str]:
    for path in _sources():
        count = len(path.read_text(encoding="utf-8").splitlines())
        if count > MOST_LINES and _name(path) not in LONG_MODULES:
            yield f"{_name(path)} has {count} lines, at most {MOST_LINES}: split it by what changes together"


def long_functions() -> Iterator[str]:
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                if count > MOST_FUNCTION_LINES and f"{_name(path)}:{node.name}" not in LONG_FUNCTIONS:
                    yield f"{_name(path)}:{node.lineno}: {node.name} has {count} lines, at most {MOST_FUNCTION_LINES}"


def needless_exceptions() -> Iterator[str]:
    """What has become short again needs no exception."""
    for name in LONG_MODULES:
        path = ROOT / name
        if not path.exists() or len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES:
            yield f"{name} is on the list of long modules and is not long"


def dear_dataclasses() -> Iterator[str]:
    """The library's own decorator costs a millisecond of every start: `hettui.domain.records` says why."""
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or node.module != "dataclasses" or _name(path) == RECORDS:
                continue
            if any(one.name == "dataclass" for one in node.names):
                yield f"{_name(path)}:{node.lineno}: take dataclass from hettui.domain.records"


def circles() -> Iterator[str]:
    """Imports for type checking only, and those inside functions, count like any other."""
    graph = grimp.build_graph("hettui", include_external_packages=False)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        yield f"a circle of imports: {' → '.join(reversed(error.args[1]))}"


def _sources() -> list[Path]:
    return sorted((ROOT / "hettui").rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def main() -> int:
    wrong = [*long_modules(), *long_functions(), *needless_exceptions(), *dear_dataclasses(), *circles()]
    print("\n".join(wrong) or "The house is in order.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
