from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.errors import InputError, UnknownNameError
from localprompt.finetune.estimate.memory import (
    MemoryEstimate,
    adapter_parameters,
    estimate_memory,
    trainable_parameters,
)
from localprompt.finetune.estimate.recipe import METHODS, STACKS, make_recipe
from localprompt.finetune.estimate.shapes import find_shape, named_shapes
from localprompt.stats.ranges import Range
from localprompt.units import GIB

LLAMA = find_shape("llama-2-7b")
SHAPES = [named.shape for named in named_shapes().values()]
PARTS = [
    name
    for name in MemoryEstimate.__struct_fields__
    if name.endswith("_bytes") and name not in {"total_bytes", "all_gpus_bytes"}
]


def memory(method: str, **settings: Any) -> MemoryEstimate:
    return estimate_memory(LLAMA, make_recipe(method, **settings))


recipes = st.builds(
    make_recipe,
    st.sampled_from([method for method in METHODS if method != "cpu-llama.cpp"]),
    stack=st.sampled_from(sorted(STACKS)),
    sequence_tokens=st.integers(1, 32768),
    micro_batch=st.integers(1, 16),
    accumulation=st.integers(1, 64),
    gpus=st.integers(1, 8),
    recompute=st.booleans(),
    rank=st.integers(1, 256),
)


@given(st.sampled_from(SHAPES), recipes)
def test_parts_add_up_and_no_range_is_wider_than_35_percent(shape: Any, recipe: Any) -> None:
    estimate = estimate_memory(shape, recipe)
    parts: list[Range] = [getattr(estimate, name) for name in PARTS]
    total = estimate.total_bytes
    assert total.typical == pytest.approx(sum(part.typical for part in parts))
    assert 0 < total.low <= total.typical <= total.high
    assert all(0 <= part.low <= part.typical <= part.high for part in parts)
    assert total.half_width <= 0.35
    assert estimate.all_gpus_bytes.typical == pytest.approx(total.typical * recipe.gpus)


@given(st.sampled_from(SHAPES), recipes)
def test_longer_sequences_never_need_less(shape: Any, recipe: Any) -> None:
    longer = msgspec.structs.replace(recipe, sequence_tokens=2 * recipe.sequence_tokens)
    before = estimate_memory(shape, recipe).total_bytes.typical
    assert estimate_memory(shape, longer).total_bytes.typical >= before


def test_mixed_precision_holds_sixteen_bytes_per_parameter() -> None:
    estimate = memory("full-mixed")
    states = estimate.weights_bytes + estimate.gradients_bytes + estimate.optimizer_bytes
    copied_group = 4e9  # the step's fp32 copy of a group of gradients
    assert states.typical - copied_group == pytest.approx(16 * LLAMA.parameters)


def test_methods_rank_as_they_should() -> None:
    totals = [
        memory(method).total_bytes.typical
        for method in ("full-mixed", "full-16bit", "full-8bit", "lora", "qlora")
    ]
    assert totals == sorted(totals, reverse=True)
    assert memory("full-fp32").total_bytes.typical > totals[1]


def test_a_lora_adapter_counts_as_published() -> None:
    # litgpt prints 4,194,304 trainable parameters for rank 8 on q and v of this model.
    assert adapter_parameters(LLAMA, make_recipe("lora", stack="litgpt")) == 4_194_304
    phi = find_shape("phi-1.5")
    assert adapter_parameters(phi, make_recipe("lora", stack="litgpt")) == 1_572_864


def test_embeddings_trained_whole_are_counted_once_where_tied() -> None:
    recipe = make_recipe("lora", targets=("q", "embeddings"))
    tied, untied = find_shape("llama-3.2-1b"), find_shape("llama-3-8b")
    for shape, copies in ((tied, 1), (untied, 2)):
        whole = trainable_parameters(shape, recipe) - adapter_parameters(shape, recipe)
        assert whole == copies * shape.embedding_parameters


