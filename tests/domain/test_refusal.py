"""Why ssh did not get there: one sentence with the next step for everything that it says."""

from __future__ import annotations

import pytest

from hettui.domain.hosts.refusal import refused, without_ssh

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
Host key for attic has changed and you have requested strict checking.
Host key verification failed."""
JUMP_DOWN = """\
ssh: connect to host 10.77.1.2 port 22: Connection refused
kex_exchange_identification: Connection closed by remote host
Connection closed by UNKNOWN port 65535"""
BEHIND_JUMP = """\
channel 0: open failed: connect failed: No route to host
stdio forwarding failed
kex_exchange_identification: Connection closed by remote host
Connection closed by UNKNOWN port 65535"""
AFTER_A_BANNER = "*** be nice ***\nme@10.77.1.2: Permission denied (publickey)."


@pytest.mark.parametrize(
    ("said", "kind", "says", "remedy", "hopeless"),
    [
        (CHANGED, "key changed", "host key has CHANGED", "ssh-keygen -R", True),
        ("Host key verification failed.", "key unknown", "Host key verification failed", "run ssh me@attic once", True),
        ("No ED25519 host key is known for x and you have requested strict checking.\nHost key verification failed.",
         "key unknown", "host key (ED25519) is not known", "run ssh me@attic once", True),
        ("me@attic: Permission denied (publickey,password).", "question", "Permission denied (publickey,password)",
         "ssh-copy-id me@attic", True),
        ("me@attic: Permission denied (keyboard-interactive).", "question", "would ask",
         "let ssh ask once, for eight hours: hettui hosts connect --host box", True),
        (AFTER_A_BANNER, "refused", "lets no key of yours in: ssh: me@10.77.1.2: Permission denied (publickey)",
         "ssh-copy-id", True),
        ("Received disconnect from 10.77.1.2 port 22:2: Too many authentication failures", "refused", "too many keys",
         "IdentitiesOnly", True),
        ("sign_and_send_pubkey: signing failed for ED25519-SK: device not found", "question", "token",
         "hettui hosts connect --host box", False),
        ("ssh: Could not resolve hostname noname.invalid: Name or service not known", "name",
         "Could not resolve its name noname.invalid", "correct ssh in [[hosts]]", True),
        ("ssh: connect to host 10.77.1.99 port 22: No route to host", "no route", "(10.77.1.99:22) is not reached: No "
         "route to host", "is it up", False),
        ("ssh: connect to host 10.77.1.2 port 2299: Connection refused", "closed", "Connection refused", "sshd", False),
        ("ssh: connect to host 10.77.1.2 port 22: Connection timed out", "silent",
         "(10.77.1.2:22) does not answer to ssh", "awake", False),
        ("Connection timed out during banner exchange", "silent", "takes the connection", "overloaded", False),
        (JUMP_DOWN, "closed", "(10.77.1.2:22) is up and has no sshd", "sshd", False),
        (BEHIND_JUMP, "proxy", "its jump host is reached", "jump host may reach it", False),
        ("Timeout, server attic not responding.", "lost", "the line to box was lost: ssh: Timeout", "is it up", False),
        ("mux_client_request_session: read from master failed: Broken pipe", "lost", "was lost", "is it up", False),
        ("client_loop: send disconnect: Broken pipe", "lost", "was lost", "is it up", False),
        ("Cannot execute command-line and remote command.", "config", "RemoteCommand", "alias without it", True),
        ("/home/ann/.ssh/config: line 3: Bad configuration option: foo", "config", "Bad configuration option: foo",
         "~/.ssh/config", True),
        ("mux_client_forward: forwarding request failed: Port forwarding failed", "forwarding", "could not be brought",
         "AllowTcpForwarding", False),
        ("This account is currently not available.", "shell", "may run no commands", "account with a shell", True),
        ("mkdir: cannot create directory: No space left on device", "disk", "disk there is full", "free some", False),
        ("something nobody has seen", "unknown", "ssh: something nobody has seen", "try ssh me@attic true", False),
        ("", "unknown", "ended with 255 and said nothing", "try ssh me@attic true", False),
        ("\x1b]0;evil\x07Permission denied (publickey).", "refused", "ssh: Permission denied (publickey)", "", True),
        ("ssh: Could not resolve hostname {0}{host}: x", "name", "{0}{host}", "", True),
    ],
)  # fmt: skip
def test_every_failure_is_a_sentence(said: str, kind: str, says: str, remedy: str, hopeless: bool) -> None:
    found = refused("box", "me@attic", said.splitlines(), 255)
    assert (found.kind, found.hopeless) == (kind, hopeless)
    assert says in found.what
    assert "box" in found.sentence or found.kind == "config"
    assert remedy in found.remedy
    assert found.sentence.isprintable()


def test_one_that_is_silent_is_named() -> None:
    found = refused("box", "me@attic", ["Welcome"], None, late=True)
    assert found.sentence == "box does not answer; is it up and awake? Try ssh me@attic true"


def test_a_machine_without_ssh() -> None:
    assert "openssh-client" in without_ssh("box", "No such file or directory").error.args[0]
