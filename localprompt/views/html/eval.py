"""What a page shows of one evaluation, from its rates down to each answer.

Rates carry their intervals, and which of two targets is better is said only by the paired
comparison: intervals of the same cases overlap long before their difference is in doubt. Times
are those of a batch and marked so; they never stand beside a bench's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from localprompt.records.case_matrix import EvaluationReport
from localprompt.records.evaluation import (
    Classification,
    EvalComparison,
    EvalResult,
    MeanScore,
    ModelUse,
    TargetComparison,
    TargetSummary,
)
from localprompt.units import UNKNOWN, format_bytes, format_count, format_seconds
from localprompt.views import eval_compare
from localprompt.views.eval_text import (
    counts_text,
    heading,
    mean_text,
    rate_text,
    remarks,
    target_name,
    use_lines,
)
from localprompt.views.figures import moment_text
from localprompt.views.html.bench import machine_facts, settings_text
from localprompt.views.html.eval_cases import case_blocks
from localprompt.views.html.eval_charts import eval_charts
from localprompt.views.html.page import (
    Block,
    Column,
    Fact,
    Facts,
    Notice,
    Notices,
    Row,
    Section,
    Table,
    Value,
)


def eval_sections(report: EvaluationReport, prefix: str = "") -> tuple[Section, ...]:
    """The evaluation's part of a page; ``prefix`` keeps ids apart where there are several."""
    result = report.result
    title = f"{result.evaluation.title}: " if prefix else ""
    overview = (_lead(report), _facts(result), _targets(result))
    environment = machine_facts(result.evaluation.machine, result.evaluation.localprompt_version)
    return (
        Section(f"{prefix}overview", f"{title}Overview", overview),
        Section(f"{prefix}notices", "Remarks", tuple(_notices(result))),
        Section(f"{prefix}differences", "Differences", tuple(_differences(report.comparison))),
        Section(f"{prefix}charts", "Charts", tuple(eval_charts(result))),
        Section(f"{prefix}cases", "Cases", tuple(case_blocks(report.matrix))),
        Section(f"{prefix}scores", "Metrics and assertions", tuple(_scores(result))),
        Section(f"{prefix}labels", "Expected and answered", tuple(_labels(result))),
        Section(f"{prefix}pace", "Time and memory", tuple(map(_pace, result.uses))),
        Section(f"{prefix}environment", "Environment", (Facts(tuple(environment)),)),
    )


def _lead(report: EvaluationReport) -> Facts:
    result, several = report.result, len(report.result.targets) > 1
    facts = []
    rated = [(s.passes.rate, s) for s in result.targets if s.passes.rate is not None]
    if rated:
        _, best = max(rated, key=lambda pair: pair[0])
        note = counts_text(best.passes)
        if several:
            equal = sum(rate == best.passes.rate for rate, _ in rated)
            note = f"{target_name(best)}: {note}"
            note += f"; the same for {equal - 1} more" if equal > 1 else ""
        name = "Highest pass rate" if several else "Pass rate"
        facts.append(Fact(name, rate_text(best.passes), note))
    sorted_out = [(s.classification.macro_f1, s) for s in result.targets if s.classification]
    if sorted_out:
        f1, best = max(sorted_out, key=lambda pair: pair[0])
        name = "Highest macro-F1" if several else "Macro-F1"
        facts.append(Fact(name, f"{f1:.3f}", target_name(best) if several else ""))
    if report.comparison is not None and report.comparison.pairs:
        shown = [pair for pair in report.comparison.pairs if _is_told(pair)]
        pairs = len(report.comparison.pairs)
        note = "Pairs whose cases show that one side is better; see Differences."
        facts.append(Fact("Differences shown", f"{len(shown)} of {pairs}", note))
    return Facts(tuple(facts), prominent=True)


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
        drawn = f"drawn by lot, seed {request.seed}" if request.shuffle else "the first of them"
        items.append(Fact("Limit", f"{request.limit} cases, {drawn}"))
    if request.judge is not None:
        items.append(Fact("Judge", request.judge))
    return Facts(tuple(items))


def _targets(result: EvalResult) -> Table:
    headings = ("prompt", "model", "passed", "pass rate", "mean score", "TTFT, batched")
    columns = tuple(Column(name, numeric=at > 1) for at, name in enumerate(headings))
    rows = []
    for summary in result.targets:
        target, passes = summary.target, summary.passes
        values = (
            Value(target.prompt, target.prompt),
            Value(target.model.name, target.model.name),
            Value(counts_text(passes), passes.passed),
            Value(rate_text(passes), passes.rate),
            Value(mean_text(summary.score), summary.score.mean),
            Value(format_seconds(summary.ttft_seconds), summary.ttft_seconds),
        )
        rows.append(Row(target_name(summary), values, tuple(_target_facts(summary))))
    caption = (
        "In brackets: the 95 % interval, Wilson's for rates, by bootstrap for means. Unscored "
        "results are in neither. TTFT: median, while other cases ran in the same batch."
    )
    return Table(caption, columns, tuple(rows))


