"""A result as a page to read: generated from the JSON beside it and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.peers.results import Figure, PeerResult, Section, Target
from localprompt.units import UNKNOWN, format_bytes, format_rate, format_seconds


def to_markdown(result: PeerResult, title: str = "localprompt beside its peers") -> str:
    return "\n".join(_lines(result, title)).rstrip() + "\n"


def _lines(result: PeerResult, title: str) -> Iterator[str]:
    yield f"# {title}, {result.measured_at[:10]}"
    yield ""
    if result.busy:
        yield "**Taken on a busy machine: the warnings below say what else ran. Not for quoting.**"
        yield ""
    yield from _environment(result)
    for section in result.sections:
        yield ""
        yield f"## {section.title}"
        yield ""
        if section.how:
            yield section.how
            yield ""
        yield from _section(section)


def _environment(result: PeerResult) -> Iterator[str]:
    environment = result.environment
    machine, model = environment.machine, environment.model
    sha256 = f", sha256 {model.sha256[:12]}…" if model.sha256 else ""
    facts = {
        "machine": f"{machine.cpu or UNKNOWN}, {machine.physical_cores or UNKNOWN} cores, "
        f"{format_bytes(machine.memory_bytes)}, {machine.os}, {machine.kernel}",
        "localprompt": environment.localprompt_version
        + (f" at {environment.revision}" if environment.revision else ""),
        "llama.cpp": f"{machine.llama_cpp_build}; {', '.join(machine.cpu_features)}",
        "peers": f"{environment.tools}; computing with {environment.libraries}",
        "model": f"{model.path}, {model.quantization}, {format_bytes(model.size_bytes)}{sha256}",
        "runs": f"{result.pairs} pairs of turns, {result.repetitions} repetitions in each, "
        f"{result.threads} threads",
        "load average": f"{_load(environment.load_average_before)} before, "
        f"{_load(environment.load_average_after)} after",
    }
    yield from (f"- **{name}**: {text}" for name, text in facts.items())


def _section(section: Section) -> Iterator[str]:
    if section.skipped:
        yield f"Not measured: {section.skipped}."
    if section.figures:
        yield "| figure | A | B | A / B (range, n) | target | |"
        yield "| --- | --- | --- | --- | --- | --- |"
        yield from (_row(figure) for figure in section.figures)
    for note in section.notes:
        yield ""
        yield note
    for warning in section.warnings:
        yield ""
        yield f"Warning: {warning.message} ({warning.advice})."


def _row(figure: Figure) -> str:
    ratio = figure.ratio
    cells = (
        figure.what,
        f"{figure.a} {_amount(figure.a_median, figure.unit)}",
        f"{figure.b} {_amount(figure.b_median, figure.unit)}",
        f"**{ratio.median:.3f}** ({ratio.lowest:.3f} to {ratio.highest:.3f}, {ratio.n})",
        _target(figure.target),
        {True: "met", False: "missed", None: ""}[figure.met],
    )
    return f"| {' | '.join(cells)} |"


def _target(target: Target | None) -> str:
    if target is None:
        return ""
    low = "" if target.at_least is None else f"≥ {target.at_least:g}"
    high = "" if target.at_most is None else f"≤ {target.at_most:g}"
    return " and ".join(side for side in (low, high) if side)


def _amount(value: float, unit: str) -> str:
    match unit:
        case "s":
            return format_seconds(value)
        case "B":
            return format_bytes(value)
        case _:
            return format_rate(value, unit)


def _load(load: tuple[float, float, float] | None) -> str:
    return UNKNOWN if load is None else f"{load[0]:.2f}"
