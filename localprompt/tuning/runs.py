"""Runs of candidates: each in a worker, each stored as it ends.

What a request costs is counted for the same amount of work everywhere: the prompt's prefill, and
as many tokens as the usual settings answered with. Other weights answer with other words, and a
model that says less must not look faster for it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from localprompt.bench.child import WORKER_COMMAND, Child
from localprompt.errors import WorkerError
from localprompt.records.bench import CellFailure
from localprompt.records.cell import BenchRequest, Cell
from localprompt.records.run import BenchPlace, RunRecord
from localprompt.records.tuning import Trial
from localprompt.stats.samples import median
from localprompt.store.history import History
from localprompt.tuning.candidates import Candidate


class Runs:
    """The runs of one tuning.

    Args:
        tuning_id: under which they are stored.
        cell: the user's prompt with the usual model and settings.
        history: told of every run and failure, at once.
        on_run: told of every candidate before it runs, and how often it will.
    """

    def __init__(
        self,
        tuning_id: str,
        cell: Cell,
        history: History,
        on_run: Callable[[Candidate, int], None] = lambda _candidate, _times: None,
    ) -> None:
        self._tuning_id = tuning_id
        self._cell = cell
        self._history = history
        self._on_run = on_run
        self._records: dict[str, list[RunRecord]] = {}
        self.failures: dict[str, str] = {}
        self.reference: RunRecord | None = None
        """The first run of all: the usual settings. Its answer's length is what all are counted
        for."""

    def more(self, candidate: Candidate, times: int) -> list[float] | None:
        """Run a candidate so many times, in a worker that has warmed up.

        Returns:
            the seconds of each run, counted alike for all candidates; None: it failed, and
            :attr:`failures` says why.
        """
        self._on_run(candidate, times)
        try:
            with Child(WORKER_COMMAND) as child:
                child.open(self._request(candidate), "timing")
                made = [self._kept(candidate, child.run().record) for _ in range(times)]
        except WorkerError as error:
            self.failures[candidate.key] = error.message
            moment = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._history.fail(CellFailure(self._tuning_id, candidate.key, moment, error.message))
            return None
        return [self._seconds(record) for record in made]

    def trial(self, candidate: Candidate) -> Trial:
        """What is known of a candidate by its runs."""
        records = self._records.get(candidate.key, [])
        prefill = [r for one in records if (r := one.timing.prefill_tokens_per_second)]
        decode = [r for one in records if (r := one.timing.decode_tokens_per_second)]
        peaks = [peak for one in records if (peak := one.memory.peak_rss_bytes)]
        return Trial(
            key=candidate.key,
            model=candidate.model,
            changes=candidate.changes,
            runs=len(records),
            seconds=median([self._seconds(one) for one in records]) if records else None,
            prefill_tokens_per_second=median(prefill) if prefill else None,
            decode_tokens_per_second=median(decode) if decode else None,
            peak_rss_bytes=max(peaks, default=None),
            out=self.failures.get(candidate.key),
        )

    def _request(self, candidate: Candidate) -> BenchRequest:
        settings = msgspec.structs.replace(self._cell.settings, **candidate.changes)
        cell = msgspec.structs.replace(self._cell, model=candidate.model, settings=settings)
        status = Path(candidate.model.path).stat()
        return BenchRequest(cell, 0, 0, status.st_size, status.st_mtime_ns)

    def _kept(self, candidate: Candidate, record: RunRecord) -> RunRecord:
        earlier = self._records.setdefault(candidate.key, [])
        place = BenchPlace(self._tuning_id, candidate.key, len(earlier), "timing")
        record = msgspec.structs.replace(record, kind="tune", bench=place)
        self._history.record(record)
        earlier.append(record)
        if self.reference is None:
            self.reference = record
        return record

    def _seconds(self, record: RunRecord) -> float:
        """Time to the first token, and the rest of an answer of the reference's length."""
        reference = self.reference or record
        further = max(0, reference.tokens.completion - 1)
        timing = record.timing
        first = (timing.tokenize_seconds or 0.0) + (timing.prefill_seconds or 0.0)
        rate = timing.decode_tokens_per_second or reference.timing.decode_tokens_per_second
        return first + (further / rate if rate else 0.0)
