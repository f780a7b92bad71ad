"""Everything that hettui writes: for the user alone, whole or not at all, never through a link, whatever the folder."""

from __future__ import annotations

import ast
import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hettui.adapters.engines.shelf import Shelf
from hettui.adapters.files import paths
from hettui.adapters.files.atomic import make_private, open_private, replace_file
from hettui.adapters.files.chat_store import ChatFolder
from hettui.adapters.files.config_toml import write_text
from hettui.adapters.files.context_folder import ContextFolderAdapter
from hettui.adapters.files.fetched_file import save_fetched
from hettui.adapters.files.hosts_file import save_hosts
from hettui.adapters.files.learned_file import save_learned
from hettui.adapters.files.panes_file import save_panes
from hettui.adapters.files.recording_file import RecordingFile
from hettui.adapters.machine.facts import model_sum
from hettui.adapters.processes.local import LocalRunner
from hettui.adapters.processes.log_files import LogFolder
from hettui.adapters.processes.run_folder import RunFolder
from hettui.cli import crash
from hettui.domain.cluster.process import ProcessSpec
from hettui.domain.engines.record import InUse
from hettui.domain.errors import HettuiError
from hettui.domain.planner.learned import Learned
from hettui.domain.screen.panes import PanesState
from hettui.ports import KeptPrompts
from tests.adapters.test_context_folder import context
from tests.adapters.test_run_folder import state

SOURCES = Path(__file__).parents[2] / "hettui"


@dataclass(frozen=True)
class Writer:
    """One of them: how it is asked to write, and which file it then writes below the state folder."""

    write: Callable[[Path], object]
    file: str
    rewrites: bool = True
    """What is there is replaced or emptied; else it is added to, or refused."""


def _log(folder: Path) -> None:
    child = LocalRunner().start(ProcessSpec("c", "worker", ("/bin/true",)), LogFolder(folder / "logs").path("c"))
    os.waitpid(child.pid, 0)
    child.release()


def _rotated(folder: Path) -> None:
    logs = LogFolder(folder / "logs", limit_bytes=2)
    path = logs.path("c")
    if not path.is_symlink():
        path.write_text("a longer line\n")
        path.chmod(0o600)
    logs.tail("c").rotate()


def _recording(folder: Path) -> None:
    file = RecordingFile(folder / "rec.jsonl")
    file.write("{}\n")
    file.close()


def _lock(folder: Path) -> None:
    runs = RunFolder(folder)
    runs.acquire()
    runs.release()


def _model(folder: Path) -> None:
    (folder / "model").write_text("x")
    model_sum(folder, (str(folder / "model"),), lambda done, total: None)


def _contexts(folder: Path) -> None:
    ContextFolderAdapter().open(str(folder)).keep([context()])


def _chats(folder: Path) -> ChatFolder:
    return ChatFolder(folder / "chats", folder / "exports")


WRITERS = {
    "the record": Writer(lambda folder: RunFolder(folder).save(state()), "cluster.json"),
    "the lock": Writer(_lock, "cluster.lock"),
    "a log": Writer(_log, "logs/log-c.log", rewrites=False),
    "a kept log": Writer(_rotated, "logs/log-c.log.1"),
    "the panes": Writer(lambda folder: save_panes(folder, PanesState()), "screen.json"),
    "what was learned": Writer(lambda folder: save_learned(folder, Learned()), "measured.json"),
    "what hosts said": Writer(lambda folder: save_hosts(folder, {}), "hosts.json"),
    "prompts": Writer(
        lambda folder: _chats(folder).save_prompts("m", KeptPrompts("draft")), "chats/m-62c66a7a/prompts.json"
    ),
    "a copy": Writer(lambda folder: _chats(folder).copy("text"), "chats/last-copy.txt"),
    "a recording": Writer(_recording, "rec.jsonl", rewrites=False),
    "the configuration": Writer(lambda folder: write_text(folder / "new" / "c.toml", ""), "new/c.toml"),
    "a crash": Writer(lambda folder: crash.report(ValueError("x")), "hettui/crash.log"),
    "what was fetched": Writer(lambda folder: save_fetched(folder, {}), "fetched.json"),
    "a sum": Writer(_model, "model-sums.json"),
    "the list of contexts": Writer(_contexts, "hettui-contexts/contexts.json"),
    "the engine in use": Writer(lambda folder: Shelf(folder).choose(InUse("x")), "in-use.json"),
    "the last configuration": Writer(lambda folder: paths.remember_config(folder / "c"), "hettui/last-config"),
    "the last model": Writer(lambda folder: paths.remember_model("m"), "hettui/last-model"),
}


@pytest.fixture(params=WRITERS.values(), ids=list(WRITERS))
def writer(request: pytest.FixtureRequest) -> Writer:
    writer: Writer = request.param
    return writer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "state"
    place.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_STATE_HOME", str(place))
    return place


