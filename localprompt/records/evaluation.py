"""The frozen records of an evaluation: what was asked for, what each case gave, what it adds up to.

An evaluation is an *experiment*, as a bench is: its plan is stored before anything runs, and each
case's result as soon as it is there. Everything that views show (:class:`EvalResult`) is derived
from those two whenever it is read.

A *target* is one model with one prompt; a *case* is one row of the dataset; a *result* is one
case answered by one target, once. Times of a case are taken while other cases run beside it in
the same batch. They say how the evaluation went and not how fast the model is, are marked as
``batched``, and are never put together with the figures of runs and benches.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from localprompt.records.cell import SamplingChoices
from localprompt.records.model import ModelRecord
from localprompt.records.model_use import ModelUse
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import (
    FinishReason,
    Machine,
    ProfileUse,
    RequestedSettings,
    Sampling,
)
from localprompt.records.score import CaseScore, Script
from localprompt.stats.paired import PassComparison, ScoreComparison
from localprompt.stats.samples import Interval

Scoring = Literal["raw", "normalized", "calibrated", "batch", "generate"]
"""How one of a closed set of answers is chosen: by the answers' log-probabilities as they are, per
byte, less those after a prompt without content, or less their mean over all cases; or by
generating what a schema or the choices allow."""


# --------------------------------------------------------------------------- the plan


class EvalRequest(msgspec.Struct, frozen=True):
    """What a user asks for: enough to plan the same evaluation again."""

    suite: str
    """A suite's file, or the name or path of a prompt with cases."""
    models: tuple[str, ...] = ()
    """As after ``-m``: names or paths, or ``PROVIDER=MODEL``; none: those of the suite."""
    cases: str | None = None
    """A file of cases instead of the prompt's own."""
    choices: tuple[str, ...] = ()
    """The closed set of answers; none: the prompt's own."""
    scoring: Scoring = "raw"
    sampling: SamplingChoices = SamplingChoices()
    settings: RequestedSettings = RequestedSettings()
    given: tuple[str, ...] = ()
    """Fields of the settings that the user typed: no profile changes those."""
    profile: str = "none"
    """A profile's name; ``default``: each model's own on this machine; ``none``: none."""
    chat_template: str | None = None
    parallel: int | None = None
    """Cases answered at once; None: as many as pay off and fit."""
    repeat: int | None = None
    """How often each case is run; None: as the suite says."""
    limit: int | None = None
    shuffle: bool = False
    """Draw the cases that ``limit`` leaves, instead of taking the first."""
    seed: int = 0
    """Of that draw."""
    failing_of: str | None = None
    """The id of an evaluation: only cases that did not pass there."""
    judge: str | None = None
    """The model that grades rubrics; None: the model that answered."""
    allow_code: bool = False
    skip_bad_rows: bool = False
    lenient: bool = False
    allow_outside: bool = False
    """Whether the suite may read outside its folder and write outside the working folder."""
    strict: bool = False
    """Keys of the suite that are not known are errors."""
    shard: tuple[int, int] | None = None
    """Only this part of so many of the cases, the first is 1; None: all."""
    cached: bool = True
    """Whether answers of earlier evaluations are taken over where nothing changed."""
    force: bool = False


class Shard(msgspec.Struct, frozen=True):
    """Which part of an evaluation this is, and what the whole is."""

    number: int
    """From 1."""
    of: int
    cases: int
    """Of all parts together."""
    cases_sha256: str
    """Of all of them."""
    results: tuple[int, ...]
    """How many the whole has, by target."""
    judge_sha256: str | None = None
    """Of the weights that grade; None: nobody does, or whoever answered."""


class EvalTarget(msgspec.Struct, frozen=True):
    """One model with one prompt."""

    model: ModelRecord
    provider: str
    """What the suite calls the model."""
    provider_id: str
    prompt: str
    """The prompt's label."""
    template: PromptTemplate
    sampling: Sampling
    results: int
    """How many the plan has: the cases that are for it, times the repetitions."""
    settings: RequestedSettings | None = None
    """What a profile made of the request's; None: those."""
    profile: ProfileUse | None = None
    transform: Script | None = None
    """What becomes of its answers before they are scored."""
    as_json: bool = False
    """Its answers are JSON values to what scores them, where they are JSON."""


