"""The API's address on the real engine: what llama-server binds is what hettui asks."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.hettui import HETTUI
from tests.in_process import hettui
from tests.patience import patience

pytestmark = pytest.mark.engine

OWN = "10.9.9.1"
"""An address that only a network namespace of the test has."""


def _namespace() -> list[str]:
    """What starts a shell in a network namespace of its own; skips where none can be made."""
    words = ["unshare", "--net"] if shutil.which("unshare") and shutil.which("ip") else []
    if not words or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("no network namespace can be made here: that takes root, unshare and ip")
    return words


def _configuration(folder: Path, model: Path, host: str) -> Path:
    (folder / "key").write_text("secret-of-the-test\n")
    (folder / "key").chmod(0o600)
    path = folder / "cluster.toml"
    path.write_text(f"""
[model]
path = "{model}"

[serving]
host = "{host}"
port = 18080
ctx-size = 512
api-key-file = "{folder / "key"}"

[[devices]]
name = "one"
id = "cpu"
via = "worker"
threads = 1
layers = 31

[supervision]
load-timeout = 20
""")
    return path


_ALL = """
ip link set lo up && ip address add {own}/32 dev lo
trap '{hettui} down >&2' EXIT
{hettui} up {configuration} >&2 || exit 1
{hettui} status --json || exit 1
{hettui} chat --json --max-tokens 4 "One colour." || exit 1
"""


@pytest.mark.parametrize(
    ("host", "api"),
    [
        (OWN, f"http://{OWN}:18080"),
        ("::1", "http://[::1]:18080"),
        ("0.0.0.0", "http://127.0.0.1:18080"),  # noqa: S104
        ("::", "http://[::1]:18080"),
    ],
)
def test_a_cluster_at_any_address_becomes_ready_and_answers(
    home: dict[str, str], nothing_left: None, tmp_path: Path, model: Path, host: str, api: str
) -> None:
    script = _ALL.format(own=OWN, hettui=" ".join(HETTUI), configuration=_configuration(tmp_path, model, host))
    command = [*_namespace(), "sh", "-c", script]
    done = subprocess.run(command, env=home, capture_output=True, text=True, timeout=patience(120))
    assert done.returncode == 0, done.stderr
    status, end = json.JSONDecoder().raw_decode(done.stdout)
    assert (status["state"], status["api"]) == ("ready", api)
    answer = json.loads(done.stdout[end:])
    assert answer["problem"] is None
    assert answer["server"]["generated_tokens"] >= 1


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("203.0.113.1", "203.0.113.1 is no address of this machine"),
        ("/tmp/hettui-test.sock", "is a socket"),  # noqa: S108
        ("127.0.0.1,::1", "takes one address"),
        ("[::1]", "write ::1"),
    ],
)
def test_what_cannot_be_reached_is_refused_before_anything_starts(
    home: dict[str, str], nothing_left: None, tmp_path: Path, model: Path, host: str, says: str
) -> None:
    path = _configuration(tmp_path, model, host)
    done = hettui("up", str(path), environment=home)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert not Path(host.partition(",")[0]).is_socket()
