"""An evaluation: from its rates down to each answer, in text and as a page.

Rates carry their intervals, and which of two targets is better is said only by the paired
comparison: intervals of the same cases overlap long before their difference is in doubt. Times
are those of a batch and marked so; they never stand beside a bench's.

Text has the rates, what stands behind them and the first results that did not pass; a page also
has charts and every case.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from rich.console import Console

from localprompt.records.case_matrix import EvaluationReport
from localprompt.records.evaluation import (
    CaseResult,
    EvalResult,
    Evaluation,
    MeanScore,
    TargetComparison,
    TargetSummary,
)
from localprompt.records.model_use import ModelUse
from localprompt.units import UNKNOWN, format_bytes, format_count, format_seconds
from localprompt.views import eval_compare
from localprompt.views.bench import machine_facts, settings_text
from localprompt.views.eval_cases import case_blocks
from localprompt.views.eval_charts import eval_charts
from localprompt.views.eval_labels import label_tables
from localprompt.views.eval_repeats import repetition_tables
from localprompt.views.eval_text import (
    counts_text,
    heading,
    mean_text,
    rate_text,
    remarks,
    short,
    target_name,
    use_lines,
    value_text,
)
from localprompt.views.figures import moment_text
from localprompt.views.grid import Line
from localprompt.views.sections import (
    Column,
    Fact,
    Facts,
    Lines,
    Notice,
    Notices,
    Row,
    Section,
    Table,
    Value,
)
from localprompt.views.terminal import print_lines, print_sections, print_text
from localprompt.views.translation import to_translate, translated

MOST_FAILURES = 5


def print_evaluation(
    result: EvalResult,
    failures: Iterable[CaseResult],
    console: Console,
    *,
    most: int | None = MOST_FAILURES,
) -> None:
    """The whole evaluation.

    Args:
        failures: results that did not pass; read as far as they are shown.
        most: how many of them to show; None: all.
    """
    print_text(heading(result.evaluation), console, "bold")
    print_text(f"{result.evaluation.id}  {result.evaluation.path}", console, "dim")
    print_sections(text_sections(result), console)
    print_failures(result.evaluation, failures, console, most=most)


def print_failures(
    evaluation: Evaluation,
    failures: Iterable[CaseResult],
    console: Console,
    *,
    most: int | None = None,
) -> int:
    """Results that did not pass, with what was asked, answered and found; how many were shown."""
    iterator = iter(failures)
    shown = 0
    for case in islice(iterator, most):
        if not shown:
            print_lines([Line(""), Line("not passed", "bold")], console)
        shown += 1
        print_lines(_failure(evaluation, case), console)
    if most is not None and next(iterator, None) is not None:
        more = f"… more with:  localprompt runs show {evaluation.id} --failures"
        print_text(more, console, "dim")
    return shown


def text_sections(result: EvalResult) -> tuple[Section, ...]:
    """What the terminal and Markdown show of it, less the results that did not pass."""
    pace = Lines(tuple(line for use in result.uses for line in use_lines(use)))
    return (
        Section("targets", "", (_targets(result),)),
        Section("pairs", "Differences", tuple(eval_compare.pair_blocks(result.pairs))),
        Section("repetitions", "Repetitions", tuple(repetition_tables(result))),
        Section("scores", "Metrics and assertions", tuple(_scores(result))),
        Section("labels", "Expected and answered", tuple(label_tables(result))),
        Section("pace", "Time and memory", (pace,) if pace.items else ()),
        Section("notices", "", tuple(_notices(result))),
    )


def eval_sections(report: EvaluationReport, prefix: str = "") -> tuple[Section, ...]:
    """The evaluation's part of a page; ``prefix`` keeps ids apart where there are several."""
    result = report.result
    title = f"{result.evaluation.title}: " if prefix else ""
    said = translated("Overview")
    overview = (_lead(report), _facts(result), _targets(result))
    environment = machine_facts(result.evaluation.machine, result.evaluation.localprompt_version)
    differences = () if report.comparison is None else eval_compare.blocks(report.comparison)
    return (
        Section(f"{prefix}overview", f"{title}{said}", overview),
        Section(f"{prefix}notices", "Remarks", tuple(_notices(result))),
        Section(f"{prefix}differences", "Differences", tuple(differences)),
        Section(f"{prefix}repetitions", "Repetitions", tuple(repetition_tables(result))),
        Section(f"{prefix}charts", "Charts", tuple(eval_charts(result))),
        Section(f"{prefix}cases", "Cases", tuple(case_blocks(report.matrix))),
        Section(f"{prefix}scores", "Metrics and assertions", tuple(_scores(result))),
        Section(f"{prefix}labels", "Expected and answered", tuple(label_tables(result))),
        Section(f"{prefix}pace", "Time and memory", tuple(map(_pace, result.uses))),
        Section(f"{prefix}environment", "Environment", (Facts(tuple(environment)),)),
    )


