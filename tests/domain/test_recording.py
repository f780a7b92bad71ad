"""Recordings as lines: what was written comes back, and whatever else a file may hold is refused with its place."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot, ClusterState
from hettui.domain.errors import RecordingError
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.workload import Workload
from hettui.domain.model.header import ModelFile
from hettui.domain.model.shape import ModelShape
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.planner.headroom import propose
from hettui.domain.recording.format import MAX_LINE_BYTES
from hettui.domain.speed.evidence import Evidence
from hettui.domain.telemetry.readings import DeviceSample, Link, TelemetrySnapshot
from hettui.services.events import ClusterChanged, LogLines, Notice, Recorded, TelemetryUpdated
from hettui.services.recording.replay import read_recording
from tests import examples
from tests.fakes import shape, workers
from tests.forms import plain, values
from tests.recordings import edited, lines, recording
from tests.ui.stage import readings, running, session

SESSION = session()
EVIDENCE = Evidence().with_work({"dense q4": 1.5, "layer": 9.0}, 4.25, 0.5).counted()
PLAN = SESSION.initial_plan
assert PLAN is not None
RUNS = ClusterChanged(running(PLAN))
SMALL = session(model=shape(blocks=6))
"""For what is tried hundreds of times: every reader plans the model that it finds."""


def refused(found: list[bytes]) -> str:
    with pytest.raises(RecordingError) as caught:
        read_recording(found, "bug.jsonl")
    assert str(caught.value).isprintable()
    return str(caught.value)


def _sound(event: Any) -> Any:
    """Readings whose interval can be one."""
    if not isinstance(event, TelemetryUpdated):
        return event
    return TelemetryUpdated(replace(event.snapshot, interval_s=1.0))


@pytest.mark.many
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of([values(k).map(_sound) for k in get_args(Recorded) if k is not ClusterChanged]), max_size=6))
def test_events_come_back_in_order(events: list[Recorded]) -> None:
    found = recording(SMALL, [(float(i), event) for i, event in enumerate(events)])
    assert [t for t, _ in found.entries] == [float(i) for i in range(len(events))]
    assert [plain(e) for _, e in found.entries] == [plain(e) for e in events]


def test_readings_and_clusters_are_written_as_changes() -> None:
    still = replace(RUNS.snapshot, api=None)
    events: list[Recorded] = [readings(SESSION.devices, 1), RUNS, readings(SESSION.devices, 2), ClusterChanged(still)]
    written = lines(SESSION, [(float(i), event) for i, event in enumerate(events)])
    data = [json.loads(line) for line in written]
    assert data[3]["change"] == {"snapshot": {"monotonic_s": 2}}
    assert data[4]["change"] == {"snapshot": {"-api": 1}}
    found = read_recording(written, "x")
    assert [plain(e) for _, e in found.entries] == [plain(e) for e in events]


def test_the_session_comes_back_as_far_as_it_is_needed() -> None:
    learned = replace(SESSION.learned, overhead={"GPU-1": 5}, speeds={"local": EVIDENCE})
    wanted = replace(SESSION, learned=learned, problem="no card is here")
    found = recording(wanted, []).header.session
    assert found.shape is not None
    assert wanted.shape is not None
    assert PLAN is not None
    assert found.forecast(PLAN) == wanted.forecast(PLAN)
    assert found.initial_plan == wanted.initial_plan
    assert plain(found.learned) == plain(learned)
    assert found.config == wanted.config
    assert found.cluster == wanted.cluster
    assert found.problem == "no card is here"
    assert found.shape.fingerprint == wanted.shape.fingerprint


def test_vocabularies_and_long_texts_are_left_out_of_the_model() -> None:
    file = shape().file
    more: dict[str, Any] = {
        "tokenizer.chat_template": "short",
        "general.license": "x" * 5000,
        "llama.rope.dimension_sections": (1, 2.5),
    }
    given_ = ModelFile(file.paths, 1, dict(file.metadata) | more, {"tokenizer.ggml.tokens": 49152}, file.tensors)
    found = recording(replace(SESSION, shape=ModelShape.of(given_)), []).header.session.shape
    assert found is not None
    assert "tokenizer.chat_template" not in found.file.metadata
    assert "general.license" not in found.file.metadata
    assert found.file.metadata["llama.rope.dimension_sections"] == (1, 2.5)
    assert found.file.array_lengths == {"tokenizer.ggml.tokens": 49152}


def test_the_home_directory_is_shortened() -> None:
    at_home = replace(SESSION, config=replace(SESSION.config, model_path="/home/me/m.gguf", path="/home/me/c.toml"))
    snapshot = replace(RUNS.snapshot, commands=("llama-server -m /home/me/m.gguf",))
    written = lines(at_home, [(1.0, ClusterChanged(snapshot)), (2.0, LogLines("master", ("reads /home/me/m.gguf",)))])
    assert b"/home/me" not in b"".join(written)
    found = read_recording(written, "x")
    assert found.header.session.config.model_path == "~/m.gguf"
    assert found.entries[1][1] == LogLines("master", ("reads ~/m.gguf",))


def test_another_model_in_between_is_another_session() -> None:
    other = replace(SESSION, shape=shape(blocks=12))
    found = recording(SESSION, [(1.0, readings(SESSION.devices)), (2.0, other)])
    assert found.length_s == 2.0
    assert found.entries[1][1].shape.blocks == 12


def test_its_title_names_model_and_time() -> None:
    assert recording(SESSION, []).title == "a recording of SmolLM2 135M Q4_1, 2026-03-01 12:00 UTC"
    assert recording(replace(SESSION, shape=None), []).title == "a recording, 2026-03-01 12:00 UTC"


# -- files that are not what they should be --------------------------------------------------------------------

WRITTEN = lines(SESSION, [(1.0, readings(SESSION.devices, 1)), (2.0, RUNS), (3.0, readings(SESSION.devices, 3))])


@pytest.mark.parametrize("cut", [1, 20, len(WRITTEN[-1]) - 1])
def test_a_last_line_that_was_cut_off_is_left_out_and_said(cut: int) -> None:
    found = read_recording([*WRITTEN[:-1], WRITTEN[-1][:cut]], "x")
    assert len(found.entries) == 2
    assert found.notice == "the recording ends in the middle of line 4: that line is left out"
    assert read_recording(WRITTEN, "x").notice is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "bug.jsonl is empty"),
        ([b"\x7fELF\x02\x01\x01\x00\x00"], "bug.jsonl: this is no recording of hettui"),
        ([b"\xff" * 100 + b"\n"], "this is no recording"),
        ([b"[model]\n", b"path = 1\n"], "this is no recording"),
        ([b'{"hettui":"recording"}\n'], "this is no recording"),
        ([b'{"hettui":"recording",' + b"x" * MAX_LINE_BYTES], "longer than 16 MiB"),
        ([WRITTEN[0][:500]], "breaks off in its first line"),
        ([WRITTEN[0], b"x" * (MAX_LINE_BYTES + 1)], "bug.jsonl, line 2: is longer than 16 MiB"),
        ([WRITTEN[0], b"not json\n", WRITTEN[1]], "bug.jsonl, line 2: is not JSON"),
        ([WRITTEN[0], b"\xff\xfe{}\n"], "line 2: is not JSON"),
        ([WRITTEN[0], b"[" * 100_000 + b"\n"], "line 2: is not JSON"),
        ([WRITTEN[0], b"[]\n"], "line 2: is no object"),
        ([WRITTEN[0], b"{}\n"], "line 2: has no time"),
        ([WRITTEN[0], b'{"t":NaN}\n'], "line 2: has no time"),
        ([WRITTEN[0], b'{"t":1e400}\n'], "line 2: has no time"),
        ([WRITTEN[0], b'{"t":1}\n'], "line 2: there is no event None here"),
        ([WRITTEN[0], b'{"t":1,"event":"Rewound","data":{}}\n'], "there is no event Rewound here"),
        ([WRITTEN[0], b'{"t":1,"event":"Notice"}\n'], "Notice has no data"),
        ([WRITTEN[0], b'{"t":1,"event":"TelemetryUpdated","change":{}}\n'], "TelemetryUpdated has no data"),
        ([WRITTEN[0], WRITTEN[2], WRITTEN[1]], "line 3: goes back in time"),
        ([edited(WRITTEN[0], "format", value=99), WRITTEN[1]], "its format is 99, written by hettui 0.1.0"),
        ([edited(WRITTEN[0], "format", value="\x1b[2J"), WRITTEN[1]], "take a newer hettui"),
        ([edited(WRITTEN[0], "session", "new", value=1)], "line 1, session: Session has no field new"),
        ([edited(WRITTEN[0], "session", "devices", 0, "via", value="pigeon")], "session.devices.0.via: is none of"),
        ([edited(WRITTEN[0], "session", "devices", 0, "name", value="small")], "two devices have the same name"),
        ([edited(WRITTEN[0], "session", "devices", 0, "threads", value=0)], "impossible number of threads"),
        ([edited(WRITTEN[0], "session", "config", "params", "cache_type_k", value="q3")], "cache_type_k is q3"),
        ([edited(WRITTEN[0], "session", "config", "params", "ctx_size", value=-1)], "ctx_size is -1"),
        (
            [edited(WRITTEN[0], "session", "config", "params", "override_tensor", value=["(a+)+$=CPU"])],
            "is no pattern that ends",
        ),
        (
            [edited(WRITTEN[0], "session", "shape", "metadata", "llama.block_count", value=1 << 40)],
            "claims to have 1099511627776 blocks",
        ),
        ([edited(WRITTEN[0], "session", "shape", "paths", value=[])], "session.shape: a model without a file"),
        ([WRITTEN[0], edited(WRITTEN[2], "data", "snapshot", "state", value="FLYING")], "is no ClusterState: FLYING"),
        (
            [WRITTEN[0], edited(WRITTEN[1], "data", "snapshot", "samples", "big", "used_bytes", value="1")],
            "line 2: TelemetryUpdated.snapshot.samples.big.used_bytes: should be a whole number, not a text",
        ),
        ([WRITTEN[0], edited(WRITTEN[1], "data", "snapshot", "interval_s", value=1e12)], "readings every 1e+12 s"),
        (
            [WRITTEN[0], edited(WRITTEN[2], "data", "snapshot", "applied", "devices", 0, "name", value="other")],
            "other devices run than the session has",
        ),
        (
            [WRITTEN[0], edited(WRITTEN[2], "data", "snapshot", "applied", "split", "layers", value=[31])],
            "a split of 1 for 3 devices",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_damaged_or_newer_is_refused_with_its_place(found: list[bytes], said: str) -> None:
    assert said in refused(found)


def test_a_session_for_other_devices_is_refused() -> None:
    other = replace(SESSION, devices=workers(1, 2, 3))
    assert "others than in the first line" in refused(lines(SESSION, [(1.0, other)]))


def test_what_is_hostile_in_names_and_texts_comes_out_clean() -> None:
    name = "[/] GPU \x1b]0;title\x07\x1b[31m\u202e"
    device = replace(SESSION.devices[0], name=name)
    hostile = replace(SESSION, devices=(device, *SESSION.devices[1:]), cluster=None)
    applied = Applied(hostile.devices, Split((31, 0, 0), 31))
    sample = TelemetrySnapshot(1.0, 1.0, {name: DeviceSample(link_now=Link(4, 16), lost="\x9b2J gone")})
    events: list[tuple[float, Recorded]] = [
        (1.0, ClusterChanged(ClusterSnapshot(ClusterState.READY, applied=applied, problem="\x1b[2J[bold]"))),
        (2.0, TelemetryUpdated(sample)),
        (3.0, LogLines("mas\x1bter", ("a\x1b[0mb\x00",))),
        (4.0, Notice("see \x1b]52;c;eA==\x07[link]", "error")),
    ]
    found = recording(hostile, events)
    said = repr([plain(entry) for _, entry in found.entries]) + repr(found.header.session.devices)
    assert not {"\\x1b", "\\x9b", "\\x00", "\\u202e"} & {said[i : i + 4] for i in range(len(said))}
    assert "\\u202e" not in said
    assert found.entries[1][1].snapshot.samples == {"[/] GPU ": DeviceSample(link_now=Link(4, 16), lost=" gone")}


SMALL_PLAN = Plan(SMALL.devices, propose(Workload(shape(blocks=6)), SMALL.devices))
SHORT = lines(
    SMALL,
    [
        (1.0, readings(SMALL.devices, 1)),
        (2.0, ClusterChanged(running(SMALL_PLAN))),
        (3.0, readings(SMALL.devices, 3)),
    ],
)


@pytest.mark.many
@settings(deadline=None, max_examples=examples.of(150), suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_change_of_a_file_is_refused_by_name_or_can_be_shown(data: st.DataObject) -> None:
    """The screen's own arithmetic runs on whatever was let through."""
    number = data.draw(st.integers(0, len(SHORT) - 1))
    found = json.loads(SHORT[number])
    place, key = data.draw(st.sampled_from(list(_places(found))))
    numbers: list[Any] = [-1, 0, 1, 5000, 2**62, -(2**62)]
    others: list[Any] = [-1.0, 0.5, 1e17, None, "x\x1b[1m", [], {}, True]
    pool = numbers if isinstance(place[key], int) else others
    place[key] = data.draw(st.sampled_from(pool))
    written = [*SHORT[:number], json.dumps(found, separators=(",", ":")).encode() + b"\n", *SHORT[number + 1 :]]
    try:
        changed = read_recording(written, "x")
    except RecordingError:
        return
    opened = changed.header.session
    for _, entry in changed.entries:
        applied = entry.snapshot.applied if isinstance(entry, ClusterChanged) else None
        if applied is not None:
            opened.forecast(replace(SMALL_PLAN, devices=applied.devices, split=applied.split))


def _places(found: Any) -> Any:
    items = found.items() if isinstance(found, dict) else enumerate(found[:3]) if isinstance(found, list) else ()
    for key, value in items:
        yield found, key
        yield from _places(value)


def test_defaults_of_tomorrow_do_not_change_what_was_recorded() -> None:
    """What is written does not lean on defaults that say something."""
    written = json.loads(lines(replace(SESSION, config=replace(SESSION.config, params=RuntimeParams())), [])[0])
    assert written["session"]["config"]["params"]["ubatch_size"] == 512
