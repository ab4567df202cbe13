"""Adapters made elsewhere as the tuned side of those experiments that can take one."""

from __future__ import annotations

import pytest

from localprompt.errors import InputError, LocalPromptError
from localprompt.evidence.experiment import Experiment
from localprompt.evidence.running import EXPERIMENTS, TAKE_ADAPTERS, choose, kept
from localprompt.records.evidence import EvidenceReport, Figure, Finding
from localprompt.views.evidence import evidence_page
from localprompt.views.language import LANGUAGES, Language
from tests.evidence.harness import TestBench

ABLE = (3, 9)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> TestBench:
    return TestBench(tmp_path_factory.mktemp("adapted"))


@pytest.fixture(scope="module")
def report(bench: TestBench) -> EvidenceReport:
    """Those two, with an adapter."""
    chosen = choose(EXPERIMENTS, ABLE, adapted=True)
    return bench.run(chosen, f"{bench.adapter()}:0.8")


def found(bench: TestBench, experiment: Experiment, *adapters: str) -> Finding | None:
    with bench.lab(*adapters) as lab:
        return kept(experiment, lab)


def figures(report: EvidenceReport, number: int) -> dict[str, Figure]:
    finding = report.finding(number)
    assert finding is not None
    return {figure.name: figure for figure in finding.figures}


def test_nothing_is_tuned_and_the_rule_still_has_its_figures(
    report: EvidenceReport, bench: TestBench
) -> None:
    assert not bench.tuned
    for finding in report.findings:
        assert finding.prevented is None
        for condition in (*finding.rule.supported, *finding.rule.refuted):
            assert condition.holds(finding.figures) is not None


def test_what_the_training_took_is_not_there_and_no_conversion_is_controlled(
    report: EvidenceReport,
) -> None:
    assert "seconds_of_tuning" not in figures(report, 3)
    assert "ratio_perplexity_untouched" not in figures(report, 9)


def test_matrices_are_counted_that_fit_the_other_family(report: EvidenceReport) -> None:
    assert figures(report, 3)["share_of_weights_reusable"].value == 0


def test_a_finding_with_an_adapter_is_another_one_than_without(
    report: EvidenceReport, bench: TestBench
) -> None:
    adapter = str(bench.folder / "style.gguf")
    for experiment in choose(EXPERIMENTS, ABLE):
        assert found(bench, experiment) is None
        assert found(bench, experiment, adapter) is None  # of another scale
        assert found(bench, experiment, f"{adapter}:0.8") is not None


def test_the_plan_counts_no_tuning_that_an_adapter_stands_for(bench: TestBench) -> None:
    chosen = choose(EXPERIMENTS, ABLE)
    own, adapted = bench.plan(chosen), bench.plan(chosen, f"{bench.adapter()}:0.3")
    assert [one.expected_seconds for one in adapted.plans] == [one.seconds for one in chosen]
    assert all(
        one.expected_seconds > other.expected_seconds
        for one, other in zip(own.plans, adapted.plans, strict=True)
    )


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_page_says_whose_adapter_it_is_and_what_is_not_known(
    report: EvidenceReport, code: str
) -> None:
    say = Language(code)
    page = evidence_page(report, say)
    for name in sorted(TAKE_ADAPTERS):
        assert say(f"notes.adapter_{name}", adapters="style:0.8") in page
    assert report.adapters[0].sha256 in page
    assert report.adapters[0].path == "style.gguf"


def test_experiments_that_keep_tunings_of_their_own_are_named(bench: TestBench) -> None:
    with pytest.raises(InputError, match="none of these experiments") as raised:
        choose(EXPERIMENTS, (1, 5), adapted=True)
    assert raised.value.expected == "one of 3, 9"


@pytest.mark.parametrize(
    ("scale", "architecture", "message"),
    [("1", "qwen2", "another architecture"), ("0", "llama", "scale 0 changes nothing")],
)
def test_an_adapter_that_cannot_be_compared_is_refused_before_anything_runs(
    tmp_path_factory: pytest.TempPathFactory, scale: str, architecture: str, message: str
) -> None:
    bench = TestBench(tmp_path_factory.mktemp("refused"))
    adapter = bench.adapter(**{"general.architecture": architecture})
    with pytest.raises(LocalPromptError, match=message):
        bench.plan([], f"{adapter}:{scale}")
