"""GGUF headers: read exactly, and refused in one line with the offset when they are not sound."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from hettui.adapters.llama.gguf import read_model
from hettui.domain.errors import ModelFileError
from hettui.domain.model.shape import ModelShape
from tests.gguf_files import Tensor, header, llama, pair, text, write_gguf


@pytest.mark.parametrize("version", [2, 3])
def test_a_header_is_read_exactly(tmp_path: Path, version: int) -> None:
    metadata, tensors = llama(blocks=3)
    model = read_model(write_gguf(tmp_path / "m.gguf", metadata, tensors, version))
    assert model.architecture == "llama"
    assert model.metadata["llama.block_count"] == 3
    assert model.metadata["rope.scaling"] == (1.0, 2.0)
    assert model.array_lengths["tokenizer.ggml.tokens"] == 320
    assert "tokenizer.ggml.tokens" not in model.metadata
    assert [t.name for t in model.tensors] == [name for name, _, _ in tensors]
    by_name = {t.name: t for t in model.tensors}
    assert by_name["blk.0.attn_q.weight"].size_bytes == 256 * 256 // 256 * 144
    assert by_name["output_norm.weight"].size_bytes == 1024
    assert model.file_bytes == (tmp_path / "m.gguf").stat().st_size


def test_the_shape_of_a_tied_and_of_an_untied_model(tmp_path: Path) -> None:
    tied = ModelShape.of(read_model(write_gguf(tmp_path / "t.gguf", *llama(tied=True))))
    untied = ModelShape.of(read_model(write_gguf(tmp_path / "u.gguf", *llama(tied=False))))
    embedding, norm = 256 * 320 // 32 * 34, 1024
    assert (tied.tied, untied.tied) == (True, False)
    assert tied.output_bytes == embedding + norm
    assert untied.output_bytes == 256 * 320 // 256 * 210 + norm
    assert tied.host_bytes == untied.host_bytes == embedding
    assert tied.block_bytes == (256 * 144 + 512 * 210,) * 4
    assert (tied.layers, tied.n_vocab, tied.quantisation, tied.name) == (5, 320, "Q4_K_M", "Test Llama")


def test_a_long_vocabulary_leaves_only_its_length(tmp_path: Path) -> None:
    metadata, tensors = llama(vocabulary=70_000)
    model = read_model(write_gguf(tmp_path / "m.gguf", metadata, tensors))
    assert model.array_lengths["tokenizer.ggml.tokens"] == 70_000
    assert model.array_lengths["tokenizer.ggml.scores"] == 70_000
    assert "tokenizer.ggml.scores" not in model.metadata


def test_hostile_text_is_clean_and_long_text_is_cut(tmp_path: Path) -> None:
    metadata, tensors = llama()
    metadata["general.name"] = "\x1b]0;gotcha\x07name [/]"
    metadata["tokenizer.chat_template"] = "x" * 3_000_000
    model = read_model(write_gguf(tmp_path / "m.gguf", metadata, tensors))
    assert model.metadata["general.name"] == "name [/]"
    assert len(str(model.metadata["tokenizer.chat_template"])) <= 4096


def parts(folder: Path, count: int, declared: int | None = None) -> list[Path]:
    metadata, tensors = llama(blocks=2 * count)
    share = -(-len(tensors) // count)
    names = []
    for n in range(count):
        own = {"split.no": n, "split.count": declared or count, "split.tensors.count": len(tensors)}
        path = folder / f"big-{n + 1:05}-of-{count:05}.gguf"
        write_gguf(path, (metadata | own) if n == 0 else own, tensors[n * share : (n + 1) * share])
        names.append(path)
    return names


def test_any_part_of_a_split_model_gives_all_of_it(tmp_path: Path) -> None:
    names = parts(tmp_path, 3)
    model = read_model(names[1])
    assert model.paths == tuple(map(str, names))
    assert len(model.tensors) == 2 + 2 * 6
    assert model.file_bytes == sum(p.stat().st_size for p in names)
    assert ModelShape.of(model).blocks == 6


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    names = parts(tmp_path, 3)
    names[2].unlink()
    with pytest.raises(ModelFileError, match="big-00003-of-00003.gguf is missing"):
        read_model(names[0])


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="one of 4 parts"):
        read_model(parts(tmp_path, 3, declared=4)[0])


def broken(tmp_path: Path, metadata: Any = None, tensors: list[Tensor] | None = None, **change: Any) -> Path:
    base, rows = llama()
    return write_gguf(tmp_path / "b.gguf", base if metadata is None else metadata, tensors or rows, **change)


def preamble(tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


ONE_TENSOR = text("t") + struct.pack("<I", 1) + struct.pack("<Q", 32)
FILLER = b"\0" * 4096


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"GG", "no GGUF file"),
        (b"hello, this is a text\n", "no GGUF file"),
        (b"GGUF", "needs 4 more bytes"),
        (preamble(version=1) + FILLER, "version 1"),
        (b"GGUF" + struct.pack(">I", 3) + FILLER, "big-endian"),
        (preamble(tensors=1 << 60) + FILLER, "tensors cannot stand"),
        (preamble(keys=1 << 60) + FILLER, "keys cannot stand"),
        (preamble(keys=1) + struct.pack("<Q", 1 << 50) + FILLER, "too long"),
        (preamble(keys=1) + text("k") + struct.pack("<I", 77) + FILLER, "unknown type 77"),
        (preamble(keys=1) + text("k") + struct.pack("<IQ", 8, 1 << 40) + FILLER, "more bytes"),
        (preamble(keys=1) + text("k") + struct.pack("<IIQ", 9, 4, 1 << 61) + FILLER, "more bytes"),
        (preamble(keys=1) + text("k") + struct.pack("<IIQ", 9, 8, 1 << 61) + FILLER, "more than any vocabulary"),
        (preamble(keys=1) + text("k") + struct.pack("<IIQ", 9, 9, 1) + FILLER, "unknown element type 9"),
        (preamble(keys=2) + pair("k", 1) * 2 + FILLER, "stands twice"),
        (preamble(keys=1) + pair("general.alignment", 24) + FILLER, "not a power of two"),
        (preamble(tensors=1) + text("t" * 65) + FILLER, "too long"),
        (preamble(tensors=1) + text("t") + struct.pack("<I", 5) + FILLER, "5 dimensions"),
        (preamble(tensors=1) + text("t") + struct.pack("<IQQ", 2, 1 << 40, 1 << 40) + FILLER, "cannot have the shape"),
        (preamble(tensors=1) + ONE_TENSOR + struct.pack("<IQ", 4, 0) + FILLER, "type Q4_2 (4)"),
        (preamble(tensors=1) + ONE_TENSOR + struct.pack("<IQ", 12, 0) + FILLER, "no whole blocks of q4_K"),
        (preamble(tensors=1) + ONE_TENSOR + struct.pack("<IQ", 0, 5) + FILLER, "no multiple of 32"),
        (preamble(tensors=1) + ONE_TENSOR + struct.pack("<IQ", 0, 1 << 62) + FILLER, "download is incomplete"),
        (preamble(tensors=2) + (ONE_TENSOR + struct.pack("<IQ", 0, 0)) * 2 + FILLER, "stands twice"),
    ],
)
def test_what_is_not_sound_is_one_line(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        read_model(path)
    sentence = str(caught.value)
    assert says in sentence
    assert str(path) in sentence
    assert "\n" not in sentence


def test_a_truncated_download_names_the_tensor(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", *llama())
    os.truncate(path, path.stat().st_size - 4096)
    with pytest.raises(ModelFileError, match="blk.3.ffn_up.weight ends at byte .* download is incomplete"):
        read_model(path)


def test_every_truncation_of_the_header_is_refused(tmp_path: Path) -> None:
    head, _ = header(*llama(blocks=1, vocabulary=8))
    path = tmp_path / "m.gguf"
    for size in range(len(head)):
        path.write_bytes(head[:size])
        with pytest.raises(ModelFileError):
            read_model(path)


def test_a_hole_of_400_gb_is_no_endless_walk(tmp_path: Path) -> None:
    path = tmp_path / "hole.gguf"
    path.write_bytes(preamble(keys=1) + text("k") + struct.pack("<IIQ", 9, 8, 3_999_999))
    os.truncate(path, 400_000_000_000)
    # Walked as empty strings up to the cap; what follows is no tensor and no key, so the header is read.
    assert read_model(path).array_lengths == {"k": 3_999_999}


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.gguf")
    for name, says in (("fifo.gguf", "no regular file"), ("", "a folder"), ("none.gguf", "does not exist")):
        with pytest.raises(ModelFileError, match=says):
            read_model(tmp_path / name)
    with pytest.raises(ModelFileError, match="cannot be opened"):
        read_model("bad\0name.gguf")


@pytest.mark.parametrize(
    ("shape", "size_bytes"), [((1, 0), 0), ((0,), 0), ((256, 0, 4), 0), ((), 4), ((1,), 4), ((0, 1 << 40, 1 << 40), 0)]
)
def test_a_tensor_without_elements_and_a_scalar_are_read(
    tmp_path: Path, shape: tuple[int, ...], size_bytes: int
) -> None:
    metadata, tensors = llama()
    marked = [*tensors[:3], ("marker", shape, "f32"), *tensors[3:]]
    model = read_model(write_gguf(tmp_path / "m.gguf", metadata, marked))
    assert len(model.tensors) == len(tensors) + 1
    assert {t.name: t.size_bytes for t in model.tensors}["marker"] == size_bytes
    assert (
        ModelShape.of(model).weights_bytes
        == ModelShape.of(read_model(write_gguf(tmp_path / "n.gguf", metadata, tensors))).weights_bytes + size_bytes
    )


def test_a_ternary_model_is_read(tmp_path: Path) -> None:
    metadata, tensors = llama()
    metadata["general.file_type"] = 41
    ternary = [(name, shape, "q2_0" if "blk" in name else kind) for name, shape, kind in tensors]
    shape = ModelShape.of(read_model(write_gguf(tmp_path / "m.gguf", metadata, ternary)))
    assert shape.quantisation == "Q2_0"
    assert shape.block_bytes[0] == (256 * 256 + 256 * 512) // 64 * 18


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (5, "Q4_3 (5), which llama.cpp has no more: fetch the model as Q4_1"),
        (31, "Q4_0_4_4 (31), which llama.cpp has no more: fetch the model as Q4_0"),
        (33, "fetch the model as Q4_0"),
        (36, "bitnet.cpp"),
        (38, "fetch the model as IQ4_NL"),
        (97, "type 97 of the fork ik_llama.cpp"),
        (139, "IQ4_K (139) of the fork ik_llama.cpp"),
        (339, "IQ4_K_R4 (339) of the fork"),
        (43, "none of llama.cpp up to b11434: look for a newer hettui"),
        (77, "none of llama.cpp up to b11434"),
        (1 << 30, "the file is damaged, fetch it again"),
    ],
)
def test_the_advice_for_a_type_that_is_not_read(tmp_path: Path, number: int, says: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(preamble(tensors=1) + ONE_TENSOR + struct.pack("<IQ", number, 0) + FILLER)
    with pytest.raises(ModelFileError) as caught:
        read_model(path)
    assert says in str(caught.value)
    assert "hettui is too old" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Big-70B.gguf.part1of2", "piece (1 of 2) of a model"),
        ("Big-70B.gguf.part1of2", "cat Big-70B.gguf.part{1..2}of2 > Big-70B.gguf"),
        ("big.gguf.part-02-of-12", "cat big.gguf.part-{01..12}-of-12 > big.gguf"),
        ("big.gguf-split-b", "cat big.gguf-split-* > big.gguf"),
        ("big.gguf.003", "cat big.gguf.* > big.gguf"),
        ("a model.gguf.partaa", "cat 'a model.gguf'.part* > 'a model.gguf'"),
    ],
)
@pytest.mark.parametrize("begins", [True, False])
def test_a_raw_piece_is_to_be_joined(tmp_path: Path, name: str, says: str, begins: bool) -> None:
    head, size = header(*llama())
    data = head + b"\0" * size
    path = tmp_path / name
    path.write_bytes(data[: len(data) // 2] if begins else data[len(data) // 2 :])
    with pytest.raises(ModelFileError) as caught:
        read_model(path)
    assert says in str(caught.value)
    assert "fetch" not in str(caught.value)


def test_a_whole_model_may_have_the_name_of_a_piece_or_of_a_part(tmp_path: Path) -> None:
    for name in ("m.gguf.part1of2", "m-00002-of-00003.gguf"):
        assert len(read_model(write_gguf(tmp_path / name, *llama())).paths) == 1


def test_parts_that_were_joined_byte_by_byte_are_not_to_be_renamed(tmp_path: Path) -> None:
    joined = tmp_path / "joined.gguf"
    joined.write_bytes(b"".join(path.read_bytes() for path in parts(tmp_path, 3)))
    with pytest.raises(ModelFileError, match="3 parts one behind the other.*llama-gguf-split --merge"):
        read_model(joined)
    alone = tmp_path / "alone.gguf"
    alone.write_bytes(parts(tmp_path, 3)[0].read_bytes())
    with pytest.raises(ModelFileError, match="not named so: rename"):
        read_model(alone)


def test_parts_that_changed_places_are_named(tmp_path: Path) -> None:
    names = parts(tmp_path, 3)
    names[1].rename(tmp_path / "kept")
    names[2].rename(names[1])
    (tmp_path / "kept").rename(names[2])
    with pytest.raises(ModelFileError, match="00002-of-00003.gguf says that it is part 3, not 2"):
        read_model(names[0])


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"PK\x03\x04", "PyTorch"),
        (b"\x1f\x8b\x08\x00", "gunzip"),
        (b"tjgg\x03\0\0\0", "GGML file of 2023"),
        (b"\0" * 64, "has reserved its place"),
    ],
)
def test_what_is_no_gguf_is_named(tmp_path: Path, first: bytes, says: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(first)
    with pytest.raises(ModelFileError, match=re.escape(says)):
        read_model(path)


def test_tensors_lie_one_behind_the_other_as_llama_cpp_asks(tmp_path: Path) -> None:
    rows = b"".join(text(f"t{i}") + struct.pack("<IQIQ", 1, 32, 0, at) for i, at in enumerate((0, 256)))
    path = tmp_path / "m.gguf"
    path.write_bytes(preamble(tensors=2) + rows + FILLER)
    with pytest.raises(ModelFileError, match="t1 starts at 256 where llama.cpp expects 128"):
        read_model(path)
