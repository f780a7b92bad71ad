"""TCP ports of this machine: which are free, and why one is not."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

from hettui.domain.errors import LaunchError
from hettui.ports import Obstacle

_TRIES = 200


class LocalPorts:
    """Implements Ports by binding, the only question that the kernel answers truly."""

    def is_free(self, host: str, port: int) -> bool:
        """False also for an address that this machine does not have."""
        return self.obstacle(host, port) is None

    def obstacle(self, host: str, port: int) -> Obstacle | None:
        try:
            _bound(host, port)
        except (socket.gaierror, UnicodeError):
            # A name that nobody knows.
            return "not here"
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                return "not here"
            return "not allowed" if error.errno in (errno.EACCES, errno.EPERM) else "in use"
        except OverflowError:
            return "in use"
        return None

    def free(self, host: str, start: int, taken: frozenset[int]) -> int:
        if start == 0:
            with suppress(OSError, UnicodeError):
                return _bound(host, 0)
            raise LaunchError(f"no port can be opened on {host}: is it an address of this machine?")
        for port in range(start, min(start + _TRIES, 65536)):
            if port not in taken and self.is_free(host, port):
                return port
        raise LaunchError(f"no free port from {start} on: stop what holds them")


def is_here(host: str) -> bool:
    """Whether it is an address, or a name, of this machine. Blocks while a name is looked up."""
    return LocalPorts().obstacle(host, 0) != "not here"


def _bound(host: str, port: int) -> int:
    """The port, which was free a moment ago; 0 asks for any. Raises OSError."""
    address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    with socket.socket(address[0], socket.SOCK_STREAM) as probe:
        # As llama-server does: a connection in TIME_WAIT does not keep the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address[4])
        # With SO_REUSEADDR only listening proves that nobody else does.
        probe.listen(1)
        return int(probe.getsockname()[1])
