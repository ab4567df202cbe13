"""What training a model would take: memory, hardware, time and money, none of it measured.

``estimate`` puts the pieces together and says on what they rest: every figure is a range, and
the assumptions come as sentences to be printed beside it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from localprompt.finetune.estimate.cost import CostEstimate, Price, estimate_cost
from localprompt.finetune.estimate.hardware import DEVICES, Fit, Gpu, fits
from localprompt.finetune.estimate.memory import (
    MemoryEstimate,
    estimate_memory,
    trainable_parameters,
)
from localprompt.finetune.estimate.recipe import BITS_PER_WEIGHT, METHODS, Recipe
from localprompt.finetune.estimate.shapes import ModelShape


class Assumption(msgspec.Struct, frozen=True):
    """One thing that was taken for granted, and its value."""

    name: str
    value: str


class Estimate(msgspec.Struct, frozen=True):
    """One model, trained in one way. ``kind`` stands beside every figure that is shown."""

    kind: Literal["estimated"]
    shape: ModelShape
    recipe: Recipe
    parameters: int
    trainable_parameters: int
    memory: MemoryEstimate
    fits: tuple[Fit, ...]
    """Memory sizes that people have, then each GPU that was asked for."""
    costs: tuple[CostEstimate, ...]
    """One for each GPU that was asked for."""
    assumptions: tuple[Assumption, ...]


def estimate(
    shape: ModelShape,
    recipe: Recipe,
    *,
    tokens: int | None = None,
    gpus: tuple[Gpu, ...] = (),
    prices: tuple[Price, ...] | None = None,
) -> Estimate:
    """Everything that can be said about training ``shape`` by ``recipe`` without doing it.

    Args:
        tokens: tokens to train on, epochs included; without it there is no time and no money.
        gpus: kinds of GPU to say whether they hold it, and to give time for.
        prices: from ``read_prices``; None leaves money out.

    Raises:
        InputError: as ``estimate_cost``.
    """
    memory = estimate_memory(shape, recipe)
    costs = (
        ()
        if tokens is None
        else tuple(estimate_cost(shape, recipe, gpu, tokens=tokens, prices=prices) for gpu in gpus)
    )
    return Estimate(
        kind="estimated",
        shape=shape,
        recipe=recipe,
        parameters=shape.parameters,
        trainable_parameters=trainable_parameters(shape, recipe),
        memory=memory,
        fits=fits(memory.total_bytes, DEVICES + tuple(gpu.device for gpu in gpus)),
        costs=costs,
        assumptions=_assumptions(recipe, memory, costs),
    )


def _assumptions(
    recipe: Recipe, memory: MemoryEstimate, costs: tuple[CostEstimate, ...]
) -> tuple[Assumption, ...]:
    said = [
        Assumption("method", f"{recipe.method}: {METHODS[recipe.method]}"),
        Assumption(
            "batch",
            f"{recipe.micro_batch} × {recipe.sequence_tokens} tokens, "
            f"{recipe.accumulation} micro batches a step, every sequence of full length",
        ),
        Assumption(
            "peak",
            "while the optimizer steps" if memory.peak_at == "step" else "after a forward pass",
        ),
    ]
    if recipe.method != "cpu-llama.cpp":
        said += _of_gpu(recipe)
    if recipe.trains_adapter:
        said.append(Assumption("adapter", f"rank {recipe.rank} on {', '.join(recipe.targets)}"))
    if recipe.method == "qlora":
        bits = BITS_PER_WEIGHT[recipe.quantization]
        said.append(Assumption("base", f"{recipe.quantization}, {bits:.2f} bits per weight"))
    if costs:
        said += _of_costs(costs)
    return tuple(said)


def _of_costs(costs: tuple[CostEstimate, ...]) -> list[Assumption]:
    low, high = costs[0].achieved.low, costs[0].achieved.high  # the recipe's, the same on all GPUs
    said = [
        Assumption("training on", f"{costs[0].tokens:,} tokens, all epochs together"),
        Assumption("speed", f"{low:.0%} to {high:.0%} of the GPU's dense 16-bit peak achieved"),
    ]
    for cost in costs:
        if cost.prices:
            hourly = [price.usd_per_gpu_hour for price in cost.prices]
            days = sorted(price.read_on for price in cost.prices)
            read_on = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
            prices = f"{min(hourly):.2f} to {max(hourly):.2f} USD per GPU and hour"
            said.append(Assumption(f"price of {cost.gpu}", f"{prices}, read {read_on}"))
    unpriced = [cost.gpu for cost in costs if not cost.prices]
    if unpriced:
        said.append(Assumption("no price known", ", ".join(unpriced)))
    return said


def _of_gpu(recipe: Recipe) -> list[Assumption]:
    kept = "computed again in the backward pass" if recipe.recompute else "all kept"
    spread = "sharded (ZeRO-3)" if recipe.sharded else "replicated"
    gpus = "1 GPU" if recipe.gpus == 1 else f"{recipe.gpus} GPUs, weights {spread}"
    return [
        Assumption("software", f"{recipe.stack.name}: {recipe.stack.title}"),
        Assumption("activations", f"{kept}; attention of the flash kind"),
        Assumption("GPUs", gpus),
    ]
