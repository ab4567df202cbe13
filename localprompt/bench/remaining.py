"""How far a bench is, by what is stored of it: which repetitions are missing, and which cells fit.

The one rule for when a cell has been repeated often enough is here: the runner asks it before each
repetition, resuming asks it about stored ones, and results are called complete by it.
"""

from __future__ import annotations

from collections.abc import Iterable

from localprompt.records.bench import Experiment, PlannedCell, Repetitions
from localprompt.records.run import RunRecord
from localprompt.stats.samples import summarize

DECIDING_METRICS = (
    "ttft_seconds",
    "prefill_tokens_per_second",
    "decode_tokens_per_second",
)
"""What has to be known well enough before an automatic number of repetitions ends."""


class CellState:
    """How far a cell is."""

    def __init__(self, cell: PlannedCell, rule: Repetitions, runs: Iterable[RunRecord]) -> None:
        self.cell = cell
        self._rule = rule
        self._samples: dict[str, list[float]] = {metric: [] for metric in DECIDING_METRICS}
        self.repetitions = 0
        """Of the timing pass."""
        self.measured = False
        """By the memory pass."""
        self.private_bytes: int | None = None
        self.mapped_bytes: int | None = None
        self.failed = False
        """Now, in this process; resuming tries again."""
        for run in runs:
            self.add(run)

    def add(self, run: RunRecord) -> None:
        """Count a stored repetition."""
        if run.bench is not None and run.bench.phase == "memory":
            self.measured = True
            self.private_bytes = run.memory.anonymous_bytes or run.memory.peak_rss_bytes
            self.mapped_bytes = run.memory.file_backed_bytes or 0
            return
        self.repetitions += 1
        for metric, samples in self._samples.items():
            value = getattr(run.timing, metric)
            if value is not None:
                samples.append(value)

    @property
    def wants_more(self) -> bool:
        """Whether another repetition of the timing pass belongs to the plan."""
        rule = self._rule
        if self.failed:
            return False
        if rule.fixed is not None:
            return self.repetitions < rule.fixed
        if self.repetitions < rule.least:
            return True
        return self.repetitions < rule.most and not self._known_well(rule.target)

    @property
    def expected(self) -> int:
        """How many repetitions of the timing pass it will be, as far as can be told."""
        if not self.wants_more:
            return self.repetitions
        return self._rule.fixed or max(self._rule.least, self.repetitions + 1)

    def _known_well(self, target: float) -> bool:
        widths = [
            summarize(samples).relative_half_width for samples in self._samples.values() if samples
        ]
        return all(width is not None and width <= target for width in widths)


def cell_states(experiment: Experiment, runs: Iterable[RunRecord]) -> list[CellState]:
    """The experiment's cells, in their order, with what is stored of each."""
    by_cell: dict[str, list[RunRecord]] = {}
    for run in runs:
        if run.bench is not None:
            by_cell.setdefault(run.bench.cell, []).append(run)
    return [
        CellState(cell, experiment.repetitions, by_cell.get(cell.key, ()))
        for cell in experiment.cells
    ]


def missing(experiment: Experiment, runs: Iterable[RunRecord]) -> bool:
    """Whether there is anything left to run."""
    return any(not one.measured or one.wants_more for one in cell_states(experiment, runs))
