"""A recording as time passes, on a clock that only moves when told to."""

from __future__ import annotations

from dataclasses import replace

from hettui.domain.chat.wire import Timings
from hettui.domain.cluster.snapshot import ClusterSnapshot, ClusterState
from hettui.domain.recording.format import Recording
from hettui.services.events import (
    ChatEnded,
    ChatProgressed,
    ClusterChanged,
    LogLines,
    Notice,
    PlaybackMoved,
    Rewound,
    TelemetryUpdated,
)
from hettui.services.recording.playback import REMEMBERED_LINES, REMEMBERED_S, SPEEDS, Playback
from tests.fakes import shape
from tests.recordings import Entry, recording
from tests.ui.stage import readings, session

SESSION = session()
STARTING, READY = (ClusterChanged(ClusterSnapshot(state)) for state in (ClusterState.STARTING, ClusterState.READY))
NOW_S = 500.0


def minute() -> Recording:
    """Readings every second, a start at 10, ready at 20, a notice at 30, an answer from 40 to 43."""
    entries: list[Entry] = [(float(s), readings(SESSION.devices, s)) for s in range(1, 61)]
    entries += [(10.0, STARTING), (20.0, READY), (30.0, Notice("look")), (25.0, LogLines("master", ("a", "b")))]
    entries += [(40.0 + i, ChatProgressed("·", "", i + 1, float(i))) for i in range(3)]
    entries.append((43.0, ChatEnded(Timings(generated_tokens=3))))
    return recording(SESSION, sorted(entries, key=lambda entry: entry[0]))


def playing(at_s: float = 0.0) -> Playback:
    """Since NOW_S, from that moment on."""
    playback = Playback(minute())
    playback.go(at_s, NOW_S)
    playback.toggle(NOW_S)
    return playback


def state(moment: Rewound | None) -> ClusterState:
    assert moment is not None
    (cluster,) = [e for e in moment.events if isinstance(e, ClusterChanged)]
    return cluster.snapshot.state


def seconds(events: object) -> list[float]:
    assert isinstance(events, list | tuple)
    return [e.snapshot.monotonic_s for e in events if isinstance(e, TelemetryUpdated)]


def test_events_come_when_they_came() -> None:
    playback = playing()
    assert playback.due(NOW_S) == []
    assert playback.wait_s(NOW_S) == 1.0
    assert seconds(playback.due(NOW_S + 2.5)) == [1.0, 2.0]
    assert playback.due(NOW_S + 2.9) == []
    assert STARTING.snapshot.state in [
        e.snapshot.state for e in playback.due(NOW_S + 10) if isinstance(e, ClusterChanged)
    ]
    assert playback.position_s(NOW_S + 10.5) == 10.5


def test_a_pause_holds_the_moment() -> None:
    playback = playing()
    playback.due(NOW_S + 5)
    playback.toggle(NOW_S + 5)
    assert playback.due(NOW_S + 50) == []
    assert playback.wait_s(NOW_S + 50) is None
    assert playback.seen(NOW_S + 50) == PlaybackMoved(5.0, 60.0, 1.0, False)
    playback.toggle(NOW_S + 50)
    assert seconds(playback.due(NOW_S + 51)) == [6.0]


def test_speed_changes_from_here_on() -> None:
    playback = playing()
    playback.change_speed(1, NOW_S + 10)
    assert playback.position_s(NOW_S + 15) == 20.0
    playback.change_speed(-2, NOW_S + 15)
    assert playback.speed == 0.5
    assert playback.position_s(NOW_S + 17) == 21.0
    playback.change_speed(-9, NOW_S + 17)
    assert playback.speed == SPEEDS[0] == 0.25
    playback.change_speed(99, NOW_S + 17)
    assert playback.speed == SPEEDS[-1] == 16.0
    assert playback.wait_s(NOW_S + 17) == 0.0, "what was due already is due now"
    playback.due(NOW_S + 17)
    assert playback.wait_s(NOW_S + 17) == 1 / 16


