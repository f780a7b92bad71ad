"""Pictures in a question: named in its lines, read when it is sent."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.adapters.llama.picture_files import messages
from hettui.domain.chat.pictures import MOST_BYTES, kind_of, named_in, words_of
from hettui.domain.chat.wire import ChatTurn
from hettui.domain.errors import UsageError
from hettui.domain.llama.server_errors import http_reason

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a cat.png"
    path.write_bytes(DOT)
    return path


def test_a_question_with_a_picture_carries_it(picture: Path) -> None:
    told = messages((ChatTurn("system", "Short."), ChatTurn("user", f"/image {picture}\nWhat is this?")))
    assert told[0] == {"role": "system", "content": "Short."}
    seen, asked = told[1]["content"]
    assert seen["image_url"]["url"] == "data:image/png;base64," + base64.b64encode(DOT).decode()
    assert asked == {"type": "text", "text": "What is this?"}


@pytest.mark.parametrize("said", ["'{}'", '"{}"', "file://{}", "{}"])
def test_a_path_is_taken_as_terminals_paste_it(picture: Path, said: str) -> None:
    address = str(picture).replace(" ", "%20") if "file:" in said else str(picture)
    assert named_in(f"What?\n/image {said.format(address)}") == (str(picture),)
    assert named_in(f"/image {str(picture).replace(' ', chr(92) + ' ')}") == (str(picture),)


@pytest.mark.parametrize("text", ["", "what does /image do?", " /image x", "/images x", "/image", "/image   "])
def test_other_words_are_words(text: str) -> None:
    assert named_in(text) == ()


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    named_in(text)
    words_of(text)
    named_in(f"/image {text}")


def test_what_cannot_be_sent_says_why(tmp_path: Path, picture: Path) -> None:
    def ask(path: Path | str) -> str:
        with pytest.raises(UsageError) as found:
            messages((ChatTurn("user", f"/image {path}"),))
        return str(found.value)

    assert "No such file" in ask(tmp_path / "none.png")
    assert "no picture" in ask(__file__)
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    assert "larger than 8 MiB" in ask(large)
    assert "directory" in ask(tmp_path)
    assert "cannot be read" in ask("a\0b")


def test_pictures_of_a_conversation_are_bounded_together(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(DOT + bytes(MOST_BYTES - len(DOT)))
    with pytest.raises(UsageError, match="40 MiB together"):
        messages((ChatTurn("user", "\n".join([f"/image {path}"] * 5)),))


def test_an_earlier_picture_that_has_gone_stops_nothing(tmp_path: Path) -> None:
    gone = ChatTurn("user", f"/image {tmp_path / 'gone.png'}\nWhat?")
    told = messages((gone, ChatTurn("assistant", "A cat."), ChatTurn("user", "Sure?")))
    assert "cannot be read any more" in told[0]["content"][0]["text"]


def test_a_model_without_a_projector_says_what_to_do() -> None:
    said = b'{"error": {"code": 500, "message": "image input is not supported - hint: if this is unexpected, ..."}}'
    assert "set [serving] mmproj" in http_reason(500, said)


def test_only_what_llama_server_decodes_is_a_picture() -> None:
    assert kind_of(b"\xff\xd8\xff\xe0") == "image/jpeg"
    assert kind_of(b"RIFF....WEBP") is None
    assert kind_of(b"") is None
