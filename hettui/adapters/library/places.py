"""Where programs keep model files, by their own environment variables and defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hettui.adapters.files.bounded import read_text_file
from hettui.domain.library.places import ModelPlace
from hettui.domain.text import clean_line

FETCHED = "models"
"""In our own cache: what was fetched from a hub, by publisher and name."""
_POINTER = ".lmstudio-home-pointer"
"""LM Studio writes there where its folder was moved to."""


def usual_places(
    home: Path, environ: Mapping[str, str], own_cache: Path, folders: Sequence[str], current: str | None
) -> tuple[ModelPlace, ...]:
    """In the order in which they are told; a folder that is named twice is searched once."""
    found: dict[str, ModelPlace] = {}
    for place in _places(home, environ, own_cache, folders, current):
        found.setdefault(place.folder.rstrip("/"), place)
    return tuple(found.values())


def _places(
    home: Path, environ: Mapping[str, str], own_cache: Path, folders: Sequence[str], current: str | None
) -> Iterator[ModelPlace]:
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    for folder in folders:
        yield ModelPlace(_short(folder, home), folder, named=True)
    yield ModelPlace("~/models", str(home / "models"))
    hub = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    yield ModelPlace("Hugging Face", hub or str(Path(environ.get("HF_HOME") or cache / "huggingface") / "hub"), "hub")
    for studio in (_lm_studio(home), home / ".cache/lm-studio/models"):
        yield ModelPlace("LM Studio", str(studio), "publishers")
    yield ModelPlace("llama.cpp", environ.get("LLAMA_CACHE") or str(cache / "llama.cpp"))
    own = environ.get("OLLAMA_MODELS") or str(home / ".ollama/models")
    for ollama in (own, "/usr/share/ollama/.ollama/models"):
        yield ModelPlace("Ollama", ollama, "ollama")
    yield ModelPlace("hettui", str(own_cache), "alone")
    yield ModelPlace("hettui", str(own_cache / FETCHED), "publishers")
    if current:
        beside = str(Path(current).expanduser().parent)
        yield ModelPlace(_short(beside, home), beside, "alone")


def _short(folder: str, home: Path) -> str:
    path = Path(folder)
    named = f"~/{path.relative_to(home)}" if path.is_relative_to(home) and path != home else folder
    return clean_line(named, 80)


def _lm_studio(home: Path) -> Path:
    try:
        moved = read_text_file(home / _POINTER, 4096).strip()
    except (OSError, ValueError):
        moved = ""
    return (Path(moved) if moved.startswith("/") else home / ".lmstudio") / "models"
