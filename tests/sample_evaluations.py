"""Plausible evaluations for tests that need one and do not care which."""

from __future__ import annotations

from typing import Any

from localprompt.records.evaluation import (
    BatchedTiming,
    CaseResult,
    EvalRequest,
    EvalTarget,
    Evaluation,
)
from localprompt.records.ids import new_run_id
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import Sampling
from localprompt.records.score import Score
from localprompt.scoring.aggregate import aggregate
from tests.sample_runs import make_run


def make_target(
    prompt: str = "plain",
    model: str = "smollm2-135m",
    *,
    choices: tuple[str, ...] = (),
    results: int = 4,
) -> EvalTarget:
    return EvalTarget(
        model=make_run(model=model).model,
        provider=model,
        provider_id=model,
        prompt=prompt,
        template=PromptTemplate(name=prompt, body="user:\n{{ text }}", choices=choices),
        sampling=Sampling(),
        results=results,
    )


def make_evaluation(*targets: EvalTarget, cases: int = 4, repeat: int = 1) -> Evaluation:
    return Evaluation(
        id=new_run_id(),
        kind="eval",
        created_at="2026-11-22T17:00:00.000+00:00",
        localprompt_version="0.1.0",
        title="tones",
        path="suites/tones.yaml",
        description=None,
        request=EvalRequest(suite="suites/tones.yaml"),
        targets=targets or (make_target(),),
        cases=cases,
        repeat=repeat,
        cases_sha256="c0" * 32,
        skipped_rows=0,
        first_skipped=(),
        notes=(),
        machine=make_run().machine,
    )


def make_result(
    index: int = 0,
    passed: bool | None = True,
    *,
    target: int = 0,
    repetition: int = 0,
    answer: str = "good",
    **more: Any,
) -> CaseResult:
    """The result of the ``index``-th case, which has one assertion."""
    score = Score(
        type="equals",
        score=None if passed is None else float(passed),
        passed=passed,
        reason="as expected" if passed else "not as expected",
        metric="tone",
    )
    return CaseResult(
        target=target,
        case_id=f"case-{index}",
        case_index=index,
        repetition=repetition,
        vars={"text": f"text {index}"},
        answer=answer,
        score=aggregate([score]),
        answer_key=f"key-{index}",
        finish_reason="stop",
        prompt_tokens=12,
        completion_tokens=3,
        timing=BatchedTiming(0.1, 0.2, 0.3, parallel=8),
        **more,
    )
