"""Reports: any number of benches, evaluations and runs in one HTML or Markdown file.

Benches come first, then evaluations, searches and choices, each with its own sections, then all
plain runs together. A kind of record that is to join them later needs a function that makes
sections of it, and one line here.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import partial

from localprompt.records.bench import BenchResult
from localprompt.records.case_matrix import EvaluationReport
from localprompt.records.choice import ChoiceResult
from localprompt.records.evaluation import CaseResult
from localprompt.records.improvement import Improvement
from localprompt.records.run import Machine, RunRecord
from localprompt.views.bench import bench_markdown, bench_sections
from localprompt.views.choose import choice_markdown, choice_sections
from localprompt.views.eval import eval_sections
from localprompt.views.eval_compare import comparison_markdown
from localprompt.views.figures import moment_text
from localprompt.views.files.eval import write_evaluation
from localprompt.views.files.runs import write_runs
from localprompt.views.html import render_page
from localprompt.views.improve import improvement_sections
from localprompt.views.markdown import markdown
from localprompt.views.runs import run_sections
from localprompt.views.sections import Section
from localprompt.views.translation import translated


def html_report(
    benches: Sequence[BenchResult] = (),
    runs: Sequence[RunRecord] = (),
    title: str | None = None,
    evaluations: Sequence[EvaluationReport] = (),
    improvements: Sequence[Improvement] = (),
    choices: Sequence[ChoiceResult] = (),
) -> str:
    """One self-contained page; to be written as UTF-8.

    Args:
        title: heading of the page; None names what is in it.
    """
    alone = len(benches) + len(evaluations) + len(improvements) + len(choices) == 1
    sections: list[Section] = []
    for number, bench in enumerate(benches, start=1):
        sections += bench_sections(bench, prefix="" if alone else f"bench-{number}-")
    for number, evaluation in enumerate(evaluations, start=1):
        sections += eval_sections(evaluation, prefix="" if alone else f"eval-{number}-")
    for number, one in enumerate(improvements, start=1):
        sections += improvement_sections(one, prefix="" if alone else f"improve-{number}-")
    for number, choice in enumerate(choices, start=1):
        sections += choice_sections(choice, prefix="" if alone else f"choose-{number}-")
    if runs:
        sections += run_sections(runs)
    heading = title or _title(benches, evaluations, runs, improvements, choices)
    return render_page(
        heading, _subtitle(benches, evaluations, runs, improvements, choices), sections
    )


def markdown_report(
    benches: Sequence[BenchResult] = (),
    runs: Sequence[RunRecord] = (),
    title: str | None = None,
    evaluations: Sequence[EvaluationReport] = (),
    improvements: Sequence[Improvement] = (),
    choices: Sequence[ChoiceResult] = (),
) -> str:
    """The same in Markdown: tables without charts."""
    stream = io.StringIO()
    stream.write(f"## {title or _title(benches, evaluations, runs, improvements, choices)}\n")
    for bench in benches:
        stream.write(f"\n{bench_markdown(bench)}")
    for report in evaluations:
        stream.write("\n")
        write_evaluation(report.result, partial(_results, report), "md", stream)
        if report.comparison is not None:
            stream.write(f"\n### Differences\n\n{comparison_markdown(report.comparison)}")
    for one in improvements:
        stream.write(f"\n{markdown(improvement_sections(one), 3)}")
    for choice in choices:
        stream.write(f"\n{choice_markdown(choice)}")
    if runs:
        stream.write("\n### Runs\n\n")
        write_runs(runs, "md", stream)
    return stream.getvalue()


def _results(report: EvaluationReport) -> Iterator[CaseResult]:
    for row in report.matrix.rows:
        for column, cell in zip(report.matrix.columns, row.cells, strict=True):
            if cell is not None and not column.earlier:
                yield from cell.results


def _title(
    benches: Sequence[BenchResult],
    evaluations: Sequence[EvaluationReport],
    runs: Sequence[RunRecord],
    improvements: Sequence[Improvement],
    choices: Sequence[ChoiceResult],
) -> str:
    if len(choices) == 1 and not (runs or evaluations or benches or improvements):
        return choices[0].choice.title
    if len(improvements) == 1 and not (runs or evaluations or benches or choices):
        return improvements[0].title
    if improvements:
        return translated(f"{len(improvements)} searches and what was measured beside them")
    if len(benches) == 1 and not (runs or evaluations or choices):
        return benches[0].experiment.title
    if len(evaluations) == 1 and not (runs or benches or choices):
        return evaluations[0].result.evaluation.title
    counts = [
        (len(benches), "bench", "benches"),
        (len(evaluations), "evaluation", "evaluations"),
        (len(choices), "choice", "choices"),
        (len(runs), "run", "runs"),
    ]
    parts = [f"{n} {one if n == 1 else many}" for n, one, many in counts if n]
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _subtitle(
    benches: Sequence[BenchResult],
    evaluations: Sequence[EvaluationReport],
    runs: Sequence[RunRecord],
    improvements: Sequence[Improvement],
    choices: Sequence[ChoiceResult],
) -> str:
    """When, and on which machines."""
    made: list[tuple[str, Machine]] = [(b.experiment.created_at, b.machine) for b in benches]
    made += [(e.result.evaluation.created_at, e.result.evaluation.machine) for e in evaluations]
    made += [(one.created_at, one.machine) for one in improvements]
    made += [(one.choice.created_at, one.choice.machine) for one in choices]
    made += [(run.created_at, run.machine) for run in runs]
    moments = sorted(moment for moment, _ in made)
    names = dict.fromkeys(machine.cpu or machine.id for _, machine in made)
    when = " to ".join(dict.fromkeys(map(moment_text, moments[:1] + moments[-1:])))
    return translated(f"Measured {when} on {', '.join(names)}") if moments else ""
