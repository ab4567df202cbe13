"""An evaluation, carried out: every case answered, scored and kept.

Models one after the other, each with all its prompts; results are stored as they come, at most
half a second later, so that a kill loses no more than that. Who answers is an executor's business
(:mod:`localprompt.evaluate.executor`): this process, as one long batch, where nobody else is named.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

import msgspec

from localprompt.evaluate.answering import Answered
from localprompt.evaluate.executor import Answering, Asked, Executor, InProcess, Took
from localprompt.evaluate.floor import Work
from localprompt.evaluate.judge import LocalJudge
from localprompt.evaluate.models import Models
from localprompt.evaluate.planning import FindModel, Planned
from localprompt.evaluate.requests import Prepared, prepare_all, scoring_of, shape_of
from localprompt.evaluate.results import (
    chosen_among,
    chosen_anew,
    has_comparison,
    is_compared,
    is_waiting,
    make_result,
    needs_time,
    waiting_result,
)
from localprompt.evaluate.turns import Turns
from localprompt.measure.energy import Meter
from localprompt.records.evaluation import CaseResult, EvalRequest, EvalTarget
from localprompt.records.model import ModelRecord
from localprompt.records.model_use import TargetUse
from localprompt.running.assemble import model_record
from localprompt.scoring.closed import batch_bias
from localprompt.scoring.expectations import Judge
from localprompt.sources.suite.records import EvalCase
from localprompt.store.history import History
from localprompt.store.under_way import announced

JUDGED_AT_ONCE = 64
"""Answers that wait for a judge which is the same model."""
_SECONDS_BETWEEN_SAVES = 0.5
_SAVED_AT_ONCE = 500


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
    store: History,
    models: Models,
    *,
    executor: Executor | None = None,
    on_progress: OnProgress = lambda _: None,
    find_model: FindModel = model_record,
    with_floor: bool = True,
) -> None:
    """Make every result that is not there yet.

    Args:
        executor: who answers; None: this process, with ``models``, which judge in any case.
        with_floor: whether the least time is measured afterwards that the work could have taken.
        store: where the evaluation has been begun; results of earlier parts are left as they are.
        models: opens the models, and is not closed here.

    Raises:
        LocalPromptError: a model cannot be opened or fails, or the history cannot be written;
            what was stored before stays.
    """
    evaluation = planned.evaluation
    with announced("eval", evaluation.title, evaluation.id) as notice:

        def tell(now: EvalProgress) -> None:
            notice.tell(now.doing, now.done, now.total)
            on_progress(now)

        who = executor or InProcess(models)
        run = _Run(planned, store, models, who, tell, find_model, with_floor=with_floor)
        _carry_out(run, planned)


def _carry_out(run: _Run, planned: Planned) -> None:
    by_model: dict[bytes, list[int]] = {}
    for index, target in enumerate(planned.evaluation.targets):
        by_model.setdefault(_opened_as(target), []).append(index)
    try:
        for targets in by_model.values():
            run.model(targets)
        for index in range(len(planned.evaluation.targets)):
            run.weigh_by_batch(index)
        if any(has_comparison(case) for case in planned.selection.of(planned.suite.cases())):
            run.compare()
    finally:
        run.save()


def request_for(target: EvalTarget, request: EvalRequest) -> EvalRequest:
    """The request with the settings that a profile chose for the target."""
    if target.settings is None:
        return request
    return msgspec.structs.replace(request, settings=target.settings)


def _opened_as(target: EvalTarget) -> bytes:
    """Targets for which this is equal are answered by one open model."""
    return msgspec.json.encode((target.model.path, target.settings))


class _Run:
    """What is under way."""

    def __init__(
        self,
        planned: Planned,
        store: History,
        models: Models,
        executor: Executor,
        on_progress: OnProgress,
        find_model: FindModel,
        *,
        with_floor: bool,
    ) -> None:
        self._with_floor = with_floor
        self._planned = planned
        self._evaluation = planned.evaluation
        self._request = planned.evaluation.request
        self._store = store
        self._models = models
        self._executor = executor
        self._on_progress = on_progress
        self._find_model = find_model
        self._unsaved: list[CaseResult] = []
        self._unsaved_keys: set[str | None] = set()
        self._saved_at = time.monotonic()
        self._done = sum(
            len(store.done(self._evaluation.id, index))
            for index in range(len(self._evaluation.targets))
        )
        self._passed = self._scored = self._cached = 0
        self._meter = Meter()

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
        first = self._evaluation.targets[targets[0]]
        model = first.model
        opened = self._executor.open(model, request_for(first, self._request))
        judge, shared = self._judge(model, opened)
        cached_before = self._cached
        work: list[Work] = []
        taken: list[TargetUse] = []
        started = time.perf_counter()
        for index, done in pending:
            work.append(Work())
            with self._timed(index, work[-1], taken):
                self._answer(index, done, opened, judge, work[-1], shared=shared)
                self.save()
        took = Took(
            cached=self._cached - cached_before,
            wall_seconds=time.perf_counter() - started,
            work=work,
            with_floor=self._with_floor and not judge,
            by_target=() if judge else tuple(taken),
        )
        for use in opened.uses(took):
            self._store.add_use(self._evaluation.id, use)

    @contextmanager
    def _timed(self, index: int, work: Work, taken: list[TargetUse]) -> Iterator[None]:
        """Adds what is done inside to ``taken``."""
        self._meter = Meter()
        started, cpu_started = time.perf_counter(), time.process_time()
        yield
        use = TargetUse(
            target=index,
            answered=work.answers,
            wall_seconds=time.perf_counter() - started,
            cpu_seconds=time.process_time() - cpu_started,
            energy_joules=self._meter.read(),
        )
        taken.append(use)

    def _answer(
        self,
        index: int,
        done: set[tuple[int, int]],
        opened: Answering,
        judge: Judge | None,
        work: Work,
        *,
        shared: bool,
    ) -> None:
        """All cases of one target; ``shared``: the model that answers is also the judge."""
        if self._planned.suite.in_turn:
            self._in_turn(index, done, opened, judge, work)
            return
        items = self._items(index, done)
        # A judge that is the same model can only be asked when a batch is through.
        parts = iter(lambda: list(islice(items, JUDGED_AT_ONCE)), []) if shared else (items,)
        for part in parts:
            self._target(index, part, opened, judge, work, later=shared)

    def _items(self, index: int, done: set[tuple[int, int]]) -> Iterator[tuple[EvalCase, int]]:
        """Cases and repetitions of a target that have no result yet."""
        for case in self._planned.cases(self._evaluation.targets[index]):
            for repetition in range(self._evaluation.repeat):
                if (case.index, repetition) not in done:
                    yield case, repetition

    def _target(
        self,
        index: int,
        items: Iterable[tuple[EvalCase, int]],
        opened: Answering,
        judge: Judge | None,
        work: Work,
        *,
        later: bool,
    ) -> None:
        """Answer, score and keep cases of one target.

        Args:
            later: score when all are answered, instead of each at once.
        """
        target = self._evaluation.targets[index]
        request = request_for(target, self._request)
        unscored: list[tuple[Prepared, Answered | None]] = []
        waiting: dict[str | None, list[Prepared]] = {}

        scoring = scoring_of(target.template, self._request)

        def score(prepared: Prepared, answered: Answered | None) -> None:
            if scoring == "batch" and answered is not None:
                self._keep(waiting_result(index, prepared, answered))
                return
            code = self._request.allow_code
            self._keep(make_result(index, prepared, answered, judge=judge, allow_code=code))

        def settle(prepared: Prepared, answered: Answered | None) -> None:
            if later:
                unscored.append((prepared, answered))
            else:
                score(prepared, answered)

        def may_wait(prepared: Prepared) -> bool:
            """Whether the answer to an equal request, which is under way, will serve."""
            known = self._request.cached and prepared.key in waiting
            return known and not needs_time(prepared.case)

        def fresh() -> Iterator[Prepared]:
            """What has to be asked; everything else is settled while the engine reads on."""
            for prepared in prepare_all(items, target, request, opened):
                if prepared.error is not None:
                    settle(prepared, None)
                elif (known := self._known(prepared)) is not None:
                    settle(prepared, known)
                elif may_wait(prepared):
                    waiting[prepared.key].append(prepared)
                else:
                    waiting.setdefault(prepared.key, [])
                    yield prepared

        shape = shape_of(self._planned.cases(target), target, request, opened)
        most = target.results - len(self._store.done(self._evaluation.id, index))
        asked = Asked(scoring, target.template, shape, most)
        for prepared, answered in opened.answers(fresh(), asked):
            if answered is not None:
                work.add(prepared.token_ids, answered.completion_tokens)
            settle(prepared, answered)
            same = answered and msgspec.structs.replace(answered, timing=None)
            for other in waiting.pop(prepared.key, ()):
                settle(msgspec.structs.replace(other, error=prepared.error), same)
        for prepared, known in unscored:
            score(prepared, known)

    def _in_turn(
        self,
        index: int,
        done: set[tuple[int, int]],
        opened: Answering,
        judge: Judge | None,
        work: Work,
    ) -> None:
        """Cases of one target, each asked when the answers before it are there."""
        target = self._evaluation.targets[index]
        request = request_for(target, self._request)
        turns = Turns(target, lenient=request.lenient)
        cases = self._planned.cases(target)
        shape = shape_of(cases, target, request, opened, in_turn=True)
        scoring = scoring_of(target.template, self._request)
        for plain, repetition in self._items(index, set()):
            case = turns.given(plain, repetition)
            if (case.index, repetition) in done:
                earlier = self._earlier(index, case, repetition)
                turns.keep(case, repetition, None, earlier.answer)
                continue
            (prepared,) = prepare_all([(case, repetition)], target, request, opened)
            answered = None
            if prepared.error is None and (answered := self._known(prepared)) is None:
                asked = Asked(scoring, target.template, shape, 1)
                ((prepared, answered),) = opened.answers([prepared], asked)
                if answered is not None:
                    work.add(prepared.token_ids, answered.completion_tokens)
            code = self._request.allow_code
            self._keep(make_result(index, prepared, answered, judge=judge, allow_code=code))
            if answered is not None:
                turns.keep(case, repetition, prepared, answered.text)

    def _earlier(self, index: int, case: EvalCase, repetition: int) -> CaseResult:
        rows = self._store.results_of_case(self._evaluation.id, case.index)
        return next(r for r in rows if r.target == index and r.repetition == repetition)

    def _known(self, prepared: Prepared) -> Answered | None:
        """The answer that an equal request had before; its latency is not this one's."""
        if not self._request.cached or prepared.key is None or needs_time(prepared.case):
            return None
        if prepared.key in self._unsaved_keys:
            self.save()
        earlier = self._store.answer(prepared.key)
        if earlier is None or earlier.finish_reason is None or earlier.completion_tokens is None:
            return None
        return Answered(
            earlier.answer,
            earlier.finish_reason,
            earlier.completion_tokens,
            timing=None,
            probabilities=earlier.probabilities,
            log_probabilities=earlier.log_probabilities,
            greedy=earlier.greedy,
            machine=earlier.machine,
        )

    def _keep(self, result: CaseResult) -> None:
        self._unsaved.append(result)
        self._unsaved_keys.add(result.answer_key)
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
            self._unsaved_keys.clear()
        self._meter.read()  # before a counter of energy comes round again
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

    def _judge(self, model: ModelRecord, opened: Answering) -> tuple[Judge | None, bool]:
        """Who grades, always in this process, and whether it is the open model that answers."""
        if "judge" not in self._planned.suite.needs:
            return None, False
        judge = self._models.get(self._judge_model() or model, self._request, beside=True)
        return LocalJudge(judge), judge is opened.local

    def _judge_model(self) -> ModelRecord | None:
        name = self._request.judge
        return None if name is None else self._find_model(name)

    def weigh_by_batch(self, index: int) -> None:
        """Choose among closed answers when those of all the target's cases are there."""
        target = self._evaluation.targets[index]
        if scoring_of(target.template, self._request) != "batch":
            return
        self.save()
        rows = self._store.results(self._evaluation.id, target=index)
        logs, waiting = [], False
        for row in rows:
            waiting = waiting or is_waiting(row)
            logs += [row.log_probabilities] if row.log_probabilities else []
        if not waiting or not logs:
            return  # an earlier part of this evaluation did it
        bias = batch_bias(logs)
        judge = None
        if "judge" in self._planned.suite.needs:
            answers_here = InProcess(self._models)
            opened = answers_here.open(target.model, request_for(target, self._request))
            judge, _ = self._judge(target.model, opened)
        for case in self._planned.cases(target):
            for row in self._store.results_of_case(self._evaluation.id, case.index):
                if row.target == index and row.log_probabilities:
                    code = self._request.allow_code
                    chosen = chosen_anew(row, case, bias, judge=judge, allow_code=code)
                    self._unsaved.append(chosen)
                    self._passed += chosen.score.passed is True
                    self._scored += chosen.score.passed is not None
            if len(self._unsaved) >= _SAVED_AT_ONCE:
                self.save()
        self.save()
        self._tell(target)

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
                if any(is_compared(row.score) for row in same):
                    continue  # an earlier part of this evaluation did it
                self._unsaved += chosen_among(case, same, judge)
            self.save()
