"""What a page shows of one bench: overview, figures, charts, environment.

Everything is read off the :class:`~localprompt.records.bench.BenchResult`; the charts are in
:mod:`localprompt.views.html.bench_charts`. The overview names a best cell only among cells that do
the same work, and says with which others its interval overlaps: a lead inside the noise is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localprompt.records.bench import BenchResult, CellResult, Summary
from localprompt.records.run import Machine, Settings
from localprompt.units import UNKNOWN, format_bytes, format_count, format_seconds
from localprompt.views.figures import (
    better,
    cell_name,
    cell_status,
    label_names,
    label_text,
    memory_parts,
    moment_text,
    repetitions_text,
    rest_bytes,
    sample_count,
    short_share_text,
    summary_text,
    title,
    value_text,
)
from localprompt.views.html.bench_charts import chart_blocks
from localprompt.views.html.page import (
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

_COLUMNS = ("ttft_seconds", "prefill_tokens_per_second", "decode_tokens_per_second")


def bench_sections(result: BenchResult, prefix: str = "") -> tuple[Section, ...]:
    """The bench's part of a page; ``prefix`` keeps ids apart where there are several benches."""
    heading = f"{result.experiment.title}: " if prefix else ""
    notices = tuple(_notices(result))
    charts = tuple(chart_blocks(result))
    return (
        Section(f"{prefix}overview", f"{heading}Overview", (_lead_facts(result), _facts(result))),
        Section(
            f"{prefix}notices", "Warnings and failures", (Notices(notices),) if notices else ()
        ),
        Section(f"{prefix}cells", "Figures", (_table(result.cells),) if result.cells else ()),
        Section(f"{prefix}charts", "Charts", charts),
        Section(
            f"{prefix}environment",
            "Environment",
            (Facts(tuple(machine_facts(result.machine, result.experiment.localprompt_version))),),
        ),
    )


def machine_facts(machine: Machine, localprompt_version: str) -> Iterator[Fact]:
    """The machine and the build that measured."""
    yield Fact("CPU", machine.cpu or UNKNOWN)
    cores = (
        f"{machine.physical_cores or UNKNOWN} physical, {machine.logical_cores or UNKNOWN} logical"
    )
    if machine.usable_cores is not None:
        cores += f", {machine.usable_cores:g} usable"
    yield Fact("Cores", cores)
    memory = format_bytes(machine.memory_bytes)
    if machine.memory_limit_bytes is not None:
        memory += f", limited to {format_bytes(machine.memory_limit_bytes)}"
    yield Fact("Memory", memory)
    yield Fact("System", f"{machine.os}, {machine.kernel}")
    yield Fact("Python", machine.python)
    yield Fact("localprompt", localprompt_version)
    yield Fact("llama-cpp-python", machine.llama_cpp_build or UNKNOWN)
    yield Fact("CPU features", ", ".join(machine.cpu_features) or UNKNOWN)
    yield Fact("Frequency governor", machine.governor or UNKNOWN)
    yield Fact("On battery", _yes_no(machine.on_battery))
    yield Fact("Throttled", _yes_no(machine.throttled))
    yield Fact("Machine id", machine.id)


def _lead_facts(result: BenchResult) -> Facts:
    facts = []
    workloads = dict.fromkeys(cell.cell.workload for cell in result.cells)
    for workload in workloads:
        cells = [cell for cell in result.cells if cell.cell.workload == workload]
        suffix = f", {workload}" if len(workloads) > 1 else ""
        facts += [lead for metric in _COLUMNS if (lead := _lead(metric, cells, suffix))]
    peaks = [(cell.memory.peak_rss_bytes or 0, cell) for cell in result.cells if cell.memory]
    if peaks:
        peak, cell = max(peaks, key=lambda pair: pair[0])
        facts.append(Fact("Largest peak RSS", format_bytes(peak), cell_name(cell)))
    return Facts(tuple(facts), prominent=True)


def _lead(metric: str, cells: Sequence[CellResult], suffix: str) -> Fact | None:
    """The best cell by one metric, and how sure that is."""
    measured = [(cell, cell.metrics[metric]) for cell in cells if metric in cell.metrics]
    if not measured:
        return None
    pick = min if better(metric) == "lower" else max
    best, summary = pick(measured, key=lambda pair: pair[1].median)
    rivals = [
        cell_name(cell) for cell, other in measured if cell is not best and _overlap(summary, other)
    ]
    extreme = "" if len(measured) == 1 else "Lowest " if pick is min else "Highest "
    note = cell_name(best)
    if len(measured) > 1:
        note += f". {_certainty(summary, rivals, len(measured))}"
    return Fact(f"{extreme}{title(metric)}{suffix}", summary_text(metric, summary), note)


def _certainty(summary: Summary, rivals: Sequence[str], measured: int) -> str:
    if summary.interval is None:
        return "Too few samples to be sure"
    if not rivals:
        return "Its interval overlaps with no other"
    if len(rivals) == measured - 1 and len(rivals) > 1:
        return "Its interval overlaps with those of all others"
    return f"Its interval overlaps with that of {'; '.join(rivals)}"


def _overlap(a: Summary, b: Summary) -> bool:
    """Unknown intervals overlap with everything."""
    if a.interval is None or b.interval is None:
        return True
    return a.interval.low <= b.interval.high and b.interval.low <= a.interval.high


