from __future__ import annotations

import msgspec

from localprompt.finetune.estimate.cost import read_prices
from localprompt.finetune.estimate.estimate import estimate
from localprompt.finetune.estimate.hardware import find_gpu
from localprompt.finetune.estimate.recipe import make_recipe
from localprompt.finetune.estimate.shapes import find_shape

LLAMA = find_shape("llama-2-7b")


def test_an_estimate_says_that_it_is_one_and_on_what_it_rests() -> None:
    gpus = (find_gpu("a100"), find_gpu("t4"))
    made = estimate(
        LLAMA, make_recipe("qlora", rank=64), tokens=10**6, gpus=gpus, prices=read_prices()
    )
    said = {assumption.name: assumption.value for assumption in made.assumptions}
    assert made.kind == "estimated"
    assert said["adapter"] == "rank 64 on q, k, v, o, mlp"
    assert said["base"] == "nf4-dq, 4.13 bits per weight"
    assert said["batch"].startswith("1 × 512 tokens")
    assert said["speed"] == "10% to 55% of the GPU's dense 16-bit peak achieved"
    assert said["training on"] == "1,000,000 tokens, all epochs together"
    assert "per GPU and hour, read 2026-" in said["price of A100 SXM 80GB"]
    assert said["no price known"] == "T4 16GB"
    assert [fit.verdict for fit in made.fits[-2:]] == ["fits", "fits"]
    assert [cost.gpu for cost in made.costs] == [gpu.name for gpu in gpus]


def test_without_tokens_there_is_memory_but_no_time() -> None:
    made = estimate(LLAMA, make_recipe("lora"), gpus=(find_gpu("a100"),))
    assert made.costs == ()
    assert made.memory.total_bytes.typical > 2 * LLAMA.parameters


def test_training_on_the_cpu_assumes_no_gpu() -> None:
    made = estimate(find_shape("smollm2-135m"), make_recipe("cpu-llama.cpp", sequence_tokens=256))
    assert {"software", "GPUs"}.isdisjoint(assumption.name for assumption in made.assumptions)
    assert made.trainable_parameters == 106_203_456
    assert made.fits[0].verdict == "fits"


def test_an_estimate_is_json() -> None:
    made = estimate(LLAMA, make_recipe("full", gpus=8), tokens=10, gpus=(find_gpu("h100"),))
    read = msgspec.json.decode(msgspec.json.encode(made))
    assert read["memory"]["total_bytes"].keys() == {"low", "typical", "high"}
    assert read["recipe"]["stack"]["name"] == "trainer"
