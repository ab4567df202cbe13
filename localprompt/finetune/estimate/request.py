"""From what ``finetune estimate`` is asked for to what is estimated.

Everything that can be wrong about it is said in the words of the command line; settings that would
change nothing are refused, because whoever gave them expected something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from localprompt.errors import InputError, ModelMissingError, UnknownNameError
from localprompt.units import parse_list

if TYPE_CHECKING:
    from localprompt.finetune.estimate.cost import Price
    from localprompt.finetune.estimate.hardware import Gpu
    from localprompt.finetune.estimate.prompting import SideBySide
    from localprompt.finetune.estimate.recipe import Recipe
    from localprompt.finetune.estimate.shapes import ModelShape
    from localprompt.models.inspect import ModelInfo

CPU_METHOD = "cpu-llama.cpp"
ASSUMED_TOKENS = 1_000_000
"""For time and money where the tokens are not said: a round amount that is easily scaled."""

MOST_TOKENS = 10**15
"""More than that is a typing error."""

_FLAGS = {
    "sequence_tokens": "--seq",
    "micro_batch": "--batch",
    "accumulation": "--accumulation",
    "gpus": "--gpus",
    "rank": "--rank",
    "target": "--targets",
    "targets": "--targets",
    "quantization": "--quantization",
    "stack": "--stack",
    "method": "--method",
    "gpu": "--gpu",
    "shape": "--shape",
    "tokens": "--tokens",
}
"""What a setting is called in ``localprompt.finetune`` → on the command line."""

_COUNT = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmb]?)", re.IGNORECASE | re.ASCII)
_MULTIPLES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


class EstimateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be estimated; each field as the option of its name."""

    shape: str | None = None
    method: str | None = None
    """A comma-separated list; None: what fits the stack and the place of the weights."""
    stack: str = "trainer"
    seq: int = 512
    """Tokens of one training example."""
    batch: int = 1
    """Examples in one pass on one GPU."""
    accumulation: int = 8
    gpus: int = 1
    sharded: bool | None = None
    recompute: bool | None = None
    rank: int | None = None
    targets: str | None = None
    quantization: str | None = None
    gpu: str | None = None
    tokens: str | None = None
    """As people write it: ``250k``, ``1.5M``; epochs included."""
    prices: Path | None = None


@contextmanager
def _named_as_flags() -> Iterator[None]:
    """Errors about settings say where on the command line they are."""
    try:
        yield
    except InputError as error:
        if error.where in _FLAGS:
            error.where = _FLAGS[error.where]
            error.next_step = error.next_step or "localprompt finetune estimate --help"
        raise


@_named_as_flags()
def side_by_side(model: str | None, request: EstimateRequest) -> SideBySide:
    """Estimate what was asked for.

    Args:
        model: a name or path; None where ``request.shape`` is given.

    Raises:
        InputError: a flag that is wrong, or that would change nothing.
        UnknownNameError, ModelMissingError, ModelFileError: there is no such model.
    """
    from localprompt.finetune.estimate.estimate import estimate as estimate_training
    from localprompt.finetune.estimate.prompting import (
        SideBySide,
        prompting_of_file,
        prompting_of_shape,
    )
    from localprompt.finetune.estimate.shapes import find_shape

    if (model is None) == (request.shape is None):
        raise InputError(
            "say what to estimate: a model or a shape",
            where="NAME and --shape",
            expected="one of them",
            found="none" if model is None else "both",
            next_step="localprompt finetune estimate --shape list",
        )
    if model is not None:
        shape, info = _shape_of_file(model)
        prompting = prompting_of_file(info, shape.name, n_ctx=request.seq)
    else:
        shape = find_shape(str(request.shape))
        prompting = prompting_of_shape(shape, n_ctx=request.seq)
    recipes = _recipes(request, is_here=model is not None)
    tokens, gpus, prices = _asked_for_costs(request)
    return SideBySide(
        kind="estimated",
        shape=shape,
        prompting=prompting,
        training=tuple(
            estimate_training(
                shape,
                recipe,
                tokens=tokens,
                gpus=() if recipe.method == CPU_METHOD else gpus,
                prices=prices,
            )
            for recipe in recipes
        ),
    )


def _shape_of_file(model: str) -> tuple[ModelShape, ModelInfo]:
    """A model's shape from its header.

    Raises:
        UnknownNameError, ModelMissingError: as ``resolve``; with the shape of that name, if any.
        InputError: the header describes no dense decoder.
    """
    from localprompt.finetune.estimate.shapes import check_parameters, shape_from_gguf_metadata
    from localprompt.gguf.splits import read_model
    from localprompt.models.inspect import describe
    from localprompt.models.resolve import resolve

    try:
        found = resolve(model)
    except (UnknownNameError, ModelMissingError) as error:
        _suggest_shape(error, model)
        raise
    head = read_model(found.path)
    info = describe(head)
    try:
        shape = shape_from_gguf_metadata(
            head.metadata,
            name=found.name,
            vocab=info.n_vocab,
            tied_embeddings=info.tied_embeddings,
        )
        check_parameters(shape, info.parameters)
    except InputError as error:
        error.where = f"{found.path}: {error.where}"
        raise
    return shape, info


