"""After an unplanned end: what happened, in words a person can act on.

Everything is read from the exit code, from the log lines that matter, and from which other processes ended with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hettui.domain.cluster.causes import BY_SIGNAL, CAUSES, LAST_WORDS, LOUD, Cause
from hettui.domain.cluster.llama_log import LINE_PREFIX
from hettui.domain.cluster.process import ProcessSpec, Role, exit_in_words

_SSH_FAILED = 255
"""What ssh exits with when it is ssh that failed; an rpc server never does."""
_FROM_OUTSIDE = (-9, -15)
"""SIGKILL and SIGTERM."""
_MOST_LINES = 4


@dataclass(frozen=True, slots=True)
class End:
    """One process that ended without being asked to."""

    spec: ProcessSpec
    returncode: int | None
    lines: tuple[str, ...]
    """Its last log lines, clean."""


@dataclass(frozen=True, slots=True)
class PostMortem:
    """What is told of one failure of the cluster."""

    process: str
    role: Role
    device: str | None
    """The device whose loss this is; None for the master."""
    host: str
    how: str
    """Exit code or signal in words."""
    what: str
    remedy: str
    lines: tuple[str, ...] = ()
    """The log lines that matter."""
    consequences: tuple[str, ...] = ()
    """What it did to the others, a sentence each."""
    moment: str = ""
    """What the cluster did then."""
    hopeless: bool = False
    """Starting the same again meets the same."""
    port_taken: bool = False
    """Its port was taken between the look at it and its start."""

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        where = "" if self.host == "local" else f" on {self.host}"
        return f"{self.process}{where} ended{_after(self.moment)} ({self.how}): {self.what}; {self.remedy}"


def _after(moment: str) -> str:
    return f" {moment}" if moment else ""


def examine(
    end: End,
    *,
    others: Sequence[End] = (),
    owners: Mapping[str, str] | None = None,
    moment: str = "",
    kernel_lines: Iterable[str] = (),
) -> PostMortem:
    """The post-mortem of `end`, unless its log blames another: then that one's, if it is among `others`.

    `owners` are device names by llama.cpp's own (`RPC0`, `127.0.0.1:50052`); `kernel_lines` are the kernel's, where
    they can be read.
    """
    cause, lines = _find(end, kernel_lines)
    if cause is not None and cause.of_others and (blamed := _blamed(others)) is not None:
        rest = (end, *(other for other in others if other is not blamed))
        return examine(blamed, others=rest, owners=owners, moment=moment, kernel_lines=kernel_lines)
    what, remedy = _words(end, cause, lines, owners or {})
    return PostMortem(
        end.spec.name,
        end.spec.role,
        end.spec.device,
        end.spec.host,
        exit_in_words(end.returncode),
        what,
        remedy,
        lines,
        tuple(f"{other.spec.name} ended with it ({exit_in_words(other.returncode)})" for other in others),
        moment,
        cause is not None and cause.hopeless,
        cause is not None and cause.port_taken,
    )


def _blamed(others: Sequence[End]) -> End | None:
    """The first of the others that does not blame somebody else itself."""
    for other in others:
        cause, _ = _find(other, ())
        if cause is None or not cause.of_others:
            return other
    return None


def _find(end: End, kernel_lines: Iterable[str]) -> tuple[Cause | None, tuple[str, ...]]:
    """The first known cause, and the lines that matter."""
    kept = [line for line in end.lines if line.strip()]
    told = [line for line in kernel_lines if line.strip()] if end.returncode == -9 else []
    for cause in CAUSES:
        found = [line for line in (*kept, *told) if cause.pattern.search(line)]
        if found:
            return cause, tuple(LINE_PREFIX.sub("", line).strip() for line in found[-_MOST_LINES:])
    if end.returncode == 1 and kept and LAST_WORDS.pattern.search(kept[-1]):
        return LAST_WORDS, (LINE_PREFIX.sub("", kept[-1]).strip(),)
    loud = [line for line in kept if LOUD.search(line)]
    if not loud and kept and end.returncode not in (None, *_FROM_OUTSIDE):
        # Of a process that was killed a quiet last line has nothing to do with its end.
        loud = kept[-1:]
    return BY_SIGNAL.get(end.returncode or 0), tuple(LINE_PREFIX.sub("", line).strip() for line in loud[-_MOST_LINES:])


def _words(end: End, cause: Cause | None, lines: tuple[str, ...], owners: Mapping[str, str]) -> tuple[str, str]:
    """What happened and what to do."""
    if cause is not None and cause.pattern.pattern:
        match = cause.pattern.search(lines[-1])
        groups = tuple(group or "" for group in match.groups()) if match else ()
        named = groups[0].rstrip(".,") if groups else ""
        return cause.what.format(*groups, at=_device(named, owners)), cause.remedy
    if end.spec.role == "worker" and end.returncode == _SSH_FAILED:
        return "its SSH connection was lost", "is the host up, and does ssh reach it?"
    if cause is not None and (not lines or end.returncode in _FROM_OUTSIDE):
        silent = "" if any(line.strip() for line in end.lines) else ", and it printed nothing"
        return cause.what + silent, cause.remedy
    if lines:
        return lines[-1], "its log says more"
    if any(line.strip() for line in end.lines):
        return "it said nothing about it", "its log says what it did before"
    return "it printed nothing", "try its command line by hand"


def _device(named: str, owners: Mapping[str, str]) -> str:
    """`RPC0[127.0.0.1:50052]` as the user calls it: `middle (RPC0)`."""
    short, _, endpoint = named.partition("[")
    owner = owners.get(endpoint.rstrip("]")) or owners.get(short)
    return f"{owner} ({short})" if owner else named
