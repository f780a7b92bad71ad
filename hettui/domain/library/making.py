"""Models made of others: what llama-quantize and the converter are told, what they say, and how large it will be.

Types and rules are those of b11434 (tools/quantize/quantize.cpp, src/llama-quant.cpp, convert_hf_to_gguf.py).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

from hettui.domain.errors import ModelFileError, UsageError
from hettui.domain.json_text import parse_json
from hettui.domain.patterns import late_pattern
from hettui.domain.records import dataclass
from hettui.domain.text import clean_line, nearest
from hettui.domain.units import MIB

TYPES = (
    "Q1_0", "Q2_0", "Q4_0", "Q4_1", "MXFP4_MOE", "Q5_0", "Q5_1", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ1_S",
    "IQ1_M", "TQ1_0", "TQ2_0", "Q2_K", "Q2_K_S", "IQ3_XXS", "IQ3_S", "IQ3_M", "Q3_K", "IQ3_XS", "Q3_K_S", "Q3_K_M",
    "Q3_K_L", "IQ4_NL", "IQ4_XS", "Q4_K", "Q4_K_S", "Q4_K_M", "Q5_K", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0", "F16",
    "BF16", "F32",
)  # fmt: skip
OUTTYPES = ("f32", "f16", "bf16", "q8_0", "tq1_0", "tq2_0", "auto")
_WITH_IMATRIX = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "Q2_K_S"})
"""Their tensors are not made without an importance matrix."""
_WHOLE = frozenset({"F16", "BF16", "F32"})
_TYPE_IN_NAME = late_pattern(r"(?i)[-._](?:i?q\d\w*|tq\d_0|mxfp4\w*|bf16|f16|f32)$")
_PART_IN_NAME = late_pattern(r"-\d{5}-of-\d{5}$")
_SIZE = late_pattern(r"quant size +=\s*(\d{1,9}\.\d+) (?:MiB|MB)")
_WHY: tuple[tuple[str, str], ...] = (
    (r"requantizing from type (\w+) is disabled",
     "it is quantised already ({0}): from F16 it would be better; --allow-requantize does it all the same"),
    (r"missing importance matrix|did not find weights for|please do not use .*importance matrix|"
     r"quantization without an importance matrix", "this type needs an importance matrix: --imatrix FILE"),
    (r"No space left on device", "the disk is full: free some space, or name another place with --to"),
    (r"failed to load imatrix from '([^']*)'", "the importance matrix {0} cannot be read"),
    (r"Model ([\w.]+) is not supported", "the converter of this build does not know {0}"),
    (r"ModuleNotFoundError: No module named '([\w.]+)'", "this Python lacks {0}"),
)  # fmt: skip
_FAILED = late_pattern(
    r"^.*?(?:llama_model_quantize: failed to quantize: |main: |ERROR:\S*?: ?|Error: )(.+)$", re.MULTILINE
)
_LAST_ERROR = late_pattern(r"^(?:[A-Za-z]+Error|ERROR[^:]*): ?(.+)$", re.MULTILINE)
_BYTES_OF = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 2, "F8_E5M2": 2}
"""Of a safetensors element, as the converter writes it."""
_BITS_OF = {"f32": 32.0, "f16": 16.0, "bf16": 16.0, "q8_0": 8.5, "tq1_0": 1.6875, "tq2_0": 2.0625}
_MOST_HEADER_BYTES = 100 * MIB
_SPARE_BYTES = 16 * MIB
"""For a tokenizer and the rest of a header."""


@dataclass(frozen=True, slots=True)
class Quantising:
    """One run of llama-quantize."""

    source: str
    target: str
    type: str
    imatrix: str | None = None
    allow_requantize: bool = False
    threads: int | None = None


def read_type(text: str) -> str:
    """As llama-quantize spells it. Raises UsageError."""
    wanted = text.upper()
    if wanted in TYPES:
        return wanted
    like = nearest(wanted, TYPES)
    hint = f"did you mean {like}?" if like else "Q4_K_M, Q5_K_M, Q6_K and Q8_0 are the usual ones"
    raise UsageError(f"{clean_line(text, 40)} is no type of llama-quantize: {hint}")


def read_outtype(text: str) -> str:
    """As the converter spells it. Raises UsageError."""
    if text.lower() in OUTTYPES:
        return text.lower()
    raise UsageError(f"--outtype {clean_line(text, 40)}: it is one of {', '.join(OUTTYPES)}")


def check_imatrix(type: str, imatrix: str | None) -> None:
    """Raises UsageError before an hour's work instead of in it."""
    if type in _WITH_IMATRIX and imatrix is None:
        raise UsageError(f"{type} needs an importance matrix: --imatrix FILE, as llama-imatrix makes one")


