"""Larger models, which cannot be trained here: what the estimates say of them."""

from __future__ import annotations

from localprompt.evidence.figures import estimated
from localprompt.finetune.estimate.cost import Price
from localprompt.finetune.estimate.estimate import Estimate, estimate
from localprompt.finetune.estimate.hardware import find_gpu
from localprompt.finetune.estimate.prompting import Prompting, prompting_of_shape
from localprompt.finetune.estimate.recipe import make_recipe
from localprompt.finetune.estimate.shapes import ModelShape, find_shape
from localprompt.records.evidence import Figure

LARGE = "llama-2-7b"
METHODS = ("full", "lora", "qlora")
SEQUENCE_TOKENS = 512
TOKENS = 1_000_000
"""What a larger model is taken to be trained on: a thousand examples of a page, two epochs."""


def training(
    shape: ModelShape,
    method: str,
    *,
    tokens: int | None = None,
    prices: tuple[Price, ...] = (),
) -> Estimate:
    """One way to train a shape; with tokens also time and money on the GPUs that have a price."""
    gpus = tuple(find_gpu(name) for name in dict.fromkeys(price.gpu for price in prices))
    recipe = make_recipe(method, sequence_tokens=SEQUENCE_TOKENS)
    return estimate(shape, recipe, tokens=tokens, gpus=gpus, prices=prices or None)


def prompting(name: str = LARGE) -> Prompting:
    """What prompting a named shape in 4 bits takes on a CPU."""
    return prompting_of_shape(find_shape(name), n_ctx=SEQUENCE_TOKENS)


def gpu_change(tokens: int, prices: tuple[Price, ...], name: str = LARGE) -> tuple[Figure, ...]:
    """The money of tuning a larger model on as many tokens once, by method and GPU."""
    figures = []
    for method in METHODS:
        for cost in training(find_shape(name), method, tokens=tokens, prices=prices).costs:
            if cost.usd is not None:
                about = f"{method}, {cost.gpu}"
                figures.append(estimated("usd_of_tuning_large", cost.usd, "usd", about))
    return tuple(figures)
