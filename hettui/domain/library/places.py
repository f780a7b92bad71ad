"""Where models are looked for, and what a typed path can become."""

from __future__ import annotations

from typing import Literal

from hettui.domain.records import dataclass


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """A folder in which model files are looked for."""

    label: str
    """In words: `~/models`, `Hugging Face`."""
    folder: str
    layout: Literal["folder", "alone", "hub", "publishers", "ollama"] = "folder"
    """How models lie in it: a tree; only the folder itself; Hugging Face's cache; PUBLISHER/NAME/file; Ollama's
    manifests."""
    named: bool = False
    """The user named it: that it is not there is worth a sentence."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a typed path can become."""

    text: str
    """The longest text that all candidates begin with; what was typed when there are none."""
    candidates: tuple[str, ...] = ()
    """As they would be typed; a folder ends with a slash."""
    more: int = 0
    """Candidates that are not listed."""
    problem: str | None = None
