"""A cluster as scripts: plain sh, `/proc`, and curl or wget where there is one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from hettui.domain.export.parts import ENV_FILE, PRIVATE, RUNNABLE, Exported, Part, Parts, env_text
from hettui.domain.text import clean_line

_TTY = ("-tt", "-n")
"""With a terminal there, what runs there ends with the line: without one it would stay."""
_SSH = ("-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=15")

_LIBRARY = r"""#!/bin/sh
# A llama.cpp cluster as hettui planned it, without hettui: start.sh, stop.sh, status.sh beside this file.
# Workers start first and stop last; each is waited for. RPC has no password: workers listen on loopback.
set -u
cd "$(dirname "$0")" || exit 1
mkdir -p run logs
chmod 700 run logs
set -a
. ./@ENV@
set +a
for name in $(env | sed -n 's/^\(LLAMA_ARG_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$name"; done
export GGML_NO_BACKTRACE=1

# The kernel's start time: with the pid it names one process for ever.
began() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

lives() {
    [ -f "run/$1" ] || return 1
    read -r pid start <"run/$1"
    [ -n "${start:-}" ] && [ "$(began "$pid")" = "$start" ] &&
        [ "$(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f1)" != Z ]
}

# launch NAME COMMAND…: a client that vanishes must not end a worker, so SIGPIPE is ignored.
launch() {
    name=$1
    shift
    (umask 077; trap '' PIPE; exec setsid "$@" >"logs/$name.log" 2>&1 </dev/null) &
    echo "$! $(began $!)" >"run/$name"
}

listens() {
    hex=$(printf ':%04X' "$1")
    awk -v port="$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }' \
        /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# until_listens NAME PORT
until_listens() {
    until listens "$2"; do
        lives "$1" || { echo "$1 has ended:" >&2; tail -n 5 "logs/$1.log" >&2; stop_all; exit 1; }
        sleep 0.2
    done
}

healthy() {
    if command -v curl >/dev/null; then curl -fs -o /dev/null "$1/health"
    elif command -v wget >/dev/null; then wget -q -O /dev/null "$1/health"
    else grep -q 'model loaded' logs/master.log; fi
}

until_healthy() {
    until healthy "$1"; do
        lives master || { echo "master has ended:" >&2; tail -n 5 logs/master.log >&2; stop_all; exit 1; }
        sleep 0.5
    done
}

# stop_one NAME: asks it to end, and ends it when it does not.
stop_one() {
    lives "$1" || { rm -f "run/$1"; return; }
    kill -TERM "$pid" 2>/dev/null
    left=$((@GRACE@ * 10))
    while lives "$1" && [ "$left" -gt 0 ]; do sleep 0.1; left=$((left - 1)); done
    lives "$1" && kill -KILL "$pid" 2>/dev/null
    while lives "$1"; do sleep 0.1; done
    rm -f "run/$1"
}
"""


def files(parts: Parts) -> list[Exported]:
    """`start.sh`, `stop.sh`, `status.sh`, what they share, and the environment file."""
    names = [part.slug for part in parts.workers]
    library = _LIBRARY.replace("@ENV@", ENV_FILE).replace("@GRACE@", str(max(1, round(parts.supervision.stop_grace_s))))
    stop = "\n".join(
        ["stop_all() {", "    stop_one master", *(f"    stop_one {name}" for name in reversed(names)), "}"]
    )
    return [
        Exported("cluster.sh", f"{library}\n{stop}\n", RUNNABLE),
        Exported("start.sh", _start(parts), RUNNABLE),
        Exported("stop.sh", '#!/bin/sh\n. "$(dirname "$0")/cluster.sh"\nstop_all\necho stopped\n', RUNNABLE),
        Exported("status.sh", _status([*names, "master"]), RUNNABLE),
        Exported(ENV_FILE, _sh_env(parts), PRIVATE),
    ]


def _sh_env(parts: Parts) -> str:
    lines = env_text(parts).splitlines()
    told = {f"{name}={value}": f"{name}={shlex.quote(value)}" for name, value in parts.others.items()}
    return "\n".join(told.get(line, line) for line in lines) + "\n"


def _start(parts: Parts) -> str:
    lines = ["#!/bin/sh", '. "$(dirname "$0")/cluster.sh"', ""]
    lines.append('if lives master; then echo "it runs already" >&2; exit 1; fi')
    for part in parts.workers:
        where = "" if part.host is None else f" on {clean_line(part.host.name, 60)}"
        lines += ["", f"# {clean_line(part.name, 100)}{where}", f"launch {part.slug} {_command(part)}"]
    lines += ["", *(f"until_listens {part.slug} {part.local_port or part.port}" for part in parts.workers)]
    lines += ["", "# the master: it alone carries the split", f"launch master {_command(parts.master)}"]
    lines += [f"until_healthy {shlex.quote(parts.url)}", f"echo ready at {shlex.quote(parts.url)}"]
    return "\n".join(lines) + "\n"


def _status(names: Sequence[str]) -> str:
    return (
        '#!/bin/sh\n. "$(dirname "$0")/cluster.sh"\nstate=0\n'
        f"for name in {' '.join(names)}; do\n"
        '    if lives "$name"; then echo "$name runs, pid $pid"; else echo "$name does not run"; state=1; fi\n'
        "done\nexit $state\n"
    )


def _far_word(word: str) -> str:
    """A path below the home there is found by its shell."""
    return f'"$HOME"/{shlex.quote(word[2:])}' if word.startswith("~/") else shlex.quote(word)


def _command(part: Part) -> str:
    env = [f"{name}={value}" for name, value in part.env.items()]
    words = [*(["env", *env] if env else []), *part.argv]
    if part.host is not None:
        there = f"trap '' PIPE; exec {' '.join(map(_far_word, words))}"
        tunnel = f"127.0.0.1:{part.local_port}:127.0.0.1:{part.port}"
        words = ["ssh", *_TTY, *_SSH, "-L", tunnel, part.host.ssh or part.host.name, there]
    return " \\\n    ".join(shlex.quote(word) for word in words)
