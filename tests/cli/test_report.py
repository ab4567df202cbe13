from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from localprompt import paths
from localprompt.records.evaluation import Evaluation
from localprompt.records.ids import new_run_id
from localprompt.store.history import History
from tests.cli.conftest import Localprompt
from tests.views.bench_records import sample_bench
from tests.views.eval_reports import PLAIN, results, stored


@pytest.fixture
def evaluations(work: Path) -> tuple[Evaluation, Evaluation]:
    """An earlier and a later one; the model that answered is not on this machine."""
    with History(paths.history_path()) as store:
        return (
            stored(store, (PLAIN,), results(True, False), title="before"),
            stored(store, (PLAIN,), results(False, False), title="after"),
        )


def heading(path: Path) -> str:
    found = re.search(r"<h1>(.*)</h1>", path.read_text("utf-8"))
    assert found is not None
    return found[1]


@pytest.mark.parametrize("reference", ["last", "last eval", "id"])
def test_an_evaluation_is_named_by_last_or_its_id(
    reference: str,
    localprompt: Localprompt,
    evaluations: tuple[Evaluation, Evaluation],
    work: Path,
) -> None:
    name = evaluations[1].id if reference == "id" else reference
    ran = localprompt("report", name, "-o", "report.html")
    assert (ran.code, ran.out) == (0, "")
    assert heading(work / "report.html") == "after"
    assert "Messages, before the chat template" in (work / "report.html").read_text("utf-8")


def test_last_is_of_the_kind_that_was_made_last(
    localprompt: Localprompt, evaluations: tuple[Evaluation, Evaluation], work: Path
) -> None:
    localprompt("report", "last", "-o", "last.html")
    assert heading(work / "last.html") == "after"
    machine = evaluations[1].machine
    bench = msgspec.structs.replace(sample_bench().experiment, id=new_run_id(), machine=machine)
    with History() as history:
        history.begin(bench)
    localprompt("report", "last", "-o", "last.html")
    assert heading(work / "last.html") == bench.title
    localprompt("report", "last~1 eval", "last bench", "-o", "both.html")
    assert heading(work / "both.html") == "1 bench and 1 evaluation"


def test_an_earlier_evaluation_is_set_beside_it(
    localprompt: Localprompt, evaluations: tuple[Evaluation, Evaluation], work: Path
) -> None:
    ran = localprompt("report", "--against", "last~1", "-o", "report.html")
    assert ran.code == 0, ran.err
    page = (work / "report.html").read_text("utf-8")
    assert "earlier: plain" in page
    assert "failed, broken" in page


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("last", "--against", "last"), "this is the same evaluation"),
        (("last", "last~1", "--against", "last~1"), "--against needs one evaluation"),
        (("last", "--against", "last~7"), "there is no 'last~7': only 2"),
        (("last~7 eval",), "there is no 'last~7 eval': only 2"),
        (("last bench",), "there is no 'last bench': no bench is recorded"),
    ],
)
def test_what_cannot_be_reported_is_said(
    arguments: tuple[str, ...],
    error: str,
    localprompt: Localprompt,
    evaluations: tuple[Evaluation, Evaluation],
) -> None:
    ran = localprompt("report", *arguments, "-o", "report.html")
    assert ran.code == 2
    assert error in ran.err


def test_markdown_goes_to_stdout(
    localprompt: Localprompt, evaluations: tuple[Evaluation, Evaluation]
) -> None:
    ran = localprompt("report")
    assert ran.out.startswith("## after\n")
    assert "### Not passed" in ran.out
