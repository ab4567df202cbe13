"""The page of the evidence: readable before anything ran, complete afterwards, safe always."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from localprompt.evidence.running import EXPERIMENTS
from localprompt.records.evidence import EvidenceReport, Figure, Note, Sample
from localprompt.views.evidence import evidence_page
from localprompt.views.evidence_text import guessed_unit, headline
from localprompt.views.language import LANGUAGES, Language
from tests.evidence.harness import TestBench


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_name_that_the_experiments_use_has_a_text(report: EvidenceReport, code: str) -> None:
    say = Language(code)
    page = evidence_page(report, say)
    assert f'<html lang="{code}">' in page
    for experiment in EXPERIMENTS:
        assert say(f"experiments.{experiment.name}.title") in page
        assert f'id="experiment-{experiment.number}"' in page


def test_before_anything_ran_the_rules_are_on_the_page(tmp_path: Path) -> None:
    page = evidence_page(TestBench(tmp_path).plan(EXPERIMENTS), Language("en"))
    assert page.count("not run yet") == 10
    assert page.count("Supported if") == 10
    assert "gain with the text: low end &gt; +0.0 points" in page


def test_a_rule_reads_the_same_before_and_after(report: EvidenceReport) -> None:
    """A unit that is guessed from a figure's name is the one that the figure then has."""
    for finding in report.findings:
        units = {figure.name: figure.unit for figure in finding.figures}
        for condition in (*finding.rule.supported, *finding.rule.refuted):
            assert guessed_unit(condition) == units[condition.figure], condition.figure


def test_figures_say_whether_they_were_measured(report: EvidenceReport) -> None:
    page = evidence_page(report, Language("en"))
    assert ">measured<" in page
    assert ">estimated<" in page


def test_text_from_a_model_or_a_file_stays_text(report: EvidenceReport) -> None:
    finding = msgspec.structs.replace(
        report.findings[0],
        figures=(Figure("memory_training", 1, "bytes", "estimated", about="<script>x()"),),
        samples=(Sample("received", "</pre><script>x()", about="<b>"),),
        notes=(Note("large_model", {"shape": "<img>"}),),
        prevented="<i>",
    )
    page = evidence_page(msgspec.structs.replace(report, findings=(finding,)), Language("en"))
    assert "<script>x()" not in page
    assert "<img>" not in page
    assert "&lt;script&gt;x()" in page


@pytest.mark.parametrize("value", [0.0, -1.6, 1.7e308])
def test_ratios_that_a_doubling_axis_has_no_place_for_are_drawn_at_its_end(
    report: EvidenceReport, value: float
) -> None:
    findings = [
        msgspec.structs.replace(
            finding,
            figures=tuple(
                msgspec.structs.replace(figure, value=value) if figure.unit == "ratio" else figure
                for figure in finding.figures
            ),
        )
        for finding in report.findings
    ]
    changed = msgspec.structs.replace(report, findings=tuple(findings))
    assert "<svg" in evidence_page(changed, Language("en"))


def test_the_headline_is_the_figure_behind_the_verdict(report: EvidenceReport) -> None:
    plans = {plan.number: plan for plan in report.plans}
    text = headline(plans[10], report.finding(10), Language("en"))
    assert text.startswith("tokens whose writer is known 100 %")
