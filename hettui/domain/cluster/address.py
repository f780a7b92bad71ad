"""Where llama-server's HTTP API is, by what its `--host` says: how it is reached from here, and by whom else.

As b10068 does it: it binds the one address that it is given and no other; `::` takes IPv4 along; an IPv6 address in
brackets cannot be bound; what ends with `.sock` is a UNIX socket. From newer builds on `--host` is a list (#28690).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from hettui.domain.errors import ConfigError, UsageError
from hettui.domain.llama.options import spoken
from hettui.domain.patterns import late_pattern
from hettui.domain.text import clean_line

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
    return f"http://{endpoint(_from_here(hosts[0]), port)}"


def api_url(host: str, port: int, argv: Sequence[str]) -> str:
    """As `reachable`, of a llama-server with this command line: below its `--api-prefix`, if it has one."""
    return reachable(host, port) + spoken(argv).get("api-prefix", "").rstrip("/")


def pasted(said: str) -> str:
    """The base of an API from whatever somebody pastes: an address, with or without the path of a page or a request.

    Raises UsageError for what is none. A name and password stay: they are for the HTTP client alone, `without_user`
    is for people.
    """
    text = said.strip().strip(_AROUND).strip()
    if not text:
        raise UsageError("--url is empty: name a llama-server, such as http://127.0.0.1:8080")
    shown = clean_line(without_user(text), 200)
    if "://" not in text:
        text = f"http://{text.lstrip('/')}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise UsageError(
            f"--url {shown}: write http://HOST:PORT, the port a number from 1 to 65535, an IPv6 address in brackets"
        ) from None
    if parts.scheme not in ("http", "https"):
        raise UsageError(f"--url {shown}: llama-server speaks http or https, not {clean_line(parts.scheme, 20)}")
    if not parts.hostname or not _HOST.fullmatch(parts.hostname) or port == 0:
        raise UsageError(f"--url {shown}: that is no address: write http://HOST:PORT")
    user, at, _ = parts.netloc.rpartition("@")
    host = _from_here(parts.hostname)
    where = f"[{host}]" if port is None and isinstance(_as_ip(host), ipaddress.IPv6Address) else host
    return f"{parts.scheme}://{user}{at}{where if port is None else endpoint(host, port)}{_base(parts.path)}"


def without_user(url: str) -> str:
    """The URL without the name and password that may stand in it; an odd one loses more, rather than less."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


_AROUND = "<>\"'`"
"""What people copy along."""
_END = late_pattern(rf"[\s/{_AROUND}]+$")
_HOST = late_pattern(r"[\w.~%:-]{1,255}")
_REQUESTS = (
    "chat/completions", "completions", "completion", "models", "embeddings", "responses", "messages", "health", "props",
    "slots", "metrics", "tokenize", "index.html",
)  # fmt: skip
"""What llama-server answers below its base, with or without `/v1`."""


def _base(path: str) -> str:
    """What stands before the path of a request, without the quotes and blanks of a text that it was cut out of."""
    base, ends = "", (*(f"/{request}" for request in _REQUESTS), "/v1")
    while base != path:
        base = _END.sub("", path)
        path = next((base.removesuffix(end) for end in ends if base.endswith(end)), base)
    return base


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


def _from_here(host: str) -> str:
    """Where this machine reaches what listens there."""
    host = host.strip("[]")
    address = _as_ip(host)
    if address is not None and address.is_unspecified:
        # All of this machine's addresses: loopback is one of them, and of the same family.
        return "127.0.0.1" if address.version == 4 else "::1"
    return host


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
