from __future__ import annotations

import msgspec
import pytest

from localprompt.engine.base import Engine
from localprompt.errors import ModelFileError
from localprompt.evaluate.reporting import load_report
from localprompt.records.evaluation import EvalRequest
from localprompt.records.model import ModelRecord
from tests.evaluate.harness import Lab


def test_prompts_are_those_that_the_model_received(lab: Lab) -> None:
    result = lab.evaluate("tones.yaml")
    report = load_report(result.evaluation, lab.store, open_engine=lab.open_engine)
    shown = [row.cells[0].prompt for row in report.matrix.rows if row.cells[0]]
    assert sorted(filter(None, shown)) == sorted(lab.asked)
    assert report.matrix.columns[0].received
    assert [row.case.case_index for row in report.matrix.rows] == [0, 1, 2, 3]


def test_without_the_model_prompts_are_its_messages_and_said_to_be(lab: Lab) -> None:
    def nowhere(model: ModelRecord, request: EvalRequest) -> Engine:
        raise ModelFileError("it was deleted")

    result = lab.evaluate("tones.yaml")
    matrix = load_report(result.evaluation, lab.store, open_engine=nowhere).matrix
    assert matrix.rows[0].cells[0] is not None
    assert matrix.rows[0].cells[0].prompt == "user:\nIs this good or bad? a fine day"
    assert not matrix.columns[0].received


def test_a_prompt_whose_tokens_are_not_the_recorded_ones_is_not_called_received(lab: Lab) -> None:
    evaluation = lab.evaluate("tones.yaml").evaluation
    first = next(iter(lab.store.results(evaluation.id)))
    lab.store.add(evaluation.id, [msgspec.structs.replace(first, token_ids_sha256="0" * 64)])
    matrix = load_report(evaluation, lab.store, open_engine=lab.open_engine).matrix
    assert not matrix.columns[0].received


def test_a_case_that_could_not_be_rendered_has_no_prompt(lab: Lab) -> None:
    lab.write("lost.yaml", 'prompts: ["{{ a.b() }}"]\nproviders: [small]\ntests: [{vars: {a: x}}]')
    result = lab.evaluate("lost.yaml")
    (row,) = load_report(result.evaluation, lab.store, open_engine=lab.open_engine).matrix.rows
    assert row.cells[0] is not None
    assert (row.cells[0].prompt, row.cells[0].state) == (None, "error")


def test_an_earlier_evaluation_is_set_beside_the_columns_that_came_of_it(lab: Lab) -> None:
    before = lab.evaluate("tones.yaml").evaluation
    lab.say = lambda prompt: "good"
    after = lab.evaluate("tones.yaml", cached=False).evaluation
    report = load_report(after, lab.store, before, open_engine=lab.open_engine)
    assert [column.earlier for column in report.matrix.columns] == [True, False]
    assert report.matrix.columns[1].earlier_column == 0
    verdicts = [[cell and cell.passed for cell in row.cells] for row in report.matrix.rows]
    assert verdicts == [[True, True], [True, False], [True, True], [False, True]]
    assert report.comparison is not None
    assert (report.comparison.a.id, report.comparison.b.id) == (before.id, after.id)


def test_repetitions_share_a_cell_and_most_of_them_decide(lab: Lab) -> None:
    answers = iter(["good", "bad", "good"] * 4)
    lab.say = lambda prompt: next(answers)
    result = lab.evaluate("tones.yaml", repeat=3, cached=False)
    matrix = load_report(result.evaluation, lab.store, open_engine=lab.open_engine).matrix
    cells = [row.cells[0] for row in matrix.rows]
    assert [len(cell.results) for cell in cells if cell] == [3, 3, 3, 3]
    assert all(cell.state == "mixed" for cell in cells if cell)
    assert {cell.passed for cell in cells if cell} == {True, False}


@pytest.mark.parametrize(("most", "rows"), [(2, 2), (100, 4)])
def test_a_matrix_may_be_cut_and_says_how_many_cases_there_are(
    lab: Lab, most: int, rows: int
) -> None:
    result = lab.evaluate("tones.yaml")
    report = load_report(result.evaluation, lab.store, open_engine=lab.open_engine, most_cases=most)
    assert (len(report.matrix.rows), report.matrix.cases) == (rows, 4)
    assert report.result.targets[0].done == 4


def test_a_single_target_is_compared_with_nothing(lab: Lab) -> None:
    result = lab.evaluate("tones.yaml")
    report = load_report(result.evaluation, lab.store, open_engine=lab.open_engine)
    assert report.comparison is None
