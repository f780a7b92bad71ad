"""An event stream, cut anywhere, and what servers put into it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.chat.sse import SseEvent, SseParser
from hettui.domain.chat.stream import ChatStream, ThinkSplitter
from hettui.domain.chat.wire import Timings
from hettui.domain.errors import ServerError

STREAM = (
    b'\xef\xbb\xbf: ping\n\ndata: {"a": "\xf0\x9f\xa6\x99"}\n\ndata: \n\ndata:\n\ndata: two\r\ndata: lines\r\n\r\n'
    b'id: 7\n\nevent: error\ndata: {"m": 1}\n\nerror: {"old": 1}\n\nretry: 5\n\ndata: [DONE]\n\n'
)
EVENTS = [
    SseEvent('{"a": "🦙"}'),
    SseEvent("two\nlines"),
    SseEvent('{"m": 1}', "error"),
    SseEvent('{"old": 1}', "error"),
    SseEvent("[DONE]"),
]


@given(st.data(), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_events_depend_neither_on_where_chunks_end_nor_on_how_lines_do(data: st.DataObject, end: bytes) -> None:
    parser, rest = SseParser(), STREAM.replace(b"\r\n", b"\n").replace(b"\n", end)
    events: list[SseEvent] = []
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        events += parser.feed(rest[:size])
        rest = rest[size:]
    more, stray = parser.finish()
    assert events + more == EVENTS
    assert stray == ""


def test_an_event_without_end_is_refused() -> None:
    parser = SseParser(max_event_bytes=1000)
    with pytest.raises(ValueError, match="without an end"):
        for _ in range(100):
            parser.feed(b"data: " + b"x" * 100)


def test_an_event_of_lines_without_end_is_refused() -> None:
    parser = SseParser(max_event_bytes=1000)
    with pytest.raises(ValueError, match="without an end"):
        for _ in range(100):
            parser.feed(b"data: " + b"x" * 100 + b"\n")


def test_a_body_that_is_no_stream_is_kept_up_to_a_size() -> None:
    parser = SseParser()
    assert parser.feed(b'{"error":\n  "no"}') == []
    assert parser.finish() == ([], '{"error":\n  "no"}')
    parser = SseParser()
    for _ in range(100):
        parser.feed(b"x" * 100_000 + b"\n")
    assert len(parser.finish()[1]) < 2_000_000


def test_the_last_event_needs_no_empty_line() -> None:
    parser = SseParser()
    assert parser.feed(b"data: last") == []
    assert parser.finish() == ([SseEvent("last")], "")


@pytest.mark.many
@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("<think>hm, so</think>\n\nHello", "Hello", "hm, so"),
        ("\n<think>a < b</think></think>x", "</think>x", "a < b"),
        ("Hello <think>not at the beginning</think>", "Hello <think>not at the beginning</think>", ""),
        ("<thin", "<thin", ""),
        ("<think>never closed </thi", "", "never closed </thi"),
        ("<b>bold</b>", "<b>bold</b>", ""),
        ("", "", ""),
    ],
)
@given(data=st.data())
def test_thoughts_between_tags_are_told_from_the_answer(
    text: str, said: str, thought: str, data: st.DataObject
) -> None:
    splitter, found, rest = ThinkSplitter(), ["", ""], text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        pieces = splitter.feed(rest[:size])
        found = [found[0] + pieces[0], found[1] + pieces[1]]
        rest = rest[size:]
    last = splitter.finish()
    assert (found[0] + last[0], found[1] + last[1]) == (said, thought)


def _delta(finish: str | None = None, **delta: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("event", "text", "reasoning"),
    [
        (_delta(content="a"), "a", ""),
        (_delta(content=None, reasoning_content="r"), "", "r"),
        (_delta(content="", reasoning="r"), "", "r"),
        (_delta(content=[{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}]), "ab", ""),
        ({"choices": [{"message": {"role": "assistant", "content": "whole"}}]}, "whole", ""),
        ({"choices": [{"text": "of /v1/completions"}]}, "of /v1/completions", ""),
        ({"choices": []}, "", ""),
        ({"choices": ["odd"]}, "", ""),
        ({"choices": [{"delta": {"content": 5}}]}, "", ""),
    ],
)
def test_pieces_of_every_dialect(event: dict[str, object], text: str, reasoning: str) -> None:
    delta = ChatStream().feed(event)
    assert (delta.text, delta.reasoning) == (text, reasoning)


def test_what_is_held_back_comes_with_the_end() -> None:
    stream = ChatStream()
    assert stream.feed(_delta(content="<th")).text == ""
    assert stream.feed(_delta("stop")).text == "<th"
    assert stream.finish(done=True) is None


def test_done_is_an_end_where_no_other_was_said() -> None:
    stream = ChatStream()
    stream.feed(_delta(content="Hi"))
    last = stream.finish(done=True)
    assert last is not None
    assert last.finish_reason == "stop"
    stream = ChatStream()
    stream.feed(_delta(content="Hi"))
    assert stream.finish(done=False) is None


def test_a_call_of_a_tool_instead_of_an_answer_is_said() -> None:
    stream = ChatStream()
    stream.feed(_delta(tool_calls=[{"index": 0, "function": {"name": "get_\x1b[1mweather", "arguments": ""}}]))
    stream.feed(_delta("tool_calls"))
    with pytest.raises(ServerError, match=r"calls a tool \(get_weather\)"):
        stream.finish(done=True)


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text(), lambda s: st.lists(s) | st.dictionaries(
    st.sampled_from(["choices", "delta", "content", "timings", "prompt_progress", "total", "processed", "tool_calls",
                     "predicted_n", "prompt_ms", "time_ms", "function", "name"]), s), max_leaves=15))  # fmt: skip
def test_no_event_breaks_the_reader(event: object) -> None:
    stream = ChatStream()
    stream.feed(json.loads(json.dumps(event)) if isinstance(event, dict) else {})


def test_timings_may_lack_anything() -> None:
    assert Timings.from_json({}) == Timings()
    said = {"prompt_n": 5, "prompt_per_second": None, "predicted_n": 7, "predicted_per_second": 41.5, "cache_n": True}
    assert Timings.from_json(said, 0.5) == Timings(5, None, 7, 41.5, 0.5, None)


@pytest.mark.parametrize("figure", [float("inf"), float("nan"), -1, 10**400, "7"])
def test_a_figure_that_cannot_be_is_none(figure: object) -> None:
    assert Timings.from_json({"prompt_n": figure, "prompt_ms": figure}) == Timings()
