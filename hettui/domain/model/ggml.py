"""ggml's tensor types: how many bytes a row takes, and what to do about the types that llama.cpp does not take.

From ggml/include/ggml.h and ggml/src/ggml.c of b11434 (numbers never change their meaning); b10068 knows the same. The
fork's numbers are from gguf-py/gguf/constants.py of ik_llama.cpp. A test compares the names with the build at hand.
"""

from __future__ import annotations

from typing import NamedTuple

NEWEST = "b11434"
"""The build whose types these are."""


class TensorType(NamedTuple):
    """A block of `elements` values takes `size_bytes`."""

    name: str
    elements: int
    size_bytes: int


TENSOR_TYPES: dict[int, TensorType] = {
    0: TensorType("f32", 1, 4),
    1: TensorType("f16", 1, 2),
    2: TensorType("q4_0", 32, 18),
    3: TensorType("q4_1", 32, 20),
    6: TensorType("q5_0", 32, 22),
    7: TensorType("q5_1", 32, 24),
    8: TensorType("q8_0", 32, 34),
    9: TensorType("q8_1", 32, 36),
    10: TensorType("q2_K", 256, 84),
    11: TensorType("q3_K", 256, 110),
    12: TensorType("q4_K", 256, 144),
    13: TensorType("q5_K", 256, 176),
    14: TensorType("q6_K", 256, 210),
    15: TensorType("q8_K", 256, 292),
    16: TensorType("iq2_xxs", 256, 66),
    17: TensorType("iq2_xs", 256, 74),
    18: TensorType("iq3_xxs", 256, 98),
    19: TensorType("iq1_s", 256, 50),
    20: TensorType("iq4_nl", 32, 18),
    21: TensorType("iq3_s", 256, 110),
    22: TensorType("iq2_s", 256, 82),
    23: TensorType("iq4_xs", 256, 136),
    24: TensorType("i8", 1, 1),
    25: TensorType("i16", 1, 2),
    26: TensorType("i32", 1, 4),
    27: TensorType("i64", 1, 8),
    28: TensorType("f64", 1, 8),
    29: TensorType("iq1_m", 256, 56),
    30: TensorType("bf16", 1, 2),
    34: TensorType("tq1_0", 256, 54),
    35: TensorType("tq2_0", 256, 66),
    39: TensorType("mxfp4", 32, 17),
    40: TensorType("nvfp4", 64, 36),
    41: TensorType("q1_0", 128, 18),
    42: TensorType("q2_0", 64, 18),
}

TYPES_BY_NAME = {row.name: row for row in TENSOR_TYPES.values()}

REMOVED = {
    4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
}  # fmt: skip
"""Types that files had and llama.cpp has no more, by their numbers, with the names they had."""

_FORK_NAMES = {
    133: "Q6_0", 134: "IQ1_BN", 135: "IQ2_BN", 137: "IQ2_K", 138: "IQ3_K", 139: "IQ4_K", 140: "IQ5_K", 141: "IQ6_K",
    144: "IQ4_KS", 145: "IQ2_KS", 146: "IQ4_KSS", 151: "Q8_KV", 152: "IQ5_KS", 153: "IQ2_KT", 154: "IQ3_KT",
    155: "IQ4_KT", 156: "IQ3_KS", 157: "IQ2_KL", 158: "IQ1_KT", 202: "Q4_0_R8", 206: "Q5_0_R4", 208: "Q8_0_R8",
    210: "Q2_K_R4", 211: "Q3_K_R4", 212: "Q4_K_R4", 213: "Q5_K_R4", 214: "Q6_K_R4", 216: "IQ2_XXS_R4",
    217: "IQ2_XS_R4", 218: "IQ3_XXS_R4", 219: "IQ1_S_R4", 220: "IQ4_NL_R4", 221: "IQ3_S_R4", 222: "IQ2_S_R4",
    223: "IQ4_XS_R8", 229: "IQ1_M_R4", 230: "BF16_R16", 233: "Q6_0_R4", 335: "IQ2_BN_R4", 337: "IQ2_K_R4",
    338: "IQ3_K_R4", 339: "IQ4_K_R4", 340: "IQ5_K_R4", 344: "IQ4_KS_R4", 352: "IQ5_KS_R4", 398: "Q8_KV_R8",
    399: "Q8_K_R8",
}  # fmt: skip
_FORK_NUMBERS = range(97, 400)
"""ik_llama.cpp counts its own types from here on; llama.cpp's end far below."""


def why_not(number: int) -> str:
    """Of a type that is not in the table: why llama.cpp takes no such tensor, and what to do."""
    if number in REMOVED:
        plain = {4: "Q4_0", 5: "Q4_1"}.get(number, "IQ4_NL" if number >= 36 else "Q4_0")
        also = ", or it is a file of bitnet.cpp, which llama.cpp cannot read" if number >= 36 else ""
        return (
            f"has the type {REMOVED[number]} ({number}), which llama.cpp has no more{also}: fetch the model as "
            f"{plain}, which is repacked while it loads, or quantise it again"
        )
    if number in _FORK_NUMBERS:
        name = f"{_FORK_NAMES[number]} ({number})" if number in _FORK_NAMES else str(number)
        return (
            f"has the type {name} of the fork ik_llama.cpp: llama.cpp cannot read it; fetch another quantisation of "
            "the model, or run it with that fork"
        )
    if number < 0 or number > _FORK_NUMBERS.stop:
        return f"has the type {number}, which no llama.cpp has: the file is damaged, fetch it again"
    return (
        f"has the type {number}, which is none of llama.cpp up to {NEWEST}: look for a newer hettui and llama.cpp, or "
        "fetch another quantisation of the model"
    )
