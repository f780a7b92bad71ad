"""Why ssh did not get somewhere: one sentence with the next step, from what it printed and how it ended.

The words are OpenSSH's, 8.9 to 9.9: seen in a run of 9.2, or read in its source (ssh.c, sshconnect.c, sshconnect2.c,
clientloop.c, mux.c, readconf.c). ssh exits with 255 for all of them, and when a signal ended the far program.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from hettui.domain.errors import HostError
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line

Kind = Literal[
    "no ssh", "key changed", "key unknown", "question", "refused", "name", "silent", "no route", "closed", "lost",
    "config", "forwarding", "shell", "proxy", "disk", "unknown",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """One failure of ssh. `what` and `remedy` are half sentences that a semicolon joins."""

    kind: Kind
    what: str
    remedy: str
    hopeless: bool = False
    """Asking again without a change meets the same."""

    @property
    def sentence(self) -> str:
        return f"{self.what}; {self.remedy}"

    @property
    def error(self) -> HostError:
        asks = self.kind in ("key unknown", "question", "refused")
        return HostError(self.sentence, hopeless=self.hopeless, asks=asks)


@dataclass(frozen=True, slots=True)
class _Pattern:
    kind: Kind
    pattern: re.Pattern[str]
    what: str
    """`{host}` is the host as the user calls it, `{ssh}` what ssh is given, `{0}`, `{1}` the pattern's groups."""
    remedy: str
    hopeless: bool = False


def _p(kind: Kind, pattern: str, what: str, remedy: str, *, hopeless: bool = False) -> _Pattern:
    return _Pattern(kind, late_pattern(pattern), what, remedy, hopeless)


