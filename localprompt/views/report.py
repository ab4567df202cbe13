"""Reports: any number of benches and runs in one HTML or Markdown file.

Benches come first, each with its own sections, then all plain runs together. A kind of record
that is to join them later needs a function that makes sections of it, and one line here.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from localprompt.experiments import BenchResult
from localprompt.records import RunRecord
from localprompt.views.bench_markdown import bench_markdown
from localprompt.views.export import write_runs
from localprompt.views.figures import moment_text
from localprompt.views.html_bench import bench_sections
from localprompt.views.html_page import Section, render_page
from localprompt.views.html_runs import run_sections


def html_report(
    benches: Sequence[BenchResult] = (), runs: Sequence[RunRecord] = (), title: str | None = None
) -> str:
    """One self-contained page; to be written as UTF-8.

    Args:
        title: heading of the page; None names what is in it.
    """
    sections: list[Section] = []
    for number, bench in enumerate(benches, start=1):
        sections += bench_sections(bench, prefix="" if len(benches) == 1 else f"bench-{number}-")
    if runs:
        sections += run_sections(runs)
    return render_page(title or _title(benches, runs), _subtitle(benches, runs), sections)


def markdown_report(
    benches: Sequence[BenchResult] = (), runs: Sequence[RunRecord] = (), title: str | None = None
) -> str:
    """The same in Markdown: tables without charts."""
    stream = io.StringIO()
    stream.write(f"## {title or _title(benches, runs)}\n")
    for bench in benches:
        stream.write(f"\n{bench_markdown(bench)}")
    if runs:
        stream.write("\n### Runs\n\n")
        write_runs(runs, "md", stream)
    return stream.getvalue()


def _title(benches: Sequence[BenchResult], runs: Sequence[RunRecord]) -> str:
    if len(benches) == 1 and not runs:
        return benches[0].experiment.title
    counts = [(len(benches), "bench", "benches"), (len(runs), "run", "runs")]
    return " and ".join(f"{n} {one if n == 1 else many}" for n, one, many in counts if n)


def _subtitle(benches: Sequence[BenchResult], runs: Sequence[RunRecord]) -> str:
    """When, and on which machines."""
    moments = sorted([b.experiment.created_at for b in benches] + [run.created_at for run in runs])
    machines = dict.fromkeys([bench.machine for bench in benches] + [run.machine for run in runs])
    names = dict.fromkeys(machine.cpu or machine.id for machine in machines)
    when = " to ".join(dict.fromkeys(map(moment_text, moments[:1] + moments[-1:])))
    return f"Measured {when} on {', '.join(names)}" if moments else ""
