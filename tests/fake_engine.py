"""Programs that look like llama-server and ggml-rpc-server, with faults on demand: real sockets on loopback, no model.

`install(folder)` writes the two; `FAKE_ENGINE` in their environment says how they behave: `@` and a
file's path, or a JSON object itself, with `log`
(lines to print), `flood` (bytes a second without end), `long_line` (bytes), `never_ready`, `answer` (pieces of text,
streamed), `ignore_term`, `exit_at_start`, `slots` (what saving and restoring a slot is answered with: a status, or
"hang").
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HELP = "--rpc SERVERS\n-fit, --fit [on|off]\n--mmap, --no-mmap\n--slot-save-path PATH\n"
LISTING = "Available devices:\n"


def install(folder: Path) -> Path:
    """Writes both programs; the folder is what LLAMA_CPP_BIN takes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("llama-server", "ggml-rpc-server"):
        path = folder / name
        root = Path(__file__).resolve().parent.parent
        path.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
            f"from tests.fake_engine import main\nmain({name!r}, sys.argv[1:])\n"
        )
        path.chmod(0o755)
    return folder


def main(name: str, arguments: list[str]) -> None:
    """The whole program."""
    said = os.environ.get("FAKE_ENGINE", "{}")
    faults: dict[str, Any] = json.loads(Path(said[1:]).read_text() if said.startswith("@") else said)
    if name == "ggml-rpc-server":
        if faults.get("worker_ignores_term"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            worker = _Worker((_value(arguments, "-H"), int(_value(arguments, "-p"))), _Rpc)
        except OSError:
            # As the real one: in these words, and with 0.
            print("Failed to create server socket")
            return
        worker.serve_forever()
        return
    if arguments[0] == "--help":
        print(HELP)
    elif arguments[0] == "--version":
        print("version: 1 (fake)", file=sys.stderr)
    elif arguments[0] == "--list-devices":
        print(LISTING)
    else:
        _serve(arguments, faults)


def _value(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


def _serve(arguments: list[str], faults: dict[str, Any]) -> None:
    if faults.get("ignore_term"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in faults.get("log", ()):
        os.write(2, line.encode("utf-8", "surrogateescape") + b"\n")
    if size := faults.get("long_line"):
        os.write(2, b"x" * size + b"\n")
        threading.Thread(target=_go_on, daemon=True).start()
    if (code := faults.get("exit_at_start")) is not None:
        sys.exit(code)
    if rate := faults.get("flood"):
        threading.Thread(target=_flood, args=(rate,), daemon=True).start()
    _Http.faults = faults
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer((_value(arguments, "--host"), int(_value(arguments, "--port"))), _Http).serve_forever()


def _go_on() -> None:
    """More than once: what is written just when a log that grew too large is emptied is lost."""
    while True:
        os.write(2, b"after the long line\n")
        time.sleep(0.2)


def _flood(bytes_per_s: int) -> None:
    block = (b"a flood of words " * 64 + b"\n") * 100
    while True:
        begun_s, sent = time.monotonic(), 0
        while sent < bytes_per_s // 10:
            sent += os.write(2, block)
        time.sleep(max(0.0, 0.1 - (time.monotonic() - begun_s)))


class _Http(BaseHTTPRequestHandler):
    """/health, /slots and one kind of streamed answer."""

    faults: dict[str, Any] = {}
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/health" and self.faults.get("never_ready"):
            self._json(503, {"error": {"message": "Loading model", "code": 503}})
        elif self.path == "/slots":
            self._json(200, [{"id": 0, "is_processing": False, "id_task": 1, "n_prompt_tokens": 900}])
        else:
            self._json(200, {"status": "ok"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/slots/"):
            self._slot(json.loads(body)["filename"])
            return
        if error := self.faults.get("refuse"):
            self._json(400, {"error": {"message": error, "type": "invalid_request_error", "code": 400}})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in self.faults.get("answer", ("fine",)):
            self._event({"choices": [{"delta": {"content": piece}}]})
        for data in self.faults.get("raw", ()):
            self.wfile.write(bytes.fromhex(data))
            self.wfile.flush()
        self._event({"choices": [{"delta": {}, "finish_reason": "stop"}], "timings": {"predicted_n": 3}})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _slot(self, name: str) -> None:
        """Saves and restores nothing; a file of that name is made where it is asked for."""
        said = self.faults.get("slots", 200)
        if said == "hang":
            threading.Event().wait()
        elif said == 200:
            (Path(_value(sys.argv, "--slot-save-path")) / name).write_bytes(bytes(4096))
            self._json(200, {"n_saved": 900, "n_written": 4096, "n_restored": 900, "n_read": 4096})
        else:
            self._json(said, {"error": {"message": "no such luck", "type": "server_error", "code": said}})

    def _event(self, data: dict[str, Any]) -> None:
        # In two writes: a sequence in a piece may be cut anywhere.
        text = f"data: {json.dumps(data)}\n\n".encode()
        for half in (text[: len(text) // 2], text[len(text) // 2 :]):
            self.wfile.write(half)
            self.wfile.flush()

    def _json(self, status: int, data: object) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Worker(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Rpc(socketserver.StreamRequestHandler):
    """The three commands that a probe sends."""

    def handle(self) -> None:
        answers = {14: bytes([4, 0, 3]), 15: struct.pack("<I", 1), 11: struct.pack("<QQ", 1 << 30, 1 << 30)}
        while header := self.rfile.read(9):
            command, size = struct.unpack("<BQ", header)
            self.rfile.read(size)
            answer = answers[command]
            self.wfile.write(struct.pack("<Q", len(answer)) + answer)