def quantize_arguments(program: str, run: Quantising, *, dry: bool = False) -> tuple[str, ...]:
    """llama-quantize's command line: options come first there."""
    words = [program]
    words += ["--dry-run"] if dry else []
    words += ["--allow-requantize"] if run.allow_requantize else []
    words += ["--imatrix", run.imatrix] if run.imatrix else []
    words += [run.source] if dry else [run.source, run.target]
    return (*words, run.type, *([str(run.threads)] if run.threads else []))


def convert_arguments(python: str, script: str, folder: str, target: str, outtype: str) -> tuple[str, ...]:
    # Not -P: the script finds its modules beside itself.
    return (python, script, folder, "--outfile", target, "--outtype", outtype)


def quantised_name(name: str, type: str) -> str:
    """`m.Q4_K_M.gguf` of `m.F16.gguf` or `m-00001-of-00002.gguf`."""
    stem = _PART_IN_NAME.sub("", name[:-5] if name.lower().endswith(".gguf") else name)
    return f"{_TYPE_IN_NAME.sub('', stem) or 'model'}.{type}.gguf"


def converted_name(folder: str, outtype: str) -> str:
    plain = "".join(c if c.isalnum() or c in "._-+" else "_" for c in folder).lstrip(".") or "model"
    return f"{plain}.gguf" if outtype == "auto" else f"{plain}.{outtype.upper()}.gguf"


def quantised_bytes(said: str, source_bytes: int, tensor_bytes: int) -> int | None:
    """The whole file's, of what `--dry-run` prints: tensors as told, and the rest as the source has it."""
    match = _SIZE.search(said)
    return None if match is None else round(float(match[1]) * MIB) + max(0, source_bytes - tensor_bytes)


def why_not_made(said: str) -> str:
    """In one line; empty where nothing is said."""
    for pattern, words in _WHY:
        if match := re.search(pattern, said):
            return words.format(*(clean_line(one, 120) for one in match.groups()))
    found = list(_FAILED.finditer(said)) or list(_LAST_ERROR.finditer(said))
    return clean_line(found[-1][1], 300) if found else ""


def header_bytes(first: bytes) -> int:
    """Length of a safetensors file's header, of its first eight bytes. Raises ModelFileError."""
    length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
    if not 2 <= length <= _MOST_HEADER_BYTES:
        raise ModelFileError("it is no safetensors file")
    return int(length)


def converted_bytes(headers: Iterable[bytes], outtype: str) -> int:
    """What the GGUF of these safetensors headers will take, about: tensors of one dimension stay in 32 bits.

    Raises ModelFileError.
    """
    total = 0.0
    for text in headers:
        try:
            entries = parse_json(text)
        except ValueError:
            entries = None
        if not isinstance(entries, Mapping):
            raise ModelFileError("it is no safetensors file")
        total += sum(_tensor_bytes(one, outtype) for name, one in entries.items() if name != "__metadata__")
    return round(total) + _SPARE_BYTES


def _tensor_bytes(entry: Any, outtype: str) -> float:
    shape, kind = (entry.get("shape"), entry.get("dtype")) if isinstance(entry, Mapping) else (None, None)
    if not isinstance(shape, Sequence) or not all(type(n) is int and 0 <= n < 1 << 40 for n in shape):
        raise ModelFileError("it is no safetensors file")
    count = prod(shape)
    if len(shape) <= 1:
        return count * 4.0
    return count * (_BITS_OF[outtype] / 8 if outtype in _BITS_OF else float(_BYTES_OF.get(str(kind), 2)))
