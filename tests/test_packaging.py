"""What is installed: the wheel's contents, and what an import costs."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_themes_and_samples_travel_in_the_wheel(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    assert {f"hettui/_themes/{p.name}" for p in (ROOT / "themes").glob("*.toml")} <= names
    assert {f"hettui/_sample_configs/{p.name}" for p in (ROOT / "sample_configs").glob("*.toml")} <= names
    assert not [n for n in names if n.startswith(("tests/", "themes/"))]
    assert any(n.endswith(".data/data/share/man/man1/hettui.1") for n in names)
    # From the wheel, not from this checkout.
    code = (
        "from hettui.adapters.files.resources import resource_folder as f;"
        "print(f('themes'), *f('themes').glob('ember*'))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path / "site" / "hettui" / "_themes" / "ember.toml") in found.stdout


def imported(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_core_needs_no_terminal_network_or_gpu_library() -> None:
    heavy = {"textual", "rich", "httpx", "pynvml", "psutil", "tomlkit", "asyncio"}
    files = sorted((ROOT / "hettui" / "domain").rglob("*.py"))
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in files]
    assert "hettui.domain.memory.forecast" in modules
    assert not imported("\n".join(f"import {m}" for m in modules)) & heavy


def test_the_command_line_imports_what_it_needs_only() -> None:
    code = "from hettui.cli import main\ntry:\n main(['--version'])\nexcept SystemExit: pass"
    assert not imported(code) & {"textual", "rich", "httpx", "pynvml", "psutil", "tomlkit", "asyncio"}


def test_the_first_frame_imports_no_dialog_and_no_report() -> None:
    dialogs = {f"hettui.ui.dialogs.{p.stem}" for p in (ROOT / "hettui" / "ui" / "dialogs").glob("[a-z]*.py")}
    assert "hettui.ui.dialogs.help" in dialogs
    unwanted = dialogs | {"hettui.domain.session.plan_report", "hettui.domain.bench.report"}
    assert not imported("import hettui.wiring.screen, hettui.ui.app") & unwanted


def test_what_a_key_may_need_is_imported_right_after_the_first_frame_or_once_a_cluster_runs() -> None:
    there = imported(
        "import hettui.wiring.screen, hettui.ui.app\n"
        "from hettui.wiring.later import import_for_what_runs, import_the_rest\n"
        "import_the_rest()\nimport_for_what_runs()"
    )
    wanted: set[str] = set()
    for folder in ("domain", "services", "ui"):
        for path in (ROOT / "hettui" / folder).rglob("*.py"):
            functions = (
                n
                for n in ast.walk(ast.parse(path.read_text()))
                if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
            )
            inner = (node for function in functions for node in ast.walk(function))
            wanted |= {n.module for n in inner if isinstance(n, ast.ImportFrom) and n.module is not None}
    ours = {name for name in wanted if name.startswith("hettui.")}
    # A replay has a screen and an engine of its own, chosen before the first frame. Textual's palette is a megabyte: it
    # comes with ours when it is opened.
    assert ours - there == {"hettui.ui.palette", "hettui.ui.screens.replay"}