def _lead(report: EvaluationReport) -> Facts:
    result = report.result
    facts = list(_rate_cards(result))
    sorted_out = [(s.classification.macro_f1, s) for s in result.targets if s.classification]
    if len(sorted_out) == 1:
        facts.append(Fact("Macro-F1", f"{sorted_out[0][0]:.3f}"))
    elif sorted_out:  # nothing tests these against each other, so none of them is the best
        low, high = min(f1 for f1, _ in sorted_out), max(f1 for f1, _ in sorted_out)
        facts.append(Fact("Macro-F1", f"{low:.3f} to {high:.3f}"))
    if report.comparison is not None and report.comparison.pairs:
        shown = [pair for pair in report.comparison.pairs if _is_told(pair)]
        pairs = len(report.comparison.pairs)
        note = to_translate("Pairs whose cases show that one side is better; see Differences.")
        facts.append(Fact("Differences shown", f"{len(shown)} of {pairs}", note))
    return Facts(tuple(facts), prominent=True)


def _rate_cards(result: EvalResult) -> Iterator[Fact]:
    """The pass rate; of several the best one, where its cases show that it is the best."""
    rated = [summary for summary in result.targets if summary.passes.rate is not None]
    if not rated:
        return
    if len(result.targets) == 1:
        yield Fact("Pass rate", rate_text(rated[0].passes), counts_text(rated[0].passes))
        return
    ordered = sorted(rated, key=lambda summary: summary.passes.rate or 0.0)
    best = ordered[-1]
    equal = [one for one in ordered[:-1] if not eval_compare.is_better(best, one, result.pairs)]
    if not equal:
        counts = counts_text(best.passes)
        note = translated(f"{target_name(best)}: {counts}; better than all others")
        yield Fact("Best pass rate", rate_text(best.passes), note)
        return
    low, high = equal[0].passes.rate or 0.0, best.passes.rate or 0.0
    note = translated(f"no difference is shown between {len(equal) + 1} of {len(rated)}")
    yield Fact("Pass rates", f"{low * 100:.1f} % to {high * 100:.1f} %", note)


def _is_told(pair: TargetComparison) -> bool:
    return any(row[-1] != eval_compare.UNDECIDED for row in eval_compare.rows(pair))


def _facts(result: EvalResult) -> Facts:
    evaluation, request = result.evaluation, result.evaluation.request
    items = [Fact("Suite", heading(evaluation)), Fact("File", evaluation.path)]
    if evaluation.description:
        items.append(Fact("Description", evaluation.description))
    items += [Fact("When", moment_text(evaluation.created_at)), Fact("Id", evaluation.id)]
    models = {target.model.name: target.model for target in evaluation.targets}
    items += [
        Fact(
            "Model",
            f"{model.name}: {model.quantization or UNKNOWN}, "
            f"{format_count(model.parameters)} parameters, {format_bytes(model.size_bytes)}",
        )
        for model in models.values()
    ]
    if any(target.template.choices for target in evaluation.targets):
        items.append(Fact("Scoring of choices", request.scoring))
    if request.limit is not None:
        drawn = f"drawn at random, seed {request.seed}" if request.shuffle else "the first of them"
        items.append(Fact("Limit", f"{request.limit} cases, {drawn}"))
    if request.judge is not None:
        items.append(Fact("Judge", request.judge))
    return Facts(tuple(items))


