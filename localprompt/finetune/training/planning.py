"""What will be trained on what; everything that can be wrong is found before anything starts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import msgspec

from localprompt import paths
from localprompt.engine.llama.training import trainable_parameters
from localprompt.engine.windows import Window
from localprompt.errors import InputError
from localprompt.files import check_free_disk
from localprompt.finetune.estimate.estimate import estimate
from localprompt.finetune.estimate.recipe import make_recipe
from localprompt.finetune.estimate.shapes import check_parameters, shape_from_gguf_metadata
from localprompt.finetune.training import examples as example_rows
from localprompt.finetune.training.pack import context_for, digest, windows
from localprompt.finetune.training.support import check_trainable
from localprompt.gguf.header import GgufFile
from localprompt.gguf.splits import read_model
from localprompt.measure import machine, memory
from localprompt.models.cards import ModelCard, read_catalog
from localprompt.models.checksum import sha256_of
from localprompt.models.inspect import ModelInfo, describe
from localprompt.models.ownership import check_may_be_replaced
from localprompt.models.resolve import ResolvedModel, resolve
from localprompt.models.store import name_from
from localprompt.records.model import NAME_PATTERN, Licence, ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.records.training import EstimateBeside, Examples, TrainingRequest
from localprompt.sources.prompt.search import load_named_prompt
from localprompt.stats.ranges import Range
from localprompt.units import format_bytes

_LONGEST_NAME = 100
_KEPT_FREE_BYTES = 256 << 20
_BYTES_PER_PARAMETER = 16
"""Weights, gradients, two moments: what is certain where nothing else can be estimated."""


class Plan(msgspec.Struct, frozen=True):
    """A training, checked and not begun."""

    request: TrainingRequest
    name: str
    """Of the tuned model in its parent's quantization."""
    full_name: str
    """Of the tuned model as 32-bit floats; the same where the parent is that."""
    parent: ModelRecord
    card: ModelCard
    """The parent's; made up from the file where none describes it, and not written anywhere."""
    head: GgufFile
    """Of the parent."""
    template: PromptTemplate
    train: tuple[Window, ...]
    holdout: tuple[Window, ...]
    examples: Examples
    n_ctx: int
    n_threads: int
    trained_parameters: int
    estimate: EstimateBeside | None
    fingerprint: dict[str, str]

    @property
    def parent_is_full(self) -> bool:
        """Whether the parent can be trained as it is."""
        return self.parent.quantization == "F32"


def plan(request: TrainingRequest) -> Plan:
    """Check that a training can be done.

    Raises:
        InputError: a number is out of its range, the name is taken, or llama.cpp cannot train
            models built like this one.
        DatasetError: as :func:`localprompt.finetune.training.examples.read_examples`; all
            examples have one answer; one is longer than the context.
        UnknownNameError, ModelMissingError, ModelFileError, PromptFileError: what is named is not
            there or damaged.
        NotEnoughMemoryError, NotEnoughDiskError: it would not fit; with the figures.
    """
    _check_numbers(request)
    resolved, template = resolve(request.model), load_named_prompt(request.prompt)
    head = read_model(resolved.path)
    info = describe(head)
    check_trainable(info, resolved.name)
    name = request.name or f"{resolved.name}-tuned-{name_from(Path(template.name))}"[:_LONGEST_NAME]
    full_name = name if info.file_type == "F32" else f"{name}-f32"
    _check_names(request, (name, full_name))
    rows = _Rows(request, resolved.path, template, info)
    beside = _estimate(head, info, resolved.name, rows.n_ctx)
    sha256 = sha256_of(resolved.path)
    made = Plan(
        request=request,
        name=name,
        full_name=full_name,
        parent=ModelRecord(
            name=resolved.name,
            path=str(resolved.path),
            sha256=sha256,
            architecture=info.architecture,
            quantization=info.file_type,
            parameters=info.parameters,
            size_bytes=info.size_bytes,
        ),
        card=_card(resolved, info, sha256),
        head=head,
        template=template,
        train=rows.train,
        holdout=rows.holdout,
        examples=rows.summary,
        n_ctx=rows.n_ctx,
        n_threads=request.n_threads or machine.default_threads(),
        trained_parameters=trainable_parameters(resolved.path),
        estimate=beside,
        fingerprint={"parent": sha256, "examples": rows.summary.sha256},
    )
    if not request.force:
        _check_memory(made, info)
    _check_disk(made, info)
    return made


class _Rows:
    """The examples of a request, read, divided and packed."""

    def __init__(
        self, request: TrainingRequest, path: Path, template: PromptTemplate, info: ModelInfo
    ) -> None:
        from localprompt.engine.llama.engine import LlamaEngine

        source = Path(request.train)
        with LlamaEngine(path, vocab_only=True) as engine:
            train = example_rows.read_examples(source, template, engine)
            held = (
                example_rows.read_examples(Path(request.holdout), template, engine)
                if request.holdout
                else []
            )
            filling = engine.end_id
        if not request.holdout:
            count = round(request.holdout_fraction * len(train))
            held, train = example_rows.evenly(train, count, request.seed)
        wanted = len(train) if request.limit is None else request.limit
        train, _ = example_rows.evenly(train, wanted, request.seed)
        example_rows.check_answers(train, source)
        self.n_ctx = context_for([*train, *held], request.n_ctx, info.n_ctx_train)
        self.train = tuple(windows(train, self.n_ctx, request.loss, filling))
        self.holdout = tuple(windows(held, self.n_ctx, request.loss, filling))
        self.summary = Examples(
            trained=len(train),
            held_out=len(held),
            tokens=sum(len(example.token_ids) for example in train),
            counted_tokens=sum(sum(window.counted) for window in self.train),
            longest_tokens=max(len(example.token_ids) for example in train),
            windows=len(self.train),
            sha256=digest(self.train, self.holdout),
        )


