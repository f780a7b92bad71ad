"""How many bytes this machine has sent to each worker, from the kernel's own TCP counters.

llama-server says nothing while it sends the weights (b10068 prints no dots), so the load bar asks the kernel:
a NETLINK_SOCK_DIAG dump of established TCP sockets carries `tcpi_bytes_acked` for each connection. It needs no
privilege; where it is not available (other systems, some sandboxes) the answer is None.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_INET_DIAG_INFO = 2
_TCP_ESTABLISHED = 1
_MESSAGE_BYTES = 72
"""sizeof(struct inet_diag_msg)"""
_BYTES_ACKED_OFFSET = 120
"""offsetof(struct tcp_info, tcpi_bytes_acked), Linux 4.1 and later."""


def sent_bytes(ports: Collection[int]) -> dict[int, int] | None:
    """Bytes acknowledged on all connections to each destination port; None when the kernel does not tell."""
    if not hasattr(socket, "AF_NETLINK"):
        return None
    request = struct.pack(
        "=IHHIIBBBBI48s",
        72, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 1, 0,
        socket.AF_INET, socket.IPPROTO_TCP, 1 << (_INET_DIAG_INFO - 1), 0, 1 << _TCP_ESTABLISHED, b"",
    )  # fmt: skip
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
            netlink.settimeout(0.2)
            netlink.send(request)
            return _collect(netlink, ports)
    except (OSError, struct.error):
        return None


def _collect(netlink: socket.socket, ports: Collection[int]) -> dict[int, int] | None:
    totals = dict.fromkeys(ports, 0)
    while True:
        data = netlink.recv(256 * 1024)
        offset = 0
        while offset + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, offset)
            if kind == _NLMSG_DONE:
                return totals
            if kind == _NLMSG_ERROR or length < 16:
                return None
            port, acked = _connection(data[offset + 16 : offset + length])
            if port in totals:
                totals[port] += acked
            offset += (length + 3) & ~3


def _connection(message: bytes) -> tuple[int, int]:
    """Destination port and acknowledged bytes of one inet_diag_msg with its attributes."""
    (port,) = struct.unpack_from("!H", message, 6)
    offset = _MESSAGE_BYTES
    while offset + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, offset)
        if length < 4:
            break
        if kind == _INET_DIAG_INFO and length >= 4 + _BYTES_ACKED_OFFSET + 8:
            return port, struct.unpack_from("=Q", message, offset + 4 + _BYTES_ACKED_OFFSET)[0]
        offset += (length + 3) & ~3
    return port, 0
