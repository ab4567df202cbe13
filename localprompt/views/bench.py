"""A bench: the plan before it runs; its figures in text; on a page overview and charts as well.

Everything is read off the :class:`~localprompt.records.bench.BenchResult`; the charts are in
:mod:`localprompt.views.bench_charts`. The overview names a best cell only among cells that do
the same work, and says with which others its interval overlaps: a lead within the noise is not one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console

from localprompt.records.bench import BenchResult, CellResult, Experiment, LimitShare, Summary
from localprompt.records.run import Machine, Settings
from localprompt.units import UNKNOWN, format_bytes, format_count, format_seconds
from localprompt.views.bench_charts import chart_blocks
from localprompt.views.bench_labels import Measure, label_reader, llama_bench_columns
from localprompt.views.figures import (
    better,
    cell_name,
    cell_status,
    label_names,
    label_text,
    memory_parts,
    moment_text,
    repetition_bounds,
    repetitions_text,
    rest_bytes,
    sample_count,
    short_share_text,
    summary_text,
    title,
    value_text,
)
from localprompt.views.markdown import markdown
from localprompt.views.sections import (
    Block,
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
    text_table,
)
from localprompt.views.terminal import print_blocks, print_text

_COLUMNS = ("ttft_seconds", "prefill_tokens_per_second", "decode_tokens_per_second")


def print_bench(result: BenchResult, console: Console) -> None:
    """All cells with their figures; then warnings, refused cells and failures."""
    experiment = result.experiment
    print_text(f"{experiment.title}  ({experiment.id})", console, "bold")
    print_blocks(_figures(result), console)


def bench_markdown(result: BenchResult) -> str:
    """The same with llama-bench's columns first; then the machine."""
    figures = tuple(_figures(result, llama_bench_columns(result.cells)))
    measured = Lines(tuple(_measured_on(result)))
    return markdown([Section("cells", result.experiment.title, (*figures, measured))], 3)


def _measured_on(result: BenchResult) -> Iterator[str]:
    for name, machine in result.experiment.machines.items():
        yield f"Measured on {name}: {machine_line(machine)}"
    if not result.experiment.machines:
        yield f"Measured on: {machine_line(result.machine)}"


def bench_sections(result: BenchResult, prefix: str = "") -> tuple[Section, ...]:
    """The bench's part of a page; ``prefix`` keeps ids apart where there are several benches."""
    heading = f"{result.experiment.title}: " if prefix else ""
    machine = list(machine_facts(result.machine, result.experiment.localprompt_version))
    if result.experiment.machines:
        machine = [Fact(n, machine_line(m)) for n, m in result.experiment.machines.items()]
    return (
        Section(f"{prefix}overview", f"{heading}Overview", (_lead_facts(result), _facts(result))),
        Section(f"{prefix}notices", "Warnings and failures", tuple(_notices(result))),
        Section(f"{prefix}cells", "Figures", tuple(_table(result.cells))),
        Section(f"{prefix}charts", "Charts", tuple(chart_blocks(result))),
        Section(f"{prefix}environment", "Environment", (Facts(tuple(machine)),)),
    )


def print_plan(experiment: Experiment, console: Console) -> None:
    """What is going to be executed, what is refused and why, and how long it may take."""
    names = label_names(cell.labels for cell in experiment.cells)
    # Every cell has a workload; it is a label only where there are several.
    labels = [name for name in names if name != "workload"]
    columns = (
        *(_label_column(name) for name in labels),
        Column("workload"),
        Column("one repetition", numeric=True),
    )
    rows = (
        (
            *(cell.labels.get(name, UNKNOWN) for name in labels),
            cell.workload,
            format_seconds(cell.estimated_seconds),
        )
        for cell in experiment.cells
    )
    refused = Notices(tuple(_refused(experiment)))
    lines = Lines((estimate_line(experiment),), quiet=False)
    print_blocks([text_table("", columns, rows, "cell"), refused, lines], console)


def estimate_line(experiment: Experiment) -> str:
    """``4 cells × 5 to 30 repetitions, estimated 40 s to 4 min 00 s``; loads come on top."""
    cells, repetitions = experiment.cells, experiment.repetitions
    count = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
    known = [cell.estimated_seconds for cell in cells if cell.estimated_seconds is not None]
    line = f"{count} × {repetitions_text(repetitions)}"
    if not known:
        return f"{line}; how long they take is unknown until the first ones have run"
    least, most = repetition_bounds(repetitions)
    times = [format_seconds(sum(known) * n) for n in dict.fromkeys((least, most))]
    at_least = "at least " if len(known) < len(cells) else ""
    return f"{line}: estimated {at_least}{' to '.join(times)}, loads and warm-ups not counted"