@pytest.fixture(params=[0o000, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name != "model"]


def test_what_is_written_is_for_the_user_alone(writer: Writer, folder: Path, umask: None) -> None:
    writer.write(folder)
    assert (folder / writer.file).is_file()
    for path in _below(folder):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("place", ["a file", "nothing"])
def test_nothing_is_written_through_a_link(writer: Writer, folder: Path, tmp_path: Path, place: str) -> None:
    if writer.file == "new/c.toml":
        pytest.skip("links to configurations are the user's own, and are meant")
    victim, link = tmp_path / "victim", folder / writer.file
    if place == "a file":
        victim.write_text("keep")
    make_private(link.parent)
    link.symlink_to(victim)
    # A sentence, or what is written takes the link's place.
    try:
        writer.write(folder)
    except HettuiError as error:
        assert str(link) in str(error)
    assert victim.read_text() == "keep" if place == "a file" else not victim.exists()


def test_a_folder_that_was_removed_is_made_again(writer: Writer, folder: Path) -> None:
    if writer.file in ("model-sums.json", "rec.jsonl", "cluster.lock"):
        pytest.skip("the folder is the user's own, or its lock is made with the first record")
    shutil.rmtree(folder)
    writer.write(folder)
    assert (folder / writer.file).is_file()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_full_disk_leaves_what_was_there(writer: Writer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not writer.rewrites:
        pytest.skip("what is there is added to, or refused")
    writer.write(folder)
    before = (folder / writer.file).read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    try:
        writer.write(folder)
    except (HettuiError, OSError) as error:
        assert "No space left" in str(error)
    assert (folder / writer.file).read_bytes() == before
    assert not [path for path in _below(folder) if path.name.startswith(".")]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_not_written_to(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "odd")
    with pytest.raises(OSError, match=r"something else|Is a directory|No such device"):
        open_private(tmp_path / "odd", os.O_WRONLY | os.O_CREAT)


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (
        lambda: make_private(tmp_path / "file" / "x"),
        lambda: replace_file(tmp_path / "file" / "x", b"", 0o600),
    ):
        with pytest.raises(NotADirectoryError):
            write()


def test_a_full_folder_is_kept_for_reading_and_another_one_is_taken_for_writing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = paths.run_dirs()[0]
    monkeypatch.setattr(paths, "has_room", lambda place, size: size == 0 or not place.is_relative_to(folder))
    found = paths.run_dirs()
    assert found[0] == first
    if not Path(f"/run/user/{os.getuid()}").exists():
        assert found[-1] == tmp_path / f"hettui-{os.getuid()}" / "run"


def test_a_runtime_folder_of_another_user_is_left_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(theirs))
    assert all(not place.is_relative_to(theirs) for place in paths.run_dirs())
    assert list(theirs.iterdir()) == []


# -- nobody writes past that one place -------------------------------------------------------------------------------

PAST_IT = {
    "adapters/files/atomic.py": "the place itself",
    "adapters/engines/shelf.py": "lays links between libraries in a private folder of its own, which is then renamed",
    "adapters/hosts/card_mirror.py": "lays links into a private folder of its own; its files go through the place",
    "adapters/library/demo_model.py": "unpacks into a private temporary folder, and replaces the model with the result",
    "cli/__init__.py": "/dev/null in place of a closed pipe",
}
_WRITES = {"mkdir", "makedirs", "write_text", "write_bytes", "touch", "symlink_to", "mkstemp", "NamedTemporaryFile"}
_NAMED = re.compile(rf"\b({'|'.join((*_WRITES, 'open'))})\b")
_FLAGS = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"}


def _writes(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    whose = getattr(call.func.value, "id", "") if isinstance(call.func, ast.Attribute) else ""
    if name in _WRITES:
        # config_toml.write_text is one of the writers.
        return isinstance(call.func, ast.Attribute)
    if name != "open":
        return False
    if whose == "os":
        return any(isinstance(node, ast.Attribute) and node.attr in _FLAGS for node in ast.walk(call))
    modes = [word.value for word in (*call.args, *(k.value for k in call.keywords)) if isinstance(word, ast.Constant)]
    return any(isinstance(mode, str) and len(mode) <= 3 and set(mode) & set("wax+") for mode in modes)


def test_nobody_writes_past_the_one_place() -> None:
    found = set()
    for path in SOURCES.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        # Whoever calls one of them names it: most of the sources need not be parsed.
        if _NAMED.search(text) and any(
            isinstance(node, ast.Call) and _writes(node) for node in ast.walk(ast.parse(text))
        ):
            found.add(str(path.relative_to(SOURCES)))
    assert found == set(PAST_IT)
