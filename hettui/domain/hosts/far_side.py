"""What is said to a host's shell. Its login shell (bash, fish, tcsh, csh, zsh, dash, ksh, …) parses one constant line.

That line starts /bin/sh, which reads a script of a stated length from stdin and runs it; what follows the script on
stdin is the script's own. So no word of ours ever meets a quoting rule but sh's. Whatever a login prints before (a
banner, a motd, a noisy .bashrc) stands before the first marker; a marker has a random word in it, new for each
session, so that nothing there can look like one.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from hettui.domain.patterns import late_pattern

BOOT = 'exec /bin/sh -c \'IFS= read -r n && s=`dd bs=1 count="$n" 2>/dev/null` && eval "$s"\''
"""The line that the login shell parses: no single quote, `!`, backslash or newline stands within its quotes, which all
those shells therefore read alike (csh looks for `!` and newlines even there, fish for backslashes)."""
_NAME = late_pattern(r"[A-Za-z_][A-Za-z0-9_]*")


def marker(nonce: str) -> str:
    """What stands before each line that means something."""
    return f"##hettui-{nonce}##"


def script(texts: Iterable[str], arguments: Sequence[str], settings: Mapping[str, str] | None = None) -> bytes:
    """What is written to stdin of a session that runs `BOOT`: the length, and the script.

    `arguments` become `$1`, …; `settings` are variables of the shell. Any byte but NUL may stand in either.
    """
    lines = [f"{_name(key)}={shlex.quote(value)}" for key, value in (settings or {}).items()]
    lines += [f"set -- {shlex.join(arguments)}" if arguments else "set --", *texts]
    body = "\n".join(lines).encode("utf-8", "surrogateescape") + b"\n"
    return b"%d\n" % len(body) + body


def _name(key: str) -> str:
    if not _NAME.fullmatch(key):
        raise ValueError(f"{key} is no name of a shell's variable")
    return key


def marked(lines: Iterable[str], mark: str) -> list[list[str]]:
    """The words of each line that carries the marker; what a login printed before it on the same line is cut off."""
    found = []
    for line in lines:
        _, there, rest = line.partition(mark)
        if there:
            found.append(rest.strip().split(" "))
    return found
