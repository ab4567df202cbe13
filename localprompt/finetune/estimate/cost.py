"""Time and money of training, as ranges.

Time is FLOPs over what the GPUs achieve. FLOPs per token: 6·P for full training, 4·P where the
weights stay as they are and need no gradients of their own, 2·P more where activations are
computed again; and the attention's scores, which P does not count (Chowdhery et al., PaLM,
arXiv 2204.02311, appendix B: 12·L·d·s, halved because later tokens are masked).

Published runs achieve 20 to 55 % of the peak, and less with micro batches of few tokens, which
leave the GPU waiting: the low end falls in proportion below 1,024 tokens, the typical value with
its square root. Money is GPU-hours times the spread of dated prices; the table that ships can be
replaced by one's own file with the same columns.
"""

from __future__ import annotations

import csv
import io
import statistics
from pathlib import Path

import msgspec

from localprompt import doors
from localprompt.errors import InputError, UnknownNameError
from localprompt.finetune.estimate.hardware import Gpu, find_gpu
from localprompt.finetune.estimate.recipe import Recipe
from localprompt.finetune.estimate.shapes import ModelShape
from localprompt.paths import search_path
from localprompt.stats.ranges import Range

_ACHIEVED = Range(0.20, 0.40, 0.55)
_FULL_TOKENS = 1024
# 32-bit products run as TF32, at half the 16-bit rate (A100: 156 and 312 TFLOPS). A T4 has no TF32
# and is slower than this says.
_TF32 = 0.5
_COLUMNS = ("gpu", "provider", "usd_per_gpu_hour", "read_on", "source")


class Price(msgspec.Struct, frozen=True):
    """One offer, as it was read on a day."""

    gpu: str
    """By the name that ``hardware`` has for it."""
    provider: str
    usd_per_gpu_hour: float
    read_on: str
    source: str


class CostEstimate(msgspec.Struct, frozen=True):
    """What training on a number of tokens takes on one kind of GPU."""

    gpu: str
    gpus: int
    tokens: int
    """Tokens trained on, all epochs together."""
    flops: float
    achieved: Range
    """Fraction of the GPUs' peak."""
    seconds: Range
    usd: Range | None
    """None: no price of this GPU is known."""
    prices: tuple[Price, ...]


def training_flops(shape: ModelShape, recipe: Recipe, tokens: int) -> float:
    """FLOPs of training on ``tokens`` tokens in sequences of the recipe's length."""
    passes = (4 if recipe.trains_adapter else 6) + (2 if recipe.recompute else 0)
    scores = shape.layers * shape.attention_width * recipe.sequence_tokens
    return float(passes * tokens * (shape.parameters + scores))


def achieved_fraction(recipe: Recipe) -> Range:
    """The share of the 16-bit peak that training reaches."""
    filled = min(1.0, recipe.micro_batch_tokens / _FULL_TOKENS)
    typical = max(_ACHIEVED.typical * filled**0.5, 0.01)
    achieved = Range(_ACHIEVED.low * filled, typical, _ACHIEVED.high)
    return achieved * _TF32 if recipe.method == "full-fp32" else achieved


def estimate_cost(
    shape: ModelShape,
    recipe: Recipe,
    gpu: Gpu,
    *,
    tokens: int,
    prices: tuple[Price, ...] | None = None,
) -> CostEstimate:
    """Time on ``recipe.gpus`` GPUs, and money if ``prices`` have this kind of GPU.

    Raises:
        InputError: no tokens, or a method that does not run on a GPU.
    """
    if tokens < 1:
        raise InputError("training needs at least one token", where="tokens", found=str(tokens))
    if recipe.method == "cpu-llama.cpp":
        raise InputError("this method trains on the CPU", where="gpu", expected="no GPU")
    flops = training_flops(shape, recipe, tokens)
    achieved = achieved_fraction(recipe)
    at_peak = flops / (gpu.peak_flops_per_second * recipe.gpus)
    seconds = Range(at_peak / achieved.high, at_peak / achieved.typical, at_peak / achieved.low)
    offers = () if prices is None else prices_of(gpu, prices)
    return CostEstimate(
        gpu=gpu.name,
        gpus=recipe.gpus,
        tokens=tokens,
        flops=flops,
        achieved=achieved,
        seconds=seconds,
        usd=_money(seconds, recipe.gpus, offers) if offers else None,
        prices=offers,
    )


def prices_of(gpu: Gpu, prices: tuple[Price, ...]) -> tuple[Price, ...]:
    """The offers for one GPU; none where the table has none."""
    return tuple(price for price in prices if price.gpu == gpu.name)


def read_prices(path: Path | None = None) -> tuple[Price, ...]:
    """The price table at ``path``; by default the first ``benchmarks/finetune/gpu_prices.csv`` of
    the working directory, ``$LOCALPROMPT_HOME`` and what the package ships.

    Raises:
        InputError: no such file, no rows, a missing column, or a price that is not positive.
        UnknownNameError: a GPU whose peak is not known; the error lists those that are.
    """
    if path is None:
        places = [folder / "finetune" / "gpu_prices.csv" for folder in search_path("benchmarks")]
        path = next((place for place in places if doors.is_file(place)), places[-1])
    try:
        text = doors.read_bytes(path, doors.MOST_SMALL_BYTES).decode("utf-8")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _no_table(path, str(error)) from error
    if not rows:
        raise _no_table(path, "no rows")
    return tuple(_price(row, f"{path}:{number}") for number, row in enumerate(rows, start=2))


def _no_table(path: Path, found: str) -> InputError:
    return InputError(
        "the price table cannot be read",
        where=str(path),
        expected=f"a csv file (UTF-8) with the columns {', '.join(_COLUMNS)}",
        found=found,
    )


def _price(row: dict[str, str], where: str) -> Price:
    missing = [column for column in _COLUMNS if not row.get(column)]
    if missing:
        raise InputError(
            "a price is incomplete",
            where=where,
            expected=f"the columns {', '.join(_COLUMNS)}",
            found=f"nothing in {', '.join(missing)}",
        )
    try:
        usd = float(row["usd_per_gpu_hour"])
    except ValueError:
        usd = 0.0
    if not 0 < usd < float("inf"):
        raise InputError(
            "a price is not an amount of money",
            where=where,
            expected="US dollars per GPU and hour",
            found=row["usd_per_gpu_hour"],
        )
    try:
        gpu = find_gpu(row["gpu"])
    except UnknownNameError as error:
        error.where = where
        raise
    return Price(gpu.name, row["provider"], usd, row["read_on"], row["source"])


def _money(seconds: Range, gpus: int, offers: tuple[Price, ...]) -> Range:
    hourly = [offer.usd_per_gpu_hour for offer in offers]
    hours = seconds * (gpus / 3600)
    return Range(
        hours.low * min(hourly),
        hours.typical * statistics.median(hourly),
        hours.high * max(hourly),
    )
