"""An evaluation, carried out: every case answered, scored and kept.

Models one after the other, each with all its prompts; results are stored as they come, at most
half a second later, so that a kill loses no more than that. Everything runs in this process: the
work is one long batch, which a worker process would only feed through a pipe (see
docs/decisions).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

import msgspec

from localprompt.assemble import model_record
from localprompt.evaluate.answering import Answered, Prepared, answers, prepare
from localprompt.evaluate.floor import Work, measure_floor
from localprompt.evaluate.judge import LocalJudge
from localprompt.evaluate.models import Models, OpenModel
from localprompt.evaluate.planning import FindModel, Planned
from localprompt.evaluations import CaseResult, EvalTarget, ModelUse
from localprompt.records import ModelRecord
from localprompt.scoring.aggregate import with_comparison
from localprompt.scoring.expectations import (
    Answer,
    CaseScore,
    Expectation,
    ExpectationSet,
    Judge,
)
from localprompt.scoring.score import COMPARISON, score_case, score_comparison
from localprompt.sources.suite_records import EvalCase
from localprompt.store.evaluations import EvaluationStore

CHUNK = 256
"""Cases prepared at once. Sequences run empty only at the end of each chunk."""
_SECONDS_BETWEEN_SAVES = 0.5

T = TypeVar("T")


class EvalProgress(msgspec.Struct, frozen=True):
    """Where an evaluation stands."""

    doing: str
    """What it is at: ``smollm2-135m, classify``."""
    done: int
    """Results that are there, those of an earlier part included."""
    total: int
    passed: int
    scored: int
    """Of those made by this process, how many passed or failed."""
    cached: int


OnProgress = Callable[[EvalProgress], None]


def run_evaluation(
    planned: Planned,
    store: EvaluationStore,
    models: Models,
    *,
    on_progress: OnProgress = lambda _: None,
    find_model: FindModel = model_record,
) -> None:
    """Make every result that is not there yet.

    Args:
        store: where the evaluation has been begun; results of earlier parts are left as they are.
        models: opens the models, and is not closed here.

    Raises:
        LocalPromptError: a model cannot be opened or fails, or the history cannot be written;
            what was stored before stays.
    """
    run = _Run(planned, store, models, on_progress, find_model)
    by_model: dict[str, list[int]] = {}
    for index, target in enumerate(planned.evaluation.targets):
        by_model.setdefault(target.model.path, []).append(index)
    try:
        for targets in by_model.values():
            run.model(targets)
        if any(has_comparison(case) for case in planned.selection.of(planned.suite.cases())):
            run.compare()
    finally:
        run.save()


def has_comparison(case: EvalCase) -> bool:
    return any(isinstance(e, Expectation) and e.type == COMPARISON for e in case.expectations)


class _Run:
    """What is under way."""

    def __init__(
        self,
        planned: Planned,
        store: EvaluationStore,
        models: Models,
        on_progress: OnProgress,
        find_model: FindModel,
    ) -> None:
        self._planned = planned
        self._evaluation = planned.evaluation
        self._request = planned.evaluation.request
        self._store = store
        self._models = models
        self._on_progress = on_progress
        self._find_model = find_model
        self._unsaved: list[CaseResult] = []
        self._saved_at = time.monotonic()
        self._done = sum(
            len(store.done(self._evaluation.id, index))
            for index in range(len(self._evaluation.targets))
        )
        self._passed = self._scored = self._cached = 0
        self._answer_seconds = 0.0

    def model(self, targets: list[int]) -> None:
        """All cases of the targets that one model answers."""
        pending = [
            (index, done)
            for index in targets
            if len(done := self._store.done(self._evaluation.id, index))
            < self._evaluation.targets[index].results
        ]
        if not pending:
            return
        model = self._evaluation.targets[targets[0]].model
        opened = self._models.get(model, self._request)
        judge, shared = self._judge(opened)
        cached_before, self._answer_seconds = self._cached, 0.0
        work: list[Work] = []
        last: tuple[int, ...] = ()
        started = time.perf_counter()
        for index, done in pending:
            work.append(Work())
            for chunk in _chunks(self._items(index, done), CHUNK):
                used = self._chunk(index, chunk, opened, judge, shared, work[-1])
                last = used or last
        self.save()
        wall = time.perf_counter() - started
        use = ModelUse(
            model=model.name,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            parallel=opened.parallel,
            answered=sum(counted.answers for counted in work),
            cached=self._cached - cached_before,
            load_seconds=opened.load_seconds,
            wall_seconds=wall,
            answer_seconds=self._answer_seconds,
            settings=opened.settings(),
            memory=opened.memory(),
            floor=measure_floor(work, last, opened) if last else None,
        )
        self._store.add_use(self._evaluation.id, use)

    def _items(self, index: int, done: set[tuple[int, int]]) -> Iterator[tuple[EvalCase, int]]:
        """Cases and repetitions of a target that have no result yet."""
        for case in self._planned.cases(self._evaluation.targets[index]):
            for repetition in range(self._evaluation.repeat):
                if (case.index, repetition) not in done:
                    yield case, repetition

    def _chunk(
        self,
        index: int,
        items: list[tuple[EvalCase, int]],
        opened: OpenModel,
        judge: Judge | None,
        shared: bool,
        work: Work,
    ) -> tuple[int, ...]:
        """Answer, score and keep some cases; the token ids of one that was answered."""
        target = self._evaluation.targets[index]
        fresh: dict[str, Prepared] = {}
        later: list[Prepared] = []
        for case, repetition in items:
            prepared = prepare(case, repetition, target, self._request, opened)
            if prepared.error is not None:
                self._keep(_failed(index, prepared))
            elif (known := self._known(prepared)) is not None:
                self._keep(self._result(index, prepared, known, judge))
            elif self._request.cached and prepared.key in fresh:
                later.append(prepared)
            else:
                fresh[prepared.key or str(len(fresh))] = prepared
        made: dict[str | None, Answered] = {}
        last: tuple[int, ...] = ()
        started = time.perf_counter()
        stream = answers(list(fresh.values()), opened)
        # A judge that is the same model can only be asked when the batch is through.
        for prepared, answered in list(stream) if shared else stream:
            if prepared.request is not None:
                last = prepared.request.token_ids
                work.add(last, answered.completion_tokens)
            made[prepared.key] = answered
            self._keep(self._result(index, prepared, answered, judge))
        self._answer_seconds += time.perf_counter() - started
        for prepared in later:
            known = msgspec.structs.replace(made[prepared.key], timing=None)
            self._keep(self._result(index, prepared, known, judge))
        return last

    def _known(self, prepared: Prepared) -> Answered | None:
        """The answer that an equal request had before; its latency is not this one's."""
        if not self._request.cached or prepared.key is None or _needs_time(prepared.case):
            return None
        earlier = self._store.answer(prepared.key)
        if earlier is None or earlier.finish_reason is None or earlier.completion_tokens is None:
            return None
        return Answered(
            earlier.answer,
            earlier.finish_reason,
            earlier.completion_tokens,
            timing=None,
            probabilities=earlier.probabilities,
        )

    def _result(
        self, index: int, prepared: Prepared, answered: Answered, judge: Judge | None
    ) -> CaseResult:
        case, timing = prepared.case, answered.timing
        answer = Answer(
            text=answered.text,
            finish_reason=answered.finish_reason,
            latency_seconds=timing.total_seconds if timing else None,
            prompt=prepared.text,
            vars=case.vars,
        )
        score = score_case(
            answer,
            case.expectations,
            case.threshold,
            judge=judge,
            allow_code=self._request.allow_code,
        )
        return CaseResult(
            target=index,
            case_id=case.id,
            case_index=case.index,
            repetition=prepared.repetition,
            vars=case.vars,
            answer=answered.text,
            score=score,
            answer_key=prepared.key,
            description=case.description,
            prefix=case.prefix,
            suffix=case.suffix,
            token_ids_sha256=prepared.token_ids_sha256,
            finish_reason=answered.finish_reason,
            prompt_tokens=len(prepared.request.token_ids) if prepared.request else None,
            completion_tokens=answered.completion_tokens,
            timing=timing,
            cached=timing is None,
            expected=_expected(case),
            probabilities=answered.probabilities,
        )

    def _keep(self, result: CaseResult) -> None:
        self._unsaved.append(result)
        self._done += 1
        self._passed += result.score.passed is True
        self._scored += result.score.passed is not None
        self._cached += result.cached
        if time.monotonic() - self._saved_at >= _SECONDS_BETWEEN_SAVES:
            self.save()
            self._tell(self._evaluation.targets[result.target])

    def save(self) -> None:
        """Store what is not stored yet."""
        if self._unsaved:
            self._store.add(self._evaluation.id, self._unsaved)
            self._unsaved = []
        self._saved_at = time.monotonic()

    def _tell(self, target: EvalTarget) -> None:
        self._on_progress(
            EvalProgress(
                doing=f"{target.model.name}, {target.prompt}",
                done=self._done,
                total=self._evaluation.results,
                passed=self._passed,
                scored=self._scored,
                cached=self._cached,
            )
        )

    def _judge(self, opened: OpenModel) -> tuple[Judge | None, bool]:
        """Who grades, and whether it is the model that answers."""
        if "judge" not in self._planned.suite.needs:
            return None, False
        model = self._judge_model() or opened.model
        judge = self._models.get(model, self._request, beside=True)
        return LocalJudge(judge), judge is opened

    def _judge_model(self) -> ModelRecord | None:
        name = self._request.judge
        return None if name is None else self._find_model(name)

    def compare(self) -> None:
        """``select-best``: the answers of all targets to a case, beside each other."""
        model = self._judge_model() or self._evaluation.targets[0].model
        judge = LocalJudge(self._models.get(model, self._request))
        for case in self._planned.selection.of(self._planned.suite.cases()):
            if not has_comparison(case):
                continue
            rows = self._store.results_of_case(self._evaluation.id, case.index)
            for repetition in range(self._evaluation.repeat):
                same = [row for row in rows if row.repetition == repetition]
                if any(_compared(row.score) for row in same):
                    continue  # an earlier part of this evaluation did it
                self._unsaved += _chosen(case, same, judge)
            self.save()


