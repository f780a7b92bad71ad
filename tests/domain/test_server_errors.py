"""Errors of any shape: the server's own words, in one clean line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.llama.server_errors import (
    body_words,
    error_in,
    http_reason,
    is_web_page,
    redirect_reason,
    web_page_reason,
)
from hettui.domain.text import clean_line


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"code": 400, "message": "no such model", "type": "invalid_request_error"}}, "no such model"),
        ({"error": "out of memory"}, "out of memory"),
        ({"error": {"message": {"error": {"message": "packed twice"}}}}, "packed twice"),
        ({"error": {"message": '{"error": {"message": "packed as a text"}}'}}, "packed as a text"),
        ({"object": "error", "message": "of vLLM", "code": 404}, "of vLLM"),
        ({"message": "", "error": "Bad Request", "status": 400}, "Bad Request"),
        ({"detail": "Not authenticated"}, "Not authenticated"),
        ({"detail": [{"loc": ["body"], "msg": "field required"}, {"msg": "too short"}]}, "field required; too short"),
        ({"title": "Gateway is full", "status": 502}, "Gateway is full"),
        ({"errors": [{"detail": "quota"}]}, "quota"),
        ("a text alone", "a text alone"),
        ({"error": {"message": "two\nlines\x1b[31m and\r\ncolour"}}, "two lines and colour"),
        ({"error": None}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_the_words_are_found_wherever_they_stand(body: object, words: str) -> None:
    assert body_words(json.dumps(body).encode()) == words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"plain text\n", "plain text"),
        (b"\xff\xfe broken bytes", "\ufffd\ufffd broken bytes"),
        (b"", ""),
        (b'\xef\xbb\xbf{"error": "behind a BOM"}', "behind a BOM"),
        (b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>",
         "a web page (502 Bad Gateway)"),
        (b"<!DOCTYPE html><script>var x = '<p>';</script><p>Log&nbsp;in &amp; wait</p>", "a web page (Log in & wait)"),
        (b"<html>", "a web page"),
        (b'{"error": ' * 5000, '{"error": {"error": {"error"'),
    ],
)  # fmt: skip
def test_what_is_no_json_is_read_as_what_it_is(body: bytes, words: str) -> None:
    assert body_words(body).startswith(words) if words else body_words(body) == ""


def test_a_silent_server_is_quoted_with_its_status() -> None:
    assert http_reason(418, b"") == "llama-server answered 418: I'm a Teapot"
    assert http_reason(599, b"").startswith("llama-server failed with 599: no reason given.")


@pytest.mark.parametrize(
    ("event", "kind", "says"),
    [
        ({"error": {"message": "slot gone"}}, "", "slot gone"),
        ({"error": "text"}, "", "text"),
        ({"error": {}, "message": "beside"}, "error", "beside"),
        ({"message": "Model crashed", "code": 500}, "error", "Model crashed"),
        ({"type": "error", "error": {"message": "overloaded"}}, "", "overloaded"),
        ({}, "error", "no reason given"),
        ({"choices": [], "error": None}, "", None),
        ({"choices": [{"delta": {"content": "error"}}]}, "", None),
    ],
)
def test_an_event_that_complains(event: dict[str, object], kind: str, says: str | None) -> None:
    assert error_in(event, kind) == says


def test_a_redirect_is_told_and_carries_no_secret() -> None:
    said = redirect_reason(307, "https://me:secret@other.example/v1?token=abc")
    assert "to https://other.example/v1" in said
    assert "secret" not in said
    assert "abc" not in said
    assert "does not say where" in redirect_reason(302, "")


def test_a_web_page_is_known_by_its_beginning() -> None:
    assert is_web_page(b"  <!doctype HTML><title>UI</title>")
    assert not is_web_page(b'{"text": "<html>"}')
    assert "(UI)" in web_page_reason(b"<!doctype html><title>UI</title>")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "type", "n_ctx", "n_prompt_tokens", "errors"]) | st.text(),
            inner | st.just("exceed_context_size_error"),
            max_size=4,
        )
    ),
    max_leaves=12,
)
_BODIES = (
    st.binary(max_size=2000)
    | _JSON.map(lambda found: json.dumps(found).encode())
    | st.text(max_size=500).map(lambda text: f"<html><title>{text}</title><p>{text}".encode(errors="replace"))
)


@given(st.integers(100, 599), _BODIES)
def test_any_error_of_a_server_is_one_clean_line(status: int, body: bytes) -> None:
    for said in (http_reason(status, body), web_page_reason(body), redirect_reason(status, body.decode("latin-1"))):
        assert said
        assert "\n" not in said
        assert clean_line(said) == said
        assert len(said) < 700


@given(_JSON, st.sampled_from(["", "error", "message"]))
def test_any_event_complains_in_one_clean_line_or_not_at_all(found: object, kind: str) -> None:
    said = error_in(found if isinstance(found, dict) else {}, kind)
    assert said is None or (said and clean_line(said) == said and "\n" not in said)
