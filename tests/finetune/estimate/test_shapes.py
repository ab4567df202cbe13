from __future__ import annotations

from typing import Any

import pytest

from localprompt.errors import InputError, UnknownNameError
from localprompt.finetune.estimate.shapes import (
    NamedShape,
    check_parameters,
    find_shape,
    named_shapes,
    shape_from_gguf_metadata,
)

SMOLLM2: dict[str, Any] = {
    "general.architecture": "llama",
    "general.name": "SmolLM2 135M",
    "llama.block_count": "30",
    "llama.embedding_length": "576",
    "llama.feed_forward_length": "1536",
    "llama.attention.head_count": "9",
    "llama.attention.head_count_kv": "3",
    "llama.vocab_size": "49152",
}


@pytest.mark.parametrize("named", named_shapes().values(), ids=named_shapes())
def test_a_named_shape_has_the_published_number_of_parameters(named: NamedShape) -> None:
    assert named.shape.parameters == named.published_parameters


def test_a_shape_is_found_whatever_the_spelling() -> None:
    assert find_shape("LLaMA-65B").name == "llama-65b"
    assert find_shape("Llama 2 7B") is find_shape("llama-2-7b")
    assert find_shape("Llama-3.1-8B").name == "llama-3-8b"
    assert find_shape("qwen-1_8b").name == "qwen-1.8b"


def test_an_unknown_shape_names_its_neighbours() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_shape("llama-2-8b")
    assert "llama-2-7b" in caught.value.nearest


def test_metadata_as_text_gives_the_shape_of_the_starter_model() -> None:
    shape = shape_from_gguf_metadata(SMOLLM2, tied_embeddings=True)
    assert shape.parameters == 134_515_008
    assert shape.parameters - shape.embedding_parameters == 106_203_456
    assert shape.name == "SmolLM2 135M"


def test_the_vocabulary_is_counted_where_the_token_list_is_given() -> None:
    metadata = {k: v for k, v in SMOLLM2.items() if k != "llama.vocab_size"}
    metadata["tokenizer.ggml.tokens"] = ["a", "b", "c"]
    assert shape_from_gguf_metadata(metadata).vocab == 3


def test_the_architecture_decides_on_gate_norms_and_biases() -> None:
    phi = {
        "general.architecture": "phi2",
        "phi2.block_count": 32,
        "phi2.embedding_length": 2560,
        "phi2.feed_forward_length": 10240,
        "phi2.attention.head_count": 32,
        "phi2.vocab_size": 51200,
    }
    assert shape_from_gguf_metadata(phi).parameters == find_shape("phi-2").parameters
    gemma = {
        "general.architecture": "gemma",
        "gemma.block_count": 18,
        "gemma.embedding_length": 2048,
        "gemma.feed_forward_length": 16384,
        "gemma.attention.head_count": 8,
        "gemma.attention.head_count_kv": 1,
        "gemma.attention.key_length": 256,
        "gemma.vocab_size": 256000,
    }
    assert shape_from_gguf_metadata(gemma).parameters == find_shape("gemma-2b").parameters


def test_a_missing_number_is_named() -> None:
    with pytest.raises(InputError) as caught:
        shape_from_gguf_metadata({"general.architecture": "llama"})
    assert caught.value.where == "llama.embedding_length"


def test_text_that_is_no_number_is_shown() -> None:
    with pytest.raises(InputError) as caught:
        shape_from_gguf_metadata({**SMOLLM2, "llama.block_count": "many"})
    assert (caught.value.where, caught.value.found) == ("llama.block_count", "'many'")


def test_a_mixture_of_experts_is_refused() -> None:
    with pytest.raises(InputError, match="mixture of experts"):
        shape_from_gguf_metadata({**SMOLLM2, "llama.expert_count": "8"})


def test_metadata_without_an_architecture_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        shape_from_gguf_metadata({})
    assert caught.value.where == "general.architecture"


def test_a_model_that_its_shape_does_not_explain_is_refused() -> None:
    shape = find_shape("smollm2-135m")
    check_parameters(shape, shape.parameters + 1_000_000)
    with pytest.raises(InputError, match="is not estimated") as caught:
        check_parameters(shape, 2 * shape.parameters)
    assert caught.value.where == "parameters"
    assert caught.value.found == "269,030,016"
