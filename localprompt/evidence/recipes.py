"""The tunings that the experiments share, and how they were budgeted.

All of one recipe: the defaults of ``finetune measure`` (AdamW, a learning rate of 2e-5 that falls
in a line, loss on the answers alone) with two epochs and no held-out part. The training examples
are the first 16, 64, 256 and 512 of one file, so a larger tuning has seen all that a smaller one
has. Passages are tuned on for more epochs and at a higher rate, because they are to be remembered
and not to be told apart. Together that is about 17 minutes at 100 tokens per second.
"""

from __future__ import annotations

from localprompt.evidence import data
from localprompt.evidence.figures import estimated
from localprompt.evidence.searching import SearchPlan
from localprompt.evidence.tuning import TuningPlan
from localprompt.finetune.estimate.cost import Price
from localprompt.finetune.estimate.estimate import Estimate, estimate
from localprompt.finetune.estimate.hardware import find_gpu
from localprompt.finetune.estimate.prompting import Prompting, prompting_of_shape
from localprompt.finetune.estimate.recipe import make_recipe
from localprompt.finetune.estimate.shapes import ModelShape, find_shape
from localprompt.records.evidence import Figure

TRAIN = "sentiment-train.csv"
HELD_OUT = "sentiment.csv"
PLAIN = "sentiment-plain"
SIZES = (16, 64, 256, 512)
_SECONDS = {16: 30.0, 64: 80.0, 256: 290.0, 512: 570.0}

SENTIMENT = {
    size: TuningPlan(
        name=f"sentiment-{size}",
        prompt=data.prompt(PLAIN),
        train=data.dataset(TRAIN),
        examples=size,
        epochs=2,
        seconds=_SECONDS[size],
    )
    for size in SIZES
}
_SEARCH_SECONDS = {16: 60.0, 64: 120.0, 256: 240.0, 512: 280.0}
SEARCHES = {
    size: SearchPlan(
        name=f"sentiment-{size}",
        prompt=data.prompt(PLAIN),
        train=data.dataset(TRAIN),
        examples=size,
        final=data.dataset(HELD_OUT),
        seconds=_SEARCH_SECONDS[size],
    )
    for size in SIZES
}
"""What prompting does with the examples that a tuning of the same size has."""
SMALLEST, LARGEST = SENTIMENT[SIZES[0]], SENTIMENT[SIZES[-1]]

PASSAGES = TuningPlan(
    name="passages",
    prompt=data.prompt("continue-passage"),
    train=data.dataset("passages.csv"),
    examples=None,
    epochs=6,
    seconds=170.0,
    learning_rate=1e-4,
)


CHANCE = 0.5
"""Of the reviews: two labels, equally often."""
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
