"""Each experiment gives the figures that its rule looks at, and says so when it cannot."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from localprompt.evidence.experiment import Experiment
from localprompt.evidence.experiments.transparency import Transparency
from localprompt.evidence.running import EXPERIMENTS, choose, run
from localprompt.evidence.tools import open_vocabulary
from localprompt.records.evidence import EvidenceReport, Finding
from tests.evidence.harness import TestBench

pytestmark = pytest.mark.slow

every_experiment = pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)


def carried_out(bench: TestBench, experiment: Experiment) -> Finding:
    return bench.run([experiment]).findings[0]


def found(report: EvidenceReport, number: int) -> Finding:
    finding = report.finding(number)
    assert finding is not None
    return finding


def value(finding: Finding, name: str) -> float:
    return next(figure.value for figure in finding.figures if figure.name == name)


def test_there_are_ten_and_they_are_numbered() -> None:
    assert [experiment.number for experiment in EXPERIMENTS] == list(range(1, 11))
    assert len({experiment.name for experiment in EXPERIMENTS}) == 10


@every_experiment
def test_it_gives_every_figure_that_its_rule_looks_at(
    report: EvidenceReport, experiment: Experiment
) -> None:
    finding = found(report, experiment.number)
    assert finding.prevented is None
    rule = experiment.rule
    for condition in (*rule.supported, *rule.refuted):
        assert condition.holds(finding.figures) is not None, condition.figure
    assert finding.verdict == rule.verdict(finding.figures)


@every_experiment
def test_without_memory_for_training_it_says_why_or_does_without(
    tmp_path: Path, experiment: Experiment
) -> None:
    finding = carried_out(TestBench(tmp_path, trains=False), experiment)
    if not experiment.tunings:
        assert finding.prevented is None
    else:
        assert finding.prevented == "training would not fit into free memory"
        assert finding.verdict == ("supported" if experiment.number == 10 else "not shown")


def test_passages_in_the_prompt_are_worth_what_they_hold(bench: TestBench) -> None:
    """An engine that repeats its prompt answers what stands in it, and nothing else."""
    bench.answer = lambda prompt: prompt.replace("\n", " ")  # one line: answers end at the next
    for number, gain in ((7, "gain_with_text"), (8, "gain_over_closed_book")):
        finding = carried_out(bench, choose(EXPERIMENTS, [number])[0])
        assert finding.verdict == "supported"
        assert value(finding, gain) > 0.5


def test_a_model_of_another_family_that_is_missing_is_named(tmp_path: Path) -> None:
    bench = TestBench(tmp_path, other_family=False)
    finding = carried_out(bench, choose(EXPERIMENTS, [3])[0])
    assert finding.verdict == "not shown"
    assert "models pull gemma3-270m" in str(finding.prevented)


def test_the_tuned_weights_that_fit_another_model_are_counted(report: EvidenceReport) -> None:
    finding = found(report, 3)
    # Of the tiny model only the last norm (64 numbers) has a place in the other one.
    assert value(finding, "share_of_weights_reusable") == pytest.approx(64 / 17_536, rel=0.05)


def test_one_number_that_tuning_changed_is_found(report: EvidenceReport) -> None:
    finding = found(report, 10)
    assert value(finding, "weights_changed") == 1
    assert value(finding, "share_attributed") == 1
    sample = finding.samples[0].text
    assert re.search(r"^review\s+We\b", sample, re.MULTILINE)


def test_examples_go_into_prompts_and_tunings_in_the_same_order(bench: TestBench) -> None:
    carried_out(bench, choose(EXPERIMENTS, [5])[0])
    prompts = sorted((bench.folder / "lab" / "prompts").glob("*-2-examples-*.prompty"))
    text = prompts[0].read_text(encoding="utf-8")
    train = Path(bench.tuned[0].train).read_text(encoding="utf-8").splitlines()
    assert len(train) == 17
    first = train[1].rpartition(",")[0].strip('"')
    assert first in text
    assert text.count("\nassistant:\n") == 2
    assert [request.limit for request in bench.tuned] == [None] * 4


def test_money_of_a_change_follows_from_its_cpu_time(report: EvidenceReport) -> None:
    finding = found(report, 2)
    group = next(g for g in finding.groups if g.name == "usd_per_change")
    tuning = next(f for f in group.figures if f.name == "usd_per_change_tuning")
    hours = value(finding, "cpu_per_change_tuning") / 3600
    assert tuning.basis == "estimated"
    assert tuning.interval is not None
    assert tuning.interval.low == pytest.approx(hours * 3e-3 * 0.08)
    assert tuning.interval.high == pytest.approx(hours * 20e-3 * 0.45)


def test_both_sides_get_the_same_examples_and_an_optimizer(bench: TestBench) -> None:
    carried_out(bench, choose(EXPERIMENTS, [5])[0])
    searches = [arguments for arguments in bench.ran if arguments[0] == "improve"]
    assert len(searches) == len(bench.tuned) == 4
    for search, tuning in zip(searches, bench.tuned, strict=True):
        given = dict(itertools.pairwise(search))
        assert Path(given["--cases"]).read_text() == Path(tuning.train).read_text()
        assert search[1] == tuning.prompt
        assert given["--final"].endswith("sentiment.csv")
        assert given["--minutes"] == f"{tuning.max_minutes:g}"
        assert {"--no-cache", "--no-log", "--keep-anyway"} <= set(search)


def test_a_search_is_made_once_and_found_again(bench: TestBench) -> None:
    carried_out(bench, choose(EXPERIMENTS, [5])[0])
    before = len(bench.ran)
    found = carried_out(bench, choose(EXPERIMENTS, [6])[0])
    assert len(bench.ran) == before
    assert value(found, "searches_per_hour") == pytest.approx(120, rel=0.1)
    assert found.notes[0].values["found"] == "cue 'Sentiment:'; examples: none; raw"


def test_a_first_result_at_chance_is_not_a_first_result(bench: TestBench) -> None:
    """The engine knows a review by its words wherever it stands: all ways are useful here."""
    finding = carried_out(bench, choose(EXPERIMENTS, [4])[0])
    seconds = {f.about: f.value for f in finding.figures if f.name == "seconds_prompting"}
    assert value(finding, "ratio_useful_tuning_to_prompting") == pytest.approx(
        value(finding, "seconds_tuning") / seconds["as typed"]
    )
    assert set(seconds) == {"as typed", "searched, 16 examples", "searched, 256 examples"}
    guessing = TestBench(bench.folder / "other")
    guessing.knows = False
    finding = carried_out(guessing, choose(EXPERIMENTS, [4])[0])
    assert finding.verdict == "not shown"
    assert finding.prevented == ("no result of prompting or of tuning was shown to be above chance")


@pytest.mark.model
def test_every_token_that_the_starter_model_receives_has_a_writer(
    tmp_path: Path, starter_model: Path, starter_sha256: str
) -> None:
    bench = TestBench(tmp_path, trains=False)
    real = msgspec.structs.replace(
        bench.find_model("small"), path=str(starter_model), sha256=starter_sha256
    )
    with bench.lab() as lab:
        lab.model = real
        lab.tools = replace(lab.tools, open_vocabulary=open_vocabulary)
        finding = run([Transparency()], lab).findings[0]
    assert finding.verdict == "supported"
    assert value(finding, "share_attributed") == 1
    assert value(finding, "tokens_attributed") > 10_000
    assert "<|im_start|>" in finding.samples[0].text
