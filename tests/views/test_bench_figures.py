from __future__ import annotations

from localprompt.records.bench import LimitShare, Repetitions
from localprompt.stats.samples import summarize
from localprompt.units import format_range, format_rate, format_with_margin, unit_for
from localprompt.views import figures
from tests.views.bench_records import MIB, cell, failed, memory, samples


def test_a_margin_is_written_in_the_unit_of_its_value() -> None:
    assert format_with_margin(0.0924, 0.0004, "seconds") == "92.4 ± 0.4 ms"
    assert format_with_margin(1620, 12.3, "per_second") == "1620 ± 12 tok/s"
    assert format_with_margin(220 * MIB, None, "bytes") == "220 MiB"


def test_a_small_margin_keeps_its_first_digit() -> None:
    assert format_with_margin(0.0924, 0.000041, "seconds") == "92.4 ± 0.04 ms"
    assert format_with_margin(92.4, 0.0, "seconds") == "92.4 ± 0.0 s"


def test_a_range_is_written_in_the_unit_of_its_larger_end() -> None:
    assert format_range(-0.0103, 0.0004, "seconds") == "-10.3 to 0.400 ms"
    assert format_rate(-12.34) == "-12.3 tok/s"


def test_an_axis_has_the_unit_of_its_largest_value() -> None:
    assert unit_for(0.09, "seconds") == ("ms", 1e-3)
    assert unit_for(0, "seconds") == ("µs", 1e-6)
    assert unit_for(300 * MIB, "bytes") == ("MiB", MIB)
    assert unit_for(0, "bytes") == ("B", 1.0)
    assert unit_for(5000, "per_second") == ("tok/s", 1.0)


def test_a_summary_shows_half_its_interval_or_that_there_are_too_few_samples() -> None:
    assert figures.summary_text("ttft_seconds", summarize(samples(0.1))) == "100 ± 0.4 ms"
    assert figures.summary_text("ttft_seconds", summarize([0.1] * 5)) == "100 ms (n<6)"
    assert figures.summary_text("ttft_seconds", None) == "–"


def test_a_quantity_without_a_unit_is_a_bare_number() -> None:
    assert figures.summary_text("pass_rate", summarize(samples(0.5))) == "0.5 ± 0.0022"
    assert figures.value_text("pass_rate", 0.25) == "0.25"
    assert figures.title("pass_rate") == "pass rate"


def test_less_time_and_memory_and_more_of_the_rest_is_better() -> None:
    assert figures.better("ttft_seconds") == "lower"
    assert figures.better("peak_rss_bytes") == "lower"
    assert figures.better("decode_tokens_per_second") == "higher"
    assert figures.better("pass_rate") == "higher"


def test_the_rest_of_a_peak_is_unknown_where_a_part_is() -> None:
    known = memory(peak_mib=220, weights=94, kv_cache=45, compute=20)
    assert figures.rest_bytes(known) == 61 * MIB
    assert figures.rest_bytes(memory(peak_mib=100, weights=94, kv_cache=45)) == 0
    unknown = type(known)(1, 220 * MIB, None, None, None, 45, 20)
    assert figures.rest_bytes(unknown) is None


def test_a_share_of_the_limit_says_what_binds() -> None:
    limit = LimitShare(194.0, 0.81, "memory bandwidth")
    assert figures.short_share_text(limit) == "81 % mem"
    assert figures.short_share_text(None) == "–"


def test_a_cell_is_called_by_its_labels_and_without_any_by_its_workload() -> None:
    assert figures.cell_name(cell({"model": "m", "n_ctx": "1024"})) == "m, n_ctx 1024"
    assert figures.cell_name(cell({})) == "summarize"


def test_a_failed_cell_is_failed_whatever_else_it_has() -> None:
    assert figures.cell_status(failed({"model": "m"}, "killed")) == "failed"
    assert figures.cell_status(cell()) == "done"


def test_the_rule_for_repetitions_is_told_in_words() -> None:
    assert figures.repetitions_text(Repetitions(1)) == "1 repetition"
    expected = "5 to 30 repetitions, until the median is known to ±2%"
    assert figures.repetitions_text(Repetitions(None)) == expected
