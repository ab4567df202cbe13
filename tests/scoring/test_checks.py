from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localprompt.processes import Child
from localprompt.records.score import Answer, Expectation, Score
from localprompt.scoring.bounded import run_bounded
from localprompt.scoring.kinds import split_negation
from localprompt.scoring.score import score


def check(
    output: str,
    name: str,
    value: Any = None,
    *,
    allow_code: bool = False,
    finish_reason: str | None = None,
    latency_seconds: float | None = None,
    **options: Any,
) -> Score:
    base, negated = split_negation(name)
    answer = Answer(output, finish_reason, latency_seconds)
    expected = Expectation(type=base, negated=negated, value=value, **options)
    return score(answer, expected, allow_code=allow_code)


PASSING: list[tuple[str, str, Any]] = [
    ("Paris", "equals", "Paris"),
    ("4", "equals", 4),
    ("true", "equals", True),
    ('{"b": [1, true], "a": null}', "equals", {"a": None, "b": [1, True]}),
    ("The capital is Paris.", "contains", "Paris"),
    ("answer: 0", "contains", 0),
    ("PARIS it is", "icontains", "paris"),
    ("one two three", "contains-all", ["one", "three"]),
    ("ONE two", "icontains-all", ["one", "TWO"]),
    ("maybe", "contains-any", ["yes", "maybe"]),
    ("YES", "icontains-any", ["yes", "no"]),
    ("Yes, of course", "starts-with", "Yes"),
    ("call 555-1234 now", "regex", r"\d{3}-\d{4}"),
    ("2024-05-01", "regex", r"^(?<year>\d{4})-\d\d-\d\d$"),
    ("two\nlines", "regex", "two[^]lines"),
    ("1.5", "is-json", None),
    ('Sure! {"ok": true} Bye.', "contains-json", None),
    ("kitten", "levenshtein", "sitting"),
    ("hello brave world", "rouge-n", "hello world"),
    ("one two  three\nfour", "word-count", 4),
    ("one two", "word-count", "2"),
    ("one two", "word-count", {"min": 1}),
    ("one two", "word-count", {"min": 1, "max": 2}),
    ("anything", "not-contains", "error"),
    ("not json", "not-is-json", None),
    ("not json", "not-equals", {"a": 1}),
    ("one two", "not-word-count", {"max": 1}),
]


@pytest.mark.parametrize(("output", "name", "value"), PASSING)
def test_what_holds_passes_and_its_negation_fails(output: str, name: str, value: Any) -> None:
    base, negated = split_negation(name)
    passed = check(output, name, value)
    assert passed.passed is True
    assert passed.type == name
    opposite = check(output, base if negated else f"not-{base}", value)
    assert opposite.passed is False
    assert opposite.score is not None
    assert passed.score is not None
    assert opposite.score == pytest.approx(1 - passed.score)


FAILING: list[tuple[str, str, Any]] = [
    ("paris", "equals", "Paris"),
    ("1", "equals", True),
    ("[1]", "equals", [True]),
    ("[1]", "equals", 1),
    ("1", "equals", [1]),
    ('{"a": 1}', "equals", 1),
    ("{'a': 1}", "equals", {"a": 1}),
    ("Berlin", "contains", "Paris"),
    ("Berlin", "icontains", "paris"),
    ("one two", "contains-all", ["one", "three"]),
    ("none", "contains-any", ["yes", "maybe"]),
    ("Oh yes", "starts-with", "yes"),
    ("year 24", "regex", r"\d{4}"),
    ("line\n", "regex", r"line$"),
    ("anything", "regex", "any[]"),
    ("NaN", "is-json", None),
    ("[1, 2", "contains-json", None),
    ("completely different", "levenshtein", "hello"),
    ("goodbye", "rouge-n", "hello world"),
    ("one", "word-count", 2),
]


@pytest.mark.parametrize(("output", "name", "value"), FAILING)
def test_what_does_not_hold_fails_with_zero_and_a_reason(
    output: str, name: str, value: Any
) -> None:
    failed = check(output, name, value)
    assert (failed.passed, failed.score) == (False, 0)
    assert failed.reason


def test_unicode_forms_differ_unless_they_are_normalized() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert check(decomposed, "equals", composed).passed is False
    assert check(decomposed, "equals", composed, normalize_unicode="NFC").passed is True


def test_levenshtein_allows_five_edits_or_as_many_as_its_threshold() -> None:
    assert check("abcdef", "levenshtein", "uvwxyz").passed is False
    assert check("abcde", "levenshtein", "vwxyz").passed is True
    assert check("abcdef", "levenshtein", "uvwxyz", threshold=6).passed is True
    assert check("same", "levenshtein", "same", threshold=0).passed is True