def _suggest_shape(error: UnknownNameError | ModelMissingError, model: str) -> None:
    """Weights that are not here need not be: the shape of that name will do."""
    from localprompt.finetune.estimate.shapes import find_shape

    try:
        shape = find_shape(model)
    except UnknownNameError:
        return
    pull = f"{error.next_step}, or " if isinstance(error, ModelMissingError) else ""
    error.next_step = f"{pull}localprompt finetune estimate --shape {shape.name}"


def _recipes(request: EstimateRequest, *, is_here: bool) -> tuple[Recipe, ...]:
    """One recipe for each method, each once; ``full`` is what the stack makes of it."""
    from localprompt.finetune.estimate.recipe import make_recipe

    names = _methods(request.method) if request.method is not None else ["full", "lora", "qlora"]
    if request.method is None and is_here and request.gpus == 1:
        names.append(CPU_METHOD)
    targets = None if request.targets is None else parse_list(request.targets)
    recipes = {}
    for name in names:
        recipe = make_recipe(
            name,
            stack=request.stack,
            sequence_tokens=request.seq,
            micro_batch=request.batch,
            accumulation=request.accumulation,
            gpus=request.gpus,
            sharded=request.sharded,
            recompute=request.recompute,
            rank=request.rank,
            targets=cast("Any", targets),
            quantization=cast("Any", request.quantization),
        )
        recipes[recipe.method] = recipe
    _refuse_idle_flags(request, tuple(recipes.values()))
    return tuple(recipes.values())


def _refuse_idle_flags(request: EstimateRequest, recipes: tuple[Recipe, ...]) -> None:
    """A flag that would change nothing is a misunderstanding.

    Raises:
        InputError: such a flag.
    """
    methods = ", ".join(recipe.method for recipe in recipes)
    on_gpu = any(recipe.method != CPU_METHOD for recipe in recipes)
    adapts = any(recipe.trains_adapter for recipe in recipes)
    asked = request.gpu or request.tokens or request.prices
    idle = (
        ("--sharded", request.sharded and request.gpus == 1, "several GPUs: --gpus", "1 GPU"),
        ("--rank", request.rank and not adapts, "lora or qlora among the methods", methods),
        ("--targets", request.targets and not adapts, "lora or qlora among the methods", methods),
        (
            "--quantization",
            request.quantization and all(recipe.method != "qlora" for recipe in recipes),
            "qlora among the methods",
            methods,
        ),
        ("--recompute", request.recompute and not on_gpu, "a method that trains on a GPU", methods),
        (
            "--gpu, --tokens, --prices",
            asked and not on_gpu,
            "a method that trains on a GPU; time on this CPU is not estimated",
            methods,
        ),
    )
    for flag, is_idle, expected, found in idle:
        if is_idle:
            raise InputError(
                "this option would have no effect", where=flag, expected=expected, found=found
            )


def _asked_for_costs(
    request: EstimateRequest,
) -> tuple[int | None, tuple[Gpu, ...], tuple[Price, ...] | None]:
    """Tokens, GPUs and prices; None and empty where neither time nor money was asked for.

    Tokens or prices alone ask for the GPUs that have a price.
    """
    if request.gpu is None and request.tokens is None and request.prices is None:
        return None, (), None
    from localprompt.finetune.estimate.cost import read_prices
    from localprompt.finetune.estimate.hardware import find_gpu, known_gpus

    tokens = ASSUMED_TOKENS if request.tokens is None else _count("--tokens", request.tokens)
    prices = read_prices(request.prices)
    if request.gpu is None:
        names = list(dict.fromkeys(price.gpu for price in prices))
    else:
        names = list(known_gpus() if request.gpu == "all" else parse_list(request.gpu))
    gpus = dict.fromkeys(find_gpu(name) for name in names)
    return tokens, tuple(gpus), prices


def _methods(text: str) -> list[str]:
    """
    Raises:
        InputError: the list is empty.
    """
    if names := parse_list(text):
        return list(names)
    raise InputError("no method of training", where="--method", expected="as full,lora,qlora")


def _count(option: str, text: str) -> int:
    """``250000``, ``250k`` or ``1.5M``; at least 1."""
    match = _COUNT.fullmatch(text.strip().replace("_", "").replace(",", ""))
    count = round(float(match[1]) * _MULTIPLES[match[2].lower()]) if match else 0
    if not 1 <= count <= MOST_TOKENS:
        raise InputError(
            "not a number of tokens", where=option, expected="250000, 250k or 1.5M", found=text
        )
    return count