def machine_line(machine: Machine) -> str:
    """Whose figures these are, in one line."""
    build = f"llama-cpp-python {machine.llama_cpp_build}" if machine.llama_cpp_build else None
    cores = f"{machine.physical_cores} cores" if machine.physical_cores else None
    memory = format_bytes(machine.memory_bytes) if machine.memory_bytes else None
    facts = (machine.cpu, cores, memory, machine.os, build, f"machine {machine.id}")
    return ", ".join(fact for fact in facts if fact)


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
    return Facts(tuple(items))


def _figures(result: BenchResult, named: Sequence[Measure] | None = None) -> Iterator[Block]:
    """What text shows: the table, then what was not measured and what to beware of."""
    yield from _table(result.cells, named)
    yield from _notices(result)


def _notices(result: BenchResult) -> Iterator[Notices]:
    items = [
        Notice("failed", cell.failure.cause, cell_name(cell))
        for cell in result.cells
        if cell.failure is not None
    ]
    items += _refused(result.experiment)
    items += [Notice("warning", one.message, advice=one.advice) for one in result.warnings]
    items += [
        Notice("warning", one.message, cell_name(cell), one.advice)
        for cell in result.cells
        for one in cell.warnings
    ]
    if not result.complete:
        cluster = " --cluster ADDRESS" if result.experiment.machines else ""
        again = f"localprompt bench --resume {result.experiment.id}{cluster}"
        advice = f"{again} runs what is missing"
        items.append(Notice("incomplete", "some repetitions are missing", advice=advice))
    if items:
        yield Notices(tuple(items))


def _refused(experiment: Experiment) -> list[Notice]:
    return [Notice("refused", one.reason, label_text(one.labels)) for one in experiment.refused]


def _table(cells: Sequence[CellResult], named: Sequence[Measure] | None = None) -> Iterator[Table]:
    """One row per cell: what it is (its labels, or ``named``), then its figures."""
    if not cells:
        return
    measures = [*(_labels(cells) if named is None else named), *_measures(cells)]
    rows = tuple(
        Row(
            cell_name(cell),
            tuple(measure.of(cell) for measure in measures),
            tuple(_details(cell)),
            tuple(_texts(cell)),
        )
        for cell in cells
    )
    caption = "Median ± half its 95 % interval over n repetitions; memory from a pass of its own."
    if any(cell.decode_limit or cell.prefill_limit for cell in cells):
        caption += (
            " Of limit: share of the estimated rate that memory bandwidth (mem) or arithmetic "
            "(arith) allows, whichever binds."
        )
    yield Table(caption, tuple(measure.column for measure in measures), rows, "cell")


def _labels(cells: Sequence[CellResult]) -> list[Measure]:
    names = label_names(cell.cell.labels for cell in cells)
    if not names:
        return [Measure(_label_column("workload"), lambda cell: _word(cell.cell.workload))]
    return [Measure(_label_column(name), label_reader(name)) for name in names]


def _label_column(name: str) -> Column:
    return Column(name, label="bare" if name in {"model", "workload"} else "titled")


def _measures(cells: Sequence[CellResult]) -> Iterator[Measure]:
    """The columns of figures, the same wherever a bench is shown."""
    limits = {
        "prefill_tokens_per_second": lambda cell: _share(cell.prefill_limit),
        "decode_tokens_per_second": lambda cell: _share(cell.decode_limit),
    }
    limited = any(cell.decode_limit or cell.prefill_limit for cell in cells)
    for metric in _COLUMNS:
        if any(metric in cell.metrics for cell in cells):
            unit = "tok/s" if metric in limits else ""
            yield Measure(Column(title(metric), numeric=True, unit=unit), _metric_reader(metric))
            if limited and metric in limits:
                heading = f"{title(metric)}, of limit"
                yield Measure(Column(heading, numeric=True, below=True), limits[metric])
    yield Measure(Column("peak RSS", numeric=True), _peak)
    yield Measure(Column("load", numeric=True), _load)
    yield Measure(Column("n", numeric=True), lambda cell: _count_of(sample_count(cell)))
    yield Measure(Column("status"), lambda cell: _word(cell_status(cell)))


def _metric_reader(metric: str) -> Callable[[CellResult], Value]:
    def read(cell: CellResult) -> Value:
        summary = cell.metrics.get(metric)
        return Value(summary_text(metric, summary), summary.median if summary else None)

    return read


def _share(limit: LimitShare | None) -> Value:
    return Value(short_share_text(limit), limit.share if limit else None)


def _peak(cell: CellResult) -> Value:
    peak = cell.memory.peak_rss_bytes if cell.memory else None
    return Value(format_bytes(peak), peak)


def _load(cell: CellResult) -> Value:
    load = cell.metrics.get("load_seconds")
    return Value(format_seconds(load.median if load else None), load.median if load else None)


def _count_of(count: int) -> Value:
    return Value(str(count), count)


def _word(text: str) -> Value:
    return Value(text, text)


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
