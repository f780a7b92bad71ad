"""One answer: cleaned, in order, and its end told truly."""

from __future__ import annotations

import asyncio

import pytest

from hettui.domain.chat import ChatDelta, ChatTurn
from hettui.domain.errors import ServerError
from hettui.services.chat_session import ChatSession
from hettui.services.events import ChatEnded, ChatProgressed, Event
from tests.fakes import ANSWER, BROKEN_ANSWER, FakeClient, FakeClock, FakeWorld

QUESTION = [ChatTurn("user", "colours?")]


async def ask(deltas: list[ChatDelta | BaseException]) -> tuple[str, ChatEnded]:
    events: list[Event] = []
    session = ChatSession(FakeClock(), events.append)
    session.send(FakeClient(FakeWorld(deltas=deltas)), QUESTION, {})
    while session.busy:
        await asyncio.sleep(0)
    text = "".join(e.text for e in events if isinstance(e, ChatProgressed))
    end = events[-1]
    assert isinstance(end, ChatEnded)
    return text, end


async def test_a_complete_answer() -> None:
    text, end = await ask(list(ANSWER))
    assert text == "Red, blue"
    assert end.problem is None
    assert end.timings is not None
    assert (end.timings.generated_per_second, end.timings.first_token_s) == (41.5, 0.0)


async def test_an_answer_that_breaks_off_keeps_its_text_and_says_why() -> None:
    text, end = await ask(BROKEN_ANSWER)
    assert text == "Red, "
    assert end.problem == "the connection broke off"


async def test_a_stream_that_just_ends_is_no_complete_answer() -> None:
    text, end = await ask([ChatDelta(text="Red, ")])
    assert text == "Red, "
    assert end.problem is not None
    assert "closed the connection" in end.problem


async def test_escape_sequences_cut_across_tokens_do_not_pass() -> None:
    deltas: list[ChatDelta | BaseException] = [ChatDelta(text=t) for t in ("a\x1b", "]52;c;", "Zm9v\x07b", "\x9b31mc")]
    text, _ = await ask([*deltas, ChatDelta(finish_reason="stop")])
    assert text == "abc"


async def test_cancelling_ends_it() -> None:
    events: list[Event] = []
    session = ChatSession(FakeClock(), events.append)
    session.send(FakeClient(FakeWorld(deltas=[ChatDelta(text="x")] * 10_000)), QUESTION, {})
    await asyncio.sleep(0)
    with pytest.raises(ServerError, match="still being written"):
        session.send(FakeClient(FakeWorld()), QUESTION, {})
    await session.cancel()
    assert isinstance(events[-1], ChatEnded)
    assert events[-1].cancelled
    assert not session.busy
