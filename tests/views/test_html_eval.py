"""An evaluation's page as text: what is in it, and that it is only text."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from localprompt.records.model_use import ModelUse
from localprompt.records.prompt import PromptTemplate
from localprompt.records.score import Score
from localprompt.scoring.aggregate import aggregate
from localprompt.views.charts import Point, apart
from localprompt.views.eval import eval_sections
from localprompt.views.eval_cases import MOST_TEXT, CaseTable, shared_ends
from localprompt.views.report import html_report, markdown_report
from localprompt.views.sections import BarChart, Block, Facts, Notices, ScatterChart, Table
from tests.sample_evaluations import make_result, make_target
from tests.sample_runs import make_run
from tests.views.bench_records import sample_bench
from tests.views.eval_reports import PLAIN, report, results, sample_report, target
from tests.views.test_html_report import HOSTILE, Elements


@pytest.fixture
def sections(tmp_path: Path) -> dict[str, tuple[Block, ...]]:
    return {section.id: section.blocks for section in eval_sections(sample_report(tmp_path))}


def the(kind: type[Block], blocks: tuple[Block, ...]) -> list[Block]:
    return [block for block in blocks if isinstance(block, kind)]


def cases_of(found: object) -> CaseTable:
    (table,) = the(CaseTable, {s.id: s.blocks for s in eval_sections(found)}["cases"])  # type: ignore[arg-type]
    assert isinstance(table, CaseTable)
    return table


def test_each_target_has_its_rate_and_mean_with_their_intervals(
    sections: dict[str, tuple[Block, ...]],
) -> None:
    (table,) = the(Table, sections["overview"])
    assert isinstance(table, Table)
    rows = [[value.text for value in row.values] for row in table.rows]
    assert rows[0][:3] == ["plain", "smollm2-135m", "2 of 4, 1 without an answer, 1 unscored"]
    assert rows[0][3] == "50.0 % (15.0 to 85.0)"
    assert rows[1][3] == "60.0 % (23.1 to 88.2)"
    assert table.columns[-1].title == "TTFT, batched"


def test_the_lead_crowns_nobody_without_a_difference_and_says_how_many_are_shown(
    sections: dict[str, tuple[Block, ...]],
) -> None:
    lead = sections["overview"][0]
    assert isinstance(lead, Facts)
    facts = {fact.name: fact for fact in lead.items}
    assert facts["Pass rates"].value == "50.0 % to 60.0 %"
    assert facts["Pass rates"].note == "no difference is shown between 2 of 2"
    assert facts["Differences shown"].value == "0 of 1"


def test_the_best_is_called_so_where_the_cases_show_it(tmp_path: Path) -> None:
    targets = (PLAIN, target("other", "{{ text }}"))
    found = report(tmp_path, targets, results(*[True] * 20) + results(*[False] * 20, target=1))
    lead = eval_sections(found)[0].blocks[0]
    assert isinstance(lead, Facts)
    assert lead.items[0].name == "Best pass rate"
    assert lead.items[0].note == "plain, smollm2-135m: 20 of 20; better than all others"


def test_differences_are_those_of_the_paired_comparison(
    sections: dict[str, tuple[Block, ...]],
) -> None:
    table, flips = the(Table, sections["differences"])
    assert isinstance(table, Table)
    assert isinstance(flips, Table)
    assert [row.values[0].text for row in flips.rows] == ["broken", "repaired"]
    assert table.title == "A → B: plain → careful, smollm2-135m"
    assert table.caption.startswith("5 cases are in both")
    assert table.rows[0].values[-1].text == "no difference shown"


def test_the_floor_stands_as_in_the_terminal(sections: dict[str, tuple[Block, ...]]) -> None:
    (facts,) = sections["pace"]
    assert isinstance(facts, Facts)
    values = {fact.name: fact.value for fact in facts.items}
    assert values["Floor"].startswith("floor (estimated) 5.00 s: 4000 prompt tokens")
    assert values["Floor"].endswith("answering took 2.00 times that")
    assert "peak RSS" in values["Memory"]


def test_a_closed_set_has_its_confusion_matrix_and_calibration(tmp_path: Path) -> None:
    labelled = target("plain", "{{ text }}", choices=("good", "bad"))
    found = [
        make_result(
            n,
            answer == "good",
            answer=answer,
            expected="good",
            probabilities={answer: 0.75, other: 0.25},
        )
        for n, (answer, other) in enumerate((("good", "bad"), ("bad", "good")))
    ]
    sections = {s.id: s.blocks for s in eval_sections(report(tmp_path, (labelled,), found))}
    confusion, calibration = sections["labels"]
    assert isinstance(confusion, Table)
    assert [column.title for column in confusion.columns[:3]] == ["expected", "→ good", "→ bad"]
    assert [value.text for value in confusion.rows[0].values[:3]] == ["good", "1", "1"]
    assert "macro-F1" in confusion.caption
    assert isinstance(calibration, Table)
    assert [[value.text for value in row.values] for row in calibration.rows] == [
        ["0.750", "0.500", "2"]
    ]


def test_charts_have_a_point_per_target_with_its_interval_and_figures(
    sections: dict[str, tuple[Block, ...]],
) -> None:
    bars, ttft, memory = sections["charts"]
    assert isinstance(bars, BarChart)
    assert isinstance(ttft, ScatterChart)
    assert isinstance(memory, ScatterChart)
    assert ttft.title == "Pass rate against TTFT, batched, ms"
    assert "not for comparison with a bench" in ttft.caption
    assert [point.y for point in ttft.points] == [50.0, 60.0]
    assert all(low < point.y < high for point in ttft.points for low, high in [point.interval])
    assert "60.0 % (23.1 to 88.2), TTFT, batched 100 ms" in ttft.points[1].text
    assert memory.title == "Pass rate against peak memory, MiB"
    assert len({point.x for point in memory.points}) == 2


def test_what_has_no_time_is_in_no_chart_of_times(tmp_path: Path) -> None:
    found = [msgspec.structs.replace(one, timing=None, cached=True) for one in results(True, False)]
    charts = {s.id: s.blocks for s in eval_sections(report(tmp_path, (PLAIN,), found))}["charts"]
    titles = [chart.title for chart in charts if isinstance(chart, ScatterChart)]
    assert titles == ["Pass rate against peak memory, MiB"]


@pytest.mark.parametrize("count", [1, 2, 12, 60])
def test_points_never_cover_each_other_nor_leave_the_chart(count: int) -> None:
    drawn = apart([Point(str(n), "", 95.0, 50.0, (40.0, 60.0)) for n in range(count)])
    places = [point.x for point in drawn]
    assert [point.name for point in drawn] == [str(n) for n in range(count)]
    assert len(set(places)) == count
    assert all(0 <= place <= 100 for place in places)


def test_cells_say_how_a_case_ended_and_begin_its_answer(tmp_path: Path) -> None:
    table = cases_of(sample_report(tmp_path))
    words = [[cell.word for cell in row.cells if cell] for row in table.rows]
    assert words == [
        ["passed", "passed"],
        ["passed", "failed"],
        ["failed", "passed"],
        ["unscored", "passed"],
        ["no answer", "no answer"],
    ]
    assert table.rows[0].name == "text 0"
    cell = table.rows[1].cells[1]
    assert cell is not None
    assert cell.answer == "bad"
    assert cell.answers[0].reasons == (("failed", "equals [tone]: not as expected"),)
    assert "TTFT 100 ms (batched)" in cell.answers[0].note


def test_the_prompt_is_whole_where_that_costs_little(tmp_path: Path) -> None:
    cell = cases_of(sample_report(tmp_path)).rows[0].cells[0]
    assert cell is not None
    assert cell.prompt == "Is this good?\ntext 0\nOne word."


def test_what_long_prompts_share_is_written_once(tmp_path: Path) -> None:
    long = target("plain", f"{'An example. ' * 4000}\n{{{{ text }}}}\nOne word.")
    table = cases_of(report(tmp_path, (long,), results(True, True)))
    (column,) = table.columns
    assert column.start.startswith("An example. ")
    cell = table.rows[0].cells[0]
    assert cell is not None
    assert (
        column.start + (cell.prompt or "") + column.end
        == f"{'An example. ' * 4000}\ntext 0\nOne word."
    )
    page = html_report(evaluations=[report(tmp_path, (long,), results(True, True))])
    assert page.count("An example. " * 4000) == 1


def test_shared_ends_never_overlap() -> None:
    assert shared_ends(["aa", "aaa"]) == ("aa", "")
    assert shared_ends(["x1y", "x2y", "x3y"]) == ("x", "y")
    assert shared_ends(["alone"]) == ("", "")


def test_assertions_in_a_set_are_listed_with_it(tmp_path: Path) -> None:
    inner = Score("contains", 0.0, False, "nothing of it")
    outer = Score("assert-set", 0.4, False, "too little", members=(inner,))
    found = msgspec.structs.replace(make_result(0, False), score=aggregate([outer]))
    cell = cases_of(report(tmp_path, (PLAIN,), [found])).rows[0].cells[0]
    assert cell is not None
    assert cell.answers[0].reasons == (
        ("failed", "assert-set: too little, score 0.40"),
        ("failed", "assert-set › contains: nothing of it"),
    )


def test_repetitions_are_counted_in_the_cell_and_listed_in_the_details(tmp_path: Path) -> None:
    found = [make_result(0, passed, repetition=n) for n, passed in enumerate((True, False, True))]
    cell = cases_of(report(tmp_path, (PLAIN,), found, repeat=3)).rows[0].cells[0]
    assert cell is not None
    assert cell.word == "2 of 3 passed"
    assert [answer.title for answer in cell.answers] == [
        "repetition 1 of 3: passed",
        "repetition 2 of 3: failed",
        "repetition 3 of 3: passed",
    ]


def test_an_earlier_evaluation_marks_what_was_repaired_and_broken(tmp_path: Path) -> None:
    before, after = results(True, False, True), results(False, True, True)
    table = cases_of(report(tmp_path, (PLAIN,), after, before))
    assert [column.name for column in table.columns] == ["earlier: plain", "plain"]
    changes = [[cell.change for cell in row.cells if cell] for row in table.rows]
    assert changes == [["", "broken"], ["", "repaired"], ["", ""]]
    assert "Earlier: tones of 2026-11-22 17:00 UTC" in table.caption


def test_a_very_long_answer_is_cut_with_a_word_on_its_length(tmp_path: Path) -> None:
    found = [make_result(0, False, answer="x" * 100_000)]
    page = html_report(evaluations=[report(tmp_path, (PLAIN,), found)])
    assert "x" * MOST_TEXT in page
    assert "(100,000 characters; the rest is in the history)" in page
    assert len(page) < 3 * MOST_TEXT + 60_000


def test_a_matrix_that_was_cut_says_so_and_where_the_rest_is(tmp_path: Path) -> None:
    whole = report(tmp_path, (PLAIN,), results(True, False))
    cut = msgspec.structs.replace(
        whole, matrix=msgspec.structs.replace(whole.matrix, rows=whole.matrix.rows[:1])
    )
    blocks = {s.id: s.blocks for s in eval_sections(cut)}["cases"]
    (notices,) = the(Notices, blocks)
    assert isinstance(notices, Notices)
    assert notices.items[0].text.startswith("the last 1 of 2 cases")
    assert "--json" in notices.items[0].advice


def hostile_page(folder: Path) -> str:
    hostile = target(HOSTILE, "{{ text }}", HOSTILE)
    results = [
        msgspec.structs.replace(
            make_result(n, False, answer=HOSTILE, target=n % 2),
            vars={HOSTILE.replace("\x00", ""): HOSTILE, "text": HOSTILE},
            description=HOSTILE if n < 2 else None,
        )
        for n in (0, 1)
    ]
    return html_report(evaluations=[report(folder, (hostile, hostile), results, title="t")])


def test_what_a_model_or_a_case_says_is_text_wherever_it_stands(tmp_path: Path) -> None:
    page = hostile_page(tmp_path)
    elements = Elements(page)
    assert len(elements.named("script")) == 1
    assert elements.named("img") == []
    names = {name for _, attributes in elements.found for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    assert "&lt;/script&gt;&lt;/pre&gt;" in page
    assert page.encode("utf-8")


def test_the_page_refers_to_nothing_outside_and_its_ids_are_unique(tmp_path: Path) -> None:
    found = sample_report(tmp_path)
    page = html_report([sample_bench()], [make_run()], evaluations=[found, found])
    elements = Elements(page)
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in elements.found:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name) in (None, *ids)
        assert not {"src", "srcset", "style", "action"} & set(attributes)
        assert (attributes.get("href") or "#content")[1:] in ids
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttp|WebSocket|import\(", page)


def test_only_pages_with_cases_carry_what_cases_need() -> None:
    assert "showCases" not in html_report([sample_bench()])


def test_a_page_is_named_after_what_is_in_it(tmp_path: Path) -> None:
    found = sample_report(tmp_path)
    assert "<h1>tones</h1>" in html_report(evaluations=[found])
    page = html_report([sample_bench()], [make_run()], evaluations=[found])
    assert "<h1>1 bench, 1 evaluation and 1 run</h1>" in page


def test_markdown_holds_the_figures_the_failures_and_the_differences(tmp_path: Path) -> None:
    text = markdown_report(evaluations=[sample_report(tmp_path)])
    assert "| careful | smollm2-135m | 3 of 5, 1 without an answer |" in text
    assert "### Not passed" in text
    assert "### Differences" in text
    assert "no difference shown" in text


def test_the_size_of_a_page_grows_with_its_cases_and_no_faster(tmp_path: Path) -> None:
    body = f"{'An example. ' * 200}{{{{ text }}}}"
    sizes = [
        len(html_report(evaluations=[report(tmp_path, (target("p", body),), results(*[True] * n))]))
        for n in (100, 200, 400)
    ]
    first, second = sizes[1] - sizes[0], sizes[2] - sizes[1]
    assert second < 2.2 * first
    assert second / 200 < 1800


def test_a_resumed_evaluation_shows_the_highest_peak_of_its_parts(tmp_path: Path) -> None:
    found = report(tmp_path, (PLAIN,), results(True, False))
    use = found.result.uses[0]
    higher = msgspec.structs.replace(use.memory, peak_rss_bytes=900 * 1024**2)
    uses: tuple[ModelUse, ...] = (use, msgspec.structs.replace(use, memory=higher))
    again = msgspec.structs.replace(found, result=msgspec.structs.replace(found.result, uses=uses))
    charts = {s.id: s.blocks for s in eval_sections(again)}["charts"]
    memory = charts[-1]
    assert isinstance(memory, ScatterChart)
    assert memory.points[0].text.endswith("peak memory 900 MiB")


def test_columns_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    small, large = make_target("plain", "small"), make_target("plain", "large")
    template = PromptTemplate(name="plain", body="user:\n{{ text }}")
    both = [msgspec.structs.replace(one, template=template) for one in (small, large)]
    table = cases_of(report(tmp_path, both, results(True) + results(True, target=1)))
    assert [column.name for column in table.columns] == ["small", "large"]
