"""Ports that nobody else takes: neither another worker of this test run nor another run on the same machine.

hettui looks for its workers' ports from llama.cpp's default on. Two that start at once find the same ones free, and the
one may talk to the other's worker. So every process that runs tests claims a block of ports, and all that it starts
looks for ports there.
"""

from __future__ import annotations

import atexit
import os
import socket
import sys

from hettui.domain.cluster import launch

_NAME = "TEST_FIRST_PORT"
_FIRST, _LAST, _BLOCK = 20_000, 32_000, 50
"""Below those that kernels give to whoever asks for any port."""


def claim() -> None:
    """Takes a block for this process and its children, as long as this process lives."""
    for port in range(_FIRST, _LAST, _BLOCK):
        # Who listens on the first port owns the block: the kernel gives it to one, and back when that one is gone.
        owner = socket.socket()
        try:
            owner.bind(("127.0.0.1", port))
            owner.listen(1)
        except OSError:
            owner.close()
            continue
        atexit.register(owner.close)
        os.environ[_NAME] = str(port + 1)
        return
    raise OSError(f"every block of ports from {_FIRST} to {_LAST} is in use")


def first() -> int:
    """The first port of this process's block, claimed by it or by the test that started it."""
    if _NAME not in os.environ:
        claim()
    return int(os.environ[_NAME])


def keep_to_them() -> None:
    """From here on this process, a hettui or an owner, looks for workers' ports in its block."""
    launch.FIRST_RPC_PORT = first()
    # As where hettui alone is installed: with click, which import-linter brings, httpx loads a command line of its own,
    # and that is a third of what it costs.
    sys.modules["click"] = None  # type: ignore[assignment]
