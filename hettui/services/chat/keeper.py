"""Keeps conversations, drafts and histories, on a thread of its own: the screen never waits for a disk."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TypeVar

from hettui.domain.chat.conversation import Conversation
from hettui.domain.errors import HettuiError
from hettui.ports import ChatStore, KeptPrompts

T = TypeVar("T")


class Unkept:
    """Implements ChatStore for a recording, whose chats are nobody's: nothing is read and nothing is written."""

    def conversations(self, model: str) -> list[Conversation]:
        return []

    def save(self, conversation: Conversation) -> None:
        pass

    def remove(self, conversation: Conversation) -> None:
        pass

    def prompts(self, model: str) -> KeptPrompts:
        return KeptPrompts()

    def save_prompts(self, model: str, prompts: KeptPrompts) -> None:
        pass

    def copy(self, text: str) -> str:
        raise OSError("what is shown is a recording: its answers were not recorded")

    def export(self, name: str, text: str) -> str:
        raise OSError("what is shown is a recording: its answers were not recorded")


class ChatKeeper:
    """Orders are carried out in turn. Of several savings of one thing that wait, only the newest is done."""

    def __init__(self, store: ChatStore) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="chats")
        self._lock = Lock()
        self._waiting: dict[str, Callable[[], None]] = {}

    def load(self, model: str) -> Future[tuple[list[Conversation], KeptPrompts]]:
        """All conversations with this model, the newest first, and what was typed."""
        return self._submit(lambda: (self._store.conversations(model), self._store.prompts(model)))

    def save(self, conversation: Conversation) -> Future[None]:
        return self._save(conversation.key, lambda: self._store.save(conversation))

    def remove(self, conversation: Conversation) -> Future[None]:
        """For good. Takes the place of a saving that waits."""
        return self._save(conversation.key, lambda: self._store.remove(conversation))

    def save_prompts(self, model: str, prompts: KeptPrompts) -> Future[None]:
        return self._save(f"prompts of {model}", lambda: self._store.save_prompts(model, prompts))

    def export(self, name: str, text: str) -> Future[str]:
        """The path of the file that was written."""
        return self._submit(lambda: self._store.export(name, text))

    def copy(self, text: str) -> Future[str]:
        """The path of the file that holds what was copied."""
        return self._submit(lambda: self._store.copy(text))

    def close(self) -> None:
        """Returns when everything is on disk."""
        self._pool.shutdown(wait=True)

    def _save(self, key: str, work: Callable[[], None]) -> Future[None]:
        with self._lock:
            self._waiting[key] = work
        return self._submit(lambda: self._do_newest(key))

    def _do_newest(self, key: str) -> None:
        with self._lock:
            work = self._waiting.pop(key, None)
        if work is not None:
            work()

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        def told() -> T:
            try:
                return work()
            except OSError as error:
                place = error.filename or "the state folder"
                raise HettuiError(f"{place} cannot be written: {error.strerror or error}") from error

        try:
            return self._pool.submit(told)
        except RuntimeError:
            # Closed: the program is ending, and what matters was saved before.
            gone: Future[T] = Future()
            gone.cancel()
            return gone
