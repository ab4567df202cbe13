from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localprompt.errors import DatasetError
from localprompt.records.prompt import InputSpec, PromptTemplate
from localprompt.records.score import Answer, Expectation
from localprompt.scoring.score import score_case
from localprompt.sources.prompt.search import load_named_prompt
from localprompt.sources.suite.assertions import AssertionReader, split_list
from localprompt.sources.suite.folder import SuiteFolder
from localprompt.sources.suite.problems import Problems
from localprompt.sources.suite.prompty import suite_from_prompt
from localprompt.sources.suite.records import EvalSuite
from localprompt.sources.suite.suite import load_suite
from localprompt.sources.yaml import At


def suite_of(folder: Path, rows: str | bytes, *, skip: bool = False) -> EvalSuite:
    data = rows.encode() if isinstance(rows, str) else rows
    (folder / "rows.csv").write_bytes(data)
    (folder / "suite.yaml").write_text("prompts: ['{{ text }}']\ntests: file://rows.csv\n")
    return load_suite(folder / "suite.yaml", skip_bad_rows=skip)


def shorthand(text: str) -> Expectation | None:
    reader = AssertionReader(SuiteFolder(Path()), Problems(), allow_code=True)
    found = reader.read_shorthand(text, At("rows.csv", first_line=2))
    assert reader.problems.count == 0, reader.problems.kinds
    return found


@pytest.mark.parametrize(
    ("text", "name", "value", "threshold"),
    [
        ("Paris", "equals", "Paris", None),
        ("equals: 30", "equals", "30", None),
        ("not-contains:error", "not-contains", "error", None),
        ("contains-any: <b>,</span>", "contains-any", "<b>,</span>", None),
        ("levenshtein(3): abc", "levenshtein", "abc", 3),
        ("rouge-n(0.5):a b: c", "rouge-n", "a b: c", 0.5),
        ("is-json", "is-json", None, None),
        ("grade: is polite", "llm-rubric", "is polite", None),
        ("llm-rubric: is polite", "llm-rubric", "is polite", None),
        ("python: len(output) > 3", "python", "len(output) > 3", None),
        ("latency(150)", "latency", None, 150),
        ("note: keep this", "equals", "note: keep this", None),
        ("select-best: shortest", "equals", "select-best: shortest", None),
        ("a\nb", "equals", "a\nb", None),
    ],
)
def test_the_shorthand_of_cells(
    text: str, name: str, value: str | None, threshold: float | None
) -> None:
    found = shorthand(text)
    assert found is not None
    assert (found.name, found.value, found.threshold) == (name, value, threshold)


@pytest.mark.parametrize(
    "text", ["moderation:hate", "webhook: http://x", "javascript: output.length +", "python: x"]
)
def test_what_a_cell_cannot_have_is_refused_with_its_line(text: str) -> None:
    problems = Problems()
    reader = AssertionReader(SuiteFolder(Path()), problems, allow_code=False)
    reader.read_shorthand(text, At("rows.csv", first_line=7))
    assert problems.count == 1
    assert next(iter(problems.kinds.values()))[0].where == "rows.csv:7"


def test_a_misspelt_type_in_a_cell_is_noted_since_it_has_to_be_equalled() -> None:
    reader = AssertionReader(SuiteFolder(Path()), Problems(), allow_code=False)
    found = reader.read_shorthand("contain:Paris", At("rows.csv", first_line=3))
    assert found is not None
    assert found.type == "equals"
    assert any("rows.csv:3" in note and "contains" in note for note in reader.notes)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a, b ,c", ["a", "b", "c"]),
        ('"a, b", c', ["a, b", "c"]),
        (r'"say ""hi""", "a \"b\""', ['say "hi"', 'a "b"']),
        ("a,,b,", ["a", "b"]),
        ("", []),
    ],
)
def test_lists_in_cells_may_quote_their_commas(text: str, items: list[str]) -> None:
    assert split_list(text) == items


def test_an_open_quote_in_a_list_is_an_error() -> None:
    with pytest.raises(ValueError, match="not closed"):
        split_list('a, "b')


@given(st.lists(st.text(alphabet='ab ,"', min_size=1, max_size=6)))
def test_quoted_lists_come_back_as_they_were(items: list[str]) -> None:
    text = ", ".join('"' + item.replace('"', '""') + '"' for item in items)
    assert split_list(text) == items


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, encoding: str) -> None:
    (case,) = suite_of(tmp_path, "text,__expected\r\nhí,contains:h\r\n".encode(encoding)).cases()
    assert case.vars == {"text": "hí"}


