"""Who listens on a port of this machine: two may, at different addresses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from hettui.adapters.machine.facts import listener

_LISTEN = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2]))); s.listen(); print(s.getsockname()[1], flush=True); sys.stdin.read()
"""


@contextmanager
def listening(address: str, port: int = 0) -> Iterator[tuple[int, int]]:
    """Pid and port of a process that listens there."""
    argv = [sys.executable, "-c", _LISTEN, address, str(port)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        if not said:
            pytest.skip(f"{address} cannot be listened on here")
        yield process.pid, int(said)
    finally:
        process.communicate()


def pid_at(host: str, port: int) -> int | None:
    found = listener(host, port)
    return found.pid if found else None


def test_the_one_with_the_address_answers() -> None:
    with ExitStack() as stack:
        one, port = stack.enter_context(listening("127.0.0.1"))
        other, _ = stack.enter_context(listening("127.0.0.2", port))
        assert pid_at("127.0.0.1", port) == one
        assert pid_at("127.0.0.2", port) == other
        assert pid_at("127.0.0.3", port) is None
        assert pid_at("no.such.host.invalid", port) is None
        found = listener("127.0.0.2", port)
        assert found is not None
        assert found.argv[0] == sys.executable


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])  # noqa: S104
def test_who_listens_everywhere_answers_where_nobody_else_does(everywhere: str) -> None:
    with listening(everywhere) as (pid, port):
        assert pid_at("127.0.0.1", port) == pid
        assert pid_at("127.9.9.9", port) == pid
        assert pid_at("localhost", port) == pid
        assert pid_at("127.0.0.1", 1) is None
    assert os.getpid() != pid
