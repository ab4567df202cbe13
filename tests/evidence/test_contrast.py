"""Prompting beside tuning, over the suite that ships."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from localprompt.errors import InputError
from localprompt.evidence.judging import answers_for_an_hour, break_even, curve, judge
from localprompt.evidence.lab import Answers
from localprompt.evidence.ways import OF_THE_CHANGE, REPETITIONS
from localprompt.records import json
from localprompt.records.contrast import ContrastReport, Way
from localprompt.records.evidence import Figure
from localprompt.stats.samples import Interval
from localprompt.views.contrast import contrast_page
from localprompt.views.language import LANGUAGES, Language
from tests.evidence.harness import TestBench

pytestmark = pytest.mark.slow

SUITE = "benchmarks/sentiment.yaml"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ContrastReport:
    return TestBench(tmp_path_factory.mktemp("contrast")).contrast(SUITE)


def way(name: str, **values: float) -> Way:
    figures = (Figure(key, value, "seconds", "measured") for key, value in values.items())
    return Way("prompting", name, "small", tuple(figures))


def answers(*passed: bool) -> Answers:
    return Answers(passed, ("",) * len(passed), 1, 1.0, 1.0)


def test_every_figure_of_this_model_is_measured_but_for_money(report: ContrastReport) -> None:
    ours = [way for way in report.ways if way.model == "small"]
    assert [way.kind for way in ours] == ["prompting", "prompting", "prompting", "tuning"]
    for one in ours:
        assert {f.basis for f in one.figures if f.unit != "usd"} == {"measured"}
        assert {f.basis for f in one.figures if f.unit == "usd"} == {"estimated"}


def test_every_figure_of_the_larger_model_is_estimated(report: ContrastReport) -> None:
    larger = [way for way in report.ways if way.model != "small"]
    assert [way.name for way in larger] == ["Q4_0", "full", "lora", "qlora"]
    assert {f.basis for way in larger for f in way.figures} == {"estimated"}


def test_examples_in_a_prompt_are_counted_as_data_needed(report: ContrastReport) -> None:
    counted = {way.name: figure.value for way in report.ways if (figure := way.figure("examples"))}
    assert counted == {
        "sentiment-plain": 0,
        "sentiment-few-shot": 4,
        "found by improve": 256,
        "cpu-llama.cpp": 16,
    }


def test_a_search_contains_the_time_and_memory_that_it_took(report: ContrastReport) -> None:
    """30 seconds and 300 MiB, as the bench says."""
    found = next(way for way in report.ways if way.name == "found by improve")
    first, memory = found.figure("time_to_first_answer"), found.figure("memory")
    assert first is not None
    assert first.value == pytest.approx(31, rel=0.05)
    assert memory is not None
    assert memory.value == 300 * 2**20


def test_a_tuning_contains_the_time_that_it_took(report: ContrastReport) -> None:
    tuned = next(way for way in report.ways if way.name == "cpu-llama.cpp")
    change, answer = tuned.figure("cpu_per_change"), tuned.figure("cpu_per_answer")
    assert change is not None
    assert answer is not None
    assert change.value == pytest.approx(110 + 120 * answer.value, rel=0.01)


def test_each_quantity_that_both_have_is_judged_once(report: ContrastReport) -> None:
    quantities = [one.quantity for one in report.judged]
    assert len(quantities) == len(set(quantities)) == 9
    by_quantity = {one.quantity: one.winner for one in report.judged}
    assert by_quantity["cpu_per_change"] == "prompting"
    assert by_quantity["score"] == "undecided"  # the same engine answers for both


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_page_says_which_figures_are_estimated(report: ContrastReport, code: str) -> None:
    say = Language(code)
    page = contrast_page(report, say)
    assert f'<html lang="{code}">' in page
    assert say("contrast.judged_caption") in page
    assert say("contrast.better") in page
    assert f"{say('contrast.estimated_mark')})</td>" in page
    assert page.index(say("quantities.score")) < page.index(say("quantities.disk"))
    assert "llama-2-7b" in page


@pytest.mark.parametrize("size", [-5.0, 0.0, 1e300])
def test_a_size_of_memory_that_cannot_be_is_drawn_at_the_end_of_the_axis(
    report: ContrastReport, size: float
) -> None:
    first, *others = report.ways
    figures = tuple(
        msgspec.structs.replace(one, value=size, interval=None) if one.name == "memory" else one
        for one in first.figures
    )
    wrong = msgspec.structs.replace(first, figures=figures)
    page = contrast_page(msgspec.structs.replace(report, ways=(wrong, *others)), Language("en"))
    assert Language("en")("contrast.memory_chart") in page


def test_without_memory_for_training_the_contrast_says_so(tmp_path: Path) -> None:
    report = TestBench(tmp_path, trains=False).contrast(SUITE)
    assert report.prevented == "training would not fit into free memory"
    assert report.judged == ()
    assert "training would not fit" in contrast_page(report, Language("en"))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> tuple[ContrastReport, TestBench]:
    """With an adapter instead of a tuning."""
    bench = TestBench(tmp_path_factory.mktemp("elsewhere"))
    return bench.contrast(SUITE, f"{bench.adapter()}:0.5"), bench


def test_an_adapter_made_elsewhere_is_the_tuned_side_with_every_prompt(
    elsewhere: tuple[ContrastReport, TestBench],
) -> None:
    report, bench = elsewhere
    assert not bench.tuned
    tuned = [one for one in report.ways if one.kind == "tuning" and one.model == "small"]
    assert [one.name for one in tuned] == [
        "style:0.5, sentiment-plain",
        "style:0.5, sentiment-few-shot",
    ]
    asked = [ran for ran in bench.ran if ran[0] == "run"]
    assert sum("--lora" in ran for ran in asked) == 2 * REPETITIONS
    assert {
        ran[ran.index("--lora") + 1].rpartition(":")[2] for ran in asked if "--lora" in ran
    } == {"0.5"}
    disk, plain = tuned[0].figure("disk"), report.ways[0].figure("disk")
    assert disk is not None
    assert plain is not None
    assert disk.value == plain.value + (bench.folder / "style.gguf").stat().st_size


def test_what_an_unseen_training_took_is_left_out_and_not_judged(
    elsewhere: tuple[ContrastReport, TestBench],
) -> None:
    report, _ = elsewhere
    for one in report.ways:
        if one.kind == "tuning" and one.model == "small":
            assert not OF_THE_CHANGE & {figure.name for figure in one.figures}
    judged = {one.quantity for one in report.judged}
    assert judged == {"answering_memory", "cpu_per_answer", "disk", "score"}
    assert report.curves == ()
    assert report.break_even is None


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_page_and_the_results_name_the_adapter_and_what_is_not_known_of_it(
    elsewhere: tuple[ContrastReport, TestBench], code: str
) -> None:
    say = Language(code)
    report = msgspec.json.decode(json.encode(elsewhere[0]), type=ContrastReport)
    (use,) = report.adapters
    assert (use.name, use.path, use.scale, use.rank) == ("style", "style.gguf", 0.5, 2)
    page = contrast_page(report, say)
    assert say("contrast.elsewhere", adapters="style:0.5") in page
    assert use.sha256 in page
    assert say("contrast.never")[:60] not in page


def test_without_examples_an_adapter_is_compared_with_the_prompts_of_the_suite(
    bench: TestBench, tmp_path: Path
) -> None:
    names = ("sentiment.yaml", "datasets/sentiment.csv")
    prompts = ("prompts/sentiment-plain.prompty", "prompts/sentiment-few-shot.prompty")
    for name in (*names, *prompts):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(Path("benchmarks") / name, tmp_path / name)
    suite = tmp_path / "sentiment.yaml"
    report = bench.contrast(str(suite), str(bench.adapter()))
    assert report.prevented is None
    assert "no examples" in (report.unsearched or "")
    assert "No prompt was searched" in contrast_page(report, Language("en"))
    assert len(report.judged) == 4


def test_answers_that_make_up_for_an_hour_follow_from_what_one_saves() -> None:
    cheap, dear = way("b", cpu_per_answer=0.1), way("a", cpu_per_answer=0.3)
    same = answers(True)
    found = answers_for_an_hour(tuple(judge(dear, cheap, same, same)))
    assert found is not None
    assert found.value == pytest.approx(18_000)
    assert answers_for_an_hour(tuple(judge(cheap, dear, same, same))) is None


def test_a_file_of_examples_that_is_not_there_is_refused(bench: TestBench) -> None:
    with pytest.raises(InputError, match="--train"):
        bench.contrast(SUITE, train=Path("nowhere.csv"))
    assert not bench.steps


def test_ways_are_told_apart_only_where_their_intervals_are() -> None:
    ours = Way(
        "prompting",
        "a",
        "small",
        (Figure("memory", 2.0, "bytes", "measured", Interval(1.0, 3.0), 6),),
    )
    theirs = {low: way("b", memory=low) for low in (2.5, 4.0, 0.5)}
    same = answers(True, False)
    winners = [next(judge(ours, one, same, same)).winner for one in theirs.values()]
    assert winners == ["undecided", "prompting", "tuning"]


def test_scores_are_judged_case_by_case() -> None:
    scored = way("a", score=0.5)
    wrong, right = answers(*[False] * 20), answers(*[True] * 20)
    assert next(judge(scored, scored, wrong, right)).winner == "tuning"
    assert next(judge(scored, scored, right, wrong)).winner == "prompting"


def test_tuning_pays_where_what_it_saves_adds_up_to_what_it_costs() -> None:
    prompting = way("a", cpu_per_change=10, cpu_per_answer=0.3)
    tuning = way("b", cpu_per_change=110, cpu_per_answer=0.1)
    same = answers(True)

    def pays(first: Way, second: Way) -> Figure | None:
        curves = tuple(c for c in (curve(first), curve(second)) if c is not None)
        return break_even(curves, tuple(judge(first, second, same, same)))

    found = pays(prompting, tuning)
    assert found is not None
    assert found.value == pytest.approx(500)
    assert pays(tuning, prompting) is None
