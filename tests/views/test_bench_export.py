from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import msgspec

from localprompt.records.bench import BenchResult
from localprompt.views.bench import bench_markdown
from localprompt.views.files.bench import bench_rows, write_bench
from localprompt.views.files.rows import ExportFormat
from tests.views.bench_records import MIB, bench, cell, failed, sample_bench, synthetic


def exported(result: BenchResult, format: ExportFormat) -> str:  # noqa: A002
    stream = io.StringIO(newline="")
    write_bench(result, format, stream)
    return stream.getvalue()


def row_of(result: BenchResult, metric: str) -> dict[str, Any]:
    return next(row for row in bench_rows(result) if row["metric"] == metric)


def markdown_rows(text: str) -> list[dict[str, str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def test_json_is_the_whole_record() -> None:
    result = sample_bench()
    assert msgspec.json.decode(exported(result, "json"), type=BenchResult) == result


def test_jsonl_has_a_row_per_cell_and_quantity_all_with_the_same_keys() -> None:
    rows = [json.loads(line) for line in exported(sample_bench(), "jsonl").splitlines()]
    assert len({tuple(row) for row in rows}) == 1
    named = [(row["cell"], row["metric"]) for row in rows]
    assert len(named) == len(set(named))
    assert ("summarize/smollm2-135m/1024", "ttft_seconds") in named


def test_csv_says_what_jsonl_says() -> None:
    text = exported(sample_bench(), "csv")
    flat = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    rows = list(bench_rows(sample_bench()))
    assert list(flat[0]) == list(rows[0])
    assert [row["metric"] for row in flat] == [row["metric"] or "" for row in rows]
    assert float(flat[0]["median"]) == rows[0]["median"]


def test_a_row_has_the_statistics_in_the_unit_that_its_name_ends_in() -> None:
    result = bench([cell(ttft=0.1)])
    row, summary = row_of(result, "ttft_seconds"), result.cells[0].metrics["ttft_seconds"]
    assert summary.interval is not None
    assert (row["unit"], row["source"], row["n"]) == ("s", "timing pass", 8)
    assert (row["median"], row["p95"]) == (summary.median, summary.p95)
    assert (row["interval_low"], row["interval_high"]) == (
        summary.interval.low,
        summary.interval.high,
    )


def test_memory_and_limits_say_where_they_come_from() -> None:
    result = bench([cell()])
    peak = row_of(result, "peak_rss_bytes")
    assert (peak["median"], peak["unit"], peak["source"]) == (220 * MIB, "B", "memory pass")
    limit = row_of(result, "decode_limit_tokens_per_second")
    assert (limit["median"], limit["source"], limit["stdev"]) == (194.0, "estimated", None)
    assert row_of(result, "decode_limit_share")["median"] == 0.81


def test_cells_without_figures_have_one_row_with_the_reason() -> None:
    rows = list(bench_rows(sample_bench()))
    empty = {row["status"]: row["cause"] for row in rows if row["metric"] is None}
    assert empty == {
        "failed": "worker was killed by signal 9 (SIGKILL)",
        "refused": "needs 9.1 GiB, 7.2 are free",
    }


def test_a_label_that_looks_like_a_formula_is_defused_in_csv() -> None:
    assert "'=HYPERLINK" in exported(bench([cell({"model": "=HYPERLINK(1)"})]), "csv")


def test_a_bench_of_nothing_is_an_empty_file() -> None:
    assert exported(bench([]), "csv") == exported(bench([]), "jsonl") == ""


def test_markdown_has_the_mean_rate_of_synthetic_tests_as_llama_bench_does() -> None:
    result = bench([synthetic("pp512", 432.0), synthetic("tg64", 157.0)])
    prefill, decode = markdown_rows(bench_markdown(result))
    assert list(prefill)[:7] == ["model", "size", "params", "backend", "threads", "test", "t/s"]
    assert prefill["test"] == "pp512"
    assert prefill["t/s"] == "432.00 ± 1.32"
    assert decode["t/s"] == "157.00 ± 0.48"
    assert prefill["model"] == r"smollm2-135m Q4\_1"
    assert (prefill["backend"], prefill["threads"]) == ("CPU", "2")


def test_markdown_of_real_prompts_has_no_column_of_llama_bench_that_means_something_else() -> None:
    (row,) = markdown_rows(bench_markdown(bench([cell({"model": "m", "n_ctx": "1024"})])))
    assert "t/s" not in row
    assert row["TTFT"] == "92.4 ± 0.4 ms"
    assert row["n\\_ctx"] == "1024"
    assert row["decode, of limit"] == "81 % mem"


def test_markdown_shows_a_setting_where_it_varies() -> None:
    one, other = cell({"type_k": "f16"}), cell({"type_k": "q8_0"})
    assert other.settings is not None
    settings = msgspec.structs.replace(other.settings, type_k="q8_0")
    rows = markdown_rows(
        bench_markdown(bench([one, msgspec.structs.replace(other, settings=settings)]))
    )
    assert [row["type\\_k"] for row in rows] == ["f16", "q8\\_0"]
    assert "type\\_v" not in rows[0]


def test_markdown_lists_warnings_refusals_and_failures_below() -> None:
    text = bench_markdown(sample_bench())
    assert "- warning: other programs used 0.8 cores" in text
    assert "- failed: gemma3-270m, n\\_ctx 1024: worker was killed by signal 9" in text
    assert "- refused: gemma3-270m, n\\_ctx 4096: needs 9.1 GiB" in text
    assert "Measured on: A CPU, 2 cores, 8.00 GiB" in text


def test_markdown_of_a_failed_cell_shows_what_its_labels_know() -> None:
    (row,) = markdown_rows(bench_markdown(bench([failed({"model": "m"}, "killed")])))
    assert (row["model"], row["threads"], row["status"]) == ("m", "–", "failed")


def test_a_hostile_label_stays_in_its_cell() -> None:
    (row,) = markdown_rows(bench_markdown(bench([cell({"x|y": "a|b<img>"})])))
    assert row[r"x\|y"] == r"a\|b\<img\>"