def test_rouge_scores_what_answer_and_reference_have_in_common() -> None:
    part = check("hello", "rouge-n", "hello world")
    assert part.score == pytest.approx(2 / 3)
    assert part.passed is False
    assert check("hello", "rouge-n", "hello world", threshold=0.6).passed is True
    assert check("hello", "rouge-n", " ").passed is None


SCHEMA = {
    "type": "object",
    "required": ["latitude"],
    "properties": {"latitude": {"type": "number", "maximum": 90}},
}


def test_json_has_to_follow_the_schema_and_the_reason_says_where_it_does_not() -> None:
    assert check('{"latitude": 12}', "is-json", SCHEMA).passed is True
    failed = check('{"latitude": 120}', "is-json", SCHEMA)
    assert failed.passed is False
    assert "$.latitude" in failed.reason
    assert check('{"latitude": 120}', "not-is-json", SCHEMA).passed is True


def test_contained_json_passes_if_any_of_it_follows_the_schema() -> None:
    output = 'First [1, 2], then {"latitude": 120}, at last {"latitude": 9}.'
    assert check(output, "contains-json", SCHEMA).passed is True
    assert check("only [1, 2]", "contains-json", SCHEMA).passed is False
    assert check("only [1, 2]", "not-contains-json", SCHEMA).passed is True


def test_a_schema_that_points_elsewhere_is_not_fetched() -> None:
    result = check("{}", "is-json", {"$ref": "http://localhost:1/schema.json"})
    assert (result.passed, result.score) == (None, None)
    assert "Unresolvable" in result.reason


def test_a_broken_schema_leaves_the_answer_unscored() -> None:
    assert check("{}", "is-json", {"type": "no such type"}).passed is None


def test_the_finish_reason_is_compared_without_case() -> None:
    assert check("x", "finish-reason", "STOP", finish_reason="stop").passed is True
    assert check("x", "not-finish-reason", "length", finish_reason="stop").passed is True
    assert check("x", "finish-reason", "stop").passed is None


def test_latency_is_held_against_milliseconds() -> None:
    assert check("x", "latency", threshold=500, latency_seconds=0.4).passed is True
    assert check("x", "latency", threshold=300, latency_seconds=0.4).passed is False
    assert check("x", "latency", threshold=300).passed is None


def test_weight_zero_cannot_fail_but_keeps_its_score() -> None:
    result = check("x", "contains", "y", weight=0.0, metric="m")
    assert (result.passed, result.score, result.metric) == (True, 0, "m")


def test_a_pattern_that_would_run_for_ever_is_stopped_and_the_next_one_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("localprompt.scoring.pattern.PATTERN_SECONDS", 0.3)
    stopped = check("a" * 60 + "!", "regex", r"(a+)+$")
    assert (stopped.passed, stopped.score) == (None, None)
    assert "longer than 0.3 s" in stopped.reason
    monkeypatch.undo()
    assert check("aaa", "regex", r"(a+)+$").passed is True


def test_an_invalid_pattern_leaves_the_answer_unscored() -> None:
    assert check("x", "regex", "(").passed is None


def test_a_hundred_thousand_characters_are_scored_by_every_text_check() -> None:
    output = "lorem ipsum " * 8334
    assert len(output) > 100_000
    assert check(output, "contains", "dolor").passed is False
    assert check(output, "regex", r"ipsum lorem\s").passed is True
    assert check(output, "levenshtein", "lorem").passed is False
    assert check(output, "levenshtein", output[1:]).passed is True
    assert check(output, "rouge-n", "lorem dolor").score == pytest.approx(2 / 16_670)
    assert check(output, "word-count", {"min": 16_000}).passed is True
    assert check(json.dumps([output]), "is-json", {"type": "array"}).passed is True


def test_a_text_full_of_brackets_is_given_up_instead_of_searched_for_ever() -> None:
    result = check('{"' * 50_000, "contains-json")
    assert result.passed is None
    assert "brackets" in result.reason
    assert check("[" * 100_000, "is-json").passed is False


@pytest.mark.parametrize(
    ("code", "expected_score", "passed"),
    [
        ("len(output) < 10", 1, True),
        ("'paris' in output.lower() and context['vars'] == {}", 1, True),
        ("0.25", 0.25, True),
        (
            "if 'Paris' in output:\n    return {'pass': True, 'score': 0.5, 'reason': 'half'}",
            0.5,
            True,
        ),
        ("x = 3\nreturn x > 4", 0, False),
    ],
)
def test_python_returns_a_boolean_a_number_or_a_mapping(
    code: str, expected_score: float, passed: bool
) -> None:
    result = check("Paris", "python", code, allow_code=True)
    assert (result.score, result.passed) == (expected_score, passed)


