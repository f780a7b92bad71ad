"""The front door as data: where chunks end, what waits, what is said instead."""

from __future__ import annotations

import json
from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.door.chunks import ChunkedEnd
from hettui.domain.door.rules import Asked, chunk, stream_head, unavailable, wants_stream, whole_answer
from hettui.domain.door.words import DoorWords

_NO_CHUNK = "chunk|without an end|invalid literal"
bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


@given(bodies, st.sampled_from(["", ";x=1", " "]), st.sampled_from([b"", b"X: 1\r\n"]), st.lists(st.integers(0, 400)))
def test_the_end_of_chunks_is_found_in_whatever_pieces(
    body: list[bytes], extension: str, trailer: bytes, cuts: list[int]
) -> None:
    wire = b"".join(f"{len(part):x}{extension}\r\n".encode() + part + b"\r\n" for part in body)
    wire += b"0\r\n" + trailer + b"\r\n"
    end, passed = ChunkedEnd(), 0
    for piece in in_pieces(wire + b"more", cuts):
        assert not end.ended or passed == len(wire)
        passed += end.feed(piece)
    assert end.ended
    assert passed == len(wire)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_whatever_comes_is_a_body_or_a_value_error(data: bytes, cuts: list[int]) -> None:
    whole, cut = ChunkedEnd(), ChunkedEnd()
    try:
        passed = whole.feed(data)
    except ValueError:
        with pytest.raises(ValueError, match=_NO_CHUNK):
            for piece in in_pieces(data, cuts):
                cut.feed(piece)
    else:
        assert sum(cut.feed(piece) for piece in in_pieces(data, cuts)) == passed
        assert cut.ended is whole.ended


@pytest.mark.parametrize("line", [b"\n", b"x\r\n", b"-1\r\n", b"00000000000000001\r\n", b"a" * 20_000], ids=range(5))
def test_what_is_no_chunk(line: bytes) -> None:
    with pytest.raises(ValueError, match=_NO_CHUNK):
        ChunkedEnd().feed(line)


@pytest.mark.parametrize(
    ("body", "streams"),
    [
        (b'{"stream": true}', True),
        (b'{"stream": false}', False),
        (b'{"stream": 1}', False),
        (b'{"a": {"stream": true}}', False),
        (b"[true]", False),
        (b"", False),
        (b"\xff{", False),
        (b"[" * 100_000, False),
    ],
)
def test_who_wants_a_stream(body: bytes, streams: bool) -> None:
    assert wants_stream(body) is streams


@pytest.mark.parametrize(
    ("method", "target", "again", "look"),
    [
        ("POST", "/v1/chat/completions", True, False),
        ("POST", "/lab/completion?x=1", True, False),
        ("POST", "/slots/0?action=save", False, False),
        ("POST", "/props", False, False),
        ("POST", "/lora-adapters", False, False),
        ("GET", "/lora-adapters", True, False),
        ("GET", "/v1/models", True, False),
        ("GET", "/lab/v1/health", True, True),
        ("HEAD", "/metrics?model=x", True, True),
        ("POST", "/health", True, False),
    ],
)
def test_what_waits_and_what_may_be_asked_again(method: str, target: str, again: bool, look: bool) -> None:
    asked = Asked(method, target)
    assert (asked.may_be_repeated, asked.is_look) == (again, look)


@pytest.mark.parametrize("origin", ["", "http://page:1"])
def test_what_the_door_says_is_http(origin: str) -> None:
    asked = Asked("POST", "/v1/chat/completions", origin=origin)
    for raw in (
        whole_answer(503, unavailable('no "model"\n'), asked),
        stream_head(asked) + chunk(b": x\n\n") + b"0\r\n\r\n",
    ):
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method="POST", target="/", headers=[("Host", "x")]))
        parser.send(h11.EndOfMessage())
        parser.receive_data(raw)
        head = parser.next_event()
        assert isinstance(head, h11.Response)
        said = dict(head.headers).get(b"access-control-allow-origin", b"").decode()
        assert said == origin
        body = b""
        while isinstance(event := parser.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage)
        assert body.startswith(b":") or json.loads(body)["error"]["code"] == 503


def test_the_doors_words_come_back_as_they_were() -> None:
    words = DoorWords(("127.0.0.1", "::1"), 8080, "name", 60, 5, "/lab")
    assert DoorWords.of(("python3", "-m", "x", *words.words())) == words
    assert DoorWords.of(DoorWords(("a",), 1, "n").words()).prefix == ""
    for odd in ((), ("--host", "a"), ("--host", "a", "--port", "x", "--control", "c")):
        with pytest.raises(ValueError, match=r"missing|invalid"):
            DoorWords.of(odd)
