"""Patterns that are compiled late are the library's from the first question on."""

from __future__ import annotations

import copy
import re
from unittest import mock

from hettui.domain.patterns import late_pattern

TEXT = r"(?P<name>[a-z]+)-(\d+)"


def test_it_answers_as_the_library_does() -> None:
    late, known = late_pattern(TEXT, re.IGNORECASE), re.compile(TEXT, re.IGNORECASE)
    for said in ("Card-7", "card-", "x-1 y-2"):
        assert [m.groups() for m in late.finditer(said)] == [m.groups() for m in known.finditer(said)]
        assert (late.match(said) is None) == (known.match(said) is None)
        assert late.sub("z", said) == known.sub("z", said)
    assert (late.pattern, late.flags, late.groupindex) == (known.pattern, known.flags, known.groupindex)


def test_it_is_compiled_by_the_first_question_and_asked_directly_from_then_on() -> None:
    with mock.patch.object(re, "compile", wraps=re.compile) as compiled:
        late = late_pattern(TEXT)
        assert not compiled.called
        assert [bool(late.match("a-1")) for _ in range(3)] == [True] * 3
    assert compiled.call_count == 1


def test_it_can_be_copied() -> None:
    late = late_pattern(TEXT)
    assert copy.copy(late).match("a-1")
    assert copy.deepcopy(late).match("a-1")
