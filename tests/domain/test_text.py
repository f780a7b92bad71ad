"""The sanitiser: nothing that steers a terminal passes, nothing readable is lost."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.text import (
    MAX_LINE_CHARS,
    LineSplitter,
    StreamCleaner,
    clean,
    clean_line,
    shell_word,
    shorten_middle,
)

HOSTILE = [
    ("\x1b[31mred\x1b[0m", "red"),
    ("\x1b]0;title\x07text", "text"),
    ("\x1b]52;c;ZWNobw==\x1b\\text", "text"),
    ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("\x9b31mred", "red"),
    ("\x9d0;title\x9ctext", "text"),
    ("a\x00b\x07c\x08d", "abcd"),
    ("\u202eevil\u202c", "evil"),
    ("zero\u200bwidth\ufeff", "zerowidth"),
    ("\x1bP1;2q data \x1b\\x", "x"),
    ("tail \x1b[3", "tail "),
    ("tail \x1b]0;never ends", "tail "),
    ("[Q4_K_M] [/] [bold]x", "[Q4_K_M] [/] [bold]x"),
    ("日本語 émoji 🦙 ligature ﬁ", "日本語 émoji 🦙 ligature ﬁ"),
    ("a\r\nb\tc", "a\nb    c"),
    ("\x1b]0;never ends\nnext line", "\nnext line"),
]


@pytest.mark.parametrize(("raw", "expected"), HOSTILE)
def test_known_tricks(raw: str, expected: str) -> None:
    assert clean(raw) == expected


def steers(text: str) -> bool:
    return any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) <= 0x9F or 0x202A <= ord(c) <= 0x202E for c in text)


@given(st.text())
def test_nothing_that_steers_passes(text: str) -> None:
    assert not steers(clean(text))


@given(st.text(alphabet=st.characters(codec="ascii", min_codepoint=32, max_codepoint=126)))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


pieces = st.lists(st.sampled_from([*"\x1b[]0;31m\x07\\abc \r\n\x9b\x9d", "text", "\x1b]52;c;", "日"]), max_size=40)


@given(pieces, st.data())
def test_a_stream_cut_anywhere_gives_the_same_text(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cleaner, out, rest = StreamCleaner(), "", text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        out += cleaner.feed(rest[:size])
        rest = rest[size:]
    out += cleaner.finish()
    assert out == clean(text)
    assert not steers(out)


def test_a_sequence_that_never_ends_takes_no_memory() -> None:
    cleaner = StreamCleaner()
    cleaner.feed("\x1b]0;")
    for _ in range(1000):
        cleaner.feed("x" * 1000)
    assert len(cleaner._held) < 20_000


def test_a_progress_line_keeps_what_was_printed_last() -> None:
    assert clean_line("10%\r50%\r100%") == "100%"


def test_a_long_line_is_cut_and_says_so() -> None:
    line = clean_line("x" * 10_000_000)
    assert len(line) == MAX_LINE_CHARS
    assert line.endswith("…")


@given(st.lists(st.binary(max_size=30), max_size=20))
def test_lines_do_not_depend_on_where_the_chunks_end(chunks: list[bytes]) -> None:
    def lines(parts: list[bytes]) -> list[str]:
        splitter, found = LineSplitter(), []
        for part in parts:
            found += splitter.feed(part)
        return found + splitter.finish()

    whole = b"".join(chunks)
    assert lines(chunks) == lines([whole])
    assert lines([bytes([b]) for b in whole]) == lines([whole])


def test_a_character_cut_in_two_is_one_character() -> None:
    splitter = LineSplitter()
    llama = "🦙".encode()
    assert splitter.feed(llama[:2]) == []
    assert splitter.feed(llama[2:] + b"\nrest") == ["🦙"]
    assert splitter.partial == "rest"


def test_an_endless_line_is_bounded() -> None:
    splitter = LineSplitter()
    for _ in range(100):
        splitter.feed(b"y" * 100_000)
    assert len(splitter._partial) <= MAX_LINE_CHARS + 256


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [("short", 10, "short"), ("NVIDIA GeForce RTX 3060", 11, "NVIDI… 3060"), ("abc", 1, "…"), ("abc", 0, "")],
)
def test_names_are_cut_in_the_middle(text: str, width: int, expected: str) -> None:
    assert shorten_middle(text, width) == expected


@pytest.mark.parametrize(
    "name",
    [
        b"plain.gguf",
        b"Gr\xfc\xdfe-Q4.gguf",
        b"new\nline.gguf",
        b'it\'s "quoted" $HOME `x` \\.gguf',
        "cafe\u0301 🦙.gguf".encode(),
        b"\x1b[31mred.gguf",
        b"tab\tand\rreturn7.gguf",
        "right\u202eleft.gguf".encode(),
        b"'\xff7'",
        b"",
    ],
)
def test_a_shell_reads_back_the_very_bytes_and_a_terminal_is_safe(name: bytes) -> None:
    word = shell_word(os.fsdecode(name))
    assert clean_line(word) == word
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    said = subprocess.run([bash, "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert said.stdout == name


@given(st.text(max_size=20))
def test_any_word_is_clean_for_the_shell(text: str) -> None:
    word = shell_word(text)
    assert clean_line(word) == word
    assert word == shlex.quote(text) or word.startswith("$'")
