"""Conversations: what is sent, what is kept, what is read back from files of anybody."""

from __future__ import annotations

import json

import pytest

from hettui.domain.chat.conversation import (
    MAX_HISTORY,
    Conversation,
    Exchange,
    Sampling,
    from_json,
    parse_sampling,
    remembered,
    to_json,
    to_markdown,
)

TALK = Conversation(
    "k1",
    "smol Q4_1",
    "2026-01-01T10:00:00+00:00",
    system="Be brief.",
    sampling=Sampling(temperature=0.2, max_tokens=64),
    exchanges=(
        Exchange("colours?", "Red, blue", reasoning="hm", note="answer 2 tok"),
        Exchange("def f(x):", " return ```x```", raw=True),
        Exchange("more?", "Green and", end="cut off"),
    ),
)


def test_raw_prompts_stand_apart_from_the_chat() -> None:
    assert [(t.role, t.content) for t in TALK.turns] == [
        ("system", "Be brief."),
        ("user", "colours?"),
        ("assistant", "Red, blue"),
        ("user", "more?"),
        ("assistant", "Green and"),
    ]


def test_kept_and_read_back() -> None:
    assert from_json("k1", json.loads(json.dumps(to_json(TALK)))) == TALK


@pytest.mark.parametrize("data", [None, [], {}, {"exchanges": 3}, "text"])
def test_what_is_no_conversation(data: object) -> None:
    assert from_json("k", data) is None


def test_a_hostile_file_is_cleaned() -> None:
    data = {
        "model": "\x1b]0;owned\x07m",
        "system": 3,
        "sampling": {"temperature": "hot", "shell": "rm"},
        "exchanges": [{"question": "q\x9b31m", "answer": "a\x1b[2J", "end": "maybe", "note": None}, 7, {}],
    }
    found = from_json("k", data)
    assert found is not None
    assert (found.model, found.system, found.sampling) == ("m", "", Sampling())
    assert found.exchanges == (Exchange("q", "a"), Exchange(""))


def test_only_an_answer_that_did_not_end_can_be_continued() -> None:
    assert TALK.can_continue
    assert not TALK.without_last().can_continue
    assert not Conversation("k", "m", "").can_continue


def test_as_markdown() -> None:
    text = to_markdown(TALK)
    assert "# colours?" in text
    assert "## Assistant\n\nRed, blue\n" in text
    assert "> hm" in text
    assert "*answer 2 tok*" in text
    assert "````\ndef f(x): return ```x```\n````" in text
    assert "*cut off*" in text
    assert "temperature 0.2, max_tokens 64" in text


def test_sampling_from_words() -> None:
    assert parse_sampling({"temperature": " 0.5 ", "top_k": "", "seed": "7"}) == Sampling(temperature=0.5, seed=7)
    assert parse_sampling({"temperature": "0.5"}).options() == {"temperature": 0.5}


@pytest.mark.parametrize(("name", "text"), [("temperature", "-1"), ("top_k", "1.5"), ("top_p", "2"), ("min_p", "nan")])
def test_sampling_out_of_range_is_named(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=name):
        parse_sampling({name: text})


def test_the_history_holds_each_prompt_once_and_has_an_end() -> None:
    assert remembered(("a", "b"), "a") == ("b", "a")
    assert len(remembered(tuple(map(str, range(500))), "x")) == MAX_HISTORY