class Evaluation(msgspec.Struct, frozen=True):
    """One invocation of ``eval``, as planned."""

    id: str
    """As a run's: 26 characters, sorts by time."""
    kind: Literal["eval"]
    created_at: str
    localprompt_version: str
    title: str
    """The suite's name."""
    path: str
    """The suite's file, or that of the cases."""
    description: str | None
    request: EvalRequest
    targets: tuple[EvalTarget, ...]
    cases: int
    """Chosen from the suite."""
    repeat: int
    cases_sha256: str
    """Of all chosen cases; an evaluation can only be resumed while it stays the same."""
    skipped_rows: int
    first_skipped: tuple[str, ...]
    notes: tuple[str, ...]
    machine: Machine
    shard: Shard | None = None
    """None: the whole."""

    @property
    def results(self) -> int:
        """How many results it has when it is complete."""
        return sum(target.results for target in self.targets)


# --------------------------------------------------------------------------- results


class BatchedTiming(msgspec.Struct, frozen=True):
    """One answer's times, taken while others ran beside it."""

    ttft_seconds: float | None
    """The request's turn in the batch → its first text."""
    decode_seconds: float | None
    """First token → last token."""
    total_seconds: float | None
    """The request's turn in the batch → its end."""
    parallel: int
    """At most so many ran at once."""
    batched: Literal[True] = True


class CaseResult(msgspec.Struct, frozen=True):
    """One case, answered by one target, scored."""

    target: int
    """Index into the evaluation's targets."""
    case_id: str
    case_index: int
    """Position in the suite, from 0."""
    repetition: int
    vars: dict[str, Any]
    answer: str
    score: CaseScore
    answer_key: str | None = None
    """Digest of model, tokens, sampling and grammar: equal keys have equal answers."""
    description: str | None = None
    prefix: str = ""
    suffix: str = ""
    """Jinja2 text around the prompt; with ``vars`` and the target it gives the messages again."""
    token_ids_sha256: str | None = None
    finish_reason: FinishReason | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    timing: BatchedTiming | None = None
    """None: the answer was taken over, or there is none."""
    cached: bool = False
    """The answer was taken over from an equal request."""
    expected: str | None = None
    """The one text that the answer should equal, where the case has such an assertion."""
    probabilities: dict[str, float] | None = None
    """Of each choice, where choices were scored by log-probability."""
    log_probabilities: dict[str, float] | None = None
    """Natural logarithm of each choice's probability after the prompt, before any bias."""
    greedy: tuple[str, ...] | None = None
    """The choices of which each token was the most probable one; None: choices were not scored."""
    error: str | None = None
    """Why there is no answer, as where the prompt does not fit into n_ctx."""
    machine: str | None = None
    """The hand that answered, by its name in the uses; None: the evaluation's own machine."""


# --------------------------------------------------------------------------- what it adds up to


class PassRate(msgspec.Struct, frozen=True):
    """How many results passed. Unscored ones are neither."""

    passed: int
    failed: int
    """Those without an answer included."""
    errors: int
    """Of the failed ones, those without an answer."""
    unscored: int
    interval: Interval | None
    """95 %, Wilson; where cases were repeated, by bootstrap over the cases."""

    @property
    def rate(self) -> float | None:
        scored = self.passed + self.failed
        return self.passed / scored if scored else None


class MeanScore(msgspec.Struct, frozen=True):
    """The mean over results that have a score."""

    n: int
    mean: float | None
    interval: Interval | None
    """95 %, bootstrap; None where scores do not vary."""
    unscored: int = 0


class AssertionSummary(msgspec.Struct, frozen=True):
    """One assertion type over all results."""

    type: str
    passed: int
    failed: int
    unscored: int
    score: MeanScore


class LabelScore(msgspec.Struct, frozen=True):
    label: str
    precision: float | None
    """None: it was never answered."""
    recall: float | None
    """None: it was never expected."""
    f1: float


class Calibration(msgspec.Struct, frozen=True):
    """Whether the probability of the chosen answer is how often it is right."""

    n: int
    expected_error: float
    """Expected calibration error over ten bins of equal width (Guo et al. 2017, eq. 3)."""
    bins: tuple[tuple[float, float, int], ...]
    """Mean probability, share that was right, and number of answers of each bin that has any."""


