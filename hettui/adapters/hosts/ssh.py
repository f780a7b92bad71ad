"""The system's ssh: its command lines, one connection for each host that all sessions share, and one-shot sessions.

The user's configuration decides how a host is reached (keys, agent, jump hosts, ciphers). What in it would come between
is overridden: forwardings, a remote command, a terminal, a control connection of the user's own.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import cache, cached_property
from pathlib import Path

from hettui.adapters.files.atomic import make_private
from hettui.adapters.files.bounded import read_text_file
from hettui.adapters.files.paths import run_dirs
from hettui.adapters.processes.said import Said, TooLong, TooMuch, run_for_words
from hettui.domain.errors import HettuiError, HostError
from hettui.domain.hosts.far_side import BOOT, marked, marker, script
from hettui.domain.hosts.refusal import Refusal, refused, without_ssh
from hettui.domain.hosts.worker import PATIENCE_S
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line

CONNECT_S = 10
"""For the TCP connection and the key exchange."""
_BEAT_S = 5
_IDLE_S = 3
"""How long the shared connection outlives its last session."""
_ASKED_IDLE_S = 8 * 3600
"""The same, for one that had to ask somebody."""
_SOCKET_BYTES = 90
"""Of a UNIX socket's 108, ssh adds 17 for a while."""
_BY_A_JUMP = "closed by UNKNOWN port"
_SCRIPT_BYTES = 64 * 1024
_MOST_BYTES = 256 * 1024
_UNSEEN = ("HETTUI_", "LLAMA_")
"""Variables that are none of ssh's business: a mark in them would make it one of the cluster's processes."""


def environment() -> dict[str, str]:
    """Ours, without what belongs to the cluster."""
    return {key: value for key, value in os.environ.items() if not key.startswith(_UNSEEN)}


@cache
def far_script(name: str) -> str:
    """The text of one of the scripts in `far/`, as it was when it was first read."""
    return read_text_file(Path(__file__).parent / "far" / f"{name}.sh", _SCRIPT_BYTES)


@dataclass(frozen=True)
class Line:
    """How one host is reached."""

    host: str
    """As the user calls it."""
    ssh: str
    shared: bool = True
    """Over the one connection that all sessions share; False: each makes its own."""
    patience_s: int = PATIENCE_S
    environment: Mapping[str, str] = field(default_factory=environment, repr=False)

    @cached_property
    def socket(self) -> Path | None:
        """Of the shared connection; None where there is no folder for it."""
        if not self.shared:
            return None
        name = "s" + hashlib.sha256(self.ssh.encode("utf-8", "surrogateescape")).hexdigest()[:12]
        try:
            # The last of them is the one of this login, whose path is short, and on no network drive.
            path = run_dirs()[-1] / "ssh" / name
            make_private(path.parent)
        except (OSError, HettuiError):
            return None
        return path if len(os.fsencode(path)) <= _SOCKET_BYTES else None

    def session(self, command: str = BOOT, forward: tuple[int, int] | None = None) -> list[str]:
        """The command line of a session. `forward`: a port here and one there, for as long as it lasts."""
        argv = ["ssh", "-T"]
        for option in (
            "BatchMode=yes",
            f"ConnectTimeout={CONNECT_S}",
            f"ServerAliveInterval={_BEAT_S}",
            f"ServerAliveCountMax={max(2, self.patience_s // _BEAT_S)}",
            "RemoteCommand=none",
            "ForwardAgent=no",
            "ForwardX11=no",
            "PermitLocalCommand=no",
            "LogLevel=INFO",
            *self._sharing(),
            *(("ExitOnForwardFailure=yes",) if forward else ("ClearAllForwardings=yes",)),
        ):
            argv += ["-o", option]
        if forward:
            argv += ["-L", _forward(*forward)]
        return [*argv, "--", self.ssh, command]

    def question(self) -> list[str]:
        """The command line of a login that may ask (a password, a host key, a token's touch), and whose connection then
        stays for sessions that may not."""
        argv = ["ssh", "-T", "-o", f"ConnectTimeout={CONNECT_S}", "-o", "ClearAllForwardings=yes"]
        argv += ["-o", "RemoteCommand=none", "-o", f"ServerAliveInterval={_BEAT_S}"]
        for option in self._sharing(_ASKED_IDLE_S):
            argv += ["-o", option]
        return [*argv, "--", self.ssh, "true"]

    def _sharing(self, idle_s: int = _IDLE_S) -> tuple[str, ...]:
        if self.socket is None:
            return ("ControlMaster=no", "ControlPath=none")
        # % is ssh's own: a folder may be called anything.
        path = str(self.socket).replace("%", "%%")
        return ("ControlMaster=auto", f"ControlPath={path}", f"ControlPersist={idle_s}")

    def order(self, what: str, *more: str) -> list[str]:
        """The command line of an order to the shared connection: `check`, `stop`, `forward`, `cancel`."""
        return ["ssh", "-F", "none", "-S", str(self.socket), "-O", what, *more, "--", self.ssh]

    def forward(self, what: str, here: int, there: int) -> list[str]:
        return self.order(what, "-L", _forward(here, there))


def _forward(here: int, there: int) -> str:
    return f"127.0.0.1:{here}:127.0.0.1:{there}"


def new_marker() -> str:
    return marker(secrets.token_hex(6))


def ask(
    line: Line,
    names: Sequence[str],
    arguments: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
    seconds: float = 25.0,
) -> list[list[str]]:
    """Runs scripts there, one behind the other, and returns the words of each line that they said. Blocks.

    Raises HostError with the reason and the next step when the host is not reached or does not answer in time.
    """
    mark = new_marker()
    text = script([far_script(name) for name in names], arguments, {"M": mark, **(settings or {})})
    try:
        said = run_for_words(line.session(), line.environment, seconds, _MOST_BYTES, stdin=text)
    except TooLong:
        raise refused(line.host, line.ssh, (), None, late=True).error from None
    except TooMuch:
        raise HostError(f"{clean_line(line.host, 60)} says more than can be read; see what its login prints") from None
    except OSError as error:
        raise without_ssh(line.host, error.strerror or str(error)).error from None
    return _answer(line, said, mark)


def why(line: Line, said: Sequence[str], returncode: int | None, *, late: bool = False) -> Refusal:
    """Why this host is not reached. May ask once more: where a connection is shared, ssh sends what a jump host says to
    nowhere (sshconnect.c, 9.2)."""
    if late or line.socket is None or not any(_BY_A_JUMP in text for text in said):
        return refused(line.host, line.ssh, said, returncode, late=late)
    alone = replace(line, shared=False)
    try:
        again = run_for_words(alone.session("exit"), line.environment, CONNECT_S + 5.0, _MOST_BYTES)
    except (OSError, TooLong, TooMuch):
        return refused(line.host, line.ssh, said, returncode)
    more = again.err.decode("utf-8", "replace").splitlines()
    return refused(line.host, line.ssh, more or said, again.returncode)


def _answer(line: Line, said: Said, mark: str) -> list[list[str]]:
    out, err = (text.decode("utf-8", "replace").splitlines() for text in (said.out, said.err))
    found = marked([*out, *err], mark)
    if not found:
        raise why(line, [*err, *out], said.returncode).error
    return [[clean_line(word) for word in words] for words in found]
