from __future__ import annotations

import io

import msgspec
from rich.console import Console

from localprompt.records.improvement import (
    Alone,
    FinalComparison,
    FlippedCase,
    Improvement,
    ImproveRequest,
    PartSize,
    Standing,
    Trial,
    Weighing,
)
from localprompt.stats.samples import Interval
from localprompt.views.improve import outcome_lines, print_improvement
from localprompt.views.report import html_report, markdown_report
from tests.sample_runs import make_run

RUN = make_run()
FLIP = FlippedCase("c1", True, {"text": "<b>fine</b>"}, "good", "bad", "good")
FOUND = Improvement(
    id="01M8C63D17RZXX6JSA604GM1PW",
    kind="improve",
    created_at="2026-11-26T15:00:00.000+00:00",
    localprompt_version="0",
    title="improve tone",
    request=ImproveRequest(prompt="tone", output="better.prompty"),
    model=RUN.model,
    prompt="tone",
    prompt_sha256="0" * 64,
    cases_sha256="1" * 64,
    machine=RUN.machine,
    parts=(PartSize("search", 80), PartSize("selection", 32), PartSize("final", 48)),
    trials=(
        Trial("a", "as it is", "none", "user:\n{{ text }}", search=Standing(80, 0.5)),
        Trial(
            "b",
            "instruction first, cue 'Tone:'",
            "4 examples, balanced",
            "user:\nTone:",
            weighing=Weighing("batch", bias={"good": -1.0, "bad": 1.0}),
            search=Standing(80, 0.9),
            selection=Standing(32, 0.875, Interval(0.72, 0.95)),
            prompt_tokens=61.0,
            ttft_seconds=0.12,
            peak_rss_bytes=300 * 2**20,
        ),
        Trial("c", "no instruction", "none", "user:\n", out="behind after 20 cases"),
    ),
    original="a",
    winner="b",
    final=FinalComparison(
        n=48,
        before=0.5,
        after=0.9,
        difference=0.4,
        interval=Interval(0.2, 0.6),
        p_value=0.0004,
        test="exact McNemar",
        shown=True,
        flips=(FLIP,),
    ),
    alone=(Alone("wordings", "cue 'Tone:'", 0.3, Interval(0.1, 0.5)),),
    before="---\nname: tone\n---\nuser:\n{{ text }}\n",
    after="---\nname: better\n---\nuser:\n{{ text }}\nTone:\n",
    output="better.prompty",
    evaluations=500,
    cached=20,
    raced=300,
    full_grid=1000,
    seconds=12.0,
)


def shown(found: Improvement, width: int) -> str:
    stream = io.StringIO()
    print_improvement(found, Console(file=stream, width=width))
    return stream.getvalue()


def test_the_proof_stands_in_words_with_its_interval_and_test() -> None:
    lines = list(outcome_lines(FOUND))
    assert lines[0] == (
        "gain shown: 50.0% → 90.0% on 48 held-out cases, +40.0 points, 95 % between +20.0 and "
        "+60.0 (exact McNemar, p < 0.001)"
    )
    assert "racing asked 30% of the full grid" in lines[2]
    assert lines[-1] == "wrote better.prompty"


def test_what_the_percentages_are_of_is_said_where_it_is_not_passes() -> None:
    request = msgspec.structs.replace(FOUND.request, metric="fields")
    found = msgspec.structs.replace(FOUND, request=request)
    assert next(iter(outcome_lines(found))).startswith(
        "gain shown: 50.0% → 90.0% (fields) on 48 held-out cases"
    )
    assert "ranked by fields" in shown(found, 120)
    assert "ranked by" not in shown(FOUND, 120)


def test_no_gain_is_called_that_and_no_file_is_claimed() -> None:
    assert FOUND.final is not None
    final = msgspec.structs.replace(FOUND.final, shown=False, difference=0.02, p_value=0.6)
    lines = list(outcome_lines(msgspec.structs.replace(FOUND, final=final, output=None)))
    assert lines[0].startswith("no gain shown")
    assert lines[-1].startswith("no file written")


def test_every_width_tells_the_winner_and_breaks_no_line_over_it() -> None:
    for width in (60, 80, 120):
        text = shown(FOUND, width)
        assert "winner" in text
        assert "+Tone:" in text
        assert all(len(line) <= width for line in text.splitlines())
        assert all(line == line.rstrip() for line in text.splitlines())


def test_the_page_is_whole_and_answers_stay_text() -> None:
    page = html_report(improvements=[FOUND])
    assert "gain shown" in page
    assert "<b>fine</b>" not in page
    assert "&lt;b&gt;fine&lt;/b&gt;" in page


def test_a_report_takes_searches_in_both_forms() -> None:
    assert "improve tone" in html_report(improvements=[FOUND])
    text = markdown_report(improvements=[FOUND])
    assert text.startswith("## improve tone\n")
    assert "| instruction first, cue 'Tone:'" in text


def test_an_unfinished_search_says_so() -> None:
    unfinished = msgspec.structs.replace(FOUND, final=None, winner=None, seconds=None)
    assert list(outcome_lines(unfinished)) == ["not finished"]
    assert shown(unfinished, 80)
