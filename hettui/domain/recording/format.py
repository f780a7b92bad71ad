"""The format of recordings: JSON lines, a header and then what happened, each with its time.

    {"hettui": "recording", "format": 1, "version": …, "started": …, "monotonic_s": …, "session": {…}}
    {"t": 1.003, "event": "TelemetryUpdated", "data": {…}}
    {"t": 2.004, "event": "TelemetryUpdated", "change": {…}}

`t` is in seconds since the start. `change` is the difference to the same event's last line, see `json_change`.
A session that changes in between (another model) is a line `{"t": …, "session": {…}}`. Events are named and carried by
their types, so that this module need not know them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from hettui.domain.documents.change import applied, change
from hettui.domain.documents.codec import Codec, Given
from hettui.domain.documents.forms import Json, Mismatch
from hettui.domain.errors import HettuiError, RecordingError
from hettui.domain.json_text import parse_json
from hettui.domain.model.header import ModelFile
from hettui.domain.model.shape import ModelShape
from hettui.domain.recording.private import Veil
from hettui.domain.records import dataclass
from hettui.domain.session.session import Session
from hettui.domain.text import clean, clean_line

FORMAT = 1
MAX_BYTES = 64 << 20
"""Of a recording: some ten hours of eight cards. A recorder ends there, and a reader takes no more."""
MAX_LINE_BYTES = 16 << 20
DECIMALS = 3
"""Of numbers in events."""
_MAX_LENGTH_S = 1e8
_MAX_TEXT_CHARS = 400
"""Of a model's metadata: licences and chat templates are longer, and nothing is planned by them."""
_MAX_LEARNED = 50


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """The first line."""

    version: str
    """hettui's."""
    started: str
    """Wall clock in ISO 8601, UTC."""
    monotonic_s: float
    """The engine's clock at the start: times in events are this clock's."""
    session: Session


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recording in memory."""

    header: Header
    entries: tuple[tuple[float, Any], ...]
    """Seconds since the start and an event or a Session, in order."""
    notice: str | None = None
    """What is to be said of the file, though it can be shown."""

    @property
    def length_s(self) -> float:
        return self.entries[-1][0] if self.entries else 0.0

    @property
    def title(self) -> str:
        """`a recording of SmolLM2 135M Q4_1, 2026-03-01 12:00 UTC`"""
        shape = self.header.session.shape
        model = f" of {clean_line(shape.name, 60)} {shape.quantisation}" if shape else ""
        return f"a recording{model}, {clean_line(self.header.started)[:16].replace('T', ' ')} UTC"


def _file_for_planning(shape: ModelShape) -> ModelFile:
    file = shape.file
    kept = {
        key: value
        for key, value in file.metadata.items()
        if not key.startswith("tokenizer.") and not (isinstance(value, str) and len(value) > _MAX_TEXT_CHARS)
    }
    return replace(file, metadata=kept)


def _shape(file: ModelFile) -> ModelShape:
    if not file.paths:
        raise ValueError("a model without a file")
    try:
        return ModelShape.of(file)
    except HettuiError as error:
        raise ValueError(str(error)) from None


_GIVEN = {ModelShape: Given(ModelFile, _file_for_planning, _shape)}


def _sessions(veil: Callable[[str], str]) -> Codec:
    return Codec(veil, given=_GIVEN)


def without_keys(session: Session, veil: Veil) -> Session:
    """The session as it may be recorded, with what is not needed to draw it left out."""
    serving = session.config.serving
    serving = replace(serving, extra_args=veil.arguments(serving.extra_args))
    learned = session.learned
    compute = dict(list(learned.compute.items())[-_MAX_LEARNED:])
    return replace(
        session,
        # Keys are the viewer's own matter.
        config=replace(session.config, serving=serving, keys={}),
        cluster=session.cluster and replace(session.cluster, serving=serving),
        # A copy: whoever watches launches adds to it on another thread.
        learned=replace(
            learned,
            compute=compute,
            overhead=dict(learned.overhead),
            speeds=dict(learned.speeds),
            now=dict(learned.now),
        ),
    )


class LineWriter:
    """Turns a header, sessions and events into lines."""

    def __init__(self, kinds: Iterable[type], changing: Collection[type], veil: Callable[[str], str]) -> None:
        """`kinds` are the types of events; of those in `changing` only the difference to the last one is written."""
        self._events = Codec(veil, DECIMALS)
        self._sessions = _sessions(veil)
        self._changing = {kind.__name__ for kind in changing}
        self._last: dict[str, Json] = {}
        for kind in kinds:
            # A type that cannot be carried is our own mistake: better at once than in the middle.
            self._events.form(kind)

    def header(self, header: Header) -> str:
        return _line({"hettui": "recording", "format": FORMAT} | self._sessions.encode(header, Header))

    def session(self, t: float, session: Session) -> str:
        return _line({"t": round(t, DECIMALS), "session": self._sessions.encode(session, Session)})

    def event(self, t: float, event: object) -> str:
        """Raises ValueError for an event with numbers that are not finite."""
        name, data = type(event).__name__, self._events.encode(event, type(event))
        line: dict[str, Json] = {"t": round(t, DECIMALS), "event": name}
        last = self._last.get(name)
        if name in self._changing:
            self._last[name] = data
        return _line(line | ({"data": data} if last is None else {"change": change(last, data)}))


def _line(data: Json) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"


def read(
    lines: Iterable[bytes],
    source: str,
    kinds: Mapping[str, type],
    check: Callable[[Session, object], str | None],
) -> Recording:
    """A whole recording. Raises RecordingError with `source`, the line's number and what is wrong there.

    `check` says what is wrong with an event or a new session beside the header's session. A last line that was cut
    off, as after a crash, is left out and said in the notice.
    """
    reader = _Reader(kinds, check)
    number = 0
    for number, line in enumerate(lines, 1):
        try:
            whole = reader.feed(line)
        except Mismatch as mismatch:
            place = source if number == 1 else f"{source}, line {number}"
            raise RecordingError(clean(f"{place}: {mismatch}")) from None
        if not whole:
            notice = f"the recording ends in the middle of line {number}: that line is left out"
            return reader.recording(notice)
    if number == 0:
        raise RecordingError(clean(f"{source} is empty: it is no recording"))
    return reader.recording(None)


def is_recording(first_line: bytes) -> bool:
    """Whether a file that begins like this is a recording, of whatever format."""
    return first_line.startswith(b'{"hettui":"recording",')


class _Reader:
    def __init__(self, kinds: Mapping[str, type], check: Callable[[Session, object], str | None]) -> None:
        self._kinds = kinds
        self._check = check
        self._events = Codec()
        self._sessions = _sessions(str)
        self._header: Header | None = None
        self._entries: list[tuple[float, Any]] = []
        self._last: dict[str, Json] = {}

    def recording(self, notice: str | None) -> Recording:
        if self._header is None:
            raise RecordingError("the recording breaks off in its first line: there is nothing to show")
        return Recording(self._header, tuple(self._entries), notice)

    def feed(self, line: bytes) -> bool:
        """False for the last line when it was cut off. Raises Mismatch."""
        if len(line) > MAX_LINE_BYTES:
            raise Mismatch(f"is longer than {MAX_LINE_BYTES >> 20} MiB: this is no recording, or it is damaged")
        if self._header is None:
            self._header = self._read_header(line)
            return True
        if not line.endswith(b"\n"):
            return False
        data = _object(line)
        t = self._time(data)
        _drop_old_speeds(data)
        found = self._sessions.decode(data["session"], Session) if "session" in data else self._event(data)
        if problem := self._check(self._header.session, found):
            raise Mismatch(problem)
        self._entries.append((t, found))
        return True

    def _read_header(self, line: bytes) -> Header:
        if not is_recording(line):
            raise Mismatch("this is no recording of hettui")
        if not line.endswith(b"\n"):
            raise Mismatch("it breaks off in its first line: there is nothing to show")
        data = _object(line)
        version = data.get("format")
        if version != FORMAT:
            written_by = clean_line(str(data.get("version")), 20)
            raise Mismatch(
                f"its format is {clean_line(str(version), 20)}, written by hettui {written_by}; this hettui reads "
                f"format {FORMAT}: take a newer hettui"
            )
        _drop_old_speeds(data)
        codec = _sessions(str)
        try:
            header: Header = codec.decode({k: v for k, v in data.items() if k not in ("hettui", "format")}, Header)
        except Mismatch as mismatch:
            written_by = clean_line(str(data.get("version")), 20)
            raise Mismatch(f"{mismatch.what} (written by hettui {written_by})", f"line 1, {mismatch.way}") from None
        if problem := self._check(header.session, header.session):
            raise Mismatch(problem)
        return header

    def _time(self, data: Json) -> float:
        t = data.get("t")
        if type(t) not in (int, float) or not 0 <= t <= _MAX_LENGTH_S:
            raise Mismatch("has no time")
        if self._entries and t < self._entries[-1][0]:
            raise Mismatch("goes back in time: the file was put together from several")
        return float(t)

    def _event(self, data: Json) -> object:
        name = data.get("event")
        kind = self._kinds.get(name) if isinstance(name, str) else None
        if kind is None:
            raise Mismatch(
                f"there is no event {clean_line(str(name), 40)} here: was it written by a newer hettui than this?"
            )
        if "data" in data:
            whole = data["data"]
        elif "change" in data and name in self._last:
            try:
                whole = applied(self._last[name], data["change"])
            except RecursionError:
                raise Mismatch("is nested too deeply: the file is damaged") from None
        else:
            raise Mismatch(f"{name} has no data")
        self._last[name] = whole
        try:
            return self._events.decode(whole, kind)
        except Mismatch as mismatch:
            raise mismatch.below(str(name)) from None


def _drop_old_speeds(data: Json) -> None:
    """Until 2026-11 a device's speed was one factor: nothing is planned by it any more."""
    session = data.get("session")
    learned = session.get("learned") if isinstance(session, dict) else None
    speeds = learned.get("speeds") if isinstance(learned, dict) else None
    if isinstance(learned, dict) and isinstance(speeds, dict):
        learned["speeds"] = {k: v for k, v in speeds.items() if not isinstance(v, dict) or "factor" not in v}


def _object(line: bytes) -> Json:
    try:
        data = parse_json(line.decode("utf-8"))
    except ValueError:
        raise Mismatch("is not JSON: the file is damaged") from None
    if not isinstance(data, dict):
        raise Mismatch("is no object: the file is damaged")
    return data
