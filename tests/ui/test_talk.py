"""The chat without its pane: one conversation, the others with its model, and their keeping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from hettui.domain.chat.conversation import ARTICLE_PROMPT, Sampling
from hettui.ports import KeptPrompts
from hettui.services.chat.keeper import ChatKeeper
from hettui.services.events import ChatEnded
from hettui.ui.presenting.talk import Talk, how_it_ended, new_conversation
from tests.ui.stage import MemoryStore


def at_once(future: Future[Any], then: Callable[[Any], None]) -> None:
    then(future.result())


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def talk(store: MemoryStore) -> Iterator[Talk]:
    keeper = ChatKeeper(store)
    made = Talk(keeper, at_once)
    made.use_model("smol", lambda prompts: None)
    yield made
    keeper.close()


def test_a_question_its_answer_and_the_end_of_both(talk: Talk) -> None:
    assert (talk.asked, talk.answered) == (False, False)
    talk.ask("why?")
    assert (talk.asked, talk.answered) == (True, False)
    talk.note_answer("so", "hm", end="stopped", note="stopped")
    last = talk.now.exchanges[-1]
    assert (last.answer, last.reasoning, last.end, last.note) == ("so", "hm", "stopped", "stopped")
    assert talk.answered
    assert talk.last_answer == "so"
    assert talk.drop_last().question == "why?"
    assert not talk.asked


def test_a_raw_completion_is_copied_with_its_beginning(talk: Talk, store: MemoryStore) -> None:
    told: list[str] = []
    talk.ask("def f(", raw=True)
    talk.note_answer("n):", "")
    talk.ask("unanswered")
    assert talk.last_answer == "def f(n):"
    talk.copy(told.append, told.append)
    said = "sent to the terminal's clipboard, and written to /state/last-copy.txt"
    assert (store.exported["copy"], told) == ("def f(n):", ["def f(n):", said])


def test_only_what_was_asked_is_kept_and_the_newest_comes_first(talk: Talk, store: MemoryStore) -> None:
    talk.keep()
    assert store.kept == {}
    talk.ask("one")
    talk.keep()
    first = talk.now
    assert not talk.keeping_is_due
    talk.now = talk.fresh()
    talk.ask("two")
    talk.keep()
    talk.keep()
    assert [c.exchanges[0].question for c in talk.known] == ["two", "one"]
    assert set(store.kept) == {first.key, talk.now.key}
    talk.export(lambda path: None)
    assert any("two" in text for text in store.exported.values())


def test_another_model_has_other_conversations(talk: Talk, store: MemoryStore) -> None:
    talk.ask("one")
    talk.keep()
    talk.keep_prompts("half a", ("one",))
    found: list[KeptPrompts] = []
    talk.use_model("large", found.append)
    assert (talk.model, talk.known, talk.asked) == ("large", [], False)
    talk.use_model("large", found.append)
    assert found == [KeptPrompts()], "the same again is nothing new"
    talk.use_model("smol", found.append)
    assert found[-1] == KeptPrompts("half a", ("one",))
    assert [c.exchanges[0].question for c in talk.known] == ["one"]


def test_what_was_read_for_a_model_that_is_gone_is_dropped(store: MemoryStore) -> None:
    late: list[Callable[[], None]] = []
    keeper = ChatKeeper(store)
    talk = Talk(keeper, lambda future, then: late.append(lambda: then(future.result())))
    found: list[KeptPrompts] = []
    talk.use_model("smol", found.append)
    talk.use_model("large", found.append)
    late.pop(0)()
    assert found == []
    late.pop(0)()
    assert found == [KeptPrompts()]
    keeper.close()


def test_settings_stay_for_the_next_conversation(talk: Talk) -> None:
    assert talk.settings_words == "token limit as the server's ({chat.limit})"
    talk.set(raw=True, system="be brief", sampling=Sampling(temperature=0.5, max_tokens=9))
    assert talk.settings_words == "raw · system prompt · temperature 0.5 · token limit 9 ({chat.limit})"
    fresh = talk.fresh()
    assert (fresh.raw, fresh.system, fresh.sampling) == (True, "be brief", Sampling(temperature=0.5, max_tokens=9))
    assert fresh.key != talk.now.key
    assert talk.options == {"temperature": 0.5, "max_tokens": 9}


def test_a_parallel_test_asks_what_is_typed_else_the_last_question(talk: Talk) -> None:
    assert talk.for_all_slots("  ") == ARTICLE_PROMPT
    talk.ask("one")
    assert talk.for_all_slots("") == "one"
    assert talk.for_all_slots(" two ") == "two"


def test_two_conversations_of_one_second_have_two_keys() -> None:
    assert new_conversation("a").key != new_conversation("a").key


@pytest.mark.parametrize(
    ("event", "begun", "end", "note"),
    [
        (ChatEnded(None, problem="gone"), True, "cut off", "cut off: gone"),
        (ChatEnded(None, problem="gone"), False, "cut off", "gone"),
        (ChatEnded(None, cancelled=True), True, "stopped", "stopped"),
        (
            ChatEnded(None, at_limit=True),
            True,
            "length",
            "the limit of tokens was reached: ⏎ in the empty prompt goes on",
        ),
        (ChatEnded(None), True, "complete", ""),
    ],
)
def test_how_an_answer_ended(event: ChatEnded, begun: bool, end: str, note: str) -> None:
    assert how_it_ended(event, begun=begun) == (end, note)
