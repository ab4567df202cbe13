from __future__ import annotations

import io

import msgspec
import pytest
from rich.console import Console

from localprompt.records.bench import BenchComparison
from localprompt.views.bench_compare import (
    comparison_json,
    comparison_markdown,
    print_comparison,
    verdict_text,
)
from tests.views.bench_records import comparison, comparison_row, samples


def shown(what: BenchComparison, width: int = 160) -> str:
    stream = io.StringIO()
    print_comparison(what, Console(file=stream, width=width, force_terminal=False))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("metric", "a", "b", "verdict"),
    [
        ("ttft_seconds", 0.10, 0.09, "lower (better)"),
        ("ttft_seconds", 0.09, 0.10, "higher (worse)"),
        ("decode_tokens_per_second", 150.0, 160.0, "higher (better)"),
        ("decode_tokens_per_second", 160.0, 150.0, "lower (worse)"),
        ("ttft_seconds", 0.1, 0.1, "no difference shown"),
    ],
)
def test_a_verdict_says_whether_its_direction_is_the_good_one(
    metric: str, a: float, b: float, verdict: str
) -> None:
    assert verdict_text(comparison_row(metric, samples(a), samples(b))) == verdict


def test_too_few_samples_give_no_verdict_and_no_interval() -> None:
    text = shown(comparison([comparison_row("peak_rss_bytes", [2e8], [2.2e8])]))
    line = next(line for line in text.splitlines() if "peak RSS" in line)
    assert "1.100" in line
    assert line.rstrip().endswith("–  too few samples")


def test_a_row_shows_medians_ratio_difference_and_interval() -> None:
    row = comparison_row("ttft_seconds", samples(0.1), samples(0.09), model="m", n_ctx="1024")
    line = next(line for line in shown(comparison([row])).splitlines() if "TTFT  " in line)
    for text in ("m, n_ctx 1024", "100 ± 0.4 ms", "90.0 ± 0.4 ms", "0.900", "-10.0 ms"):
        assert text in line
    assert "-10.3 to -9.66 ms" in line


def test_a_comparison_fits_80_columns() -> None:
    rows = [
        comparison_row("ttft_seconds", samples(0.1), samples(0.1), model="m", n_ctx=n)
        for n in ("1024", "4096")
    ]
    rows.append(comparison_row("decode_tokens_per_second", samples(1573), samples(1601), model="m"))
    text = shown(comparison(rows), width=80)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "m, n_ctx 4096" in text
    assert "1573" in text
    assert "…" not in text


def test_cells_without_a_counterpart_are_named() -> None:
    row = comparison_row("ttft_seconds", samples(0.1), samples(0.1))
    assert "only in A: gemma3-270m" in shown(comparison([row]))
    assert "- only in A: gemma3-270m" in comparison_markdown(comparison([row]))


def test_nothing_in_common_is_said() -> None:
    assert "nothing to compare" in shown(comparison())


def test_markdown_says_which_direction_is_better() -> None:
    rows = [
        comparison_row(metric, samples(1.0), samples(2.0))
        for metric in ("ttft_seconds", "decode_tokens_per_second")
    ]
    text = comparison_markdown(comparison(rows))
    assert "lower is better: TTFT; higher is better: decode" in text
    assert text.count("higher (worse)") == text.count("higher (better)") == 1


def test_json_is_the_whole_comparison() -> None:
    whole = comparison([comparison_row("ttft_seconds", samples(0.1), samples(0.2))])
    assert msgspec.json.decode(comparison_json(whole), type=BenchComparison) == whole