@pytest.mark.parametrize(
    ("rows", "where", "words"),
    [
        ("text,__expected\na,b\nc\n", "rows.csv:3", "different number of cells"),
        ("text,__expected\na,b\nc,d,e\n", "rows.csv:3", "found 3"),
        ("text,__threshold\na,high\n", "rows.csv:2", "__threshold is not a number"),
        ("text,__expectd\na,b\n", "rows.csv:2", "'__expectd' is not known"),
        ("text,__providerOutput\na,b\n", "rows.csv:2", "answers come from a model"),
        ("text,,\na,,b\n", "rows.csv:2", "different number of cells"),
        ('text\n"a"b\n', "rows.csv:2", "not csv"),
    ],
)
def test_a_malformed_row_is_told_or_skipped_and_counted(
    tmp_path: Path, rows: str, where: str, words: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        suite_of(tmp_path, rows)
    assert where in str(caught.value)
    assert words in str(caught.value)
    suite = suite_of(tmp_path, rows, skip=True)
    assert suite.counts.skipped_rows == 1
    assert where in suite.counts.first_skipped[0]
    assert len(list(suite.cases())) == suite.counts.cases


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "is empty"),
        ("text,text\na,b\n", "twice"),
        ("text,,more\na,b,c\n", "without a name"),
        ("txt\na\n", "there is no 'text'"),
        (b"text\ncaf\xe9\n", "not UTF-8"),
        ("text,__id\na,1\nb,1\n", "twice"),
        ("text,__expected\na,classifier(0.8):b\nc,moderation:x\n", "2 problems"),
    ],
)
def test_what_is_wrong_with_a_whole_table_cannot_be_skipped(
    tmp_path: Path, rows: str | bytes, words: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        suite_of(tmp_path, rows, skip=True)
    assert words in str(caught.value)


def test_other_columns_with_underscores_are_variables_and_said_to_be(tmp_path: Path) -> None:
    rows = "text,__note,_expected\na,b,c\nd,e,f\n"
    suite = suite_of(tmp_path, rows)
    assert [case.vars for case in suite.cases()] == [
        {"text": "a", "__note": "b", "_expected": "c"},
        {"text": "d", "__note": "e", "_expected": "f"},
    ]
    said = [note.partition(": ")[2] for note in suite.notes]
    assert said == [
        "the column '__note' is taken for a variable",
        "the column '_expected' is a variable; __expected is not",
    ]
    with pytest.raises(DatasetError, match="'__note' is taken for a variable"):
        load_suite(tmp_path / "suite.yaml", strict=True)


def test_empty_columns_at_the_end_are_what_a_spreadsheet_left(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, "text,__expected,,\na,b,,\n")
    assert [case.vars for case in suite.cases()] == [{"text": "a"}]


def test_a_missing_column_is_told_once_for_its_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        suite_of(tmp_path, "txt\na\nb\nc\n")
    assert caught.value.found == "txt"


def test_a_bad_line_of_jsonl_is_told_or_skipped(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"vars": {"text": "a"}}\n{"vars": \n[1]\n')
    (tmp_path / "suite.yaml").write_text("prompts: ['{{ text }}']\ntests: rows.jsonl\n")
    with pytest.raises(
        DatasetError, match=r"(?s)rows.jsonl:2.*not JSON.*rows.jsonl:3.*not an object"
    ):
        load_suite(tmp_path / "suite.yaml")
    suite = load_suite(tmp_path / "suite.yaml", skip_bad_rows=True)
    assert (suite.counts.cases, suite.counts.skipped_rows) == (1, 2)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        with (tmp_path / "rows.csv").open("w") as file:
            file.write("text,__expected\n")
            file.writelines(f"row {n},contains:{n}\n" for n in range(count))
        (tmp_path / "suite.yaml").write_text("prompts: ['{{ text }}']\ntests: rows.csv\n")
        tracemalloc.start()
        try:
            suite = load_suite(tmp_path / "suite.yaml")
            assert sum(1 for _ in suite.cases()) == suite.counts.cases == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # imports and caches
    assert peak(4000) < peak(400) + 200_000


# ------------------------------------------------------------------ a prompt with cases beside it


def a_prompt(**options: object) -> PromptTemplate:
    fields = {
        "name": "classify",
        "body": "user:\n{{ text }}",
        "inputs": (InputSpec("text", required=True),),
        **options,
    }
    return PromptTemplate(**fields)  # type: ignore[arg-type]


def test_a_prompt_with_cases_is_a_suite_of_its_own(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_text(
        '{"id": "first", "text": "good {{ x }}", "expected": "positive"}\n'
        '{"text": "bad", "assert": [{"type": "contains", "value": "neg"}], "threshold": 0.5}\n'
        '{"vars": {"text": "so"}, "description": "as a test"}\n'
    )
    suite = suite_from_prompt(a_prompt(cases=str(cases), choices=("positive", "negative")))
    first, second, third = suite.cases()
    assert suite.prompts[0].label == "classify"
    assert (first.id, first.vars) == ("first", {"text": "good {{ x }}"})
    assert score_case(Answer("positive"), first.expectations).passed is True
    assert (second.threshold, len(second.expectations)) == (0.5, 1)
    assert third.description == "as a test"


def test_a_prompty_file_is_a_suite_and_a_part_of_one(tmp_path: Path) -> None:
    (tmp_path / "mood.prompty").write_text(
        "---\nname: mood\ninputs:\n  - name: text\n    kind: string\n"
        "metadata:\n  localprompt:\n    cases: mood.jsonl\n    choices: [good, bad]\n---\n"
        "system:\nOne word.\nuser:\n{{ text }}\n"
    )
    (tmp_path / "mood.jsonl").write_text('{"text": "sun", "expected": "good", "1": 2}\n')
    template = load_named_prompt(str(tmp_path / "mood.prompty"))
    with pytest.raises(DatasetError, match="'1' is not an input of the prompt"):
        suite_from_prompt(template)
    (tmp_path / "mood.jsonl").write_text('{"text": "sun", "expected": "good"}\n')
    assert suite_from_prompt(template).counts.cases == 1
    (tmp_path / "s.yaml").write_text("prompts: [mood.prompty]\ntests: [{vars: {text: rain}}]\n")
    suite = load_suite(tmp_path / "s.yaml", load_prompt=load_named_prompt)
    assert suite.prompts[0].template == template


def test_cases_in_csv_have_expected_columns_of_both_kinds(tmp_path: Path) -> None:
    cases = tmp_path / "reviews.csv"
    cases.write_text("text,expected,__expected,threshold\nnice,{{ yes }},starts-with:{,0.5\n")
    (case,) = suite_from_prompt(a_prompt(), cases=cases).cases()
    assert score_case(Answer("{{ yes }}"), case.expectations).score == 1
    assert case.threshold == 0.5


def test_objects_are_expected_as_json(tmp_path: Path) -> None:
    cases = tmp_path / "cases.yaml"
    cases.write_text("- text: Ada, 36\n  expected: {name: Ada, age: 36}\n")
    (case,) = suite_from_prompt(a_prompt(), cases=cases).cases()
    assert score_case(Answer('{"age": 36, "name": "Ada"}'), case.expectations).passed is True


def test_inputs_get_the_kind_that_the_prompt_declares(tmp_path: Path) -> None:
    cases = tmp_path / "cases.csv"
    cases.write_text("text,count\na,3\nb,many\n")
    inputs = (InputSpec("text"), InputSpec("count", kind="integer"))
    with pytest.raises(DatasetError) as caught:
        suite_from_prompt(a_prompt(inputs=inputs), cases=cases)
    assert "cases.csv:3" in str(caught.value)
    (case,) = suite_from_prompt(a_prompt(inputs=inputs), cases=cases, skip_bad_rows=True).cases()
    assert case.vars == {"text": "a", "count": 3}


def test_an_input_called_expected_is_an_input(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_text('{"text": "a", "expected": "b"}\n')
    inputs = (InputSpec("text"), InputSpec("expected"))
    (case,) = suite_from_prompt(a_prompt(inputs=inputs), cases=cases).cases()
    assert (case.vars, case.expectations) == ({"text": "a", "expected": "b"}, ())


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('{"text": "a", "expected": "neutral"}', "not one of the choices"),
        ('{"txt": "a", "expected": "positive"}', "'txt' is not an input"),
        ('{"expected": "positive"}', "there is no 'text'"),
        ('{"text": "a", "threshold": "high"}', "not a number"),
    ],
)
def test_a_case_that_does_not_fit_the_prompt_is_told_with_its_line(
    tmp_path: Path, row: str, words: str
) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_text(row + "\n")
    with pytest.raises(DatasetError) as caught:
        suite_from_prompt(a_prompt(), cases=cases, choices=("positive", "negative"))
    assert words in caught.value.message
    assert "cases.jsonl:1" in str(caught.value)


def test_a_prompt_without_cases_says_how_to_give_some() -> None:
    with pytest.raises(DatasetError) as caught:
        suite_from_prompt(a_prompt())
    assert "--cases" in str(caught.value.next_step)
