"""What a screen can have done with models. Every method blocks, and is called on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hettui.domain.errors import HettuiError
from hettui.domain.records import dataclass
from hettui.domain.session.session import Session


class Stopped(HettuiError):
    """Raised by who is told, to end it."""


@dataclass(frozen=True, slots=True)
class Told:
    """How far it is."""

    what: str
    fraction: float | None = None
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it, in words, and the model that is there now; empty: none is new."""

    words: str
    path: str = ""


Tell = Callable[[Told], None]


class ModelDesk(Protocol):
    """`text` is what was typed: what `hettui models …` takes behind its command. All raise HettuiError with the
    reason; nothing half-made keeps a model's name."""

    def fetch(self, session: Session, path: str, text: str, tell: Tell) -> Done:
        """`user/repo:QUANT`, or a URL."""

    def convert(self, session: Session, path: str, text: str, tell: Tell) -> Done:
        """A folder as a hub has it."""

    def quantize(self, session: Session, path: str, text: str, tell: Tell) -> Done:
        """A type of llama-quantize, for the model at `path`."""

    def verify(self, session: Session, path: str, text: str, tell: Tell) -> Done:
        """Header, tensors and sum."""

    def remove(self, session: Session, path: str, text: str, tell: Tell) -> Done:
        """All its parts; `--force` also what hettui has not fetched or made."""