_ONCE = "let ssh ask once, for eight hours: hettui hosts connect --host {host} (on the screen: Hosts in the palette)"
_TABLE: tuple[_Pattern, ...] = (
    _p(
        "key changed", r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for (\S+) has changed",
        "{host}: its host key has CHANGED since it was last seen: another machine answers at that address, or it was "
        "installed anew. Nothing was started",
        "if you know why, forget the old key with ssh-keygen -R as ssh {ssh} says, and confirm the new one there",
        hopeless=True,
    ),
    _p(
        "key changed", r"revoked host key|Host key .* is revoked", "{host}: its host key is marked as revoked",
        "ask whoever runs it", hopeless=True,
    ),
    _p(
        "key unknown", r"No (\S+) host key is known for (\S+) and you have requested strict checking",
        "{host}: its host key ({0}) is not known here",
        "run ssh {ssh} once, compare the fingerprint that it shows and confirm it", hopeless=True,
    ),
    _p(
        "key unknown", r"Host key verification failed",
        "{host}: its host key is not known here (Host key verification failed)",
        "run ssh {ssh} once, compare the fingerprint that it shows and confirm it", hopeless=True,
    ),
    _p(
        "question", r"((?:\S+@\S+: )?Permission denied \((?:[^)]*,)?(?:password|keyboard-interactive)(?:,[^)]*)?\))",
        "{host} lets no key of yours in and would ask for a password: ssh: {0}",
        f"put a key there with ssh-copy-id {{ssh}}, load it into ssh-agent, or {_ONCE}", hopeless=True,
    ),
    _p(
        "refused", r"((?:\S+@\S+: )?Permission denied \([^)]*\))", "{host} lets no key of yours in: ssh: {0}",
        f"put a key there with ssh-copy-id {{ssh}}, or, where it has a passphrase, load it into ssh-agent or {_ONCE}",
        hopeless=True,
    ),
    _p(
        "refused", r"(Too many authentication failures)", "{host}: ssh: {0}: the agent offers too many keys",
        "name the right one with IdentityFile and IdentitiesOnly yes in ~/.ssh/config", hopeless=True,
    ),
    _p(
        "question", r"(sign_and_send_pubkey: signing failed.*|agent refused operation)",
        "{host}: the key's agent or token wants to be asked: ssh: {0}", _ONCE,
    ),
    _p(
        "refused", r"(UNPROTECTED PRIVATE KEY FILE|Load key \"[^\"]*\": .*|Bad owner or permissions on \S+)",
        "{host}: a key or file of ssh's cannot be used: ssh: {0}", "correct its owner or mode (chmod 600)",
        hopeless=True,
    ),
    _p(
        "refused", r"(Unable to negotiate with .*)", "{host}: ssh and its server have no method in common: ssh: {0}",
        "update the older one, or allow the method in ~/.ssh/config", hopeless=True,
    ),
    _p(
        "name", r"Could not resolve hostname (\S+?): (.*)", "{host}: Could not resolve its name {0}: {1}",
        "correct ssh in [[hosts]] or HostName in ~/.ssh/config, or use its address", hopeless=True,
    ),
    _p(
        "no route", r"connect to host (\S+) port (\d+): (No route to host|Network is unreachable)",
        "{host} ({0}:{1}) is not reached: {2}", "is it up, on this network, and is a VPN needed?",
    ),
    _p(
        "closed", r"connect to host (\S+) port (\d+): (Connection refused)",
        "{host} ({0}:{1}) is up and has no sshd there: {2}", "start sshd on it, or correct the port",
    ),
    _p(
        "silent", r"connect to host (\S+) port (\d+): (Connection timed out|Operation timed out)",
        "{host} ({0}:{1}) does not answer to ssh: {2}", "is it up and awake, and reachable from here?",
    ),
    _p(
        "silent", r"(Connection timed out during banner exchange|Connection to (\S+) port (\d+) timed out)",
        "{host} takes the connection and does not answer: ssh: {0}", "is it overloaded, or does a firewall hold it?",
    ),
    _p("silent", r"connect to (?:host|address) (\S+) port (\d+): (.*)", "{host} ({0}:{1}) is not reached: {2}",
       "is it up, and does ssh {ssh} reach it?"),
    _p(
        "proxy", r"(Bad stdio forwarding|stdio forwarding failed|channel 0: open failed: (?!administratively).*"
        r"|kex_exchange_identification: Connection closed by UNKNOWN port \d+)",
        "{host}: its jump host is reached, and does not get through to it: ssh: {0}",
        "see that {host} is up, and that the jump host may reach it (ssh {ssh})",
    ),
    _p(
        "forwarding", r"(administratively prohibited|Port forwarding failed|port forwarding failed|remote port "
        r"forwarding failed|cannot listen to port: \d+|Could not request local forwarding)",
        "{host}: the port of its worker could not be brought here: ssh: {0}",
        "allow AllowTcpForwarding in its sshd_config; if it says that it cannot listen, start again",
    ),
    _p(
        "lost", r"(Timeout, server (\S+) not responding|client_loop: send disconnect: .*|Connection to (\S+) closed by "
        r"remote host|Connection reset by .*|packet_write_wait: .*|Connection closed by .*|Broken pipe"
        r"|mux_client_\S+: .*)",
        "the line to {host} was lost: ssh: {0}", "is it up, and does ssh {ssh} reach it?",
    ),
    _p(
        "config", r"Cannot execute command-line and remote command",
        "{host}: a RemoteCommand in ~/.ssh/config stands in the way", "use an alias without it", hopeless=True,
    ),
    _p(
        "config", r"((?:\S+: line \d+: )?(?:Bad configuration option|Bad configuration options|terminating, \d+ bad "
        r"configuration|unsupported option).*)",
        "ssh does not understand its configuration: {0}", "correct ~/.ssh/config", hopeless=True,
    ),
    _p(
        "shell", r"(This account is (?:currently )?not available|.*nologin.*)",
        "{host}: the login there may run no commands: {0}", "use an account with a shell", hopeless=True,
    ),
    _p("disk", r"(No space left on device|Disk quota exceeded)", "{host}: a disk there is full: {0}",
       "free some space where its home lies"),
    _p("disk", r"(Read-only file system)", "{host}: its home cannot be written: {0}", "mount it writable"),
    _p("shell", r"(/bin/sh: .*|sh: .*not found)", "{host}: its shell failed: {0}", "see what ssh {ssh} /bin/sh says"),
)  # fmt: skip


def refused(host: str, ssh: str, said: Sequence[str], returncode: int | None, *, late: bool = False) -> Refusal:
    """What came of an ssh that did not get through, from its lines (any text, in time).

    `late`: no answer came within the time that it was given. A table in the tests shows every row.
    """
    lines = [clean_line(line, 300).strip() for line in said]
    names = {"host": clean_line(host, 60), "ssh": clean_line(ssh, 60)}
    for one in _TABLE:
        for line in lines:
            if match := one.pattern.search(line):
                groups = [(group or "").rstrip(". ") for group in match.groups()]
                what, remedy = one.what.format(*groups, **names), one.remedy.format(*groups, **names)
                return Refusal(one.kind, what, remedy, one.hopeless)
    if late:
        return Refusal("silent", f"{names['host']} does not answer", f"is it up and awake? Try ssh {names['ssh']} true")
    last = next((line for line in reversed(lines) if line), "")
    how = f"ssh: {last}" if last else f"ssh ended with {returncode} and said nothing"
    return Refusal("unknown", f"{names['host']} is not reached: {how}", f"try ssh {names['ssh']} true")


def without_ssh(host: str, reason: str) -> Refusal:
    """The program itself cannot be started."""
    return Refusal(
        "no ssh", f"{clean_line(host, 60)} is reached by ssh, which cannot be started here: {clean_line(reason, 120)}",
        "install an ssh client (openssh-client)", hopeless=True,
    )  # fmt: skip