def test_recomputation_saves_activations() -> None:
    kept = memory("lora", recompute=False, sequence_tokens=4096)
    again = memory("lora", recompute=True, sequence_tokens=4096)
    assert again.activations_bytes.typical < kept.activations_bytes.typical / 5


def test_gradients_stay_between_micro_batches() -> None:
    settings = {"stack": "litgpt", "sequence_tokens": 4096, "micro_batch": 8}
    several = memory("full", accumulation=8, **settings)
    single = memory("full", accumulation=1, **settings)
    assert several.peak_at == single.peak_at == "forward"
    saved = several.total_bytes.typical - single.total_bytes.typical
    assert saved == pytest.approx(2 * LLAMA.parameters)


def test_sharding_spreads_the_states_and_replication_does_not() -> None:
    single = memory("full-mixed")
    sharded = memory("full-mixed", gpus=4)
    replicated = memory("full-mixed", gpus=4, sharded=False)
    assert sharded.weights_bytes.typical == pytest.approx(single.weights_bytes.typical / 4)
    assert replicated.weights_bytes.typical == single.weights_bytes.typical
    assert memory("lora", gpus=4).weights_bytes == memory("lora").weights_bytes


def test_double_quantization_is_smaller_than_single() -> None:
    single = memory("qlora", quantization="nf4").weights_bytes.typical
    double = memory("qlora", quantization="nf4-dq").weights_bytes.typical
    assert double < single < 0.4 * memory("lora").weights_bytes.typical


def test_llama_cpp_on_the_cpu_comes_near_what_was_measured() -> None:
    shape = find_shape("smollm2-135m")
    recipe = make_recipe("cpu-llama.cpp", sequence_tokens=256)
    total = estimate_memory(shape, recipe).total_bytes
    assert 2.4 * GIB in total
    assert trainable_parameters(shape, recipe) == 106_203_456


def test_full_means_what_the_stack_does() -> None:
    assert make_recipe("full", stack="litgpt").method == "full-16bit"
    assert make_recipe("full").method == "full-mixed"


@pytest.mark.parametrize(
    ("method", "settings", "where"),
    [
        ("lora", {"rank": 0}, "rank"),
        ("lora", {"sequence_tokens": 0}, "sequence_tokens"),
        ("lora", {"micro_batch": -1}, "micro_batch"),
        ("lora", {"targets": ()}, "targets"),
        ("lora", {"targets": ("w",)}, "target"),
        ("qlora", {"quantization": "q2"}, "quantization"),
        ("lora", {"stack": "paper"}, "stack"),
        ("lara", {}, "method"),
        ("cpu-llama.cpp", {"gpus": 2}, "gpus"),
    ],
)
def test_a_wrong_setting_is_named(method: str, settings: dict[str, Any], where: str) -> None:
    with pytest.raises(InputError) as caught:
        make_recipe(method, **settings)
    assert caught.value.where == where


def test_an_unknown_method_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        make_recipe("qlara")
    assert caught.value.nearest[0] == "qlora"


def test_a_fused_loss_needs_less_the_larger_the_vocabulary() -> None:
    def saved(name: str) -> float:
        shape = find_shape(name)
        whole, fused = (
            estimate_memory(shape, make_recipe("lora", stack=stack, sequence_tokens=2048))
            for stack in ("trainer", "liger")
        )
        return whole.total_bytes.typical - fused.total_bytes.typical

    assert saved("llama-3.2-1b") > 3e9
    assert saved("tinyllama-1.1b") < 1.5e9


def test_torchtune_steps_in_the_backward_pass_so_full_tuning_is_little_more_than_weights() -> None:
    shape = find_shape("llama-3-8b")
    memory = estimate_memory(shape, make_recipe("full", stack="torchtune", sequence_tokens=512))
    assert memory.gradients_bytes.high == 0
    assert memory.total_bytes.typical < 1.4 * 2 * shape.parameters
