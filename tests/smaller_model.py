"""A smaller quantisation of a Q4_1 model, which as a draft is often, and not always, right.

    python -m tests.smaller_model MODEL.gguf SMALLER.gguf

Each Q4_1 block of 32 weights (a step, a least value, 32 numbers of four bits) loses its least value and is a Q4_0 block
then, with its weights about zero: 18 bytes instead of 20. That is coarse: only some matrices are treated so.
"""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path

from hettui.adapters.llama.gguf import read_model
from tests.gguf_files import _IDS, text

_Q4_1, _Q4_0, _LEAST, _ALIGNED = 20, 18, slice(2, 4), 32
_COARSE = re.compile(r"blk\.1\d\.(attn_q|ffn_gate)\.weight")


def smaller(source: Path, target: Path) -> Path:
    """Writes `target`. Some of the blocks' matrices become smaller; everything else stays as it is."""
    raw, model = source.read_bytes(), read_model(str(source))
    start = min(raw.index(text(tensor.name) + struct.pack("<I", len(tensor.shape))) for tensor in model.tensors)
    rows, data = bytearray(), bytearray()
    for tensor in model.tensors:
        kind, held = tensor.type_name, raw[tensor.begin_bytes : tensor.begin_bytes + tensor.size_bytes]
        if kind == "q4_1" and _COARSE.match(tensor.name):
            kind, held = "q4_0", _without_least(held)
        rows += text(tensor.name) + struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *tensor.shape)
        rows += struct.pack("<IQ", _IDS[kind], len(data))
        data += held + b"\0" * (-len(held) % _ALIGNED)
    head = raw[:start] + rows
    target.write_bytes(head + b"\0" * (-len(head) % _ALIGNED) + data)
    return target


def _without_least(blocks: bytes) -> bytes:
    found = bytearray(len(blocks) // _Q4_1 * _Q4_0)
    kept = [i for i in range(_Q4_1) if i not in range(_LEAST.start, _LEAST.stop)]
    for to, of in enumerate(kept):
        found[to::_Q4_0] = blocks[of::_Q4_1]
    return bytes(found)


if __name__ == "__main__":
    print(smaller(Path(sys.argv[1]), Path(sys.argv[2])))
