"""Of several commands the newest one counts, and none is lost sight of before it has ended."""

from __future__ import annotations

import asyncio

import pytest

from hettui.domain.errors import HettuiError, LaunchError
from hettui.services.cluster.newest_command import NewestCommand


class Work:
    """Takes until it is told to end; whoever cancels it waits until `may_end`."""

    def __init__(self, log: list[str], name: str) -> None:
        self._log, self._name = log, name
        self.done = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self) -> None:
        self._log.append(f"{self._name} begins")
        try:
            await self.done.wait()
        except asyncio.CancelledError:
            await self.may_end.wait()
            self._log.append(f"{self._name} is cut off")
            raise
        self._log.append(f"{self._name} is done")


@pytest.fixture
async def log() -> list[str]:
    return []


async def test_a_newer_command_waits_for_the_end_of_the_one_before(log: list[str]) -> None:
    command, first, second = NewestCommand(), Work(log, "first"), Work(log, "second")
    first.may_end.clear()
    one = asyncio.create_task(command.replace(first()))
    await asyncio.sleep(0.01)
    two = asyncio.create_task(command.replace(second()))
    await asyncio.sleep(0.01)
    assert log == ["first begins"]
    first.may_end.set()
    second.done.set()
    await two
    with pytest.raises(LaunchError, match="newer command"):
        await one
    assert log == ["first begins", "first is cut off", "second begins", "second is done"]


async def test_one_that_was_overtaken_before_it_began_never_begins(log: list[str]) -> None:
    command, works = NewestCommand(), [Work(log, str(n)) for n in range(3)]
    works[0].may_end.clear()
    tasks = []
    for work in works:
        tasks.append(asyncio.create_task(command.replace(work())))
        await asyncio.sleep(0.01)
    works[0].may_end.set()
    works[2].done.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(r) for r in results] == [LaunchError, LaunchError, type(None)]
    assert log == ["0 begins", "0 is cut off", "2 begins", "2 is done"]


async def test_a_command_raises_what_its_work_raises() -> None:
    async def broken() -> None:
        raise HettuiError("it broke")

    command = NewestCommand()
    with pytest.raises(HettuiError, match="it broke"):
        await command.replace(broken())
    assert not command.at_work


@pytest.mark.parametrize(("cancel", "end"), [(True, "is cut off"), (False, "is done")])
async def test_an_end_waits_for_what_is_at_work(log: list[str], cancel: bool, end: str) -> None:
    command, work = NewestCommand(), Work(log, "it")
    command.begin(work(), "in the background")
    await asyncio.sleep(0)
    assert command.at_work
    if not cancel:
        work.done.set()
    await command.end(cancel=cancel)
    assert not command.at_work
    assert log[-1] == f"it {end}"


async def test_settled_waits_for_the_last_one_of_all(log: list[str]) -> None:
    command, first, second = NewestCommand(), Work(log, "first"), Work(log, "second")
    command.begin(first(), "first")
    settled = asyncio.create_task(command.settled())
    await asyncio.sleep(0)
    replacing = asyncio.create_task(command.replace(second()))
    await asyncio.sleep(0.01)
    assert not settled.done()
    second.done.set()
    await asyncio.gather(settled, replacing)
    assert log[-1] == "second is done"
