"""What one answer of a finalist takes: time to its first text, and peak memory.

Measured where users will be: in a fresh process, one request at a time, with the beginning of the
prompt kept on disk as ``run`` keeps it. So a long constant beginning costs what it costs: the first
run evaluates it, the ones after read it back, and it is those that are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from localprompt.bench.child import Child
from localprompt.errors import WorkerError
from localprompt.records.cell import BenchRequest, Cell, SamplingChoices, sampling_for
from localprompt.records.improvement import Weighing
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import RequestedSettings
from localprompt.stats.samples import median

RUNS = 3

MeasureCost = Callable[[PromptTemplate, dict[str, Any]], "Cost | None"]
"""A prompt and a case's variables → what an answer takes; None: it could not be measured."""


class Cost(msgspec.Struct, frozen=True):
    """Of one answer."""

    ttft_seconds: float | None
    """Median of RUNS, load excluded."""
    peak_rss_bytes: int | None


def weighed_template(template: PromptTemplate, weighing: Weighing) -> PromptTemplate:
    """The prompt with its closed answers weighed so."""
    return msgspec.structs.replace(template, per_byte=weighing.per_byte, bias=dict(weighing.bias))


def in_workers(model: ModelRecord, settings: RequestedSettings, *, force: bool) -> MeasureCost:
    """Measures in worker processes."""

    def measure(template: PromptTemplate, params: dict[str, Any]) -> Cost | None:
        cell = Cell(
            kind="run",
            model=model,
            template=template,
            params=params,
            sampling=sampling_for(SamplingChoices(), template.options),
            settings=settings,
            force=force,
            prefix="kept",
        )
        try:
            with Child() as child:
                child.open(BenchRequest(cell), "timing")
                child.run()  # keeps the beginning
                records = [child.run().record for _ in range(RUNS)]
        except WorkerError:
            return None
        waited = [r.timing.ttft_seconds for r in records if r.timing.ttft_seconds is not None]
        peaks = [r.memory.peak_rss_bytes for r in records if r.memory.peak_rss_bytes is not None]
        return Cost(median(waited) if waited else None, max(peaks, default=None))

    return measure
