from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localprompt.errors import ModelFileError
from localprompt.gguf.header import read_gguf
from localprompt.models.inspect import ModelInfo, describe, inspect_model
from localprompt.models.layout import Matrices
from tests.models.tiny_gguf import METADATA, TENSORS, tiny_gguf

SHAPES: dict[str, Any] = json.loads(Path(__file__).with_name("shapes.json").read_text())


def _inspect(tmp_path: Path, metadata: dict[str, Any]) -> ModelInfo:
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_gguf(metadata))
    return describe(read_gguf(path))


def test_the_shape_comes_from_the_architectures_own_keys(tmp_path: Path) -> None:
    info = _inspect(tmp_path, METADATA)
    assert (info.n_layer, info.n_embd, info.n_ff, info.n_head) == (2, 64, 96, 4)
    assert info.n_head_kv == (2, 2)
    assert (info.key_length, info.value_length) == (16, 16)
    assert (info.n_vocab, info.n_ctx_train, info.file_type) == (80, 128, "Q4_0")
    assert info.parameters == 64 * 80 + 2 * 64 * 96 + 2 * 64
    assert info.tied_embeddings
    assert info.chat_template == "{{ messages }}"


def test_bytes_are_counted_by_type_and_tied_embeddings_are_told_apart(tmp_path: Path) -> None:
    info = _inspect(tmp_path, METADATA)
    assert [(share.type, share.tensors) for share in info.tensor_types] == [
        ("Q4_0", 2),
        ("Q8_0", 1),
        ("F32", 2),
    ]
    assert info.repackable == (
        Matrices("Q4_0", 12288, 6912),
        Matrices("Q8_0", 5120, 5440, rows_multiple=8, tied=True),
    )


def test_layers_with_a_state_of_their_own_are_known_by_their_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(tiny_gguf(tensors=(*TENSORS, ("blk.1.ssm_in.weight", (64, 96), "Q4_0"))))
    assert inspect_model(path).recurrent
    assert not _inspect(tmp_path, METADATA).recurrent


def test_heads_may_differ_from_layer_to_layer(tmp_path: Path) -> None:
    info = _inspect(tmp_path, METADATA | {"llama.attention.head_count_kv": [4, 1]})
    assert info.n_head_kv == (4, 1)


def test_a_sliding_window_follows_the_architecture_or_the_file(tmp_path: Path) -> None:
    gemma = {key.replace("llama.", "gemma3."): item for key, item in METADATA.items()}
    gemma |= {"general.architecture": "gemma3", "gemma3.block_count": 12}
    gemma |= {"gemma3.attention.sliding_window": 512}
    sliding = _inspect(tmp_path, gemma).sliding_layers
    assert [layer for layer, slides in enumerate(sliding) if not slides] == [5, 11]
    said = _inspect(tmp_path, gemma | {"gemma3.attention.sliding_window_pattern": 3})
    assert [layer for layer, slides in enumerate(said.sliding_layers) if not slides] == [
        2,
        5,
        8,
        11,
    ]


def test_a_window_that_no_layer_uses_is_none(tmp_path: Path) -> None:
    info = _inspect(tmp_path, METADATA | {"llama.attention.sliding_window": 64})
    assert info.n_swa == 0
    assert not any(info.sliding_layers)


def test_an_expert_model_counts_the_experts_that_work_together(tmp_path: Path) -> None:
    experts = {
        "llama.expert_count": 8,
        "llama.expert_used_count": 2,
        "llama.expert_feed_forward_length": 80,
    }
    assert _inspect(tmp_path, METADATA | experts).n_ff == 160


@pytest.mark.parametrize(
    ("key", "item"),
    [
        ("llama.block_count", None),
        ("llama.embedding_length", "wide"),
        ("llama.attention.head_count_kv", [2]),
        ("general.architecture", 5),
    ],
)
def test_a_gguf_without_a_language_model_is_refused_by_its_key(
    tmp_path: Path, key: str, item: Any
) -> None:
    metadata = {k: v for k, v in METADATA.items() if k != key}
    with pytest.raises(ModelFileError, match="does not describe a language model") as caught:
        _inspect(tmp_path, metadata if item is None else metadata | {key: item})
    assert key in str(caught.value.where)


@pytest.mark.model
@pytest.mark.parametrize("name", ["starter_model", "base_model"])
def test_the_real_models_have_the_shapes_that_the_predictions_were_measured_with(
    name: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(name)
    info = inspect_model(path)
    known = SHAPES["smollm2-135m" if name == "starter_model" else "gemma3-270m"]
    comparable = msgspec.structs.replace(info, path=path.name, chat_template=None)
    assert comparable == msgspec.convert(known, ModelInfo)
    assert (info.chat_template is not None) == (name == "starter_model")