def test_a_jump_knows_what_was_known_then() -> None:
    playback = playing()
    playback.due(NOW_S + 50)
    assert state(playback.go(5.0, NOW_S)) is ClusterState.DOWN
    assert state(playback.go(15.0, NOW_S)) is ClusterState.STARTING
    assert state(playback.go(20.0, NOW_S)) is ClusterState.READY, "what happens at that moment has happened"
    assert playback.snapshot.state is ClusterState.READY
    moment = playback.go(35.5, NOW_S)
    assert seconds(moment.events) == [float(s) for s in range(1, 36)]
    assert LogLines("master", ("a", "b")) in moment.events
    assert not [e for e in moment.events if isinstance(e, Notice)], "it was said when it happened"
    assert seconds(playback.due(NOW_S + 2)) == [36.0, 37.0]


def test_a_jump_forward_has_the_readings_between() -> None:
    playback = playing()
    playback.due(NOW_S + 1)
    assert seconds(playback.go(31.0, NOW_S + 1).events) == [float(s) for s in range(1, 32)]


def test_an_answer_comes_back_in_one_piece() -> None:
    moment = playing().go(41.5, NOW_S)
    assert moment.events[-1] == ChatProgressed("··", "", 2, 1.0)
    after = [e for e in playing().go(50.0, NOW_S).events if isinstance(e, ChatProgressed | ChatEnded)]
    assert after == [ChatProgressed("···", "", 3, 2.0), ChatEnded(Timings(generated_tokens=3))]


def test_it_stays_on_the_last_picture_and_begins_again() -> None:
    playback = playing(55.0)
    assert seconds(playback.due(NOW_S + 100)) == [56.0, 57.0, 58.0, 59.0, 60.0]
    assert playback.seen(NOW_S + 200) == PlaybackMoved(60.0, 60.0, 1.0, False)
    assert playback.due(NOW_S + 200) == []
    again = playback.toggle(NOW_S + 200)
    assert state(again) is ClusterState.DOWN
    assert playback.seen(NOW_S + 201) == PlaybackMoved(1.0, 60.0, 1.0, True)


def test_jumps_end_at_the_ends() -> None:
    playback = playing()
    playback.go(-10.0, NOW_S)
    assert playback.position_s(NOW_S) == 0.0
    assert playback.playing
    playback.go(1e9, NOW_S)
    assert playback.position_s(NOW_S) == 60.0
    assert not playback.playing


def test_only_so_much_is_remembered() -> None:
    entries: list[Entry] = [(float(s), readings(SESSION.devices, s)) for s in range(1, 1001)]
    entries += [(1000.0, LogLines("master", tuple(f"{n} {i}" for i in range(300)))) for n in range(10)]
    playback = Playback(recording(SESSION, entries))
    moment = playback.go(1000.0, NOW_S)
    assert seconds(moment.events)[0] == 1000.0 - REMEMBERED_S
    lines = [line for e in moment.events if isinstance(e, LogLines) for line in e.lines]
    assert len(lines) == REMEMBERED_LINES
    assert lines[-1] == "9 299"


def test_after_a_silence_the_last_readings_are_still_known() -> None:
    entries: list[Entry] = [(1.0, readings(SESSION.devices, 1)), (2.0, readings(SESSION.devices, 2)), (900.0, READY)]
    assert seconds(Playback(recording(SESSION, entries)).go(900.0, NOW_S).events) == [2.0]


def test_another_session_is_told_as_a_moment() -> None:
    other = replace(SESSION, shape=shape(blocks=12))
    playback = Playback(recording(SESSION, [(1.0, READY), (2.0, other), (3.0, readings(SESSION.devices))]))
    playback.toggle(NOW_S)
    first, second = playback.due(NOW_S + 3)
    assert isinstance(first, Rewound)
    assert first.session.shape is not None
    assert first.session.shape.blocks == 12
    assert state(first) is ClusterState.READY
    assert isinstance(second, TelemetryUpdated)
    back = playback.go(1.5, NOW_S).session
    assert back.shape is not None
    assert back.shape.blocks == 30


def test_a_recording_of_nothing_stands_still() -> None:
    playback = Playback(recording(SESSION, []))
    playback.toggle(NOW_S)
    assert playback.due(NOW_S + 1) == []
    assert playback.seen(NOW_S + 1) == PlaybackMoved(0.0, 0.0, 1.0, False)


def test_a_replay_is_no_demo() -> None:
    assert SESSION.demo
    assert not Playback(minute()).session.demo
