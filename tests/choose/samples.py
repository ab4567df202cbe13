"""Choices that nobody measured: three models over the same cases."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from localprompt.choose.judging import judge
from localprompt.evaluate.comparing import compare_evaluations
from localprompt.evaluate.summarize import summarize
from localprompt.records.bench import BenchResult, CellResult, PlannedCell
from localprompt.records.choice import Choice, ChoiceResult, Prices
from localprompt.records.evaluation import CaseResult, EvalResult
from localprompt.records.model_use import ModelUse, TargetUse
from localprompt.stats.samples import summarize as summarize_samples
from localprompt.store.history import History
from tests.sample_evaluations import make_evaluation, make_result, make_target
from tests.sample_runs import make_run
from tests.views.bench_records import sample_bench

MIB = 1024**2
NAMES = ("qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b", "smollm2-135m")


def use(model: str, target: int, **more: Any) -> ModelUse:
    given = {"answered": 40, "wall_seconds": 8.0, "cpu_seconds": 16.0, "energy_joules": None}
    return ModelUse(
        model=model,
        created_at="2026-11-22T17:00:00Z",
        parallel=8,
        answered=40,
        cached=0,
        load_seconds=0.1,
        wall_seconds=8.0,
        settings=make_run().settings,
        memory=make_run().memory,
        by_target=(TargetUse(target=target, **{**given, **more}),),
    )


def cell(index: int, seconds: float, peak: int | None, n: int = 8) -> CellResult:
    """Repetitions that differ by a few thousandths."""
    times = summarize_samples([seconds * (1 + k / 1000) for k in range(n)])
    memory = (
        None if peak is None else msgspec.structs.replace(make_run().memory, peak_rss_bytes=peak)
    )
    return CellResult(
        cell=PlannedCell(f"key-{index}", {"model": NAMES[index]}, "plain", {}, None),
        metrics={"ttft_seconds": times, "total_seconds": times, "decode_tokens_per_second": times},
        memory=memory, prompt_tokens=30, completion_tokens=5, cold_load_seconds=None,
        decode_limit=None, prefill_limit=None, token_gaps_seconds=(), output_text="",
        warnings=(), failure=None,
    )  # fmt: skip


def choice(
    store: History,
    passed: Sequence[Sequence[bool]],
    seconds: Sequence[float] = (1.0, 2.9, 0.3),
    peaks: Sequence[int | None] = (700 * MIB, 1700 * MIB, 200 * MIB),
    *,
    prices: Prices = Prices(),  # noqa: B008  frozen
    **used: Any,
) -> ChoiceResult:
    """A choice among as many models as there are lists of verdicts."""
    targets = [make_target("plain", NAMES[index]) for index in range(len(passed))]
    evaluation = make_evaluation(*targets, cases=len(passed[0]))
    rows: list[list[CaseResult]] = [
        [make_result(n, ok, target=index) for n, ok in enumerate(verdicts)]
        for index, verdicts in enumerate(passed)
    ]
    store.begin(evaluation)
    store.add(evaluation.id, list(itertools.chain.from_iterable(rows)))
    result = EvalResult(
        evaluation,
        tuple(summarize(one, found) for one, found in zip(targets, rows, strict=True)),
        tuple(use(one.model.name, index, **used) for index, one in enumerate(targets)),
        compare_evaluations(evaluation, evaluation, store).pairs,
    )
    bench: BenchResult = msgspec.structs.replace(
        sample_bench(),
        cells=tuple(cell(i, seconds[i], peaks[i]) for i in range(len(passed))),
        complete=True,
    )
    made = Choice(
        id="01M82JX2HESX5MKTF1BFH3V4R7", kind="choose", created_at=evaluation.created_at,
        localprompt_version="0.1.0", title="tickets", evaluation="01M82JX2HESX5MKTF1BFH3V4R8",
        bench="01M82JX2HESX5MKTF1BFH3V4R9",
        cells=tuple(f"key-{index}" for index in range(len(passed))), case_id="case-1",
        prices=prices, machine=evaluation.machine,
    )  # fmt: skip
    done = tuple(msgspec.structs.replace(one, done=one.target.results) for one in result.targets)
    return judge(made, msgspec.structs.replace(result, targets=done), bench)
