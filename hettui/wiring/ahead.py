"""A result that is worked out on a thread while the program does something else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Begins at once. A driver that hangs holds up nobody but who waits for the result, not even the program's end."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._future: Future[T] = Future()
        threading.Thread(target=self._run, args=(work,), name="ahead", daemon=True).start()

    def _run(self, work: Callable[[], T]) -> None:
        try:
            self._future.set_result(work())
        except BaseException as error:
            self._future.set_exception(error)

    def wait(self, seconds: float) -> None:
        """Until it has ended, so long at most. Raises what the work raised by then."""
        wait((self._future,), seconds)
        if self._future.done():
            self._future.result()

    def result(self) -> T:
        """Waits for it; raises what the work raised."""
        return self._future.result()


def begun(work: Callable[[], T]) -> Callable[[], T]:
    """Begins it at once; what is returned waits for the result."""
    return Ahead(work).result
