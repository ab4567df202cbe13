from __future__ import annotations

from typing import TypeVar

import msgspec

from localprompt.records.bench import BenchResult, CellResult
from localprompt.stats.samples import summarize
from localprompt.views.bench import bench_sections
from localprompt.views.runs import run_sections
from localprompt.views.sections import BarChart, Block, Facts, Notices, PanelChart, Section, Table
from tests.sample_runs import make_run
from tests.views.bench_records import (
    MIB,
    bench,
    cell,
    failed,
    memory,
    sample_bench,
    samples,
    synthetic,
)

AnyBlock = TypeVar("AnyBlock", bound=Block)


def blocks(result: BenchResult, kind: type[AnyBlock]) -> list[AnyBlock]:
    return [
        block
        for section in bench_sections(result)
        for block in section.blocks
        if isinstance(block, kind)
    ]


def chart(result: BenchResult, beginning: str) -> BarChart:
    return next(c for c in blocks(result, BarChart) if c.title.startswith(beginning))


def leads(result: BenchResult) -> dict[str, tuple[str, str]]:
    return {fact.name: (fact.value, fact.note) for fact in blocks(result, Facts)[0].items}


def ids(sections: tuple[Section, ...]) -> list[str]:
    return [section.id for section in sections]


def test_a_clear_lead_is_called_one() -> None:
    result = bench([cell({"model": "a"}, ttft=0.1), cell({"model": "b"}, ttft=0.2)])
    assert leads(result)["Lowest TTFT"] == (
        "100 ± 0.4 ms",
        "a. Its interval overlaps with no other",
    )


def test_a_lead_inside_the_noise_names_its_rival() -> None:
    result = bench([cell({"model": "a"}, ttft=0.1), cell({"model": "b"}, ttft=0.1001)])
    assert leads(result)["Lowest TTFT"][1] == "a. Its interval overlaps with that of b"


def test_a_lead_from_too_few_samples_is_not_sure() -> None:
    result = bench([cell({"model": m}, ttft=t, count=3) for m, t in (("a", 0.1), ("b", 0.2))])
    assert leads(result)["Lowest TTFT"][1] == "a. Too few samples to be sure"


def test_only_cells_that_do_the_same_work_compete() -> None:
    result = bench([synthetic("pp512", 432.0), synthetic("pp128", 500.0)])
    assert {"prefill, pp512", "prefill, pp128"} <= set(leads(result))
    assert not any(name.startswith("Highest") for name in leads(result))


def test_failures_refusals_and_warnings_are_listed_in_that_order() -> None:
    (notices,) = blocks(sample_bench(), Notices)
    assert [n.level for n in notices.items] == ["failed", "refused", "warning", "warning"]
    assert notices.items[0].where == "gemma3-270m, n_ctx 1024"
    assert notices.items[3].advice == "read the median, not the mean"


def test_the_table_has_a_row_per_cell_and_sorts_by_number() -> None:
    (table,) = blocks(sample_bench(), Table)
    titles = [column.title for column in table.columns]
    assert titles[:4] == ["model", "n_ctx", "TTFT", "prefill"]
    ttft = [row.values[titles.index("TTFT")] for row in table.rows]
    assert [value.text for value in ttft] == ["92.4 ± 0.4 ms", "120 ± 0.5 ms", "–"]
    assert ttft[2].order is None
    assert ttft[0].order == sample_bench().cells[0].metrics["ttft_seconds"].median
    assert all(len(row.values) == len(titles) for row in table.rows)


def test_details_hold_the_answer_and_the_effective_settings() -> None:
    (table,) = blocks(bench([cell(answer="An answer.")]), Table)
    (row,) = table.rows
    assert row.texts == (("Answer of the last repetition", "An answer."),)
    facts = {fact.name: fact.value for fact in row.facts}
    assert "n_ctx 2048" in facts["Settings"]
    assert facts["Tokens"] == "40 prompt, 64 completion"
    assert facts["Cold load"] == "810 ms"
    assert "KV cache 45.0 MiB" in facts["Its parts"]


def test_each_rate_has_a_chart_with_a_bar_per_measured_cell() -> None:
    result = sample_bench()
    for title, unit in (("TTFT", "ms"), ("Prefill", "tok/s"), ("Decode", "tok/s")):
        bars = chart(result, title)
        assert bars.title == f"{title}, {unit}"
        assert [bar.name for bar in bars.bars] == [
            "smollm2-135m, n_ctx 1024",
            "smollm2-135m, n_ctx 4096",
        ]
        assert all(bar.interval for bar in bars.bars)