def _targets(result: EvalResult) -> Table:
    # Where every score is 0 or 1 their mean says nothing beside the pass rate.
    scored = any(summary.score.mean != summary.passes.rate for summary in result.targets)
    columns = (
        Column("prompt", label="bare"),
        Column("model", label="titled"),
        Column("passed", numeric=True),
        Column("pass rate", numeric=True),
        *([Column("mean score", numeric=True)] if scored else []),
        Column("TTFT, batched", numeric=True),
    )
    repeated = result.evaluation.repeat > 1
    rates = translated("over the cases" if repeated else "Wilson's for rates")
    caption = translated(
        f"In brackets: the 95 % interval, {rates}, by bootstrap for means. Unscored results are in "
        "neither. TTFT: median, while other cases ran in the same batch."
    )
    rows = []
    for summary in result.targets:
        target, passes = summary.target, summary.passes
        values = (
            Value(target.prompt, target.prompt),
            Value(target.model.name, target.model.name),
            Value(counts_text(passes), passes.passed),
            Value(rate_text(passes), passes.rate),
            *([_mean(summary.score)] if scored else []),
            Value(format_seconds(summary.ttft_seconds), summary.ttft_seconds),
        )
        rows.append(Row(target_name(summary), values, tuple(_target_facts(summary))))
    return Table(caption, columns, tuple(rows))


def _target_facts(summary: TargetSummary) -> Iterator[Fact]:
    sampling = summary.target.sampling
    done, cached = summary.done, summary.cached
    yield Fact("Results", translated(f"{done} of {summary.target.results}, {cached} cached"))
    yield Fact("Tokens", f"{summary.prompt_tokens} prompt, {summary.completion_tokens} completion")
    said = translated(
        f"temperature {sampling.temperature:g}, seed {sampling.seed}, "
        f"at most {sampling.max_tokens} tokens"
    )
    yield Fact("Sampling", said)
    if summary.target.template.choices:
        yield Fact("Choices", ", ".join(summary.target.template.choices))


def _notices(result: EvalResult) -> Iterator[Notices]:
    texts = [*remarks(result), *result.evaluation.notes]
    if texts:
        yield Notices(tuple(Notice("note", text) for text in texts))


def _scores(result: EvalResult) -> Iterator[Table]:
    metrics = dict.fromkeys(name for summary in result.targets for name in summary.metrics)
    if metrics:
        columns = (Column("metric"), *(Column(name, numeric=True) for name in metrics))
        rows = (
            Row(
                target_name(summary),
                (_word(target_name(summary)), *map(_mean, map(summary.metrics.get, metrics))),
            )
            for summary in result.targets
        )
        yield Table("Metrics: mean over the cases, with its 95 % interval.", columns, tuple(rows))
    if any(len(summary.assertions) > 1 for summary in result.targets):
        yield _assertions(result.targets)


def _assertions(summaries: Iterable[TargetSummary]) -> Table:
    columns = (
        Column("assertion", label="bare"),
        Column("target", label="bare"),
        *(Column(name, numeric=True) for name in ("passed", "failed", "unscored", "mean score")),
    )
    rows = (
        Row(
            f"{one.type}, {target_name(summary)}",
            (
                _word(one.type),
                _word(target_name(summary)),
                *(Value(str(n), n) for n in (one.passed, one.failed, one.unscored)),
                _mean(one.score),
            ),
        )
        for summary in summaries
        for one in summary.assertions
    )
    return Table("Each kind of assertion over all results.", columns, tuple(rows))


def _word(text: str) -> Value:
    return Value(text, text)


def _mean(score: MeanScore | None) -> Value:
    return Value(UNKNOWN) if score is None else Value(mean_text(score), score.mean)


def _pace(use: ModelUse) -> Facts:
    """The lines of the terminal."""
    answered, *others = (line.strip() for line in use_lines(use))
    name, _, text = answered.partition(": ")
    items = [Fact(name, text)]
    for line in others:
        floor, memory = line.startswith("floor"), line.startswith("memory")
        items.append(Fact("Floor" if floor else "Memory" if memory else "Machine", line))
    if use.settings is not None:
        items.append(Fact("Settings", settings_text(use.settings)))
    return Facts(tuple(items))


def _failure(evaluation: Evaluation, case: CaseResult) -> Iterator[Line]:
    target = evaluation.targets[case.target]
    state = "unscored" if case.score.passed is None else "failed"
    again = f", repetition {case.repetition}" if evaluation.repeat > 1 else ""
    name = case.description or case.case_id
    whose = f"{target.prompt}, {target.model.name}{again}"
    yield Line(f"{state}  {short(name, 60)}  ({whose})", "red")
    for key, value in case.vars.items():
        yield Line(f"  {key}: {short(value_text(value))}")
    if case.error is None:
        yield Line(f"  answer: {short(case.answer) or '(empty)'}")
    yield Line(f"  {short(case.score.reason)}")