def _chosen(case: EvalCase, rows: list[CaseResult], judge: Judge) -> list[CaseResult]:
    """The results of one case after its comparisons."""
    given = [None if row.error else Answer(row.answer, vars=row.vars) for row in rows]
    for expected in case.expectations:
        if isinstance(expected, Expectation) and expected.type == COMPARISON:
            verdicts = score_comparison(given, expected, judge)
            rows = [
                msgspec.structs.replace(row, score=with_comparison(row.score, verdict))
                for row, verdict in zip(rows, verdicts, strict=True)
            ]
    return rows


def _compared(score: CaseScore) -> bool:
    return any(one.type.removeprefix("not-") == COMPARISON for one in score.scores)


def _failed(index: int, prepared: Prepared) -> CaseResult:
    """A case that could not be asked: it failed, and says why."""
    case, reason = prepared.case, str(prepared.error)
    return CaseResult(
        target=index,
        case_id=case.id,
        case_index=case.index,
        repetition=prepared.repetition,
        vars=case.vars,
        answer="",
        score=CaseScore(score=None, passed=False, reason=reason, scores=()),
        description=case.description,
        prefix=case.prefix,
        suffix=case.suffix,
        expected=_expected(case),
        error=reason,
    )


def _expected(case: EvalCase) -> str | None:
    """The one text that the answer should equal."""
    texts = [
        e.value
        for e in case.expectations
        if isinstance(e, Expectation) and e.type == "equals" and not e.negated
    ]
    return texts[0] if len(texts) == 1 and isinstance(texts[0], str) else None


def _needs_time(case: EvalCase) -> bool:
    """Whether it asserts something about latency, which only a fresh answer has."""
    members: list[Expectation] = []
    for expected in case.expectations:
        members += expected.members if isinstance(expected, ExpectationSet) else (expected,)
    return any(member.type == "latency" for member in members)


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
