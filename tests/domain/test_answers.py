"""llama-server's log as answers: what b10068 and b11434 print, and which of it counts."""

from __future__ import annotations

import pytest

from hettui.domain.cluster.answers import AnswerLog, Decoded

NEW = """\
0.10.148.444 I slot launch_slot_: id  0 | task 7 | processing task, is_child = 0
0.10.817.791 I slot print_timing: id  0 | task 7 | prompt eval time =     328.55 ms /   267 tokens (    1.23 ms)
0.12.817.793 I slot print_timing: id  0 | task 7 |        eval time =    2000.00 ms /   101 tokens (   19.80 ms)
0.12.817.794 I slot print_timing: id  0 | task 7 |       total time =     390.63 ms /   271 tokens
0.12.817.829 I slot      release: id  0 | task 7 | stop processing: n_tokens = 272, truncated = 0
"""
OLD = """\
slot launch_slot_: id  0 | task 7 | processing task, is_child = 0
slot print_timing: id  0 | task 7 |
prompt eval time =     328.55 ms /   267 tokens (    1.23 ms per token,   812.65 tokens per second)
       eval time =    2000.00 ms /   101 tokens (   19.80 ms per token,    50.50 tokens per second)
      total time =    2328.55 ms /   368 tokens
slot      release: id  0 | task 7 | stop processing: n_tokens = 272, truncated = 0
"""


def answers(text: str, late_s: float = 100.0) -> list[Decoded]:
    log, found = AnswerLog(), []
    for line in text.splitlines():
        stamp = line.split(" ")[0].split(".")
        now_s = late_s + (60 * int(stamp[0]) + float(f"{stamp[1]}.{stamp[2]}{stamp[3]}") if len(stamp) == 4 else 0.0)
        found += [one for one in [log.feed(line, now_s)] if one]
    return found


@pytest.mark.parametrize("text", [NEW, OLD])
def test_one_answer_is_one_decode(text: str) -> None:
    (found,) = answers(text)
    assert (found.generated_s, found.tokens) == (2.0, 101)
    assert found.token_s == pytest.approx(0.02)


def test_the_end_is_told_by_the_logs_own_clock() -> None:
    """Lines are read in bunches, late: the least lateness of all is the clocks' difference."""
    log = AnswerLog()
    lines = NEW.splitlines()
    log.feed(lines[0], 110.2)
    for line in lines[1:4]:
        log.feed(line, 113.1)
    found = log.feed(lines[4], 113.1)
    assert found is not None
    assert found.end_s == pytest.approx(12.817793 + (110.2 - 10.148444), abs=1e-3)


def test_what_was_answered_together_does_not_count() -> None:
    other = "0.11.000.000 I slot launch_slot_: id  1 | task 8 | processing task, is_child = 0"
    lines = NEW.splitlines()
    assert answers("\n".join([lines[0], other, *lines[1:]])) == []
    # Nor what began beside it and outlived it.
    late = [line.replace("task 7", "task 8").replace("0.1", "0.2") for line in lines[1:]]
    assert answers("\n".join([lines[0], other, *lines[1:], *late])) == []
    done = "0.11.200.000 I slot      release: id  1 | task 8 | stop processing: n_tokens = 2, truncated = 0"
    after = [line.replace("task 7", "task 9").replace("0.1", "0.3") for line in lines]
    assert len(answers("\n".join([lines[0], other, done, *lines[1:], *after]))) == 1


def test_of_an_answer_that_was_cut_what_was_told_on_the_way_counts() -> None:
    """Esc, or a client that has gone: no timings come, but every three seconds how far it was."""
    lines = NEW.splitlines()
    told = "0.13.440.870 I slot print_timing: id  0 | task 7 | n_gen =    100, tg =  50.00 t/s, tg_3s =  38.18 t/s"
    (found,) = answers("\n".join([lines[0], told, lines[4].replace("0.12", "0.14")]))
    assert found.generated_s == pytest.approx(2.0)
    assert found.token_s == pytest.approx(0.02)
    assert found.end_s == pytest.approx(100 + 13.44087)


def test_drafted_tokens_do_not_count() -> None:
    lines = NEW.splitlines()
    drafted = "0.12.817.800 I slot print_timing: id  0 | task 7 | draft acceptance = 0.68627 (770 accepted)"
    assert answers("\n".join([*lines[:4], drafted, lines[4]])) == []


def test_the_end_of_what_never_began_is_nothing() -> None:
    assert answers("\n".join(NEW.splitlines()[1:])) == []
    log = AnswerLog()
    assert not log.heard
    log.feed(NEW.splitlines()[0], 1.0)
    assert log.heard
