from __future__ import annotations

from typing import Any

import pytest

from localprompt.errors import ScriptError
from localprompt.records.score import Answer, Expectation, Script
from localprompt.scoring.score import score
from localprompt.scoring.script_checks import transformed_variables


def judged(code: str, text: str = "hello", **options: Any) -> tuple[bool | None, float | None]:
    found = score(Answer(text, vars={"n": 3}), Expectation("javascript", code, **options))
    return found.passed, found.score


@pytest.mark.parametrize(
    ("code", "options", "verdict"),
    [
        ("output.length > context.vars.n", {}, (True, 1)),
        ("output.length > context.vars.n", {"negated": True}, (False, 0)),
        ("0.4", {}, (True, 0.4)),
        ("0.4", {"threshold": 0.5}, (False, 0.4)),
        ("0.4", {"threshold": 0.5, "negated": True}, (True, 0.4)),
        ("0", {}, (False, 0)),
        ("({pass: true, score: 0.3, reason: 'so'})", {}, (True, 0.3)),
        ("({pass: true, score: 0.3, reason: 'so'})", {"negated": True}, (False, 0.3)),
        ("({pass: true, score: 0.3})", {}, (False, 0)),
        ("({pass: true, score: NaN, reason: 'so'})", {}, (False, 0)),
        ("0 / 0", {"negated": True}, (False, 0)),
        ("1 / 0", {}, (False, 0)),
        ("const n = output.length; n === 5", {}, (True, 1)),
        ("const n = 5; output.split('').every((x) => { return n; })", {}, (True, 1)),
        ("const n = 5; ({pass: true, score: 1 / n, reason: ''})", {}, (True, 0.2)),
        ("const ends = /;$/; for (let i = 0; i < 2; i++); !ends.test(output)", {}, (True, 1)),
        ("context.config.least < 2", {"config": {"least": 1}}, (True, 1)),
        ("Promise.resolve(true)", {}, (True, 1)),
        ("JSON.parse(output)", {}, (False, 0)),
        ("JSON.parse(output)", {"negated": True}, (False, 0)),
        ("'text'", {}, (False, 0)),
        ("undefined", {}, (False, 0)),
        ("while (true) {}", {}, (None, None)),
        ("if (output === 'hello') return true; return false;", {}, (True, 1)),
        ("new Promise(() => {})", {}, (None, None)),
        ("require('fs')", {}, (None, None)),
    ],
)
def test_code_judges_as_in_promptfoo(
    code: str, options: dict[str, Any], verdict: tuple[bool | None, float | None]
) -> None:
    assert judged(code, **options) == verdict


def test_a_file_judges_by_its_function() -> None:
    script = Script("module.exports = (output) => output === 'hello'", file=True)
    assert judged("file://check.js", script=script) == (True, 1)


def test_an_answer_is_transformed_before_it_is_judged() -> None:
    answer = Answer(" Yes ")
    wanted = Expectation("equals", "YES", transform=Script("output.trim().toUpperCase()"))
    assert score(answer, wanted).passed
    for code in ("undefined", "null", "nothing.at.all"):
        found = score(answer, Expectation("equals", "x", transform=Script(code)))
        assert found.passed is None
        assert "transform" in found.reason


def test_a_negated_assertion_says_what_it_asked_for() -> None:
    found = score(Answer("alpha"), Expectation("equals", "alpha", negated=True))
    assert (found.passed, found.reason) == (
        False,
        'the output is "alpha", expected anything but "alpha"',
    )
    found = score(Answer("alpha"), Expectation("contains", "al", negated=True))
    assert found.reason == 'the output contains "al", which not- excludes'


def test_transformed_variables_come_beside_and_over_those_of_the_case() -> None:
    given = {"text": "a", "kept": 1}
    found = transformed_variables(Script("({text: vars.text + '!', more: true})"), given)
    assert found == {"text": "a!", "kept": 1, "more": True}
    with pytest.raises(ScriptError, match="no variables"):
        transformed_variables(Script("'text'"), given)
