"""Where the API is: one rule for every place that asks it, shows it or warns of it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hettui.domain.cluster.address import (
    LISTS_BUILD,
    api_url,
    endpoint,
    is_loopback,
    pasted,
    reachable,
    tcp_hosts,
    unusable,
)
from hettui.domain.errors import ConfigError, UsageError
from hettui.domain.llama.build import NEWEST_BUILD, OLDEST_BUILD


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("127.8.8.8", "http://127.8.8.8:8080"),
        ("localhost", "http://localhost:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),  # noqa: S104
        ("::", "http://[::1]:8080"),
        ("0:0:0:0:0:0:0:0", "http://[::1]:8080"),
        ("::1", "http://[::1]:8080"),
        ("[::1]", "http://[::1]:8080"),
        ("10.9.9.1", "http://10.9.9.1:8080"),
        ("2001:db8::7", "http://[2001:db8::7]:8080"),
        ("fe80::1%eth0", "http://[fe80::1%eth0]:8080"),
        ("attic", "http://attic:8080"),
        ("10.9.9.1,127.0.0.1", "http://10.9.9.1:8080"),
        (" ::1 , 127.0.0.1", "http://[::1]:8080"),
        ("0.0.0.0,::", "http://127.0.0.1:8080"),
        ("/run/x.sock,10.9.9.1", "http://10.9.9.1:8080"),
    ],
)
def test_the_api_is_asked_where_it_listens(host: str, url: str) -> None:
    assert reachable(host, 8080) == url


@pytest.mark.parametrize(
    ("words", "path"),
    [((), ""), (("--api-prefix", "/lab/llm"), "/lab/llm"), (("--api-prefix=/x",), "/x"), (("--path", "/srv"), "")],
)
def test_the_api_is_asked_below_its_prefix(words: tuple[str, ...], path: str) -> None:
    assert api_url("0.0.0.0", 8080, ("llama-server", *words)) == f"http://127.0.0.1:8080{path}"  # noqa: S104


def test_nothing_is_asked_of_a_socket() -> None:
    with pytest.raises(ConfigError, match=r"host /run/x\.sock is a socket.*127\.0\.0\.1"):
        reachable("/run/x.sock", 8080)
    assert tcp_hosts("/run/x.sock,::1") == ("::1",)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("[::1]", True), ("localhost", True),
        ("/run/x.sock", True), ("127.0.0.1,::1", True), ("127.0.0.1, /run/x.sock", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("2001:db8::7", False),  # noqa: S104
        ("127.0.0.1,0.0.0.0", False), ("::1,10.9.9.1", False), ("127.evil.example", False), ("attic", False),
    ],
)  # fmt: skip
def test_who_else_reaches_it(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("attic", "attic:80"), ("a,::1", "a,::1:80")],
)
def test_an_endpoint_is_written_as_one_reads_it(host: str, shown: str) -> None:
    assert endpoint(host, 80) == shown


@pytest.mark.parametrize(
    ("host", "build", "says"),
    [
        ("127.0.0.1", OLDEST_BUILD, None),
        ("::", OLDEST_BUILD, None),
        ("attic", OLDEST_BUILD, None),
        ("127.0.0.1,::1", OLDEST_BUILD, "takes one address"),
        ("127.0.0.1,::1", LISTS_BUILD, None),
        ("127.0.0.1,/run/x.sock", NEWEST_BUILD, None),
        ("/run/x.sock", NEWEST_BUILD, "over TCP only"),
        ("/run/x.sock,/run/y.sock", NEWEST_BUILD, "over TCP only"),
        ("[::1]", NEWEST_BUILD, "write ::1"),
        ("127.0.0.1,,::1", NEWEST_BUILD, "between two commas"),
    ],
)
def test_what_cannot_serve_is_said_with_the_remedy(host: str, build: int, says: str | None) -> None:
    found = unusable(host, build)
    assert found is None if says is None else says in (found or "")


@pytest.mark.parametrize(
    ("said", "base"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/v1/chat/completions", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/completion?x=1", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/#/chat/1", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/health", "http://127.0.0.1:8080"),
        ("  <http://127.0.0.1:8080>\n", "http://127.0.0.1:8080"),
        ("https://proxy.example/lab/llm/v1/", "https://proxy.example/lab/llm"),
        ("http://me:pw@127.0.0.1:8080/v1", "http://me:pw@127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://[fd00::1]/v1", "http://[fd00::1]"),
        ("http://0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("[::]:8080", "http://[::1]:8080"),
        ("HTTP://Attic", "http://attic"),
    ],
)
def test_what_people_paste_is_the_base_of_an_api(said: str, base: str) -> None:
    assert pasted(said) == base


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("http://", "no address"),
        ("http://localhost:abc", "a number from 1 to 65535"),
        ("http://127.0.0.1:99999", "a number from 1 to 65535"),
        ("http://127.0.0.1:0", "no address"),
        ("http://::1:8080", "in brackets"),
        ("http://[::1", "in brackets"),
        ("ftp://127.0.0.1", "not ftp"),
        ("file:///etc/passwd", "not file"),
        ("http://two words:80", "no address"),
        ("http://me:secret/x@127.0.0.1:1", "a number from 1 to 65535"),
    ],
)
def test_a_wrong_url_is_a_usage_error(said: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        pasted(said)
    assert caught.value.exit_code == 2
    assert "secret" not in str(caught.value)


@example('0/"#')
@example("0/ #")
@example("0/v1/> ?")
@example("0/v1/v1/models/")
@example("0/ <?")
@given(st.text(max_size=60) | st.from_regex(r"(https?://)?[a-z0-9.:@/\[\]%#? -]{0,40}", fullmatch=True))
def test_anything_pasted_is_a_url_or_a_usage_error(said: str) -> None:
    try:
        base = pasted(said)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert urlsplit(base).hostname
        assert pasted(base) == base
