"""Adapters are told from models, and refused by name where they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localprompt.errors import ModelFileError
from localprompt.gguf.adapter import check_each, is_adapter_file, read_adapter
from localprompt.models.inspect import inspect_model
from tests.models.tiny_gguf import tiny_gguf
from tests.models.tiny_lora import METADATA, TENSORS, Tensors, lora_gguf, pair


def _file(tmp_path: Path, tensors: Tensors = TENSORS, **changes: Any) -> Path:
    metadata = {**METADATA, **{key.replace("__", "."): value for key, value in changes.items()}}
    metadata = {key: value for key, value in metadata.items() if value is not None}
    path = tmp_path / "style.gguf"
    path.write_bytes(lora_gguf(metadata, tensors))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf())
    return path


def test_an_adapter_that_fits_says_what_it_is(tmp_path: Path, model: Path) -> None:
    path = _file(tmp_path)
    head = read_adapter(path)
    assert (head.rank, head.alpha, head.architecture) == (2, 8.0, "llama")
    assert head.tensor_bytes == 4 * (64 * 2 + 2 * 96)
    assert is_adapter_file(path)
    assert not is_adapter_file(model)
    check_each([path], model)


def test_a_matrix_of_rank_1_may_be_written_without_its_last_dimension(
    tmp_path: Path, model: Path
) -> None:
    name = "blk.0.ffn_up.weight"
    path = _file(tmp_path, [(f"{name}.lora_a", (64,), "F32"), (f"{name}.lora_b", (1, 96), "F32")])
    assert read_adapter(path).rank == 1
    check_each([path], model)


@pytest.mark.parametrize(
    ("tensors", "changes", "message"),
    [
        (TENSORS, {"general__type": "model"}, "not an adapter"),
        (TENSORS, {"general__type": None}, "not an adapter"),
        (TENSORS, {"adapter__type": "control_vector"}, "kind of adapter is not supported"),
        (TENSORS, {"adapter__alora__invocation_tokens": [1, 2]}, "not supported"),
        (TENSORS, {"adapter__lora__alpha": 2**31}, "alpha is of another type"),
        (TENSORS, {"adapter__lora__alpha": "8"}, "alpha is of another type"),
        (TENSORS, {"adapter__lora__alpha": True}, "alpha is of another type"),
        ([], {}, "changes nothing"),
        (pair("blk.0.ffn_up.weight", 64, 96, 0), {}, "rank 0"),
        (TENSORS[:1], {}, "half of a pair"),
        ([("blk.0.ffn_up.weight", (64, 96), "F32")], {}, "unknown name"),
        (
            [TENSORS[0], ("blk.0.ffn_up.weight.lora_b", (3, 96), "F32")],
            {},
            "do not belong together",
        ),
    ],
)
def test_what_is_no_adapter_is_refused(
    tmp_path: Path, tensors: Tensors, changes: dict[str, Any], message: str
) -> None:
    path = _file(tmp_path, tensors, **changes)
    with pytest.raises(ModelFileError, match=message) as raised:
        read_adapter(path)
    assert raised.value.where == str(path)


@pytest.mark.parametrize(
    ("tensors", "changes", "message", "found"),
    [
        (TENSORS, {"general__architecture": "qwen2"}, "another architecture", "qwen2"),
        (pair("blk.9.ffn_up.weight", 64, 96), {}, "another model", "blk.9.ffn_up.weight"),
        (pair("blk.0.ffn_up.weight", 64, 128), {}, "another model", "64 × 128"),
        (pair("blk.0.ffn_up.weight", 32, 96), {}, "another model", "32 × 96"),
        (pair("output_norm.weight.x", 64, 96), {}, "another model", "output_norm"),
    ],
)
def test_an_adapter_of_another_base_is_refused_by_name(
    tmp_path: Path, model: Path, tensors: Tensors, changes: dict[str, Any], message: str, found: str
) -> None:
    path = _file(tmp_path, tensors, **changes)
    with pytest.raises(ModelFileError, match=message) as raised:
        check_each([path], model)
    assert found in (raised.value.found or "")
    assert raised.value.where == str(path)


def test_a_truncated_adapter_is_refused(tmp_path: Path, model: Path) -> None:
    path = _file(tmp_path)
    data = path.read_bytes()
    for length in (len(data) - 40, len(data) // 2, 30):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match=r"truncated|longer than the file|counts"):
            check_each([path], model)


def test_an_adapter_is_not_taken_for_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="LoRA adapter, not a model") as raised:
        inspect_model(_file(tmp_path))
    assert "--lora" in (raised.value.next_step or "")