def test_memory_is_stacked_by_its_parts_with_the_peak_marked() -> None:
    (bar,) = chart(bench([cell()]), "Peak memory").bars
    assert [part.series for part in bar.parts] == [0, 1, 2, 3]
    assert bar.mark == 100.0
    assert bar.parts[0].width == round(100 * 94 / 220, 2)
    assert bar.text == "220 MiB"
    assert "weights 94.0 MiB + KV cache 45.0 MiB + compute 20.0 MiB + rest 61.0 MiB" in bar.note


def test_memory_is_set_against_what_the_machine_has() -> None:
    whole = chart(bench([cell()]), "The same against")
    assert "8.00 GiB" in whole.title
    assert whole.bars[0].mark == round(100 * 220 / (8 * 1024), 2)
    assert whole.bars[0].note == "2.7 % of 8.00 GiB"


def test_a_containers_limit_takes_the_place_of_the_machines_memory() -> None:
    result = bench([cell()])
    limited = msgspec.structs.replace(result.machine, memory_limit_bytes=1024 * MIB)
    whole = chart(msgspec.structs.replace(result, machine=limited), "The same against")
    assert "1.00 GiB" in whole.title


def test_parts_larger_than_the_peak_reach_beyond_its_mark() -> None:
    mapped = with_memory(cell(), peak_mib=100, weights=200)
    (bar,) = chart(bench([mapped]), "Peak memory").bars
    assert bar.mark is not None
    assert bar.mark < bar.parts[-1].start + bar.parts[-1].width


def with_memory(one: CellResult, **sizes: int) -> CellResult:
    return msgspec.structs.replace(one, memory=memory(**sizes))


def test_drift_is_drawn_in_the_order_of_execution_about_the_median() -> None:
    drifting = cell()
    rising = summarize(tuple(1.0 + 0.02 * i for i in range(11)))
    result = bench([msgspec.structs.replace(drifting, metrics={"total_seconds": rising})])
    panels = next(c for c in blocks(result, PanelChart) if c.title.startswith("Latency"))
    heights = [y for _, y in panels.panels[0].points]
    assert heights == sorted(heights, reverse=True)
    assert abs(heights[5] - 50.0) < 1
    assert "11 repetitions, 1.00 s to 1.20 s, median 1.10 s" in panels.panels[0].text


def test_calm_repetitions_look_calm() -> None:
    steady = summarize(samples(1.0, spread=0.001))
    result = bench([msgspec.structs.replace(cell(), metrics={"total_seconds": steady})])
    panels = next(c for c in blocks(result, PanelChart) if c.title.startswith("Latency"))
    assert all(abs(y - 50.0) < 1 for _, y in panels.panels[0].points)


def test_inter_token_latency_has_a_point_per_gap() -> None:
    result = bench([cell(), synthetic("pp512", 432.0)])
    gaps = next(c for c in blocks(result, PanelChart) if c.title.startswith("Inter-token"))
    assert gaps.title == "Inter-token latency, ms"
    assert [len(panel.points) for panel in gaps.panels] == [63]
    assert "63 gaps, 6.00 ms to 6.40 ms, median 6.20 ms; longest before token 6" in (
        gaps.panels[0].text
    )


def test_a_bench_without_any_figure_has_no_charts() -> None:
    sections = bench_sections(bench([failed({"model": "m"}, "killed")]))
    assert next(section for section in sections if section.id == "charts").blocks == ()


def test_a_prefix_keeps_the_sections_of_two_benches_apart() -> None:
    one, two = (bench_sections(sample_bench(), prefix) for prefix in ("bench-1-", "bench-2-"))
    assert not set(ids(one)) & set(ids(two))


def test_runs_show_their_figures_prompts_and_answers() -> None:
    section = run_sections([make_run(), make_run(1, text="Another answer.")])[0]
    (table,) = section.blocks
    assert isinstance(table, Table)
    first, second = table.rows
    assert first.values[0].text == make_run().id[:10]
    assert [value.text for value in first.values[4:7]] == ["40 + 16", "90.0 ms", "500 tok/s"]
    assert first.texts[1] == ("Prompt, user", "Text: a long text")
    assert second.texts[-1] == ("Answer", "Another answer.")


def test_runs_of_two_machines_show_both() -> None:
    environment = run_sections([make_run(), make_run(1, machine="machine-b"), make_run(2)])[2]
    assert len(environment.blocks) == 2
