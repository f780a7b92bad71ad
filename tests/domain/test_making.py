"""Models made of others: command lines, names, sizes, and why it did not work."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.errors import ModelFileError, UsageError
from hettui.domain.library.making import (
    TYPES,
    Quantising,
    check_imatrix,
    converted_bytes,
    converted_name,
    header_bytes,
    quantised_bytes,
    quantised_name,
    quantize_arguments,
    read_type,
    why_not_made,
)
from hettui.domain.units import MIB


def test_options_come_first_and_the_dry_run_names_no_target() -> None:
    run = Quantising("a.gguf", "b.part", "Q4_K_M", "i.dat", True, 4)
    assert quantize_arguments("q", run) == (
        "q", "--allow-requantize", "--imatrix", "i.dat", "a.gguf", "b.part", "Q4_K_M", "4",
    )  # fmt: skip
    assert quantize_arguments("q", Quantising("a.gguf", "b", "Q8_0"), dry=True) == ("q", "--dry-run", "a.gguf", "Q8_0")


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("m.F16.gguf", "m.Q6_K.gguf"), ("m-Q4_K_M.gguf", "m.Q6_K.gguf"), ("m-bf16-00001-of-00003.gguf", "m.Q6_K.gguf"),
        ("Qwen3-30B-A3B.gguf", "Qwen3-30B-A3B.Q6_K.gguf"), ("f16.gguf", "f16.Q6_K.gguf"),
        (".F16.gguf", "model.Q6_K.gguf"),
    ],
)  # fmt: skip
def test_a_name_says_the_new_type_once(name: str, made: str) -> None:
    assert quantised_name(name, "Q6_K") == made


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_a_made_name_stays_in_its_folder(name: str) -> None:
    assert "/" not in quantised_name(name, "Q8_0")
    made = converted_name(name, "f16")
    assert made.endswith(".F16.gguf")
    assert not made.startswith(".")


@pytest.mark.parametrize("type", TYPES)
def test_every_type_is_read_in_any_case(type: str) -> None:
    assert read_type(type.lower()) == type


def test_what_cannot_be_made_is_told_before() -> None:
    with pytest.raises(UsageError, match="did you mean Q4_K_M"):
        read_type("Q4_KM")
    with pytest.raises(UsageError, match="--imatrix"):
        check_imatrix("IQ2_XS", None)
    check_imatrix("IQ2_XS", "i.dat")
    check_imatrix("Q4_K_M", None)


def test_the_size_is_the_tools_and_the_rest_of_the_file() -> None:
    said = "llama_model_quantize_impl: model size  =    85.00 MiB\nx: quant size  =   136.73 MiB (8 BPW)"
    assert quantised_bytes(said, 90 * MIB, 85 * MIB) == round(136.73 * MIB) + 5 * MIB
    assert quantised_bytes("usage: …", 1, 1) is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("llama_model_quantize: failed to quantize: requantizing from type q4_1 is disabled\n", "--allow-requantize"),
        ("missing importance matrix for tensor a in a very low-bit", "--imatrix"),
        ("x: No space left on device", "the disk is full"),
        ("ERROR:hf-to-gguf:Model FooForCausalLM is not supported\n", "does not know FooForCausalLM"),
        ("Traceback:\nModuleNotFoundError: No module named 'torch'\n", "lacks torch"),
        ("ValueError: odd\n", "odd"), ("fine\n", ""),
    ],
)  # fmt: skip
def test_why_it_was_not_made(said: str, words: str) -> None:
    found = why_not_made(said)
    assert words in found if words else found == ""


def test_a_conversion_is_as_large_as_its_tensors() -> None:
    header = json.dumps(
        {
            "__metadata__": {"a": "b"},
            "w": {"shape": [1000, 100], "dtype": "BF16"},
            "n": {"shape": [100], "dtype": "BF16"},
        }
    ).encode()
    rest = converted_bytes([], "f16")
    assert converted_bytes([header], "auto") - rest == 200_000 + 400
    assert converted_bytes([header, header], "f32") - rest == 2 * (400_000 + 400)
    assert converted_bytes([header], "q8_0") - rest == 106_250 + 400


@pytest.mark.parametrize("header", [b"", b"[]", b"{", b'{"w": {"shape": [-1, 2]}}', b'{"w": 3}'])
def test_what_is_no_safetensors_header_is_refused(header: bytes) -> None:
    with pytest.raises(ModelFileError):
        converted_bytes([header], "f16")


def test_the_length_of_a_header_is_bounded() -> None:
    assert header_bytes((1234).to_bytes(8, "little")) == 1234
    for first in (b"", b"\xff" * 8, bytes(8)):
        with pytest.raises(ModelFileError):
            header_bytes(first)
