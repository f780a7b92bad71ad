"""Process states: which may follow which, and what every event makes of every state."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.cluster.process import (
    Action,
    Answered,
    Ended,
    Life,
    ProcessEvent,
    ProcessState,
    RestartPolicy,
    Start,
    StopAsked,
    Tick,
    advance,
    exit_in_words,
    transition,
)

S = ProcessState
LEGAL = {
    (S.STOPPED, S.STARTING),
    (S.STARTING, S.READY), (S.STARTING, S.STOPPING), (S.STARTING, S.BACKOFF), (S.STARTING, S.FAILED),
    (S.READY, S.STOPPING), (S.READY, S.BACKOFF), (S.READY, S.FAILED),
    (S.STOPPING, S.STOPPED),
    (S.BACKOFF, S.STARTING), (S.BACKOFF, S.STOPPED),
    (S.FAILED, S.STARTING), (S.FAILED, S.STOPPED),
}  # fmt: skip
NEVER, THRICE = RestartPolicy(), RestartPolicy(limit=3, window_s=100, first_pause_s=2, longest_pause_s=5)
NOW_S = 50.0


@pytest.mark.parametrize(("now", "to"), list(product(S, S)))
def test_every_pair(now: ProcessState, to: ProcessState) -> None:
    if (now, to) in LEGAL:
        assert advance(now, to) is to
    else:
        with pytest.raises(ValueError, match="cannot go"):
            advance(now, to)


def life(state: ProcessState) -> Life:
    return Life(state, resume_at_s=NOW_S - 1 if state is S.BACKOFF else None)


EVENTS: dict[str, ProcessEvent] = {
    "start": Start(),
    "answered": Answered(),
    "ended": Ended("killed"),
    "hopeless": Ended("no model", hopeless=True),
    "stop": StopAsked(),
    "tick": Tick(),
}
# What each event makes of each state where it means something; everything else changes nothing.
EXPECTED: dict[tuple[ProcessState, str], tuple[ProcessState, tuple[Action, ...]]] = {
    (S.STOPPED, "start"): (S.STARTING, (Action.LAUNCH,)),
    (S.STARTING, "answered"): (S.READY, ()),
    (S.STARTING, "ended"): (S.BACKOFF, ()),
    (S.STARTING, "hopeless"): (S.FAILED, ()),
    (S.STARTING, "stop"): (S.STOPPING, (Action.TERMINATE,)),
    (S.READY, "ended"): (S.BACKOFF, ()),
    (S.READY, "hopeless"): (S.FAILED, ()),
    (S.READY, "stop"): (S.STOPPING, (Action.TERMINATE,)),
    (S.STOPPING, "ended"): (S.STOPPED, ()),
    (S.STOPPING, "hopeless"): (S.STOPPED, ()),
    (S.STOPPING, "stop"): (S.STOPPING, (Action.TERMINATE,)),
    (S.BACKOFF, "start"): (S.STARTING, (Action.LAUNCH,)),
    (S.BACKOFF, "tick"): (S.STARTING, (Action.LAUNCH,)),
    (S.BACKOFF, "stop"): (S.STOPPED, ()),
    (S.FAILED, "start"): (S.STARTING, (Action.LAUNCH,)),
    (S.FAILED, "stop"): (S.STOPPED, ()),
}


@pytest.mark.parametrize(("state", "event"), list(product(S, EVENTS)))
def test_every_event_in_every_state(state: ProcessState, event: str) -> None:
    before = life(state)
    after, actions = transition(before, EVENTS[event], NOW_S, THRICE)
    if (state, event) in EXPECTED:
        assert (after.state, actions) == EXPECTED[state, event]
    else:
        assert (after, actions) == (before, ())


def test_a_pause_is_waited_for() -> None:
    waiting = Life(S.BACKOFF, (NOW_S,), resume_at_s=NOW_S + 2)
    assert transition(waiting, Tick(), NOW_S + 1.9, THRICE) == (waiting, ())
    after, _ = transition(waiting, Tick(), NOW_S + 2, THRICE)
    assert after.state is S.STARTING
    assert after.restarts == (NOW_S,)


def test_pauses_grow_to_a_limit_and_the_last_end_says_how_often() -> None:
    now, pauses = Life(S.STARTING), []
    for _ in range(3):
        now, _ = transition(now, Ended("died"), NOW_S, THRICE)
        assert now.resume_at_s is not None
        pauses.append(now.resume_at_s - NOW_S)
        now, _ = transition(now, Tick(), now.resume_at_s, THRICE)
    assert pauses == [2, 4, 5]
    now, _ = transition(now, Ended("died"), NOW_S, THRICE)
    assert now.state is S.FAILED
    assert now.reason == "died; it had been started again 3 times within 100 s"


def test_what_lies_outside_the_window_or_in_a_future_of_another_clock_does_not_count() -> None:
    old = Life(S.READY, restarts=(NOW_S - 101, NOW_S - 100, NOW_S + 5))
    after, _ = transition(old, Ended("died"), NOW_S, THRICE)
    assert after.state is S.BACKOFF
    assert after.restarts == (NOW_S,)


def test_by_default_nothing_is_restarted() -> None:
    after, _ = transition(Life(S.READY), Ended("died"), NOW_S, NEVER)
    assert (after.state, after.reason) == (S.FAILED, "died")


@given(st.lists(st.tuples(st.sampled_from(sorted(EVENTS)), st.floats(0, 60)), max_size=60))
def test_any_history_keeps_its_promises(history: list[tuple[str, float]]) -> None:
    """Never two processes at once, never more restarts in a window than allowed, never a failure without a reason."""
    now_s, current, running = 0.0, Life(), False
    automatic: list[float] = []
    for name, passed_s in history:
        now_s += passed_s
        event = EVENTS[name]
        before = current
        current, actions = transition(before, event, now_s, THRICE)
        assert before.state is current.state or (before.state, current.state) in LEGAL
        if isinstance(event, Ended):
            running = False
        if Action.LAUNCH in actions:
            assert not before.state.alive
            assert before.state is not S.STOPPING
            running = True
            automatic = [*automatic, now_s] if isinstance(event, Tick) else []
        if Action.TERMINATE in actions:
            assert current.state is S.STOPPING
        assert not running or current.state.alive or current.state is S.STOPPING
        # A restart may lie as long after its end as the pause is.
        assert len([t for t in automatic if now_s - t < THRICE.window_s - THRICE.longest_pause_s - 60]) <= THRICE.limit
        assert (current.state is S.BACKOFF) == (current.resume_at_s is not None)
        assert current.reason or current.state not in (S.FAILED, S.BACKOFF)


@pytest.mark.parametrize(
    ("code", "says"),
    [(0, "exit code 0"), (-9, "SIGKILL"), (-4, "this CPU does not have"), (-77, "signal 77"), (None, "not known")],
)
def test_exit_codes_in_words(code: int | None, says: str) -> None:
    assert says in exit_in_words(code)
