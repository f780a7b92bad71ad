"""What slots hold is put aside for a measurement, and brought back after it: users find their contexts as they were."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hettui.domain.errors import HettuiError, ServerError
from hettui.domain.slots.policy import LEAST_TOKENS
from hettui.ports import LlamaClient

_SECONDS = 120.0
"""For one slot, gigabytes included."""


class SlotsAside:
    """Of one server with `--slot-save-path`. Whatever goes wrong is a sentence; the measurement goes on."""

    def __init__(
        self,
        client: Callable[[], LlamaClient | None],
        name: Callable[[int], str],
        remove: Callable[[str], None],
        say: Callable[[str], None],
    ) -> None:
        """`client`: of the server as it is now, which may be another one after the measurement. `name` makes one for a
        slot's file, `remove` deletes a file of that folder, and blocks; `say` gets what could not be done."""
        self._client = client
        self._name = name
        self._remove = remove
        self._say = say
        self._tokens: dict[int, int] = {}
        self._files: dict[int, str] = {}

    async def put(self) -> None:
        """Every slot that holds something is on disk when this returns, as far as that can be."""
        client = self._client()
        slots = await client.slots() if client is not None else None
        for place, slot in enumerate(slots or ()):
            number = place if slot.number is None else slot.number
            if slot.busy:
                self._say(f"the context of slot {number} is not put aside for the measurement: it answers somebody")
                continue
            try:
                assert client is not None  # noqa: S101 - it has told its slots
                tokens, size_bytes = await client.save_slot(number, self._file(number), _SECONDS)
            except HettuiError as error:
                self._say(f"the context of slot {number} is not put aside for the measurement: {error}")
                continue
            if tokens >= LEAST_TOKENS and size_bytes:
                self._tokens[number] = tokens
            else:
                await self._forget(number)

    async def back(self) -> int:
        """The tokens that the slots hold again."""
        found, client = 0, self._client()
        for number in tuple(self._tokens):
            try:
                if client is None:
                    raise ServerError("nothing runs any more")
                found += await client.restore_slot(number, self._file(number), _SECONDS)
            except HettuiError as error:
                self._say(f"the context of slot {number} does not come back after the measurement: {error}")
            await self._forget(number)
        return found

    def _file(self, number: int) -> str:
        return self._files.setdefault(number, self._name(number))

    async def _forget(self, number: int) -> None:
        self._tokens.pop(number, None)
        try:
            await asyncio.to_thread(self._remove, self._file(number))
        except OSError as error:
            self._say(f"{self._file(number)} cannot be removed: {error.strerror or error}")
