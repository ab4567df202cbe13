"""``cluster check``: the machines of a cluster, what each has, and whether they agree."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from localprompt.records.cluster import (
    Agreement,
    CheckedMachine,
    CheckedModel,
    ClusterCheck,
)
from localprompt.units import UNKNOWN, format_bytes
from localprompt.views.sections import Block, Column, Lines, Notice, Notices, Table, text_table
from localprompt.views.terminal import print_blocks

_CLOCK_NOTED_SECONDS = 60.0
_KEPT_FREE_SHARE = 0.9


def print_check(check: ClusterCheck, console: Console) -> None:
    """The machines, the models on each of them, and what differs."""
    print_blocks(tuple(_blocks(check)), console)


def _blocks(check: ClusterCheck) -> Iterator[Block]:
    yield _machines(check)
    if check.models:
        yield _models(check)
    yield Notices(tuple(_notices(check)))
    lines = tuple(line for one in check.agreements for line in _agreement(one))
    yield Lines(lines, quiet=False)


def _machines(check: ClusterCheck) -> Table:
    columns = (
        Column("machine"),
        Column("CPU"),
        Column("cores", numeric=True),
        Column("memory free", numeric=True),
        Column("llama.cpp"),
    )
    return text_table("", columns, map(_machine_row, check.machines), "machine")


def _machine_row(one: CheckedMachine) -> tuple[str, ...]:
    if one.facts is None:
        return one.name, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN
    machine = one.facts.machine
    return (
        one.name,
        machine.cpu or UNKNOWN,
        str(machine.physical_cores or UNKNOWN),
        format_bytes(one.facts.available_bytes),
        machine.llama_cpp_build or UNKNOWN,
    )


def _models(check: ClusterCheck) -> Table:
    asked = [one for one in check.machines if one.facts is not None]
    columns = (Column("model"), *(Column(one.name) for one in asked))
    rows = [(model.name, *(_standing(model, one) for one in asked)) for model in check.models]
    return text_table("", columns, rows, "model")


def _standing(model: CheckedModel, one: CheckedMachine) -> str:
    """``here, fits``: whether it could be asked to answer."""
    assert one.facts is not None  # noqa: S101  only those that were asked
    here = "here" if _has(one, model) else "lacks it"
    peak, free = model.predicted_peak_bytes, one.facts.available_bytes
    if peak is None or free is None:
        return here
    return f"{here}, {'fits' if peak <= _KEPT_FREE_SHARE * free else 'too large'}"


def _has(one: CheckedMachine, model: CheckedModel) -> bool:
    return one.facts is not None and model.sha256 in one.facts.sha256s


def _notices(check: ClusterCheck) -> Iterator[Notice]:
    for one in check.machines:
        if one.problem is not None:
            yield Notice("refused", one.problem, one.name)
        off = one.clock_off_seconds
        if off is not None and abs(off) > _CLOCK_NOTED_SECONDS:
            text = f"its clock is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"
            yield Notice("note", f"{text}; times of results are this machine's", one.name)
    for model in check.models:
        lacking = [m.name for m in check.machines if m.facts is not None and not _has(m, model)]
        if lacking:
            yield Notice("note", f"{model.name} is missing", ", ".join(lacking), model.fetch)


def _agreement(one: Agreement) -> Iterator[str]:
    if len(one.differing) > 1:
        first, *others = one.differing
        said = ", ".join(f"{name} {one.differing[name]}" for name in others)
        yield (
            f"{one.model}: of {one.prompts} greedy answers so many differ from those of "
            f"{first}: {said}"
        )
    elif one.differing:
        yield f"{one.model}: {one.prompts} prompts answered; one machine has nobody to differ from"
    for name, problem in one.problems.items():
        yield f"{one.model}: {name} did not answer: {problem}"
