"""Conversations on disk: private, atomic, and damage to one file costs that one only."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hettui.adapters.files.chat_store import ChatFolder
from hettui.domain.chat.conversation import Conversation, Exchange
from hettui.domain.errors import HettuiError
from hettui.ports import KeptPrompts
from hettui.services.chat.keeper import ChatKeeper


def talk(key: str, changed: str = "2026-01-01", model: str = "smol [Q4_1] ../x") -> Conversation:
    return Conversation(key, model, "2026-01-01", changed, exchanges=(Exchange("q", "a"),))


@pytest.fixture
def store(tmp_path: Path) -> ChatFolder:
    return ChatFolder(tmp_path / "chats", tmp_path)


def test_the_newest_first_and_each_model_its_own(store: ChatFolder, tmp_path: Path) -> None:
    older, newer, other = talk("a", "2026-01-02"), talk("b", "2026-01-03"), talk("c", model="another")
    for one in (newer, older, other):
        store.save(one)
    assert store.conversations(older.model) == [newer, older]
    assert store.conversations("another") == [other]
    files = list((tmp_path / "chats").rglob("*.json"))
    assert len(files) == 3
    assert {f.stat().st_mode & 0o777 for f in files} == {0o600}
    assert {f.parent.stat().st_mode & 0o777 for f in files} == {0o700}


def test_models_with_like_names_do_not_share_a_folder(store: ChatFolder) -> None:
    store.save(talk("a", model="x/y"))
    assert store.conversations("x:y") == []


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_costs_itself_only(store: ChatFolder, tmp_path: Path, damage: bytes) -> None:
    store.save(talk("good"))
    (file,) = (tmp_path / "chats").rglob("good.json")
    (file.parent / "bad.json").write_bytes(damage)
    (file.parent / "prompts.json").write_bytes(damage)
    assert [c.key for c in store.conversations(talk("x").model)] == ["good"]
    assert store.prompts(talk("x").model) == KeptPrompts()
    assert (file.parent / "bad.json").read_bytes() == damage


def test_what_was_typed(store: ChatFolder) -> None:
    prompts = KeptPrompts("half a ques", ("one", "two\nlines"))
    store.save_prompts("m", prompts)
    assert store.prompts("m") == prompts


def test_an_export_never_replaces_a_file(store: ChatFolder, tmp_path: Path) -> None:
    first, second = store.export("chat: [x].md", "1"), store.export("chat: [x].md", "2")
    assert first != second
    assert (Path(first).read_text(), Path(second).read_text()) == ("1", "2")
    assert Path(first).parent == tmp_path
    assert Path(first).stat().st_mode & 0o777 == 0o600


def test_a_copy_replaces_the_copy_before(store: ChatFolder) -> None:
    store.copy("one")
    path = Path(store.copy("two"))
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_export_goes_to_the_state_folder_where_nothing_else_can_be_written(tmp_path: Path) -> None:
    store = ChatFolder(tmp_path / "chats", tmp_path / "missing")
    assert Path(store.export("a.md", "x")).parent == tmp_path / "chats"


def test_of_several_savings_the_last_one_counts(store: ChatFolder) -> None:
    keeper = ChatKeeper(store)
    for n in range(50):
        keeper.save(replace(talk("a"), system=str(n)))
    keeper.close()
    assert store.conversations(talk("a").model)[0].system == "49"
    assert keeper.save(talk("b")).cancelled()


def test_a_disk_that_says_no_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "chats").write_text("a file where the folder should be")
    keeper = ChatKeeper(ChatFolder(tmp_path / "chats", tmp_path))
    with pytest.raises(HettuiError, match="cannot be written"):
        keeper.save(talk("a")).result(10)
    keeper.close()


def test_what_could_not_be_read_again_is_not_written_and_says_so(
    store: ChatFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hettui.adapters.files.chat_store._MAX_BYTES", 4096)
    store.save(talk("small"))
    long = replace(talk("small"), exchanges=(Exchange("q", "a" * 5000),))
    keeper = ChatKeeper(store)
    with pytest.raises(HettuiError, match="larger than 0 MiB: start a new conversation"):
        keeper.save(long).result()
    keeper.close()
    assert store.conversations(long.model) == [talk("small")]


def test_of_too_many_conversations_the_newest_are_taken_and_all_are_left(
    store: ChatFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for number in range(6):
        store.save(talk(f"c{number}", f"2026-01-0{number + 1}"))
        file = next((tmp_path / "chats").rglob(f"c{number}.json"))
        os.utime(file, (number, number))
    monkeypatch.setattr("hettui.adapters.files.chat_store._MAX_ALL_BYTES", 2 * file.stat().st_size)
    assert [c.key for c in store.conversations(talk("x").model)] == ["c5", "c4"]
    assert len(list((tmp_path / "chats").rglob("*.json"))) == 6
