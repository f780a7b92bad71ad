"""Model files in real folders, as each program leaves them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from hettui.adapters.library import finder as model_files
from hettui.adapters.library import ollama as ollama_models
from hettui.adapters.library.finder import ModelFiles
from hettui.adapters.library.path_completion import complete
from hettui.domain.errors import ModelFileError
from hettui.domain.library.found import FoundModel
from tests.gguf_files import llama, write_gguf


def gguf(path: Path, blocks: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_gguf(path, *llama(blocks))


def search(
    home: Path,
    environ: Mapping[str, str] | None = None,
    folders: tuple[str, ...] = (),
    current: str | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, list[FoundModel]], list[str]]:
    """By place, and the notes. What lies on this machine outside of `home` is left out."""
    finder = ModelFiles(home, environ or {}, home / "own-cache")
    found: dict[str, list[FoundModel]] = {}
    notes: list[str] = []
    for place in finder.places(folders, current):
        if not place.folder.startswith("/usr/"):
            found.setdefault(place.label, []).extend(finder.look(place, stopped, notes.append))
    return {label: models for label, models in found.items() if models}, notes


def names(found: dict[str, list[FoundModel]], place: str) -> list[str]:
    return sorted(model.name for model in found.get(place, []))


def test_a_tree_of_models_and_configured_folders(tmp_path: Path) -> None:
    gguf(tmp_path / "models/a.gguf")
    gguf(tmp_path / "models/deep/er/b.GGUF")
    gguf(tmp_path / "models/.hidden/no.gguf")
    gguf(tmp_path / "disk/c.gguf")
    (tmp_path / "models/readme.md").write_text("x")
    found, notes = search(tmp_path, folders=(str(tmp_path / "disk"), str(tmp_path / "gone")))
    assert names(found, "~/models") == ["a", "b"]
    assert names(found, "~/disk") == ["c"]
    assert notes == [f"{tmp_path}/gone cannot be searched: No such file or directory"]


def test_beside_the_model_in_use_only_that_folder(tmp_path: Path) -> None:
    gguf(tmp_path / "elsewhere/now.gguf")
    gguf(tmp_path / "elsewhere/beside.gguf")
    gguf(tmp_path / "elsewhere/below/no.gguf")
    found, _ = search(tmp_path, current=str(tmp_path / "elsewhere/now.gguf"))
    assert names(found, "~/elsewhere") == ["beside", "now"]


@pytest.mark.parametrize(
    ("environ", "hub"),
    [
        ({}, ".cache/huggingface/hub"),
        ({"HF_HOME": "{home}/hf"}, "hf/hub"),
        ({"HF_HOME": "{home}/hf", "HF_HUB_CACHE": "{home}/hub"}, "hub"),
        ({"XDG_CACHE_HOME": "{home}/xdg"}, "xdg/huggingface/hub"),
    ],
)
def test_hugging_face_by_repository_each_blob_by_its_names(tmp_path: Path, environ: dict[str, str], hub: str) -> None:
    environ = {key: value.format(home=tmp_path) for key, value in environ.items()}
    repo = tmp_path / hub / "models--org--Qwen3-8B-GGUF"
    blob = gguf(repo / "blobs/0123abc")
    for revision in ("one", "two"):
        snapshot = repo / "snapshots" / revision
        snapshot.mkdir(parents=True)
        (snapshot / "Qwen3-8B-Q4_K_M.gguf").symlink_to(os.path.relpath(blob, snapshot))
    gguf(repo / "refs/no.gguf")
    gguf(tmp_path / hub / "datasets--org--x/snapshots/one/no.gguf")
    found, _ = search(tmp_path, environ)
    one, two = found["Hugging Face"]
    assert one.name == two.name == "Qwen3-8B-Q4_K_M"
    assert one.repository == "org/Qwen3-8B-GGUF"
    assert one.identities == two.identities, "two names of one file: counted once by the search"
    assert one.size_bytes == blob.stat().st_size


def test_lm_studio_in_both_folders_and_where_it_was_moved_to(tmp_path: Path) -> None:
    gguf(tmp_path / ".lmstudio/models/pub/Repo-GGUF/Repo-Q8_0.gguf")
    gguf(tmp_path / ".cache/lm-studio/models/pub/Other/file.gguf")
    found, _ = search(tmp_path)
    assert names(found, "LM Studio") == ["Other/file", "Repo-Q8_0"]
    assert {m.repository for m in found["LM Studio"]} == {"pub/Repo-GGUF", "pub/Other"}
    gguf(tmp_path / "moved/models/pub/New/New.gguf")
    (tmp_path / ".lmstudio-home-pointer").write_text(f"{tmp_path}/moved\n")
    assert "New" in names(search(tmp_path)[0], "LM Studio")


@pytest.mark.parametrize(("environ", "folder"), [({}, ".cache/llama.cpp"), ({"LLAMA_CACHE": "{home}/lc"}, "lc")])
def test_llama_cpps_cache_and_our_own(tmp_path: Path, environ: dict[str, str], folder: str) -> None:
    gguf(tmp_path / folder / "org_repo_m.gguf")
    gguf(tmp_path / "own-cache/demo.gguf")
    found, _ = search(tmp_path, {key: value.format(home=tmp_path) for key, value in environ.items()})
    assert names(found, "llama.cpp") == ["org_repo_m"]
    assert names(found, "hettui") == ["demo"]


def manifest(root: Path, path: str, content: object) -> None:
    file = root / "manifests" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def layers(digest: object, kind: str = "application/vnd.ollama.image.model") -> dict[str, object]:
    return {"layers": [{"mediaType": "application/vnd.ollama.image.license", "digest": "x"},
                       {"mediaType": kind, "digest": digest}]}  # fmt: skip


def test_ollama_by_its_manifests(tmp_path: Path) -> None:
    root = tmp_path / ".ollama/models"
    good, old, gone = "a" * 64, "b" * 64, "c" * 64
    blob = gguf(root / f"blobs/sha256-{good}")
    gguf(root / f"blobs/sha256:{old}")
    library = "registry.ollama.ai/library"
    manifest(root, f"{library}/llama3.2/3b", layers(f"sha256:{good}"))
    manifest(root, f"{library}/old/latest", layers(f"sha256:{old}"))
    manifest(root, "registry.ollama.ai/me/mine/latest", layers(f"sha256:{good}"))
    manifest(root, "hf.co/org/repo/Q4_K_M", layers(f"sha256:{good}"))
    manifest(root, f"{library}/gone/7b", layers(f"sha256:{gone}"))
    manifest(root, f"{library}/traversal/x", layers("sha256:../../../../etc/passwd"))
    manifest(root, f"{library}/broken/x", "{")
    manifest(root, f"{library}/list/x", [1])
    manifest(root, f"{library}/deep/x", "[" * 100_000)
    manifest(root, f"{library}/number/x", layers(7))
    manifest(root, f"{library}/adapter/x", layers(f"sha256:{good}", "application/vnd.ollama.image.adapter"))
    found, _ = search(tmp_path)
    said = {m.name: m.problem for m in found["Ollama"]}
    assert said == {
        "llama3.2:3b": None,
        "old:latest": None,
        "me/mine:latest": None,
        "hf.co/org/repo:Q4_K_M": None,
        "gone:7b": "its blob is missing: ollama pull gone:7b",
        "traversal:x": "its manifest names no sound blob: ollama pull traversal:x",
        "number:x": "its manifest names no sound blob: ollama pull number:x",
        "broken:x": "its manifest is damaged: ollama pull broken:x",
        "list:x": "its manifest is damaged: ollama pull list:x",
        "deep:x": "its manifest is damaged: ollama pull deep:x",
    }
    assert next(m for m in found["Ollama"] if m.name == "llama3.2:3b").path == str(blob)


def test_ollama_elsewhere_and_with_too_many_manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollama_models, "MAX_MANIFESTS", 2)
    for n in range(4):
        manifest(tmp_path / "om", f"h/n/m{n}/x", layers("sha256:" + "a" * 64))
    found, notes = search(tmp_path, {"OLLAMA_MODELS": str(tmp_path / "om")})
    assert len(found["Ollama"]) == 2
    assert "more than 2 manifests" in notes[0]


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    gguf(tmp_path / "disk/far.gguf")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/disk").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/back").symlink_to(tmp_path / "models")
    (tmp_path / "disk/self").symlink_to(".")
    (tmp_path / "models/dead.gguf").symlink_to("nowhere")
    (tmp_path / "models/loop.gguf").symlink_to("loop.gguf")
    os.mkfifo(tmp_path / "models/pipe.gguf")
    found, _ = search(tmp_path)
    said = {m.name: m.problem for m in found["~/models"]}
    assert said.pop("far") is None
    assert said.pop("pipe") == "this is no regular file"
    assert all(str(problem).startswith("the link leads nowhere") for problem in said.values())
    assert set(said) == {"dead", "loop"}


def test_it_is_bounded_in_entries_and_depth_and_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(30):
        gguf(tmp_path / f"models/m{n:02}.gguf")
    deep = tmp_path / "models"
    for _ in range(model_files.MAX_DEPTH + 2):
        deep /= "d"
    gguf(deep / "too-deep.gguf")
    assert len(search(tmp_path)[0]["~/models"]) == 30
    assert search(tmp_path, stopped=lambda: True)[0] == {}
    monkeypatch.setattr(model_files, "MAX_ENTRIES", 10)
    found, notes = search(tmp_path)
    assert len(found["~/models"]) == 9
    assert "more than 10 entries" in notes[0]


def test_hostile_names_are_shown_clean_and_opened_as_they_are(tmp_path: Path) -> None:
    raw = b"\x1b]0;EVIL\x07[bold]\xff\xe2\x80\xae.gguf"
    folder = tmp_path / "models"
    folder.mkdir()
    head = gguf(tmp_path / "x.gguf").read_bytes()
    with open(os.path.join(os.fsencode(folder), raw), "wb") as file:  # noqa: PTH118, PTH123 - no text: bytes
        file.write(head)
    (model,) = search(tmp_path)[0]["~/models"]
    assert model.name == "[bold]"
    assert ModelFiles(tmp_path, {}, tmp_path).read(model.path).blocks == 2


def test_a_folder_that_cannot_be_read_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gguf(tmp_path / "models/a.gguf")
    gguf(tmp_path / "models/locked/b.gguf")
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, notes = search(tmp_path)
    assert names(found, "~/models") == ["a"]
    assert notes == [f"{tmp_path}/models/locked cannot be searched: Permission denied"]


def test_a_broken_header_has_its_reason(tmp_path: Path) -> None:
    (tmp_path / "half.gguf").write_bytes(b"GGUF\x03")
    with pytest.raises(ModelFileError, match="fetch it again"):
        ModelFiles(tmp_path, {}, tmp_path).read(str(tmp_path / "half.gguf"))


# -- completion ------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("Models/qwen-a.gguf", "Models/qwen-b.gguf", "Models/notes.txt", "music/x.gguf", ".hidden/h.gguf"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "text", "candidates"),
    [
        ("~", "~/", ["~/"]),
        ("~/", "~/", ["~/Models/", "~/music/"]),
        ("~/m", "~/m", ["~/Models/", "~/music/"]),
        ("~/M", "~/Models/", ["~/Models/"]),
        ("~/mo", "~/Models/", ["~/Models/"]),
        ("~/.h", "~/.hidden/", ["~/.hidden/"]),
        ("~/Models/", "~/Models/qwen-", ["~/Models/qwen-a.gguf", "~/Models/qwen-b.gguf"]),
        ("~/Models/qwen-a", "~/Models/qwen-a.gguf", ["~/Models/qwen-a.gguf"]),
        ("~/nothing", "~/nothing", []),
    ],
)
def test_completion(tree: Path, typed: str, text: str, candidates: list[str]) -> None:
    found = complete(typed, tree)
    assert (found.text, list(found.candidates), found.problem) == (text, candidates, None)
    absolute = complete(typed.replace("~", str(tree), 1) if typed != "~" else str(tree) + "/", tree)
    assert absolute.problem is None


def test_completion_where_there_is_nothing_or_too_much(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete("~/none/x", tree).problem == "~/none/: No such file or directory"
    assert complete("/\0/x", tree).problem is not None
    monkeypatch.setattr("hettui.adapters.library.path_completion.MAX_CANDIDATES", 1)
    found = complete("~/Models/", tree)
    assert (len(found.candidates), found.more) == (1, 1)
    (tree / "Models/qwen-\x1b[2J.gguf").touch()
    assert not any("\x1b" in c for c in complete("~/Models/", tree).candidates)