def _check_numbers(request: TrainingRequest) -> None:
    wrong = (
        ("--epochs", request.epochs >= 1, "at least 1", request.epochs),
        (
            "--learning-rate",
            0 < request.learning_rate < 1,
            "above 0, below 1",
            request.learning_rate,
        ),
        ("--warmup", 0 <= request.warmup <= 1, "0 to 1", request.warmup),
        ("--weight-decay", 0 <= request.weight_decay <= 1, "0 to 1", request.weight_decay),
        ("--holdout", 0 <= request.holdout_fraction < 1, "a file, or 0 to below 1", None),
        ("--limit", request.limit is None or request.limit >= 2, "at least 2", request.limit),
        ("--max-minutes", (request.max_minutes or 1) > 0, "above 0", request.max_minutes),
    )
    for flag, is_right, expected, found in wrong:
        if not is_right:
            raise InputError(
                "this number is out of range",
                where=flag,
                expected=expected,
                found=None if found is None else str(found),
            )
    if request.resume and request.again:
        raise InputError(
            "either continue or start over", where="--resume and --again", expected="one of them"
        )


def _check_names(request: TrainingRequest, names: tuple[str, str]) -> None:
    catalog = read_catalog()
    for name in dict.fromkeys(names):
        if not re.match(NAME_PATTERN, name):
            raise InputError(
                "not a valid name for a model",
                where="--as",
                expected="lower-case letters, digits, dots, dashes and underscores; at most 96",
                found=name,
            )
        taken = catalog.find(name)
        target = paths.weights_folder() / f"{name}.gguf"
        if taken is None:
            check_may_be_replaced(target, name, way_out="another name with --as")
            continue
        if taken.weights != target or taken.sources or taken.parent_sha256 is None:
            raise InputError(
                f"another model is already called {name}",
                where=str(taken.weights),
                next_step="another name with --as",
            )
        if target.exists() and not (request.again or request.resume):
            raise InputError(
                f"{name} exists already",
                where=str(target),
                next_step="another name with --as, or --again to train it again",
            )
        check_may_be_replaced(target, name, way_out="another name with --as")


def _estimate(head: GgufFile, info: ModelInfo, name: str, n_ctx: int) -> EstimateBeside | None:
    """What ``finetune estimate`` says; None where it says nothing."""
    try:
        shape = shape_from_gguf_metadata(
            head.metadata, name=name, vocab=info.n_vocab, tied_embeddings=info.tied_embeddings
        )
        check_parameters(shape, info.parameters)
    except InputError:
        return None
    recipe = make_recipe("cpu-llama.cpp", sequence_tokens=n_ctx, micro_batch=1, accumulation=1)
    found = estimate(shape, recipe).memory
    return EstimateBeside(
        kind="estimated",
        peak_bytes=found.total_bytes,
        parts={
            "weights": found.weights_bytes,
            "gradients": found.gradients_bytes,
            "optimizer": found.optimizer_bytes,
            "activations": found.activations_bytes,
            "logits": found.logits_bytes,
            "overhead": found.overhead_bytes,
        },
    )


def memory_needed(plan: Plan, info: ModelInfo) -> Range:
    """Peak RSS of the training process, estimated."""
    if plan.estimate is not None:
        return plan.estimate.peak_bytes
    certain = float(_BYTES_PER_PARAMETER * info.parameters)
    return Range(certain, certain, 2 * certain)


def _check_memory(plan: Plan, info: ModelInfo) -> None:
    needed = memory_needed(plan, info)
    memory.require(
        needed.typical,
        f"not enough free memory to train {plan.parent.name}",
        where=f"--n-ctx {plan.n_ctx}",
        detail=f"{format_bytes(needed.low)} to {format_bytes(needed.high)}",
        kept_bytes=0,  # the upper end of the range says more than a reserve
        next_step="end other programs, shorten the examples, or --force; prompting it takes far "
        f"less: localprompt models show {shlex.quote(plan.request.model)}",
    )


def _check_disk(plan: Plan, info: ModelInfo) -> None:
    # The untrained floats, a checkpoint and its successor; then the floats and their child.
    full = 4 * info.parameters + plan.head.data_offset
    needed = 3 * full + info.size_bytes + _KEPT_FREE_BYTES
    check_free_disk(paths.home(), needed, f"training {plan.parent.name}", estimated=True)


def _card(resolved: ResolvedModel, info: ModelInfo, sha256: str) -> ModelCard:
    if resolved.card is not None:
        return resolved.card
    name = name_from(resolved.path)
    return ModelCard(
        name=name,
        file=f"{name}.gguf",
        sha256=sha256,
        size_bytes=info.size_bytes,
        licence=Licence(name=info.licence or "unknown"),
        path=str(resolved.path),
    )
