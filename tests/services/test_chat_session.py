"""One answer: cleaned, in order, and its end told truly."""

from __future__ import annotations

import asyncio

import pytest

from hettui.domain.chat.wire import ChatDelta, ChatTurn, PromptProgress, Slot, Timings
from hettui.domain.errors import ConnectionLost, ServerError
from hettui.services.chat import session as chat_session
from hettui.services.chat.parallel import ParallelTest
from hettui.services.chat.session import ChatSession
from hettui.services.events import ChatEnded, ChatProgressed, ChatWaiting, Event, ParallelChanged
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


async def ask_of(world: FakeWorld, *, wait: type[Event] | None = None) -> list[Event]:
    """All events of one answer; with `wait` it is stopped once such an event has come."""
    events: list[Event] = []
    session = ChatSession(FakeClock(), events.append)
    session.send(FakeClient(world), QUESTION, {})
    while session.busy:
        await asyncio.sleep(0.001)
        if wait and any(isinstance(e, wait) for e in events):
            await session.cancel()
    return events


async def test_while_it_waits_its_place_in_the_queue_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_session, "QUEUE_LOOK_S", 0.01)
    world = FakeWorld(slots=(Slot(True, 12), Slot(True)), queued=1, answers_never=True)
    events = await ask_of(world, wait=ChatWaiting)
    told = next(e for e in events if isinstance(e, ChatWaiting))
    assert told.text.startswith("all 2 slots are busy, place 1 in the queue, at most 12 tokens")
    end = events[-1]
    assert isinstance(end, ChatEnded)
    assert end.cancelled


async def test_the_progress_of_the_prompt_is_told() -> None:
    progress = ChatDelta(progress=PromptProgress(2000, 500, 1.0))
    events = await ask_of(FakeWorld(deltas=[progress, *ANSWER]))
    assert ChatWaiting("reading the prompt: 500 of 2000 tokens, 500.0 tok/s, 3.0 s left") in events


async def test_a_connection_lost_before_the_first_word_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_session, "CONNECT_AGAIN_S", 0.0)
    world = FakeWorld(deltas=list(ANSWER), lost_connections=2)
    events = await ask_of(world)
    assert [e.text[-8:] for e in events if isinstance(e, ChatWaiting)] == ["(2 of 3)", "(3 of 3)"]
    assert isinstance(events[-1], ChatEnded)
    assert events[-1].problem is None

    world = FakeWorld(deltas=list(ANSWER), lost_connections=3)
    events = await ask_of(world)
    assert isinstance(events[-1], ChatEnded)
    assert events[-1].problem == "llama-server does not answer"


async def test_after_the_first_word_a_lost_connection_is_told_and_not_hidden() -> None:
    deltas: list[ChatDelta | BaseException] = [ChatDelta(text="Red"), ConnectionLost("it broke off")]
    text, end = await ask(deltas)
    assert (text, end.problem) == ("Red", "it broke off")


@pytest.mark.parametrize("pieces", [["Red, ", "blue"], ["Red, b", "lue"], ["blue"], ["Re", "d, ", "blue"]])
async def test_a_continued_answer_does_not_repeat_its_beginning(pieces: list[str]) -> None:
    events: list[Event] = []
    session = ChatSession(FakeClock(), events.append)
    deltas: list[ChatDelta | BaseException] = [ChatDelta(text=piece) for piece in pieces]
    turns = [*QUESTION, ChatTurn("assistant", "Red, ")]
    session.send(FakeClient(FakeWorld(deltas=[*deltas, ChatDelta(finish_reason="stop")])), turns, {})
    while session.busy:
        await asyncio.sleep(0)
    assert "".join(e.text for e in events if isinstance(e, ChatProgressed)) == "blue"


async def test_the_end_tells_limit_context_and_both_clocks() -> None:
    deltas = [ChatDelta(text="a"), ChatDelta(text="b"), ChatDelta(finish_reason="length", timings=Timings(9))]
    _, end = await ask(list(deltas))
    assert end.at_limit
    assert end.context_tokens == 4096
    assert end.clock is not None
    assert (end.clock.pieces, end.timings and end.timings.prompt_tokens) == (2, 9)


async def test_copies_of_a_prompt_at_once() -> None:
    events: list[Event] = []
    test = ParallelTest(FakeClock(), events.append)
    test.start(FakeClient(FakeWorld(deltas=list(ANSWER))), "hello", 3, {})
    with pytest.raises(ServerError, match="still running"):
        test.start(FakeClient(FakeWorld()), "hello", 3, {})
    while test.busy:
        await asyncio.sleep(0)
    end = events[-1]
    assert isinstance(end, ParallelChanged)
    assert end.done
    assert [(row.tokens, row.ended) for row in end.rows] == [(2, True)] * 3


async def test_as_many_copies_as_slots_and_each_failure_in_its_row() -> None:
    events: list[Event] = []
    test = ParallelTest(FakeClock(), events.append)
    test.start(FakeClient(FakeWorld(deltas=list(BROKEN_ANSWER))), "hello", None, {})
    while test.busy:
        await asyncio.sleep(0)
    end = events[-1]
    assert isinstance(end, ParallelChanged)
    assert [row.problem for row in end.rows] == ["the connection broke off"] * 2
