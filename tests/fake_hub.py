"""A hub on loopback that speaks Hugging Face's API: trees in pages, redirects to a store, ranges, and every fault."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

Fault = Callable[["_Handler", bytes, int, int], bool]
"""Given the file, and the first byte and the one behind the last that are asked for; True: it has answered."""


@dataclass
class FakeHub:
    """`files` by repository and path."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    token: str | None = None
    """Needed for everything."""
    faults: list[Fault] = field(default_factory=list)
    """Each answers one request of a file, in their order; then the hub is well."""
    page: int = 1000
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Path, Range and Authorization."""
    served_bytes: int = 0
    redirect: bool = True
    ranges: bool = True
    lies: bytes | None = None
    """Sent instead of every file, under its sum."""
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asked has gone: that is a part of the game."""


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.hub = hub  # type: ignore[attr-defined]
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    @property
    def hub(self) -> FakeHub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def do_GET(self) -> None:
        path, _, query = unquote(self.path).partition("?")
        with self.hub.lock:
            self.hub.asked.append((path, self.headers.get("Range"), self.headers.get("Authorization")))
        known = self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        if self.hub.token and not path.startswith("/store/") and not known:
            self.answer(401)
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/main", path):
            self._tree(match[1], query)
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/main/(.+)", path):
            self._resolve(match[1], match[2])
        elif match := re.fullmatch(r"/store/([^/]+/[^/]+)/(.+)", path):
            self._file(self.hub.files.get(match[1], {}).get(match[2]))
        else:
            self.answer(404)

    def _tree(self, repo: str, query: str) -> None:
        files = self.hub.files.get(repo)
        if files is None:
            self.answer(404)
            return
        begin = int(match[1]) if (match := re.search(r"cursor=(\d+)", query)) else 0
        names = sorted(files)
        told = [
            {"type": "file", "path": n, "lfs": {"oid": sha256(files[n]).hexdigest(), "size": len(files[n])}}
            for n in names[begin : begin + self.hub.page]
        ]  # fmt: skip
        headers = {"Content-Type": "application/json"}
        if begin + self.hub.page < len(names):
            headers["Link"] = f'<{self.hub.url}/api/models/{repo}/tree/main?cursor={begin + self.hub.page}>; rel="next"'
        self.answer(200, json.dumps(told).encode(), headers)

    def _resolve(self, repo: str, name: str) -> None:
        data = self.hub.files.get(repo, {}).get(name)
        if data is None or not self.hub.redirect:
            self._file(data)
            return
        linked = {"X-Linked-Etag": f'"{sha256(data).hexdigest()}"', "X-Linked-Size": str(len(data))}
        self.answer(302, b"", {**linked, "Location": f"/store/{repo}/{name}"})

    def _file(self, data: bytes | None) -> None:
        if data is None:
            self.answer(404)
            return
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        begin, end = (int(match[1]), min(int(match[2]) + 1, len(data))) if match else (0, len(data))
        with self.hub.lock:
            fault = self.hub.faults.pop(0) if self.hub.faults else None
        if fault is None or not fault(self, data, begin, end):
            self.part(data, begin, end)

    # -- answers -------------------------------------------------------------------------------------------

    def part(self, data: bytes, begin: int, end: int, **headers: str) -> None:
        """As it should be; headers replace its own."""
        sent = data if self.hub.lies is None else self.hub.lies
        etag = {"ETag": f'"{sha256(data).hexdigest()}"'}
        if self.hub.ranges and "Range" in self.headers:
            said = etag | {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}"}
            self.answer(206, sent[begin:end], said | {k.replace("_", "-"): v for k, v in headers.items()})
        else:
            self.answer(200, sent, etag)

    def answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, cut: int | None = None
    ) -> None:
        """`cut`: so many bytes come, and the connection ends."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        body = body if cut is None else body[:cut]
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True
        with self.hub.lock:
            self.hub.served_bytes += len(body)
        if cut is not None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)


# -- faults --------------------------------------------------------------------------------------------------


def busy(status: int = 429, after: str | None = "0") -> Fault:
    def answer(handler: _Handler, data: bytes, begin: int, end: int) -> bool:
        handler.answer(status, b"busy", {} if after is None else {"Retry-After": after})
        return True

    return answer


def cut(part: float) -> Fault:
    """After a part of what was asked for."""

    def answer(handler: _Handler, data: bytes, begin: int, end: int) -> bool:
        said = {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}", "ETag": f'"{sha256(data).hexdigest()}"'}
        handler.answer(206, data[begin:end], said, cut=int(part * (end - begin)))
        return True

    return answer


def other_range(shift: int) -> Fault:
    """Bytes from elsewhere, and it says so."""

    def answer(handler: _Handler, data: bytes, begin: int, end: int) -> bool:
        first = max(0, min(begin + shift, len(data) - 1))
        last = max(first + 1, min(end + shift, len(data)))
        handler.part(data, first, last)
        return True

    return answer


def silent(seconds: float) -> Fault:
    """It takes the question and says nothing for a while; then it hangs up."""

    def answer(handler: _Handler, data: bytes, begin: int, end: int) -> bool:
        threading.Event().wait(seconds)
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)
        return True

    return answer


def changed(handler: _Handler, data: bytes, begin: int, end: int) -> bool:
    """Another file under the same name."""
    handler.answer(
        206, data[begin:end], {"Content-Range": f"bytes {begin}-{end - 1}/{len(data) + 1}", "ETag": '"other"'}
    )
    return True


def nonsense(handler: _Handler, data: bytes, begin: int, end: int) -> bool:
    """A range that is none."""
    handler.part(data, begin, end, Content_Range="bytes nonsense")
    return True


def garbled(handler: _Handler, data: bytes, begin: int, end: int) -> bool:
    """Other bytes than the file's, with everything right around them."""
    said = {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}", "ETag": f'"{sha256(data).hexdigest()}"'}
    handler.answer(206, bytes(byte ^ 0xFF for byte in data[begin:end]), said)
    return True


def forbidden(handler: _Handler, data: bytes, begin: int, end: int) -> bool:
    handler.answer(403)
    return True


def unsigned(handler: _Handler, data: bytes, begin: int, end: int) -> bool:
    """As it should be, under an ETag that is no sum."""
    handler.part(data, begin, end, ETag='"v1"')
    return True
