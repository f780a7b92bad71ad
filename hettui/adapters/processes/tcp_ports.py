"""TCP ports of this machine: which are free."""

from __future__ import annotations

import socket
from contextlib import suppress

from hettui.domain.errors import LaunchError

_TRIES = 200


class LocalPorts:
    """Implements Ports by binding, the only question that the kernel answers truly."""

    def is_free(self, host: str, port: int) -> bool:
        """False also for an address that this machine does not have."""
        return _bind(host, port) is not None

    def free(self, host: str, start: int, taken: frozenset[int]) -> int:
        if start == 0:
            port = _bind(host, 0)
            if port is None:
                raise LaunchError(f"no port can be opened on {host}: is it an address of this machine?")
            return port
        for port in range(start, min(start + _TRIES, 65536)):
            if port not in taken and self.is_free(host, port):
                return port
        raise LaunchError(f"no free port from {start} on: stop what holds them")


def _bind(host: str, port: int) -> int | None:
    with suppress(OSError, OverflowError):
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(address[0], socket.SOCK_STREAM) as probe:
            # As llama-server does: a connection in TIME_WAIT does not keep the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address[4])
            # With SO_REUSEADDR only listening proves that nobody else does.
            probe.listen(1)
            return int(probe.getsockname()[1])
    return None
