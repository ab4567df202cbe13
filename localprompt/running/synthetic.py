"""One repetition of synthetic work, measured and recorded like a prompt.

``pp512`` fills the prefill fields of a record's timing and ``tg64`` the decode fields, with
llama-bench's definition of a rate: tokens evaluated ÷ seconds. There is no first token that
belongs to a prefill, so all N tokens count (a prompt's decode rate leaves out the first).
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime

import localprompt
from localprompt.engine.synthetic import SyntheticEngine
from localprompt.measure import conditions, machine, memory
from localprompt.measure.memory import MemoryReading
from localprompt.measure.timeline import token_gaps
from localprompt.measure.warnings import condition_warnings, frequency_warnings
from localprompt.records.cell import BenchRequest
from localprompt.records.ids import new_run_id
from localprompt.records.run import (
    Memory,
    Output,
    PromptRecord,
    RunRecord,
    Samples,
    Timing,
    TokenCounts,
)
from localprompt.running.admission import predicted_peak
from localprompt.running.execute import Execution
from localprompt.stats.samples import quantile

WAKING_SECONDS = 0.3
"""Of unmeasured work before a repetition. In a bench the process slept while others had their
turn; llama-bench repeats without a break, and a processor that just woke is slower
(benchmarks/LOG.md)."""
_WAKING_TOKENS = 64
_NOTHING = hashlib.sha256(b"").hexdigest()


class SyntheticSession:
    """An open model that repeats one synthetic workload."""

    def __init__(
        self, request: BenchRequest, engine: SyntheticEngine, baseline: MemoryReading
    ) -> None:
        self._request = request
        self._engine = engine
        self._baseline = baseline
        self._warm = False
        self._frequencies: list[float | None] = []
        """At the end of each repetition."""

    def warm_up(self) -> None:
        """As llama-bench: the whole prefill once, or one token. From then on each repetition begins
        with waking the processor."""
        if self._request.prefill:
            self._engine.prefill(self._request.prefill)
        if self._request.decode:
            self._engine.decode(1)
        self._warm = True

    def _wake(self) -> None:
        until = time.perf_counter() + WAKING_SECONDS
        while time.perf_counter() < until:
            self._engine.clear()
            if self._request.prefill:
                self._engine.prefill(min(self._request.prefill, _WAKING_TOKENS))
            else:
                self._engine.decode(1)

    def run(self) -> Execution:
        """Empty the KV cache, evaluate, and record.

        Raises:
            EngineError: llama.cpp fails.
        """
        engine, request = self._engine, self._request
        if self._warm:
            self._wake()
        created_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        engine.clear()
        before = conditions.read()
        started = time.perf_counter()
        if request.prefill:
            engine.prefill(request.prefill)
        prefilled = time.perf_counter()
        moments = engine.decode(request.decode) if request.decode else []
        finished = time.perf_counter()
        reading, after = memory.read(), conditions.read()
        self._frequencies.append(after.frequency_hertz)
        described = machine.describe(llama_cpp_build=engine.build, cpu_features=engine.cpu_features)
        record = RunRecord(
            id=new_run_id(),
            kind="bench",
            created_at=created_at,
            localprompt_version=localprompt.__version__,
            model=request.cell.model,
            prompt=PromptRecord(
                name=request.cell.template.name,
                path=None,
                sha256=None,
                params={},
                messages=(),
                rendered_sha256=_NOTHING,
                token_ids_sha256=_NOTHING,
                chat_template_sha256=None,
            ),
            settings=engine.settings,
            sampling=request.cell.sampling,
            tokens=TokenCounts(prompt=request.prefill, reused=0, completion=request.decode),
            timing=_timing(request, engine.load_seconds, started, prefilled, moments, finished),
            memory=self._memory(reading),
            output=Output(text="", parsed=None, finish_reason="length"),
            machine=machine.after(described, before, after),
            warnings=(
                *engine.remarks,
                *condition_warnings(before, after, reading),
                *frequency_warnings(self._frequencies),
            ),
            profile=request.cell.profile,
        )
        return Execution(record, Samples(tuple(moment - started for moment in moments)))

    def _memory(self, reading: MemoryReading) -> Memory:
        buffers, n_ctx = self._engine.buffers, self._engine.settings.n_ctx
        baseline = self._baseline.rss_bytes
        return Memory(
            baseline_rss_bytes=baseline,
            peak_rss_bytes=reading.peak_rss_bytes,
            anonymous_bytes=reading.anonymous_bytes,
            file_backed_bytes=reading.file_backed_bytes,
            weights_bytes=buffers.weights_bytes,
            kv_cache_bytes=buffers.kv_cache_bytes,
            compute_bytes=buffers.compute_bytes,
            predicted_peak_bytes=predicted_peak(self._request.cell, n_ctx, baseline),
        )


def _timing(
    request: BenchRequest,
    load_seconds: float,
    started: float,
    prefilled: float,
    moments: list[float],
    finished: float,
) -> Timing:
    gaps = sorted(token_gaps(moments))
    prefill = prefilled - started if request.prefill else None
    decode = finished - prefilled if request.decode else None
    return Timing(
        load_seconds=load_seconds,
        render_seconds=None,
        tokenize_seconds=None,
        prefill_seconds=prefill,
        ttft_seconds=None,
        decode_seconds=decode,
        total_seconds=finished - started,
        prefill_tokens_per_second=request.prefill / prefill if prefill else None,
        decode_tokens_per_second=request.decode / decode if decode else None,
        itl_p50_seconds=quantile(gaps, 0.5) if gaps else None,
        itl_p95_seconds=quantile(gaps, 0.95) if gaps else None,
    )
