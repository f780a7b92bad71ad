"""Where llama-server's HTTP API is, by what its `--host` says: how it is reached from here, and by whom else.

As b10068 does it: it binds the one address that it is given and no other; `::` takes IPv4 along; an IPv6 address in
brackets cannot be bound; what ends with `.sock` is a UNIX socket. From newer builds on `--host` is a list (#28690).
"""

from __future__ import annotations

import ipaddress

from hettui.domain.errors import ConfigError

LISTS_BUILD = 10500
"""No build before this one takes a list. The exact one is not known: what is newer and takes none says so itself."""


def tcp_hosts(host: str) -> tuple[str, ...]:
    """The addresses and names that it listens on, in order; sockets are left out."""
    return tuple(part for part in _parts(host) if not _is_socket(part))


def reachable(host: str, port: int) -> str:
    """The URL at which the API is asked from this machine, with what stands first in a list.

    Raises ConfigError where there is none: of a UNIX socket.
    """
    hosts = tcp_hosts(host)
    if not hosts:
        raise ConfigError(_socket_only(host))
    first = hosts[0].strip("[]")
    address = _as_ip(first)
    if address is not None and address.is_unspecified:
        # All of this machine's addresses: loopback is one of them, and of the same family.
        first = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://{endpoint(first, port)}"


def endpoint(host: str, port: int) -> str:
    """Address and port as one writes them, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if isinstance(_as_ip(host), ipaddress.IPv6Address) else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether it is reached from this machine only, all that stands in a list."""
    return all(_is_loopback(part) for part in _parts(host))


def unusable(host: str, build: int) -> str | None:
    """Why llama-server of this build cannot serve hettui there, with the remedy; None when it can."""
    parts = _parts(host)
    if len(parts) > 1 and build < LISTS_BUILD:
        return (
            f"[serving] host {host}: llama-server of this build takes one address, no list: name one, 0.0.0.0 for "
            "all, or use a newer llama.cpp"
        )
    if not tcp_hosts(host):
        return _socket_only(host)
    for part in parts:
        if part.startswith("["):
            return (
                f"[serving] host {host}: llama-server takes an IPv6 address without brackets: write {part.strip('[]')}"
            )
        if not part:
            return f"[serving] host {host}: between two commas stands nothing: name an address there"
    return None


def _socket_only(host: str) -> str:
    return (
        f"[serving] host {host} is a socket, and hettui talks to llama-server over TCP only: name an address, such as "
        "127.0.0.1"
    )


def _parts(host: str) -> list[str]:
    return [part.strip() for part in host.split(",")]


def _is_socket(part: str) -> bool:
    return part.endswith(".sock")


def _is_loopback(part: str) -> bool:
    address = _as_ip(part.strip("[]"))
    if address is None:
        # A socket's path is reached by this machine's users alone.
        return part == "localhost" or _is_socket(part)
    return address.is_loopback


def _as_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
