"""llama-server's event stream, cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.chat.sse import SseParser
from hettui.domain.chat.wire import Timings

STREAM = b': ping\n\ndata: {"a": "\xf0\x9f\xa6\x99"}\n\ndata: two\r\ndata: lines\r\n\r\nid: 7\n\ndata: [DONE]\n\n'


@given(st.data())
def test_events_do_not_depend_on_where_chunks_end(data: st.DataObject) -> None:
    parser, events, rest = SseParser(), [], STREAM
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        events += parser.feed(rest[:size])
        rest = rest[size:]
    assert events == ['{"a": "🦙"}', "two\nlines", "[DONE]"]


def test_an_event_without_end_is_refused() -> None:
    parser = SseParser(max_event_bytes=1000)
    with pytest.raises(ValueError, match="without an end"):
        for _ in range(100):
            parser.feed(b"data: " + b"x" * 100)


def test_timings_may_lack_anything() -> None:
    assert Timings.from_json({}) == Timings()
    said = {"prompt_n": 5, "prompt_per_second": None, "predicted_n": 7, "predicted_per_second": 41.5, "cache_n": True}
    assert Timings.from_json(said, 0.5) == Timings(5, None, 7, 41.5, 0.5, None)