def _target_facts(summary: TargetSummary) -> Iterator[Fact]:
    sampling = summary.target.sampling
    yield Fact("Results", f"{summary.done} of {summary.target.results}, {summary.cached} cached")
    yield Fact("Tokens", f"{summary.prompt_tokens} prompt, {summary.completion_tokens} completion")
    yield Fact(
        "Sampling",
        f"temperature {sampling.temperature:g}, seed {sampling.seed}, "
        f"at most {sampling.max_tokens} tokens",
    )
    if summary.target.template.choices:
        yield Fact("Choices", ", ".join(summary.target.template.choices))


def _notices(result: EvalResult) -> Iterator[Notices]:
    texts = [*remarks(result), *result.evaluation.notes]
    if texts:
        yield Notices(tuple(Notice("note", text) for text in texts))


def _differences(comparison: EvalComparison | None) -> Iterator[Block]:
    """The rows that ``compare`` prints, a table for each pair of targets."""
    if comparison is None:
        return
    columns = tuple(
        Column(name, numeric=name not in {"figure", "verdict"}) for name in eval_compare.COLUMNS
    )
    for pair in comparison.pairs:
        name = eval_compare.pair_name(pair)
        found = [
            Row(name, tuple(Value(text, text) for text in row)) for row in eval_compare.rows(pair)
        ]
        notes = "; ".join(eval_compare.remarks(pair))
        yield Table(f"A → B: {name}. {notes}.", columns, tuple(found))
    lines = list(eval_compare.tail(comparison))
    if comparison.a.id != comparison.b.id:
        lines = [*eval_compare.head(comparison), *lines]
    if lines:
        yield Notices(tuple(Notice("note", line) for line in lines))


def _scores(result: EvalResult) -> Iterator[Table]:
    metrics = dict.fromkeys(name for summary in result.targets for name in summary.metrics)
    if metrics:
        rows = [
            Row(
                target_name(summary),
                (
                    Value(target_name(summary), target_name(summary)),
                    *(_mean(summary.metrics.get(name)) for name in metrics),
                ),
            )
            for summary in result.targets
        ]
        columns = (Column("metric"), *(Column(name, numeric=True) for name in metrics))
        yield Table("Metrics: mean over the cases, with its 95 % interval.", columns, tuple(rows))
    if any(len(summary.assertions) > 1 for summary in result.targets):
        yield _assertions(result.targets)


def _mean(score: MeanScore | None) -> Value:
    return Value(UNKNOWN) if score is None else Value(mean_text(score), score.mean)


def _assertions(summaries: Iterable[TargetSummary]) -> Table:
    headings = ("assertion", "target", "passed", "failed", "unscored", "mean score")
    rows = [
        Row(
            f"{one.type}, {target_name(summary)}",
            (
                Value(one.type, one.type),
                Value(target_name(summary), target_name(summary)),
                *(Value(str(n), n) for n in (one.passed, one.failed, one.unscored)),
                _mean(one.score),
            ),
        )
        for summary in summaries
        for one in summary.assertions
    ]
    columns = tuple(Column(name, numeric=at > 1) for at, name in enumerate(headings))
    return Table("Each kind of assertion over all results.", columns, tuple(rows))


def _labels(result: EvalResult) -> Iterator[Table]:
    for summary in result.targets:
        found = summary.classification
        if found is not None:
            yield _confusion(target_name(summary), found)
            if found.calibration is not None:
                yield _calibration(target_name(summary), found)


def _confusion(name: str, found: Classification) -> Table:
    others = any(row[-1] for row in found.matrix)
    answered = (*found.labels, *(["another answer"] if others else []))
    headings = (*(f"→ {label}" for label in answered), "precision", "recall", "F1")
    rows = [
        Row(
            score.label,
            (
                Value(score.label, score.label),
                *(Value(str(n), n) for n in (counts if others else counts[:-1])),
                *(_share(share) for share in (score.precision, score.recall, score.f1)),
            ),
        )
        for score, counts in zip(found.scores, found.matrix, strict=True)
    ]
    caption = (
        f"{name}: a row is what was expected, a column with → what was answered. "
        f"Accuracy {found.accuracy:.3f}, macro-F1 {found.macro_f1:.3f}."
    )
    columns = (Column("expected"), *(Column(text, numeric=True) for text in headings))
    return Table(caption, columns, tuple(rows))


def _calibration(name: str, found: Classification) -> Table:
    calibration = found.calibration
    bins = calibration.bins if calibration is not None else ()
    error = calibration.expected_error if calibration is not None else 0.0
    rows = [
        Row(
            f"{confidence:.3f}",
            (Value(f"{confidence:.3f}", f"{confidence:.3f}"), _share(right), Value(str(n), n)),
        )
        for confidence, right, n in bins
    ]
    caption = (
        f"{name}: how probable the chosen answer was, and how often it was right, in ten bins of "
        f"equal width. Expected calibration error {error:.3f}; 0 would be exact."
    )
    columns = (Column("mean probability"), Column("share right", True), Column("answers", True))
    return Table(caption, columns, tuple(rows))


def _share(value: float | None) -> Value:
    return Value(UNKNOWN if value is None else f"{value:.3f}", value)


def _pace(use: ModelUse) -> Facts:
    """The lines of the terminal."""
    answered, *others = (line.strip() for line in use_lines(use))
    name, _, text = answered.partition(": ")
    items = [Fact(name, text)]
    items += [Fact("Floor" if line.startswith("floor") else "Memory", line) for line in others]
    if use.settings is not None:
        items.append(Fact("Settings", settings_text(use.settings)))
    return Facts(tuple(items))
