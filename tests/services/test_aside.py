"""Slots put aside for a measurement, and brought back."""

from __future__ import annotations

import pytest

from hettui.domain.chat.wire import Slot
from hettui.domain.errors import ServerError
from hettui.services.aside import SlotsAside
from tests.fakes import FakeClient, FakeWorld


class Bench:
    def __init__(self) -> None:
        self.world, self.said = FakeWorld(), list[str]()
        self.aside = SlotsAside(
            lambda: FakeClient(self.world), self.world.contexts.aside_name, self.world.contexts.remove, self.said.append
        )


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.world.slots = tuple(Slot(busy=False, number=n) for n in range(3))
    made.world.slots_held = {0: 900, 1: 0, 2: 50}
    return made


async def test_the_slots_are_as_they_were(bench: Bench) -> None:
    await bench.aside.put()
    assert len(bench.world.contexts.files) == 2
    bench.world.slots_held = {0: 5, 1: 512, 2: 512}
    assert await bench.aside.back() == 950
    assert bench.world.slots_held == {0: 900, 1: 512, 2: 50}
    assert bench.world.contexts.files == {}
    assert bench.said == []
    assert await bench.aside.back() == 0


async def test_what_cannot_be_put_aside_is_told(bench: Bench) -> None:
    def refuse(action: str, slot: int, file: str) -> int:
        bench.world.contexts.files[file] = 900
        if (action, slot) == ("save", 0):
            raise ServerError("no")
        return 900

    bench.world.slot_answer = refuse
    await bench.aside.put()
    assert bench.said == ["the context of slot 0 is not put aside for the measurement: no"]
    assert await bench.aside.back() == 1800


async def test_a_slot_that_answers_is_left_alone_and_a_silent_server_too(bench: Bench) -> None:
    bench.world.slots = (Slot(busy=True, number=0),)
    await bench.aside.put()
    assert bench.world.slot_calls == []
    assert "it answers somebody" in bench.said[0]
    bench.world.slots = None
    await bench.aside.put()
    assert bench.world.slot_calls == []