class Classification(msgspec.Struct, frozen=True):
    """Answers against a closed set of expected ones."""

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    """Row: expected; column: answered, in the order of ``labels``, then any other answer."""
    accuracy: float
    macro_f1: float
    """Mean of the labels' F1; a label that was neither expected nor answered is left out."""
    scores: tuple[LabelScore, ...]
    calibration: Calibration | None = None


class RepeatedCase(msgspec.Struct, frozen=True):
    """One case over its repetitions."""

    case_id: str
    passed: int
    scored: int
    """Repetitions that passed or failed; at least one."""
    answers: int
    """Different answers among all repetitions."""

    @property
    def flips(self) -> bool:
        """Whether some of its repetitions passed and some failed."""
        return 0 < self.passed < self.scored

    @property
    def consistency(self) -> float:
        """Share of the repetitions that ended as most of them did; from 0.5 to 1."""
        return max(self.passed, self.scored - self.passed) / self.scored


class Repeated(msgspec.Struct, frozen=True):
    """What repetitions say of a target: whether it passes a case always, or only sometimes."""

    repetitions: int
    pass_power: tuple[float, ...]
    """pass^1, pass^2, …: the probability that so many tries at a case, drawn from its repetitions,
    all pass; the mean over the cases (Yao et al. 2024, arXiv 2406.12045)."""
    flipping: float
    """Share of the cases of which some repetitions pass and some fail."""
    consistency: float
    """Mean over the cases."""
    cases: tuple[RepeatedCase, ...]


class TargetSummary(msgspec.Struct, frozen=True):
    """What one target's results add up to."""

    target: EvalTarget
    done: int
    cached: int
    passes: PassRate
    score: MeanScore
    metrics: dict[str, MeanScore]
    """By metric: the mean of the cases' means."""
    assertions: tuple[AssertionSummary, ...]
    classification: Classification | None
    prompt_tokens: int
    completion_tokens: int
    ttft_seconds: float | None
    """Median, batched; None where every answer was taken over."""
    batch_bias: dict[str, float] | None = None
    """What would take the model's habit over these cases out of closed answers; a prompt file
    may have it as ``metadata.localprompt.bias``. None: choices were not scored."""
    near_ties: int = 0
    """Choices whose two best are closer than batches and neighbours move them."""
    only_answer: str | None = None
    """The label that every case was answered with, where cases expect several; None: there is
    none."""
    repeated: Repeated | None = None
    """None: nothing was repeated."""


# --------------------------------------------------------------------------- comparisons


class Flip(msgspec.Struct, frozen=True):
    """A case that passed on one side only."""

    case_id: str
    repaired: bool
    """True: B passed it and A did not."""
    vars: dict[str, Any]
    answer_a: str
    answer_b: str
    reason_a: str
    reason_b: str


class TargetComparison(msgspec.Struct, frozen=True):
    """One target of A and one of B, paired by case."""

    a: EvalTarget
    b: EvalTarget
    paired: int
    only_in_a: int
    only_in_b: int
    unscored: int
    """Paired cases that one side could not score; left out."""
    passes: PassComparison | None
    """None: no case could be paired and scored."""
    score: ScoreComparison | None
    """None where scores are only 0 and 1 and say what ``passes`` says, or where there are none."""
    metrics: dict[str, ScoreComparison]
    adjusted: dict[str, float]
    """p-values after Holm, over all tests of this comparison; ``pass``, ``score``, and metrics
    as ``metric NAME``."""
    cases_needed: int | None
    """So many cases would show the observed difference of pass rates with 80 % power; None where
    none was observed, or it is shown already."""
    flips: tuple[Flip, ...]
    """The first of them, as many as views may show."""


class EvalResult(msgspec.Struct, frozen=True):
    """An evaluation as views show it, without its cases, which are streamed beside it."""

    evaluation: Evaluation
    targets: tuple[TargetSummary, ...]
    uses: tuple[ModelUse, ...]
    pairs: tuple[TargetComparison, ...] = ()
    """Every two targets, paired case by case, their p-values adjusted for each other; none where
    there is one target, or more cases than are compared without being asked."""

    @property
    def complete(self) -> bool:
        """False: some results are still missing; ``--resume`` makes them."""
        return all(summary.done >= summary.target.results for summary in self.targets)


class EvalComparison(msgspec.Struct, frozen=True):
    """Two evaluations, target by target."""

    a: Evaluation
    b: Evaluation
    pairs: tuple[TargetComparison, ...]
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    tests: int
    """How many p-values were adjusted for each other."""
