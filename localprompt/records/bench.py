"""The frozen records of a bench: what was planned, where each run belongs, what came out.

A bench is an *experiment*: cells (one model × prompt × settings each), executed several times.
Every execution is an ordinary run record of kind ``bench`` that says its place in the experiment,
so what people do with runs (export, query, compare) works on benches as well. Results are derived
from those records whenever they are read; nothing derived is stored.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from localprompt.records.model import ModelRecord
from localprompt.records.run import BenchPlace, Machine, Memory, RunWarning, Settings
from localprompt.stats.roofline import Ceilings, TokenWork
from localprompt.stats.samples import Comparison, Interval, Summary

__all__ = [
    "BenchComparison",
    "BenchPlace",
    "BenchResult",
    "CellFailure",
    "CellResult",
    "Comparison",
    "ComparisonRow",
    "Experiment",
    "Interval",
    "LimitShare",
    "PlannedCell",
    "RefusedCell",
    "Repetitions",
    "Step",
    "Summary",
]

METRICS = (
    "ttft_seconds",
    "prefill_tokens_per_second",
    "decode_tokens_per_second",
    "itl_p50_seconds",
    "itl_p95_seconds",
    "total_seconds",
    "load_seconds",
)
"""Fields of records.Timing that a bench summarizes, in the order in which views show them."""


class PlannedCell(msgspec.Struct, frozen=True):
    """A cell of the plan."""

    key: str
    """Digest of everything that makes two executions comparable; the same in every bench that
    asks for the same model file, prompt, parameters, settings and sampling."""
    labels: dict[str, str]
    """What tells it from the others, in order: ``{"model": "smollm2-135m", "n_ctx": "1024"}``."""
    workload: str
    """``summarize`` for a prompt; ``pp512``, ``tg64`` for synthetic prefill and decode."""
    request: dict[str, Any]
    """The cell itself as plain data, enough to execute it again."""
    estimated_seconds: float | None
    """One repetition, estimated before anything ran; None where there is no basis."""
    work: TokenWork | None = None
    """What the model's shape makes a token cost; None where the shape is not understood."""
    ceilings: Ceilings | None = None
    """What the probe had seen of the machine; with ``work`` it gives the limits."""


class RefusedCell(msgspec.Struct, frozen=True):
    """A cell that cannot run here, and was therefore not tried."""

    labels: dict[str, str]
    reason: str


class Repetitions(msgspec.Struct, frozen=True):
    """How often each cell is repeated."""

    fixed: int | None
    """``-r N``; None: until the interval is narrow enough."""
    least: int = 5
    most: int = 30
    target: float = 0.02
    """Half-width of the median's 95 % interval, as a share of the median."""


class Experiment(msgspec.Struct, frozen=True):
    """One invocation of ``bench``."""

    id: str
    """As a run's: 26 characters, sorts by time."""
    kind: Literal["bench"]
    created_at: str
    localprompt_version: str
    title: str
    """The command or suite that asked for it."""
    cells: tuple[PlannedCell, ...]
    refused: tuple[RefusedCell, ...]
    repetitions: Repetitions
    machine: Machine | None = None
    """Where it was planned; it can only be resumed there."""
    machines: dict[str, Machine] = {}
    """Where it ran, by the label ``machine`` of its cells; none: where it was planned."""


class Step(msgspec.Struct, frozen=True):
    """What the bench is doing, for whoever shows it."""

    what: Literal["memory", "load", "timing", "failed"]
    cell: PlannedCell
    done: int
    """Repetitions of both passes that are stored."""
    expected: int
    """How many it will be, as far as can be told."""


class CellFailure(msgspec.Struct, frozen=True):
    """Why a cell has no results, or no further ones."""

    experiment_id: str
    cell: str
    created_at: str
    cause: str
    """As ``worker was killed by signal 9 (SIGKILL)``, with llama.cpp's reason if it gave one."""


class LimitShare(msgspec.Struct, frozen=True):
    """A measured rate beside the rate that the machine's limits allow."""

    limit_tokens_per_second: float
    """Estimated from the probe."""
    share: float
    """Measured / limit."""
    binds: str
    """``memory bandwidth`` or ``arithmetic``."""


class CellResult(msgspec.Struct, frozen=True):
    """One cell's figures, derived from its runs."""

    cell: PlannedCell
    metrics: dict[str, Summary]
    """Timing pass only; keys from METRICS, those without any sample left out."""
    memory: Memory | None
    """Memory pass."""
    prompt_tokens: int | None
    completion_tokens: int | None
    cold_load_seconds: float | None
    """First load with the file out of the page cache; None where that was not possible."""
    decode_limit: LimitShare | None
    prefill_limit: LimitShare | None
    token_gaps_seconds: tuple[float, ...]
    """Median inter-token latency by token index, over the repetitions."""
    output_text: str
    """The answer of the last repetition; empty for synthetic cells."""
    warnings: tuple[RunWarning, ...]
    failure: CellFailure | None
    model: ModelRecord | None = None
    """As the runs recorded it; None where none has finished."""
    settings: Settings | None = None
    """The effective ones, as the runs recorded them; None where none has finished."""


class BenchResult(msgspec.Struct, frozen=True):
    """A bench as views show it."""

    experiment: Experiment
    machine: Machine
    cells: tuple[CellResult, ...]
    warnings: tuple[RunWarning, ...]
    """About the bench as a whole: other load, sleep, another bench at the same time."""
    complete: bool
    """False: some repetitions are still missing; ``--resume`` runs them."""


class ComparisonRow(msgspec.Struct, frozen=True):
    """One quantity of one cell that both benches measured."""

    labels: dict[str, str]
    metric: str
    """From METRICS, or a field of records.Memory."""
    comparison: Comparison


class BenchComparison(msgspec.Struct, frozen=True):
    """Two benches on one machine, cell by cell."""

    a: Experiment
    """The earlier one, or what the user named first: the base of every ratio."""
    b: Experiment
    rows: tuple[ComparisonRow, ...]
    only_in_a: tuple[dict[str, str], ...]
    """Labels of the cells without a counterpart."""
    only_in_b: tuple[dict[str, str], ...]
    remarks: tuple[str, ...] = ()
    """What differs between the two beside what was asked for, in words."""
