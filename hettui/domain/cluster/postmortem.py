"""After an unplanned end: what happened, in words a person can act on.

Everything is read from the exit code, from the log lines that matter, from which other processes ended with it, and
from what those say that live on. Of a log the first error counts that was not recovered from: what follows is its echo.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from hettui.domain.cluster.process import ProcessSpec, Role, exit_in_words
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line

if TYPE_CHECKING:
    from hettui.domain.cluster.evidence import Evidence

_NOT_REACHED = 69
"""What the holder of a remote worker exits with when it is the line that failed; an rpc server never does."""
_MAKERS = ("CUDA", "ROCm", "MUSA", "Vulkan", "SYCL")
"""As llama.cpp's backends call their devices, before the number."""
_CARD = late_pattern(r"(CUDA|ROCm|MUSA|)(\d{1,3})")


@dataclass(frozen=True, slots=True)
class End:
    """One process that ended without being asked to."""

    spec: ProcessSpec
    returncode: int | None
    lines: tuple[str, ...]
    """Its last log lines, clean."""
    port_held: bool = False
    """Somebody else has its port, and it ended before it was ready."""


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
    line_lost: bool = False
    """The line to another machine was lost, and is being reached again: what runs there may live."""

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        where = "" if self.host == "local" else f" on {self.host}"
        return f"{self.process}{where} ended{_after(self.moment)} ({self.how}): {self.what}; {self.remedy}"


def _how(end: End) -> str:
    not_reached = end.spec.host != "local" and end.returncode == _NOT_REACHED
    return "no connection" if not_reached else exit_in_words(end.returncode)


def _after(moment: str) -> str:
    return f" {moment}" if moment else ""


def examine(
    end: End,
    *,
    others: Sequence[End] = (),
    owners: Mapping[str, str] | None = None,
    moment: str = "",
    kernel_lines: Iterable[str] = (),
    witnesses: Sequence[End] = (),
) -> PostMortem:
    """The post-mortem of `end`, unless its log blames another: then that one's, if it is among `others`.

    `owners` are device names by llama.cpp's own (`RPC0`, `127.0.0.1:50052`); `kernel_lines` are the kernel's, where
    they can be read. `witnesses` live on: a worker may refuse its master something and never end of it.
    """
    from hettui.domain.cluster.causes import LINE

    evidence = _evidence(end.lines, end.returncode, kernel_lines, port_held=end.port_held)
    if evidence.of_others and (blamed := _blamed(others)) is not None:
        rest = (end, *(other for other in others if other is not blamed))
        return examine(blamed, others=rest, owners=owners, moment=moment, kernel_lines=kernel_lines)
    where, consequences = "", tuple(f"{o.spec.name} ended with it ({exit_in_words(o.returncode)})" for o in others)
    if evidence.of_others and (told := _told(witnesses)) is not None:
        witness, evidence = told
        where = f"{witness.spec.name} says why: "
        consequences = (*consequences, f"{witness.spec.name} runs on")
    what, remedy = _words(end, evidence, owners or {})
    cause = evidence.cause
    return PostMortem(
        end.spec.name,
        end.spec.role,
        end.spec.device,
        end.spec.host,
        _how(end),
        where + what,
        remedy,
        evidence.lines,
        consequences,
        moment,
        cause is not None and cause.hopeless,
        cause is not None and cause.port_taken,
        cause is not None and cause.family == LINE and cause.vague,
    )


def _evidence(
    lines: Sequence[str], returncode: int | None, kernel_lines: Iterable[str] = (), *, port_held: bool = False
) -> Evidence:
    """Imported when something has ended: a hundred patterns that no first frame needs."""
    from hettui.domain.cluster.evidence import find

    return find(lines, returncode, kernel_lines, port_held=port_held)


def last_words(said: str, returncode: int) -> str:
    """What the output of a program that is no part of a cluster says of its failure, in one line; empty: nothing."""
    evidence = _evidence([clean_line(line) for line in said.splitlines()], returncode)
    if evidence.match is None:
        return clean_line(evidence.lines[0], 300) if evidence.lines else ""
    what, remedy = _words(End(ProcessSpec("", "master", ()), returncode, ()), evidence, {})
    return clean_line(f"{what}; {remedy}", 400)


def _blamed(others: Sequence[End]) -> End | None:
    """The first of the others that does not blame somebody else itself."""
    return next((other for other in others if not _evidence(other.lines, other.returncode).of_others), None)


def _told(witnesses: Sequence[End]) -> tuple[End, Evidence] | None:
    """The first of those that live on whose log has an error that it did not recover from, and says it is its own."""
    for witness in witnesses:
        evidence = _evidence(witness.lines, None)
        if evidence.match is not None and not evidence.of_others:
            return witness, evidence
    return None


def _words(end: End, evidence: Evidence, owners: Mapping[str, str]) -> tuple[str, str]:
    """What happened and what to do."""
    from hettui.domain.cluster.causes import happened

    cause = evidence.cause
    if cause is not None and evidence.match is not None:
        groups = tuple((group or "").rstrip(".,") for group in evidence.match.groups())
        device = _device(evidence.device, owners, end.spec.role)
        about = f", in the {evidence.about}" if evidence.about else ""
        return happened(cause, groups, device) + about, cause.remedy.format(*groups)
    if cause is not None and (not evidence.lines or evidence.from_outside):
        silent = "" if any(line.strip() for line in end.lines) else ", and it printed nothing"
        unlocked = "; it could not lock the model in memory before (ulimit -l)" if evidence.unlocked else ""
        return cause.what + silent, cause.remedy + unlocked
    if evidence.lines:
        return evidence.lines[0], "its log says more"
    if any(line.strip() for line in end.lines):
        return "it said nothing about it", "its log says what it did before"
    return "it printed nothing", "try its command line by hand"


def _device(named: str, owners: Mapping[str, str], role: Role) -> str:
    """`RPC0[127.0.0.1:50052]` as the user calls it: `middle (RPC0)`. A card's number alone is looked for under the
    names of all who make cards; a worker counts its own cards, which says nothing here."""
    if not named:
        return ""
    number = _CARD.fullmatch(named)
    if number is not None and named not in owners and role != "worker":
        usual = named if number[1] else f"card {named}"
        named = next((f"{maker}{number[2]}" for maker in _MAKERS if f"{maker}{number[2]}" in owners), usual)
    short, _, endpoint = named.partition("[")
    owner = owners.get(endpoint.rstrip("]")) or owners.get(short)
    if role == "worker" and not endpoint:
        return ""
    return f"{owner} ({short})" if owner else named
