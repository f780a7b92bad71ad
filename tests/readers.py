"""Every read from outside has a size: where in the sources one has none.

What comes from a server, a file or a program is read by four modules only; everybody else asks them. A test holds that
(`tests/test_readers.py`). Whoever needs another way puts it on the list below, with its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
WALKED = ("hettui/adapters", "hettui/wiring", "hettui/cli", "hettui/services", "hettui/ui")
READERS = {
    "hettui/adapters/files/bounded.py": "files",
    "hettui/adapters/llama/http_reading.py": "bodies over HTTP",
    "hettui/adapters/processes/said.py": "what programs print",
    "hettui/adapters/library/hub_http.py": "answers of a hub, and ranges of its files",
    "hettui/adapters/hosts/session.py": "what a session of ssh says while it goes on",
}
OWN = {
    "card.read", "self.read", "shelf.read", "self._clients.read", "self.finder.read",
    "self._tail.read", "self._tails[name].read", "tails[name].read", "logs.tail(…).read", "world.logs.tail(…).read",
    "HeaderReader(…).read", "self._requests.read", "finder.read", "read_text", "read_bytes",
}  # fmt: skip
"""Methods of ours that happen to be called so, and two functions of `adapters/machine/sysfs.py`, which ask the
kernel for one page; what is below them is walked as well."""
ALLOWED = {
    "hettui/adapters/llama/http.py:response.aiter_bytes": "a stream: bounded as a whole, by event and by answer",
    "hettui/adapters/engines/shelf.py:shutil.copyfile": "what a build has made, from one folder of ours to another",
    "hettui/adapters/door/control.py:reader.readline": "a line of the length that the stream was opened with, at most",
}
"""`file:call`."""
WITHOUT_END = {"read", "readline", "readlines", "readall", "read_text", "read_bytes", "aread"}
"""Without an argument they read until somebody else has had enough."""
NEVER = {
    "json", "communicate", "check_output", "getoutput", "getstatusoutput", "iter_bytes", "iter_lines", "iter_text",
    "iter_raw", "aiter_bytes", "aiter_lines", "aiter_text", "aiter_raw", "copyfileobj", "copyfile", "urlopen",
    "urlretrieve", "readuntil",
}  # fmt: skip
"""Whatever their arguments."""
_HTTP_CLIENTS = {"_client", "client", "http"}
_HTTP_VERBS = {"get", "post", "request", "send", "put"}


def unbounded() -> Iterator[str]:
    """`file:line: call`, for every read without a size outside the readers."""
    for path in sorted(one for folder in WALKED for one in (ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name not in READERS:
            yield from in_source(name, path.read_text(encoding="utf-8"))


def in_source(name: str, source: str) -> Iterator[str]:
    tree = ast.parse(source)
    opened = {o.id for o in _opened(tree)}
    for node in ast.walk(tree):
        said = _complaint(node, opened)
        if said and said not in OWN and f"{name}:{said}" not in ALLOWED:
            yield f"{name}:{getattr(node, 'lineno', 0)}: {said}"


def _complaint(node: ast.AST, opened: set[str]) -> str:
    if isinstance(node, ast.Attribute) and node.attr in ("content", "text") and _said(node.value).endswith("response"):
        return _said(node)
    if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension) and isinstance(node.iter, ast.Name):
        return f"for … in {node.iter.id}" if node.iter.id in opened else ""
    if not isinstance(node, ast.Call):
        return ""
    call, last = _said(node.func), _said(node.func).rpartition(".")[2]
    if last in NEVER or (last in WITHOUT_END and not _has_size(node, last)):
        return call
    if last == "load" and call in ("json.load", "tomllib.load", "tomlkit.load", "pickle.load"):
        return call
    if last in _HTTP_VERBS and call.split(".")[-2:-1] and call.split(".")[-2] in _HTTP_CLIENTS:
        return call
    captures = {k.arg for k in node.keywords} & {"capture_output"}
    piped = any(k.arg in ("stdout", "stderr") and _said(k.value).endswith("PIPE") for k in node.keywords)
    return call if captures or piped else ""


def _has_size(node: ast.Call, name: str) -> bool:
    return bool(node.args) and name not in ("read_text", "read_bytes", "aread") and _said(node.args[0]) != "-1"


def _opened(tree: ast.AST) -> Iterator[ast.Name]:
    """Names that stand for an open file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
            call = node.context_expr
            if isinstance(call, ast.Call) and _said(call.func).rpartition(".")[2] in ("open", "fdopen"):
                yield node.optional_vars
        value = node.value if isinstance(node, ast.Assign) else None
        if isinstance(value, ast.Call) and _said(value.func).rpartition(".")[2] in ("open", "fdopen"):
            yield from (target for target in getattr(node, "targets", ()) if isinstance(target, ast.Name))


def _said(node: ast.AST) -> str:
    """An expression in short: `logs.tail(…).read`."""
    if isinstance(node, ast.Attribute):
        return f"{_said(node.value)}.{node.attr}"
    if isinstance(node, ast.Call):
        return f"{_said(node.func)}(…)"
    return ast.unparse(node)
