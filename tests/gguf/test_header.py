from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.errors import ModelFileError
from localprompt.gguf.header import SkippedArray, read_gguf
from tests.models.tiny_gguf import METADATA, TENSORS, text, tiny_gguf


def _refusal(tmp_path: Path, content: bytes) -> ModelFileError:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        read_gguf(path)
    assert caught.value.where == str(path)
    assert caught.value.exit_code == 3
    return caught.value


@pytest.mark.parametrize("version", [2, 3])
def test_metadata_and_tensors_are_read(tmp_path: Path, version: int) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_gguf(version=version))
    head = read_gguf(path)
    assert head.version == version
    assert head.metadata["general.name"] == "Tiny"
    assert head.metadata["llama.block_count"] == 2
    assert [(t.name, t.shape, t.type.name) for t in head.tensors] == list(TENSORS)
    assert head.data_offset + sum(t.n_bytes for t in head.tensors) <= head.size_bytes


def test_a_long_vocabulary_is_skipped_unless_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_gguf())
    assert read_gguf(path).metadata["tokenizer.ggml.tokens"] == SkippedArray(80)
    asked = read_gguf(path, decode={"tokenizer.ggml.tokens"})
    assert asked.metadata["tokenizer.ggml.tokens"][79] == "token 79"


def test_every_scalar_type_survives(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    items = {"yes": True, "small": 7, "large": 2**40, "real": 0.5, "tags": ["a", "b"], "n": [3, 4]}
    path.write_bytes(tiny_gguf(METADATA | items))
    metadata = read_gguf(path).metadata
    assert {key: metadata[key] for key in items} == items | {"tags": ("a", "b"), "n": (3, 4)}


@pytest.mark.parametrize(
    ("content", "seems"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\n <HTML>", "web page"),
        (b"PK\x03\x04rest", "zip"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        (struct.pack("<Q", 40) + b'{"__metadata__":{}}', "safetensors"),
        (b'{"error": "not found"}', "JSON"),
        (b"tjgg\x03\0\0\0", "before GGUF"),
        (bytes(64), "zeros"),
        (b"nonsense", "begins with b'nonsense'"),
    ],
)
def test_a_file_that_is_no_gguf_is_told_what_it_seems_to_be(
    tmp_path: Path, content: bytes, seems: str
) -> None:
    refusal = _refusal(tmp_path, content)
    assert "not a GGUF" in refusal.message
    assert seems in str(refusal.found)


def test_a_folder_or_nothing_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="found a folder"):
        read_gguf(tmp_path)
    with pytest.raises(ModelFileError, match="No such file"):
        read_gguf(tmp_path / "absent.gguf")


def test_missing_weights_are_counted(tmp_path: Path) -> None:
    whole = tiny_gguf()
    refusal = _refusal(tmp_path, whole[:-300])
    assert refusal.message == "the model file is truncated"
    assert refusal.found == f"{len(whole) - 300} bytes"
    assert str(len(whole)) in str(refusal.expected)


@given(st.data())
def test_a_file_cut_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = tiny_gguf()
    length = data.draw(st.integers(0, len(whole) - 65))
    path = tmp_path_factory.mktemp("cut") / "model.gguf"
    path.write_bytes(whole[:length])
    with pytest.raises(ModelFileError):
        read_gguf(path)


@given(st.data())
def test_a_damaged_header_is_read_or_refused_but_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(tiny_gguf())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 2000))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flipped") / "model.gguf"
    path.write_bytes(bytes(content))
    try:
        head = read_gguf(path)
    except ModelFileError:
        return
    ends = [head.data_offset + tensor.offset + tensor.n_bytes for tensor in head.tensors]
    assert all(end <= head.size_bytes for end in ends)


def test_an_unknown_version_and_a_big_endian_file_are_named(tmp_path: Path) -> None:
    whole = tiny_gguf()
    assert _refusal(tmp_path, whole[:4] + struct.pack("<I", 1) + whole[8:]).found == "version 1"
    assert _refusal(tmp_path, whole[:4] + struct.pack(">I", 3) + whole[8:]).found == (
        "a big-endian file"
    )


def test_absurd_counts_and_lengths_are_refused_before_anything_is_allocated(
    tmp_path: Path,
) -> None:
    start = b"GGUF" + struct.pack("<I", 3)
    assert "counts" in _refusal(tmp_path, start + struct.pack("<QQ", 2**63, 1)).message
    long_key = start + struct.pack("<QQ", 0, 1) + struct.pack("<Q", 2**62) + bytes(64)
    assert "longer than the file" in _refusal(tmp_path, long_key).message
    for kind in (4, 8):
        array = start + struct.pack("<QQ", 0, 1) + text("k") + struct.pack("<IIQ", 9, kind, 2**61)
        assert "longer than the file" in _refusal(tmp_path, array + bytes(64)).message
    endless = struct.pack("<QQ", 0, 1) + text("k") + struct.pack("<IIQ", 9, 8, 70)
    assert "truncated" in _refusal(tmp_path, start + endless + b"\xff" * 700).message


def test_arrays_of_arrays_and_unknown_types_are_refused(tmp_path: Path) -> None:
    start = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("deep")
    nested = start + struct.pack("<IIQ", 9, 9, 1) + bytes(64)
    assert _refusal(tmp_path, nested).found == "an array of arrays"
    assert _refusal(tmp_path, start + struct.pack("<I", 99) + bytes(64)).found == "type 99"


def test_tensors_have_to_follow_each_other(tmp_path: Path) -> None:
    whole = tiny_gguf()
    name = text("output_norm.weight")
    at = whole.index(name) + len(name) + 4 + 8 + 4
    moved = whole[:at] + struct.pack("<Q", 17) + whole[at + 8 :]
    assert "is not where" in _refusal(tmp_path, moved).message


def test_a_row_has_to_be_whole_blocks(tmp_path: Path) -> None:
    refusal = _refusal(tmp_path, tiny_gguf(tensors=[("odd.weight", (33, 2), "Q4_0")]))
    assert "blocks of 32" in str(refusal.expected)


def test_the_alignment_has_to_be_a_power_of_two(tmp_path: Path) -> None:
    refusal = _refusal(tmp_path, tiny_gguf(METADATA | {"general.alignment": 33}))
    assert "power of two" in refusal.message
    assert _refusal(tmp_path, tiny_gguf(METADATA | {"general.alignment": "32"})).found == "'32'"


def test_a_number_of_64_bits_is_told_from_one_of_32(tmp_path: Path) -> None:
    path = tmp_path / "two.gguf"
    entries = [(b"wide", struct.pack("<Id", 12, 0.5)), (b"usual", struct.pack("<If", 6, 0.5))]
    keys = b"".join(struct.pack("<Q", len(key)) + key + value for key, value in entries)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)) + keys + bytes(32))
    head = read_gguf(path)
    assert head.metadata == {"wide": 0.5, "usual": 0.5}
    assert head.doubles == {"wide"}
