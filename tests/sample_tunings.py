"""A finished tuning for views, stores and the like."""

from __future__ import annotations

from typing import Any

import msgspec

from localprompt.records.model import ModelRecord
from localprompt.records.quality import Divergence, Mean
from localprompt.records.run import Machine
from localprompt.records.tuning import Bounds, SuiteOutcome, Trial, Tuning
from localprompt.stats.paired import compare_passes
from localprompt.stats.samples import Interval

USUAL = ModelRecord(
    name="some-model", path="/m.gguf", sha256="a" * 64, quantization="Q4_1", size_bytes=98362432
)
Q8 = ModelRecord(
    name="some-model-q8_0", path="/m8.gguf", sha256="b" * 64, quantization="Q8_0", size_bytes=1
)
Q4 = ModelRecord(
    name="some-model-q4_0", path="/m4.gguf", sha256="c" * 64, quantization="Q4_0", size_bytes=1
)


def divergence(ratio: float) -> Divergence:
    return Divergence(
        tokens=2040,
        kl=Mean(0.01, 0.001),
        agreed=1900,
        ratio=ratio,
        ratio_interval=Interval(ratio - 0.01, ratio + 0.01),
    )


def trial(key: str, model: ModelRecord, seconds: float | None, **more: Any) -> Trial:
    made = Trial(key, model, {}, runs=6, seconds=seconds, peak_rss_bytes=210_000_000)
    return msgspec.structs.replace(made, **more)


def tuning(**changes: Any) -> Tuning:
    cases = [True] * 60 + [False] * 60
    made = Tuning(
        id="01M82JX2HESX5MKTF1BFH3V4R7",
        kind="tune",
        created_at="2026-11-22T12:00:00.000+00:00",
        localprompt_version="0.1.0",
        title="tune some-model",
        model=USUAL,
        prompt="sentiment-plain",
        prompt_tokens=61,
        answer_tokens=2,
        suite="sentiment.yaml",
        bounds=Bounds(),
        machine=Machine(
            id="db97195220b6", cpu="Some <CPU>", physical_cores=2, logical_cores=2,
            memory_bytes=2**33, os="Linux", kernel="Linux 6", python="CPython 3.11",
            llama_cpp_build="llama-cpp-python 0.3.36", cpu_features=("AVX2",), governor=None,
            on_battery=None, throttled=None,
        ),
        trials=(
            trial("usual", USUAL, 0.2, suite=SuiteOutcome("E1", 60, 120, 10.0)),
            trial(
                "q8", Q8, 0.1, divergence=divergence(1.0045), peak_rss_bytes=340_000_000,
                suite=SuiteOutcome("E2", 60, 120, 21.0, compare_passes(cases, cases)),
            ),
            trial("q4", Q4, 0.05, divergence=divergence(1.146), out="perplexity +14.6 %"),
            trial("mmap", Q8, 0.11, changes={"use_mmap": False}, out="does not pay"),
            trial("never", Q8, None, changes={"n_threads": 1}, out="the worker was killed"),
        ),
        chosen="q8",
        speed_up=2.01,
        speed_up_interval=Interval(1.9, 2.1),
        profile="some-model",
        seconds=170.0,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)
