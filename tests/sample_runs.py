"""Plausible run records for tests that need one and do not care which."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from localprompt.records.bench import Experiment, PlannedCell, Repetitions
from localprompt.records.ids import IdSource
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import Message, Segment
from localprompt.records.run import (
    BenchPlace,
    Kind,
    Machine,
    Memory,
    Output,
    PromptRecord,
    RunRecord,
    RunWarning,
    Sampling,
    Settings,
    Timing,
    TokenCounts,
)

FIRST_MOMENT = datetime(2026, 11, 22, 17, 0, tzinfo=UTC)


def make_run(
    number: int = 0,
    *,
    kind: Kind = "run",
    model: str = "smollm2-135m",
    prompt: str | None = "summarize",
    text: str = "A short summary.",
    machine: str = "machine-a",
) -> RunRecord:
    """The ``number``-th of a series of runs, each made a minute after the one before."""
    moment = FIRST_MOMENT + timedelta(minutes=number)
    return RunRecord(
        id=IdSource(moment.timestamp, lambda length: bytes([number % 256] * length)).new(),
        kind=kind,
        created_at=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        localprompt_version="0.1.0",
        model=ModelRecord(
            name=model,
            path=f"models/{model}.gguf",
            sha256="b1" * 32,
            architecture="llama",
            quantization="Q4_1",
            parameters=134_515_008,
            size_bytes=98_362_432,
        ),
        prompt=PromptRecord(
            name=prompt,
            path=None if prompt is None else f"prompts/{prompt}.prompty",
            sha256=None if prompt is None else "aa" * 32,
            params={"text": "a long text"},
            messages=(
                Message("system", (Segment("You summarize."),)),
                Message("user", (Segment("Text: "), Segment("a long text", "text"))),
            ),
            rendered_sha256="bb" * 32,
            token_ids_sha256="cc" * 32,
            chat_template_sha256="dd" * 32,
        ),
        settings=Settings(2048, 512, 512, 2, 2, "f16", "f16", True, True, True),
        sampling=Sampling(seed=7),
        tokens=TokenCounts(prompt=40, reused=0, completion=16),
        timing=Timing(
            load_seconds=0.12,
            render_seconds=0.001,
            tokenize_seconds=0.002,
            prefill_seconds=0.08,
            ttft_seconds=0.09,
            decode_seconds=0.1,
            total_seconds=0.19 + number / 1000,
            prefill_tokens_per_second=500.0,
            decode_tokens_per_second=150.0,
            itl_p50_seconds=0.006,
            itl_p95_seconds=None,
        ),
        memory=Memory(30_000_000, 220_000_000, 90_000_000, 120_000_000, 98_000_000, 47_185_920, 1),
        output=Output(text=text, parsed=None, finish_reason="stop"),
        machine=Machine(
            id=machine,
            cpu="A CPU",
            physical_cores=2,
            logical_cores=4,
            memory_bytes=8 * 1024**3,
            os="Linux",
            kernel="6.1",
            python="3.11.7",
            llama_cpp_build="0.3.36",
            cpu_features=("AVX2", "AVX512"),
            governor=None,
            on_battery=False,
            throttled=None,
        ),
        warnings=(RunWarning("noisy", "the machine is busy", "close other programs"),),
    )


def make_experiment(number: int = 0, *cells: str, fixed: int | None = 3) -> Experiment:
    """The ``number``-th of a series of benches; its cells have these keys."""
    moment = FIRST_MOMENT + timedelta(minutes=number)
    return Experiment(
        id=IdSource(moment.timestamp, lambda length: bytes([number % 256] * length)).new(),
        kind="bench",
        created_at=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        localprompt_version="0.1.0",
        title=f"bench {number}",
        cells=tuple(
            PlannedCell(key, {"n_ctx": key}, "summarize", {}, None) for key in cells or ("cell",)
        ),
        refused=(),
        repetitions=Repetitions(fixed=fixed),
        machine=make_run().machine,
    )


def in_bench(
    run: RunRecord,
    *,
    experiment: int = 0,
    cell: str = "cell",
    repetition: int = 0,
    phase: Literal["memory", "timing"] = "timing",
    cold: bool | None = None,
) -> RunRecord:
    """The run in its place in the ``experiment``-th bench."""
    place = BenchPlace(make_experiment(experiment).id, cell, repetition, phase, cold)
    return msgspec.structs.replace(run, kind="bench", bench=place)
