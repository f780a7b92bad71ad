"""An API is tried as its clients ask it: what is no answer is a sentence."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from hettui.adapters.llama.http_trial import try_apis
from hettui.domain.chat.agents import CHAT, MESSAGES, RESPONSES
from tests.domain.test_agents import ANSWERS

APIS = (CHAT, MESSAGES, RESPONSES)


def tried(answer: httpx.Response | Exception) -> list[str]:
    def handler(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        assert request.headers["authorization"] == "Bearer secret"
        assert json.loads(request.content)["tools"]
        return answer

    found = asyncio.run(try_apis("http://h:1/lab", "secret", "m", APIS, httpx.MockTransport(handler)))
    return [one.problem for one in found]


def test_each_api_is_asked_below_the_prefix_and_known_by_its_answer() -> None:
    paths = list[str]()

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, json=ANSWERS[request.url.path.removeprefix("/lab")])

    found = asyncio.run(try_apis("http://h:1/lab", None, "m", APIS, httpx.MockTransport(handler)))
    assert [one.problem for one in found] == ["", "", ""]
    assert paths == [f"/lab{api}" for api in APIS]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(404, text="no"), "does not have it"),
        (httpx.Response(500, json={"error": {"message": "tools need a template"}}), "tools need a template"),
        (httpx.Response(200, text="<html>"), "no answer of this API"),
        (httpx.Response(200, json={"hello": 1}), "no answer of this API"),
        (httpx.ConnectError("refused"), "does not answer at http://h:1/lab"),
    ],
)
def test_what_is_no_answer_is_a_sentence(answer: httpx.Response | Exception, words: str) -> None:
    assert all(words in problem for problem in tried(answer))