def _facts(result: BenchResult) -> Facts:
    experiment = result.experiment
    counts = [cell_status(cell) for cell in result.cells]
    measured = counts.count("done") + counts.count("warned")
    parts = [f"{measured} measured"]
    parts += [f"{counts.count(word)} {word}" for word in ("failed", "not run") if word in counts]
    if experiment.refused:
        parts.append(f"{len(experiment.refused)} refused")
    models = dict.fromkeys(
        (model.name, model.quantization, model.parameters, model.size_bytes)
        for cell in result.cells
        if (model := cell.model)
    )
    items = [
        Fact("Command", experiment.title),
        Fact("When", moment_text(experiment.created_at)),
        Fact("Cells", ", ".join(parts)),
        Fact("Repetitions", repetitions_text(experiment.repetitions)),
        Fact("Id", experiment.id),
    ]
    items += [
        Fact(
            "Model",
            f"{name}: {quantization or UNKNOWN}, {format_count(parameters)} parameters, "
            f"{format_bytes(size)}",
        )
        for name, quantization, parameters, size in models
    ]
    if not result.complete:
        items.append(Fact("Incomplete", "some repetitions are missing"))
    return Facts(tuple(items))


def _notices(result: BenchResult) -> Iterator[Notice]:
    for cell in result.cells:
        if cell.failure is not None:
            yield Notice("failed", cell.failure.cause, cell_name(cell))
    for refused in result.experiment.refused:
        yield Notice("refused", refused.reason, label_text(refused.labels))
    for warning in result.warnings:
        yield Notice("warning", warning.message, advice=warning.advice)
    for cell in result.cells:
        for warning in cell.warnings:
            yield Notice("warning", warning.message, cell_name(cell), warning.advice)


def _table(cells: Sequence[CellResult]) -> Table:
    names = label_names(cell.cell.labels for cell in cells) or ("workload",)
    limits = any(cell.decode_limit or cell.prefill_limit for cell in cells)
    metrics = [metric for metric in _COLUMNS if any(metric in cell.metrics for cell in cells)]
    headings = [Column(name) for name in names]
    headings += [Column(title(metric), numeric=True) for metric in metrics]
    headings += [Column("peak RSS", numeric=True), Column("load", numeric=True)]
    if limits:
        headings += [Column("prefill, of limit", True), Column("decode, of limit", True)]
    headings += [Column("n", numeric=True), Column("status")]
    rows = []
    for cell in cells:
        labels = cell.cell.labels or {"workload": cell.cell.workload}
        values = [Value(labels.get(name, UNKNOWN), labels.get(name)) for name in names]
        values += [_metric_value(cell, metric) for metric in metrics]
        peak = cell.memory.peak_rss_bytes if cell.memory else None
        load = cell.metrics["load_seconds"].median if "load_seconds" in cell.metrics else None
        values.append(Value(format_bytes(peak), peak))
        values.append(Value(format_seconds(load), load))
        if limits:
            values += [
                Value(short_share_text(limit), limit.share if limit else None)
                for limit in (cell.prefill_limit, cell.decode_limit)
            ]
        count, status = sample_count(cell), cell_status(cell)
        values += [Value(str(count), count), Value(status, status)]
        rows.append(Row(cell_name(cell), tuple(values), tuple(_details(cell)), tuple(_texts(cell))))
    caption = (
        "Median ± half its 95 % interval over n repetitions; memory from a pass of its own. "
        "Of limit: share of the estimated rate that memory bandwidth (mem) or arithmetic (arith) "
        "allows, whichever binds."
        if limits
        else "Median ± half its 95 % interval over n repetitions; memory from a pass of its own."
    )
    return Table(caption, tuple(headings), tuple(rows))


def _metric_value(cell: CellResult, metric: str) -> Value:
    summary = cell.metrics.get(metric)
    return Value(summary_text(metric, summary), summary.median if summary else None)


def _details(cell: CellResult) -> Iterator[Fact]:
    yield Fact("Workload", cell.cell.workload)
    if cell.prompt_tokens is not None or cell.completion_tokens is not None:
        yield Fact(
            "Tokens",
            f"{_count(cell.prompt_tokens)} prompt, {_count(cell.completion_tokens)} completion",
        )
    for metric, summary in cell.metrics.items():
        yield Fact(
            title(metric).capitalize() if title(metric).islower() else title(metric),
            f"{summary_text(metric, summary)}; p5 {value_text(metric, summary.p5)}, "
            f"p95 {value_text(metric, summary.p95)}, n = {summary.n}",
        )
    if cell.cold_load_seconds is not None:
        yield Fact("Cold load", format_seconds(cell.cold_load_seconds))
    if cell.memory is not None:
        parts = [*memory_parts(cell.memory).items(), ("rest", rest_bytes(cell.memory))]
        yield Fact("Peak RSS", format_bytes(cell.memory.peak_rss_bytes))
        yield Fact("Its parts", ", ".join(f"{title(name)} {format_bytes(n)}" for name, n in parts))
        yield Fact(
            "Resident at the end",
            f"{format_bytes(cell.memory.anonymous_bytes)} anonymous, "
            f"{format_bytes(cell.memory.file_backed_bytes)} file-backed",
        )
    if cell.settings is not None:
        yield Fact("Settings", settings_text(cell.settings))


def _texts(cell: CellResult) -> Iterator[tuple[str, str]]:
    if cell.output_text:
        yield "Answer of the last repetition", cell.output_text
    if cell.failure is not None:
        yield "Cause of the failure", cell.failure.cause


def settings_text(settings: Settings) -> str:
    """Names as llama.cpp has them."""
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return ", ".join(
        f"{name} {_yes_no(value) if value is None or isinstance(value, bool) else value}"
        for name, value in values.items()
    )


def _count(tokens: int | None) -> str:
    return UNKNOWN if tokens is None else str(tokens)


def _yes_no(value: bool | None) -> str:
    return UNKNOWN if value is None else ("yes" if value else "no")
