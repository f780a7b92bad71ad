"""Sends the rpc server of this machine to another one, over the connection that all sessions share."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hettui.adapters.files.cksum import blocks_of
from hettui.adapters.hosts.session import Session
from hettui.adapters.hosts.ssh import Line, ask, far_script, new_marker, why
from hettui.domain.errors import HostError
from hettui.domain.hosts.far_side import script
from hettui.domain.hosts.push import EngineFile, Package, Progress, Seen, no_room
from hettui.domain.hosts.refusal import without_ssh
from hettui.domain.text import clean_line

_READY_S = 25.0
_CHECKED_S = 120.0
"""After the last byte: what lies in buffers and on the line, and the sum of it there."""
_PLACED_S = 60.0
_PACE_S = 0.5
_QUICK = 1
"""zlib's level: the line is the bottleneck, not the processor."""
Tell = Callable[[Progress], None]


def send(line: Line, package: Package, tell: Tell) -> tuple[str, int]:
    """The folder there, and how many bytes of files were missing. Blocks. Raises HostError; what came to an end before
    its time goes on from there the next time."""
    seen = Seen.of(_asked(line, package, "look", *(file.name for file in package.files)))
    if seen.whole:
        return _placed(line, package, "use"), 0
    missing = [(file, min(seen.have.get(file.name, 0), file.size_bytes)) for file in package.files]
    missing_bytes = sum(file.size_bytes - have for file, have in missing)
    if (full := no_room(line.host, missing_bytes, seen.free_bytes)) is not None:
        raise HostError(full)
    meter = _Meter(line.host, package.size_bytes - missing_bytes, package.size_bytes, tell)
    for file, have in missing:
        if have < file.size_bytes or have == 0:
            _one(line, package, file, have, meter, packed=seen.gzip)
        elif not _sent(line, package, file, have, meter, packed=False):
            # Its sum is taken, and nothing sent; what was wrong is gone there by now.
            meter.done_bytes -= file.size_bytes
            _one(line, package, file, 0, meter, packed=seen.gzip)
    return _placed(line, package, "done", package.program, *package.aliases), missing_bytes


def drop(line: Line, package: Package) -> None:
    """Takes it away again. Raises HostError."""
    _asked(line, package, "drop")


def _asked(line: Line, package: Package, op: str, *words: str) -> list[list[str]]:
    arguments = [op, package.sum, _desk(), *words]
    lines = ask(line, ["common", "push"], arguments, seconds=_PLACED_S)
    for found in lines:
        if found[:1] == ["problem"]:
            raise HostError(f"{clean_line(line.host, 60)}: {clean_line(' '.join(found[1:]), 200)}; see whose it is")
    return lines


def _placed(line: Line, package: Package, op: str, *words: str) -> str:
    for found in _asked(line, package, op, *words):
        if found[:1] == ["placed"]:
            return " ".join(found[1:])
    raise HostError(f"{clean_line(line.host, 60)} took all files and did not put them in their place; try again")


def _desk() -> str:
    """Two machines that send at once do not write one file."""
    name = os.uname().nodename
    return "".join(c for c in name if c.isascii() and (c.isalnum() or c in "-_"))[:40] or "desk"


def _one(line: Line, package: Package, file: EngineFile, have: int, meter: _Meter, *, packed: bool) -> None:
    """Twice, where a part that was there is none of it."""
    if not _sent(line, package, file, have, meter, packed=packed):
        meter.done_bytes -= file.size_bytes
        if not _sent(line, package, file, 0, meter, packed=packed):
            raise HostError(
                f"{clean_line(line.host, 60)}: {file.name} arrived damaged twice; does its disk or its memory fail?"
            )


def _sent(line: Line, package: Package, file: EngineFile, have: int, meter: _Meter, *, packed: bool) -> bool:
    """False: its sum there is another one, and what was there is gone. Raises HostError."""
    mark = new_marker()
    words = ["file", package.sum, _desk(), file.name, str(have), str(file.size_bytes), file.crc, "gz" if packed else ""]
    text = script([far_script("common"), far_script("push")], words, {"M": mark})
    try:
        session = Session(line.session(), line.environment, text, mark, mark)
    except OSError as error:
        raise without_ssh(line.host, error.strerror or str(error)).error from None
    try:
        if not session.until(lambda: bool(session.not_heard), _READY_S) or session.said() != ["ready"]:
            raise _broken(line, session, meter)
        blocks = meter.counted(blocks_of(Path(file.path), have), session)
        for block in _packed(blocks) if packed else blocks:
            session.write(block)
            session.wait(0)
            if session.over or session.not_heard:
                break
        session.end_input()
        session.until(lambda: bool(session.not_heard), _CHECKED_S)
        return _came(line, session, meter)
    except OSError as error:
        raise HostError(f"{file.path} cannot be read: {error.strerror}") from None
    finally:
        session.close()


def _came(line: Line, session: Session, meter: _Meter) -> bool:
    match session.said():
        case ["got", *_]:
            return True
        case ["wrong", *_]:
            return False
        case ["full", *_]:
            raise HostError(
                f"{clean_line(line.host, 60)}: its disk became full; what was sent is taken away again: free some "
                "space where its home lies"
            )
        case ["problem", *words]:
            raise HostError(f"{clean_line(line.host, 60)}: {clean_line(' '.join(words), 200)}; see whose it is")
        case _:
            raise _broken(line, session, meter)


def _broken(line: Line, session: Session, meter: _Meter) -> HostError:
    late = not session.over
    reason = why(line, list(session.noise), session.returncode, late=late)
    return HostError(f"{reason.sentence}. {meter.kept}")


def _packed(blocks: Iterable[bytes]) -> Iterator[bytes]:
    pack = zlib.compressobj(_QUICK, zlib.DEFLATED, 31)
    for block in blocks:
        if data := pack.compress(block):
            yield data
    yield pack.flush()


class _Meter:
    """Counts what was handed on, and tells from time to time."""

    def __init__(self, host: str, done_bytes: int, total_bytes: int, tell: Tell) -> None:
        self._host = host
        self.done_bytes = self._begun_bytes = done_bytes
        self._total_bytes = total_bytes
        self._tell = tell
        self._begun_s = time.monotonic()
        self._told_s = 0.0

    @property
    def kept(self) -> str:
        mib = self.done_bytes >> 20
        return f"About {mib} of {self._total_bytes >> 20} MiB are there: the same command goes on from where it stood"

    def counted(self, blocks: Iterable[bytes], session: Session) -> Iterator[bytes]:
        for block in blocks:
            yield block
            if session.over:
                return
            self.done_bytes += len(block)
            self._maybe_tell()

    def _maybe_tell(self) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= _PACE_S or self.done_bytes == self._total_bytes:
            self._told_s = now_s
            took_s = now_s - self._begun_s
            rate = (self.done_bytes - self._begun_bytes) / took_s if took_s > _PACE_S else None
            self._tell(Progress(self._host, self.done_bytes, self._total_bytes, rate))
