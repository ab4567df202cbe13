"""Headers that llama.cpp would die of are refused with the key that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from localprompt.errors import ModelFileError
from localprompt.models.inspect import inspect_model
from localprompt.models.soundness import check_vocabulary
from localprompt.models.store import add_model, list_models
from tests.models.tiny_gguf import METADATA, TENSORS, tiny_gguf

Tensors = Sequence[tuple[str, tuple[int, ...], str]]


def _file(tmp_path: Path, metadata: dict[str, Any], tensors: Tensors = TENSORS) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_gguf(METADATA | metadata, tensors))
    return path


def _typed(name: str, kind: str) -> Tensors:
    return [(n, shape, kind if n == name else k) for n, shape, k in TENSORS]


def test_a_sound_header_is_taken(tmp_path: Path) -> None:
    path = _file(tmp_path, {})
    assert inspect_model(path).n_layer == 2
    check_vocabulary(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.block_count", 0),
        ("llama.block_count", 1),
        ("llama.block_count", 1000),
        ("llama.expert_count", 4),
        ("llama.expert_used_count", 9),
        ("llama.attention.head_count_kv", 3),
        ("llama.attention.head_count_kv", [2, 3]),
        ("llama.attention.head_count", 65),
        ("llama.embedding_length", 0),
        ("llama.embedding_length", 128),
        ("llama.context_length", 0),
        ("llama.attention.layer_norm_rms_epsilon", -1.0),
        ("llama.attention.layer_norm_rms_epsilon", float("nan")),
        ("tokenizer.ggml.model", "none"),
        ("tokenizer.ggml.model", "no_vocab"),
        ("tokenizer.ggml.tokens", [f"token {number}" for number in range(100)]),
        ("tokenizer.chat_template", "x" * (1 << 20) + "x"),
        ("general.architecture", "a" * 100_000),
    ],
)
def test_counts_that_contradict_each_other_are_refused(
    tmp_path: Path, key: str, value: Any
) -> None:
    with pytest.raises(ModelFileError) as caught:
        inspect_model(_file(tmp_path, {key: value}))
    where = str(caught.value.where)
    assert key.removesuffix("_kv").removesuffix("_count") in where
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("kind", ["F16", "Q8_0", "I8"])
@pytest.mark.parametrize("name", ["blk.0.attn_norm.weight", "output_norm.weight"])
def test_norms_are_32_bit_floats(tmp_path: Path, name: str, kind: str) -> None:
    with pytest.raises(ModelFileError, match="cannot run this file") as caught:
        inspect_model(_file(tmp_path, {}, _typed(name, kind)))
    assert name in str(caught.value.where)
    assert caught.value.found == kind


@pytest.mark.parametrize("kind", ["I8", "I32", "F64"])
@pytest.mark.parametrize("name", ["token_embd.weight", "blk.1.ffn_up.weight"])
def test_matrices_have_a_type_that_can_be_multiplied_with(
    tmp_path: Path, name: str, kind: str
) -> None:
    with pytest.raises(ModelFileError) as caught:
        inspect_model(_file(tmp_path, {}, _typed(name, kind)))
    assert name in str(caught.value.where)


def test_experts_that_the_tensors_have_are_taken(tmp_path: Path) -> None:
    experts = [*TENSORS, ("blk.0.ffn_up_exps.weight", (64, 96, 8), "Q4_0")]
    counts = {"llama.expert_count": 8, "llama.expert_used_count": 2}
    assert inspect_model(_file(tmp_path, counts, experts)).n_expert == 8
    with pytest.raises(ModelFileError, match="expert_count"):
        inspect_model(_file(tmp_path, counts | {"llama.expert_count": 4}, experts))


def test_tokens_that_are_equal_or_no_text_are_refused(tmp_path: Path, store: Path) -> None:
    path = _file(tmp_path, {"tokenizer.ggml.tokens": ["same"] * 80})
    with pytest.raises(ModelFileError, match="a different token"):
        add_model(path)
    content = tiny_gguf().replace(b"token 7", b"tok\xffn 7", 1)
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="UTF-8"):
        add_model(path)
    assert not [entry for entry in list_models()[0] if entry.card.name == "model"]


def test_a_vocabulary_of_pieces_has_a_token_for_every_byte(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="<0x00>"):
        check_vocabulary(_file(tmp_path, {"tokenizer.ggml.model": "llama"}))


def test_long_texts_of_a_header_are_cut_where_they_are_shown(tmp_path: Path) -> None:
    path = _file(tmp_path, {"general.name": "n" * 1_000_000, "k" * 60_000: 1})
    assert inspect_model(path).name == "n" * 199 + "…"
