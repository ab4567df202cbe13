"""A case of a suite, evaluation by evaluation."""

from __future__ import annotations

from localprompt.store.history import History
from tests.sample_evaluations import make_evaluation, make_result, make_target
from tests.web.conftest import Served


def _evaluated(*passed: bool | None) -> list[str]:
    """An evaluation for each outcome of its first case, oldest first."""
    ids = []
    with History() as history:
        for outcome in passed:
            evaluation = make_evaluation(make_target(results=2), cases=2)
            history.begin(evaluation)
            answer = f"<i>{outcome}</i>"
            history.add(evaluation.id, [make_result(0, outcome, answer=answer), make_result(1)])
            ids.append(evaluation.id)
    return ids


def test_a_case_is_followed_over_evaluations_and_its_flips_are_marked(served: Served) -> None:
    ids = _evaluated(True, True, False, None)
    page = served.enter().get(f"/cases?evaluation={ids[0]}&case=case-0").text
    assert page.count("&lt;i&gt;") == 8  # in the row, and whole in its details
    assert "passed, flipped" not in page
    assert "failed, flipped" in page
    assert "unscored, flipped" in page
    assert "Flips: 2." in page
    assert page.index(ids[3]) < page.index(ids[0])


def test_an_evaluation_offers_its_cases(served: Served) -> None:
    (only,) = _evaluated(True)
    page = served.enter().get(f"/results/{only}").text
    assert '<option value="case-1">' in page
    assert f'name="evaluation" value="{only}"' in page


def test_a_case_that_the_suite_does_not_have_is_said_with_those_that_it_has(
    served: Served,
) -> None:
    (only,) = _evaluated(True)
    got = served.enter().get(f"/cases?evaluation={only}&case=nonesuch")
    assert got.status == 404
    assert "no case" in got.text
    assert "case-0" in got.text
    assert served.get("/cases?evaluation=NONESUCH&case=case-0").status == 404