def test_a_threshold_decides_over_a_number_from_python() -> None:
    assert check("x", "python", "0.4", threshold=0.5, allow_code=True).passed is False
    assert check("x", "python", "0.4", threshold=0.4, allow_code=True).passed is True


@pytest.mark.parametrize("code", ["__import__('os')._exit(3)", "__import__('no_such_package')"])
def test_python_that_is_stopped_or_lacks_a_package_leaves_the_answer_unscored(code: str) -> None:
    result = check("x", "python", code, allow_code=True)
    assert (result.score, result.passed) == (None, None)
    assert result.reason
    assert check("x", "python", "True", allow_code=True).passed is True


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("1 / 0", "the code raised ZeroDivisionError"),
        ("undefined_name", "the code raised NameError"),
        ("return return", "the code raised SyntaxError"),
        ("'a word'", "instead of a boolean, a number or pass, score and reason"),
        ("None", "instead of"),
        ("[True]", "instead of"),
        ("float('inf')", "instead of"),
        ("10 ** 400", "instead of"),
        ("{'pass': True, 'score': 10 ** 400, 'reason': 'x'}", "instead of"),
        ("'{\"pass\": true'", "instead of"),
        ("{'pass': True, 'score': 1}", "instead of"),
    ],
)
@pytest.mark.parametrize("negated", [False, True])
def test_python_that_raises_or_returns_nonsense_fails_as_in_promptfoo(
    code: str, reason: str, negated: bool
) -> None:
    result = check("x", "not-python" if negated else "python", code, allow_code=True)
    assert (result.score, result.passed) == (0, False)
    assert reason in result.reason


@pytest.mark.parametrize(
    ("code", "negated", "verdict"),
    [
        ("5", False, (5, True)),
        ("'0.4 of it'", False, (0.4, True)),
        ("'False'", False, (0, False)),
        ("False", True, (1, True)),
        ("0.4", True, (0.4, False)),
        ("0", True, (0, True)),
        ('\'{"pass": true, "score": 0.3, "reason": "so"}\'', False, (0.3, True)),
        ("{'pass_': True, 'score': 0.3, 'reason': 'so'}", True, (0.3, False)),
    ],
)
def test_python_may_say_it_in_text_and_not_keeps_the_score_of_a_number(
    code: str, negated: bool, verdict: tuple[float, bool]
) -> None:
    result = check("x", "not-python" if negated else "python", code, allow_code=True)
    assert (result.score, result.passed) == verdict


def test_python_that_prints_is_still_understood() -> None:
    assert check("x", "python", "print('{}')\nreturn True", allow_code=True).passed is True


def test_python_does_not_run_unless_it_is_allowed() -> None:
    result = check("x", "python", "True")
    assert result.passed is None
    assert "--allow-code" in result.reason


def test_python_from_a_file_may_use_a_function_of_any_name(tmp_path: Any) -> None:
    (tmp_path / "helper.py").write_text("LIMIT = 3\n")
    path = tmp_path / "check.py"
    path.write_text(
        "from helper import LIMIT\n"
        "def get_assert(output, context):\n    return len(output) <= LIMIT\n"
        "def other(output, context):\n"
        "    return {'pass': context['config']['on'], 'score': 1, 'reason': 'r'}\n"
    )
    assert check("abc", "python", f"file://{path}", allow_code=True).passed is True
    named = check("abc", "python", f"file://{path}:other", config={"on": True}, allow_code=True)
    assert (named.passed, named.reason) == (True, "r")


def test_a_folder_of_pythons_is_searched_once_however_many_answers_it_judges(
    tmp_path: Path,
) -> None:
    (tmp_path / "check.py").write_text(
        "import sys\ndef get_assert(output, context):\n"
        "    return sys.path.count(context['config']['folder']) / 10\n",
        encoding="utf-8",
    )
    where = f"file://{tmp_path / 'check.py'}:get_assert"
    scores = [
        check("x", "python", where, allow_code=True, config={"folder": str(tmp_path)}).score
        for _ in range(3)
    ]
    assert scores == [0.1, 0.1, 0.1]


def test_after_ctrl_c_the_next_check_gets_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Child[Any], seconds: float | None = None) -> Any:
        raise KeyboardInterrupt

    assert run_bounded("search", 5.0, pattern="a", text="a") is True
    with monkeypatch.context() as patch:
        patch.setattr(Child, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_bounded("search", 5.0, pattern="a", text="a")
    assert run_bounded("search", 5.0, pattern="a", text="b") is False


def test_a_count_that_no_float_can_hold_leaves_the_answer_unscored() -> None:
    result = check("a few words", "word-count", 10**400)
    assert (result.score, result.passed) == (None, None)
