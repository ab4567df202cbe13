"""The measurement of one run, in lines of at most 80 columns."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from localprompt.records.run import RunRecord
from localprompt.views.summary import summary_lines
from tests.sample_runs import make_run
from tests.strategies import run_records


def _with(run: RunRecord, **parts: dict[str, Any]) -> RunRecord:
    replace = msgspec.structs.replace
    changed = {name: replace(getattr(run, name), **new) for name, new in parts.items()}
    return replace(run, **changed)


def test_every_phase_has_its_rate_and_the_peak_its_parts() -> None:
    assert summary_lines(make_run()) == (
        "[load 120 ms · prefill 40 at 500 tok/s · TTFT 90.0 ms · decode 16 at 150 tok/s]",
        "[peak RSS 210 MiB: weights 93, KV 45, compute 0, rest 71 MiB]",
    )


def test_reused_tokens_are_told_apart_from_evaluated_ones() -> None:
    lines = summary_lines(_with(make_run(), tokens={"reused": 30}))
    assert "prefill 10 at 500 tok/s (+30 reused)" in lines[0]


def test_what_is_unknown_is_no_zero() -> None:
    unknown = _with(
        make_run(),
        timing={
            "load_seconds": None,
            "ttft_seconds": None,
            "prefill_tokens_per_second": None,
            "decode_tokens_per_second": None,
        },
        memory={"peak_rss_bytes": None, "weights_bytes": None},
        tokens={"completion": 0},
    )
    assert summary_lines(unknown) == (
        "[load – · prefill 40 tok · TTFT – · decode 0 tok]",
        "[peak RSS –: weights –, KV 45, compute 0, rest – MiB]",
    )


@pytest.mark.parametrize(
    ("completion", "told"), [(256, "cut by --max-tokens 256"), (255, "cut by --n-ctx 2048")]
)
def test_a_cut_answer_names_the_limit_that_cut_it(completion: int, told: str) -> None:
    cut = _with(make_run(), output={"finish_reason": "length"}, tokens={"completion": completion})
    assert told in "\n".join(summary_lines(cut))
    assert "cut" not in "\n".join(summary_lines(make_run()))


@pytest.mark.slow
@given(run_records())
def test_no_line_is_wider_than_a_terminal_unless_one_figure_is(run: RunRecord) -> None:
    for line in summary_lines(run):
        assert len(line) <= 80 or " · " not in line


def test_what_a_limit_of_memory_led_to_is_said() -> None:
    run = _with(make_run(), memory={"max_memory_bytes": 2**31, "predicted_peak_bytes": 2**28})
    told = "\n".join(summary_lines(run))
    assert "--max-memory 2.00 GiB: n_ctx 2048" in told
    assert "KV f16/f16" in told
    assert "predicted peak 256 MiB (estimated)" in told
    assert "--max-memory" not in "\n".join(summary_lines(make_run()))
