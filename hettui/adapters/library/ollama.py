"""Models that Ollama has fetched: manifests that name them, and blobs that hold them.

`manifests/HOST/NAMESPACE/NAME/TAG` is JSON with layers; the one of type `application/vnd.ollama.image.model` is the
GGUF, in `blobs/sha256-…`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hettui.adapters.files.bounded import read_file
from hettui.domain.json_text import parse_json
from hettui.domain.library.found import FoundModel
from hettui.domain.library.places import ModelPlace
from hettui.domain.patterns import late_pattern
from hettui.domain.text import clean_line

_MODEL = "application/vnd.ollama.image.model"
_DIGEST = late_pattern(r"sha256[:-]([0-9a-f]{64})")
_MAX_BYTES = 1 << 20
MAX_MANIFESTS = 5_000
_LEVELS = 4
"""Host, namespace, name, tag."""


def ollama_models(place: ModelPlace, stopped: Callable[[], bool], note: Callable[[str], None]) -> Iterator[FoundModel]:
    """As ModelFinder.look."""
    root = Path(place.folder)
    try:
        os.stat(root)  # noqa: PTH116 - only whether it may be looked at
        manifests = _files(root / "manifests", _LEVELS)
        for count, path in enumerate(manifests):
            if stopped():
                return
            if count >= MAX_MANIFESTS:
                note(f"{clean_line(str(root), 200)} has more than {MAX_MANIFESTS} manifests: not all were looked at")
                return
            found = _model(root, path, place.label)
            if found is not None:
                yield found
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        note(f"{clean_line(str(root), 200)} cannot be searched: {error.strerror}")


def _files(folder: Path, levels: int) -> Iterator[Path]:
    """The files exactly so many levels below. Links to folders are not followed: Ollama makes none."""
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if levels == 1 and entry.is_file():
            yield Path(entry.path)
        elif levels > 1 and entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path), levels - 1)


def _model(root: Path, manifest: Path, label: str) -> FoundModel | None:
    """None for a manifest of something else, such as an adapter alone."""
    name = _name(manifest)
    try:
        said: Any = parse_json(read_file(manifest, _MAX_BYTES))
        layers = said["layers"]
        digests = [layer["digest"] for layer in layers if layer["mediaType"] == _MODEL]
    except OSError as error:
        return _broken(manifest, name, label, f"its manifest cannot be read: {error.strerror}")
    except (ValueError, LookupError, TypeError):
        return _broken(manifest, name, label, f"its manifest is damaged: ollama pull {name}")
    if not digests:
        return None
    match = _DIGEST.fullmatch(digests[0]) if isinstance(digests[0], str) else None
    if match is None:
        return _broken(manifest, name, label, f"its manifest names no sound blob: ollama pull {name}")
    for separator in "-:":
        # Old versions wrote a colon.
        blob = root / "blobs" / f"sha256{separator}{match[1]}"
        try:
            status = blob.stat()
        except OSError:
            continue
        identity = (status.st_dev, status.st_ino)
        return FoundModel(str(blob), name, label, status.st_size, status.st_mtime, (identity,))
    return _broken(manifest, name, label, f"its blob is missing: ollama pull {name}")


def _broken(manifest: Path, name: str, label: str, problem: str) -> FoundModel:
    return FoundModel(str(manifest), name, label, 0, 0.0, problem=clean_line(problem, 300))


def _name(manifest: Path) -> str:
    """As `ollama list` says it: `llama3.2:3b`, `me/mine:latest`, `hf.co/org/name:Q4_K_M`."""
    host, namespace, name, tag = manifest.parts[-4:]
    before = [] if host == "registry.ollama.ai" else [host]
    before += [] if namespace == "library" and not before else [namespace]
    return clean_line("/".join([*before, name]) + f":{tag}", 200)
