"""What training would take, beside prompting the same model: terminal and Markdown.

Both show the same four sections in the same order: the peak memory with the sizes that hold it,
its parts, time and money where they were asked for, and the assumptions. A figure of training is
three, low, typical and high. No section goes without the word "estimated".

Machine-readable formats are in :mod:`localprompt.views.files.estimate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console

from localprompt.finetune.estimate.cost import CostEstimate
from localprompt.finetune.estimate.estimate import Estimate
from localprompt.finetune.estimate.hardware import GPU_SIZES, LAPTOPS, Device, Fit
from localprompt.finetune.estimate.prompting import SideBySide
from localprompt.finetune.estimate.shapes import NamedShape
from localprompt.stats.ranges import Range
from localprompt.units import GIB, MIB, UNKNOWN, format_bytes, format_count, format_figure
from localprompt.views.markdown import cell, markdown
from localprompt.views.sections import Column, Lines, Section, text_table
from localprompt.views.terminal import print_blocks, print_sections

PARTS = ("weights", "gradients", "optimizer", "activations", "logits", "adapter", "overhead")
"""Of the peak, in the order of ``MemoryEstimate``."""

_CPU = "cpu-llama.cpp"
_TIMES = (("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))


def print_estimate(report: SideBySide, console: Console) -> None:
    """Everything that is estimated."""
    print_blocks([Lines((_model(report), _LABEL), quiet=False)], console)
    print_sections(estimate_sections(report), console)


def estimate_markdown(report: SideBySide) -> str:
    """The same as a piece of Markdown."""
    return f"### {cell(_model(report))}\n\n{_LABEL}\n\n{markdown(estimate_sections(report), 4)}"


def print_shapes(shapes: Iterable[NamedShape], console: Console) -> None:
    """The shapes that ``--shape`` takes."""
    columns = (
        Column("name", whole=True),
        Column("params", numeric=True),
        Column("layers", numeric=True, spare=2),
        Column("width", numeric=True, spare=1),
        Column("vocab", numeric=True, spare=3),
        Column("also called", prose=True),
    )
    rows = [
        (
            named.shape.name,
            format_count(named.shape.parameters),
            str(named.shape.layers),
            str(named.shape.hidden),
            f"{named.shape.vocab:,}",
            ", ".join(named.aliases),
        )
        for named in shapes
    ]
    print_blocks([text_table("", columns, rows)], console)


_LABEL = "Every figure is estimated: nothing was trained, loaded or measured."


def _model(report: SideBySide) -> str:
    shape = report.shape
    return (
        f"{shape.name}: {format_count(shape.parameters)} parameters, {shape.layers} layers, "
        f"width {shape.hidden}, vocabulary {shape.vocab:,}"
    )


def estimate_sections(report: SideBySide) -> tuple[Section, ...]:
    """Peak memory and what holds it, its parts, time and money, assumptions."""
    largest = max(estimate.memory.total_bytes.typical for estimate in report.training)
    unit, size = ("GiB", GIB) if largest >= GIB else ("MiB", MIB)
    timed = any(estimate.costs for estimate in report.training)
    return (
        _memory(report, unit, size),
        _parts(report.training, unit, size),
        *([_costs(report.training)] if timed else []),
        _assumptions(report),
    )


def _section(
    title: str, columns: tuple[Column, ...], rows: Iterable[tuple[str, ...]], notes: Iterable[str]
) -> Section:
    blocks = ([text_table("", columns, rows)] if rows else []) + [Lines(tuple(notes))]
    return Section(title.partition(" ")[0], title, tuple(blocks))


def _memory(report: SideBySide, unit: str, size: int) -> Section:
    prompting, training = report.prompting, report.training
    peak = prompting.peak_bytes * (1 / size)
    rows: list[tuple[str, ...]] = [
        (
            f"prompting {prompting.quantization}",
            format_figure(peak.low) if peak.low < peak.typical else "",
            format_figure(peak.typical),
            "",
            _holding(prompting.fits, LAPTOPS),
            "not needed",
        )
    ]
    for estimate in training:
        peak = estimate.memory.total_bytes * (1 / size)
        rows.append(
            (
                estimate.recipe.method,
                *map(format_figure, (peak.low, peak.typical, peak.high)),
                _laptops(estimate),
                "not used" if _on_cpu(estimate) else _holding(estimate.fits, GPU_SIZES),
            )
        )
    gpus = max(estimate.recipe.gpus for estimate in training)
    whose = f" on each of {gpus} GPUs" if gpus > 1 else ""
    return _section(
        f"peak memory{whose} in {unit}, and which memory sizes hold it (estimated)",
        (
            Column("method"),
            Column("low", numeric=True),
            Column("typical", numeric=True),
            Column("high", numeric=True),
            Column("laptop GiB"),
            Column("GPU GB"),
        ),
        rows,
        list(_memory_notes(report, size)),
    )


def _memory_notes(report: SideBySide, size: int) -> Iterator[str]:
    peak = report.prompting.peak_bytes
    if peak.low < peak.typical:
        yield (
            f"prompting: {format_figure(peak.typical / size)} with the copies of weights that are "
            f"made for this CPU, {format_figure(peak.low / size)} without them (--no-repack)."
        )
    times = ", ".join(
        f"{e.recipe.method} {format_figure(e.memory.all_gpus_bytes.typical / peak.typical)}×"
        for e in report.training
    )
    together = ", all GPUs together" if report.training[0].recipe.gpus > 1 else ""
    yield f"Typical memory as a multiple of prompting's{together}: {times}."
    yield (
        "16 fits, 16? may fit, sizes not listed are too small; 2 GiB of a laptop and 0.5 GiB of "
        "a GPU count as taken. Memory only: training on a laptop may take far too long."
    )
    if any("*" in _laptops(estimate) for estimate in report.training):
        yield "* The 4-bit kernels of qlora need a GPU, however much memory a laptop has."


def _laptops(estimate: Estimate) -> str:
    if estimate.recipe.gpus > 1:
        return UNKNOWN
    held = _holding(estimate.fits, LAPTOPS)
    return f"{held} *" if estimate.recipe.method == "qlora" and held != "none" else held


def _holding(fits: Iterable[Fit], devices: Iterable[Device]) -> str:
    """``8? 16 32``: the sizes that hold it, a question mark where only the low end fits."""
    verdicts = {fit.device: fit.verdict for fit in fits}
    marks = {"fits": "", "may fit": "?"}
    held = [
        device.name.split()[1] + marks[verdicts[device.name]]
        for device in devices
        if verdicts[device.name] in marks
    ]
    return " ".join(held) or "none"


def _parts(training: tuple[Estimate, ...], unit: str, size: int) -> Section:
    rows = [
        (
            estimate.recipe.method,
            *(
                format_figure(part.typical / size) if part.typical else "0"
                for part in memory_parts(estimate).values()
            ),
        )
        for estimate in training
    ]
    at_step = [e.recipe.method for e in training if e.memory.peak_at == "step"]
    return _section(
        f"where the peak goes, typical values in {unit} (estimated)",
        (Column("method"), *(Column(part, numeric=True) for part in PARTS)),
        rows,
        [
            f"0: the peak of {', '.join(at_step)} comes while the optimizer steps; activations and "
            "logits are gone then."
        ]
        if at_step
        else [],
    )


def memory_parts(estimate: Estimate) -> Mapping[str, Range]:
    """The parts of the peak by name, in bytes."""
    return {part: getattr(estimate.memory, f"{part}_bytes") for part in PARTS}


def _costs(training: tuple[Estimate, ...]) -> Section:
    rows: list[tuple[str, ...]] = []
    too_small: dict[str, list[str]] = {}
    for estimate in training:
        method = estimate.recipe.method
        verdicts = {fit.device: fit.verdict for fit in estimate.fits}
        held = [cost for cost in estimate.costs if verdicts[cost.gpu] != "does not fit"]
        rows += [_cost_row(method, cost, verdicts[cost.gpu]) for cost in held]
        small = ", ".join(cost.gpu for cost in estimate.costs if cost not in held)
        if small:
            too_small.setdefault(small, []).append(method)
    costs = [cost for estimate in training for cost in estimate.costs]
    on = f"{costs[0].gpus} GPUs" if costs[0].gpus > 1 else "one GPU"
    notes = [f"Too small for {', '.join(methods)}: {gpus}." for gpus, methods in too_small.items()]
    if not rows:
        notes.append("Try more GPUs (--gpus N), weights spread over them (--sharded), or qlora.")
    else:
        notes.append("Computing only: loading, evaluating and waiting for a machine come on top.")
    if any(_on_cpu(estimate) for estimate in training):
        notes.append(f"Time of {_CPU} depends on this CPU and is not estimated.")
    return _section(
        f"time and money for {costs[0].tokens:,} tokens on {on} (estimated; low, typical, high)",
        (Column("method"), Column("GPU"), Column("memory"), Column("time"), Column("USD")),
        rows,
        notes,
    )


def _cost_row(method: str, cost: CostEstimate, verdict: str) -> tuple[str, ...]:
    return method, cost.gpu, verdict, _time(cost.seconds), _money(cost.usd)


def _time(seconds: Range) -> str:
    """``5.10, 7.00, 14.0 h``: in the unit that suits the typical value."""
    unit, size = next((u for u in _TIMES if seconds.typical >= u[1]), _TIMES[-1])
    values = (seconds.low / size, seconds.typical / size, seconds.high / size)
    return f"{', '.join(map(format_figure, values))} {unit}"


def _money(usd: Range | None) -> str:
    if usd is None:
        return UNKNOWN
    amounts = (usd.low, usd.typical, usd.high)
    return ", ".join("<0.01" if amount < 0.005 else f"{amount:.2f}" for amount in amounts)


def _assumptions(report: SideBySide) -> Section:
    """Each assumption once; where methods differ in it, with the methods that it is of."""
    of_methods: dict[str, dict[str, list[str]]] = {}
    for estimate in report.training:
        for assumption in estimate.assumptions:
            values = of_methods.setdefault(assumption.name, {})
            values.setdefault(assumption.value, []).append(estimate.recipe.method)
        trained = f"{format_count(estimate.trainable_parameters)} parameters"
        of_methods.setdefault("trained", {}).setdefault(trained, []).append(estimate.recipe.method)
    on_gpus = [e.recipe.method for e in report.training if not _on_cpu(e)]
    rows = []
    for name, values in of_methods.items():
        for number, (value, methods) in enumerate(values.items()):
            # The assumption "method" begins with the method's name.
            shared = name == "method" or len(methods) == len(report.training)
            of = "" if shared else f" ({'on GPUs' if methods == on_gpus else ', '.join(methods)})"
            rows.append((name if number == 0 else "", f"{value}{of}"))
    rows.append(("prompting", _prompting(report)))
    return _section(
        "what is assumed (estimated from the model's shape and this)",
        (Column("what"), Column("taken to be")),
        rows,
        [],
    )


def _prompting(report: SideBySide) -> str:
    prompting, memory = report.prompting, report.prompting.memory
    source = "the file" if prompting.from_file else "the shape, as if quantized"
    copied = f" ({format_bytes(memory.repacked_bytes)} laid out for this CPU)"
    copied = copied if memory.repacked_bytes else ""
    rest = memory.baseline_bytes + memory.other_bytes
    return (
        f"{prompting.quantization} on the CPU with n_ctx {prompting.n_ctx}, predicted from "
        f"{source}: weights {format_bytes(memory.weights_bytes)}{copied}, KV cache "
        f"{format_bytes(memory.kv_cache_bytes)}, compute {format_bytes(memory.compute_bytes)}, "
        f"process and rest {format_bytes(rest)}"
    )


def _on_cpu(estimate: Estimate) -> bool:
    return estimate.recipe.method == _CPU
