"""Damaged headers of every kind: only ModelFileError leaves the reader, it always ends, and memory stays small.

HETTUI_FUZZ_SECONDS sets how long the mutating fuzzer runs; the default suits a test run.
"""

from __future__ import annotations

import os
import random
import resource
import struct
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hettui.adapters.llama.gguf import read_model
from hettui.domain.errors import ModelFileError
from hettui.domain.model.shape import ModelShape
from tests import examples
from tests.gguf_files import header, llama

SECONDS = float(os.environ.get("HETTUI_FUZZ_SECONDS", "4"))
INTERESTING = [0, 1, 7, 8, 9, 0x7F, 0xFF, 1 << 15, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]


def attempt(path: Path, data: bytes, size: int) -> bool:
    """Reads it; True when it was taken for a sound model."""
    path.write_bytes(data)
    os.truncate(path, max(size, len(data)))
    try:
        ModelShape.of(read_model(path))
    except ModelFileError as error:
        assert "\n" not in str(error)
        return False
    return True


def mutated(rng: random.Random, seed: bytes) -> bytes:
    data = bytearray(seed)
    for _ in range(rng.choice([1, 1, 2, 8])):
        place = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                data[place] = rng.randrange(256)
            case 1:
                packed = struct.pack(rng.choice(["<Q", ">Q"]), rng.choice(INTERESTING))
                data[place : place + 8] = packed
            case 2:
                data[place : place + 4] = struct.pack("<I", rng.choice(INTERESTING) & 0xFFFFFFFF)
            case 3:
                del data[place : place + rng.choice([1, 8, 100])]
            case 4:
                data[place:place] = data[place : place + rng.choice([1, 8, 100])]
        if not data:
            data = bytearray(b"G")
    return bytes(data)


@pytest.mark.many
def test_mutations_of_a_sound_header(tmp_path: Path) -> None:
    metadata, tensors = llama(blocks=2, vocabulary=12)
    odd = [("marker", (1, 0), "f32"), ("scale", (), "f32"), ("ternary", (64, 2), "q2_0")]
    head, size = header({**metadata, "split.count": 1}, [*tensors, *odd])
    rng = random.Random(20261123)
    path = tmp_path / "m.gguf"
    assert attempt(path, head, len(head) + size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tried = accepted = 0
    deadline = time.monotonic() + SECONDS
    slowest_s = 0.0
    while time.monotonic() < deadline:
        started = time.process_time()
        accepted += attempt(path, mutated(rng, head), rng.choice([0, len(head) + size, 1 << 40]))
        slowest_s = max(slowest_s, time.process_time() - started)
        tried += 1
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"\n{tried} tried, {accepted} sound, slowest {slowest_s:.2f} s CPU, {grown_kib} KiB more memory at the peak")
    assert tried > accepted > 0
    assert grown_kib < 64 * 1024


@pytest.mark.parametrize("prefix", [b"", b"GGUF", b"GGUF\x03\0\0\0"])
@settings(max_examples=examples.of(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_bytes_of_any_kind(tmp_path: Path, prefix: bytes, data: bytes) -> None:
    attempt(tmp_path / "m.gguf", prefix + data, 0)
