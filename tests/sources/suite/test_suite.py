from __future__ import annotations

from pathlib import Path

import pytest

from localprompt.errors import DatasetError, UnknownNameError
from localprompt.records.prompt import PromptTemplate
from localprompt.records.score import Answer, Expectation, ExpectationSet
from localprompt.scoring.score import score_case
from localprompt.sources.suite.messages import render_case
from localprompt.sources.suite.prompts import with_affixes
from localprompt.sources.suite.records import EvalCase, EvalSuite
from localprompt.sources.suite.suite import load_suite

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def translation() -> EvalSuite:
    return load_suite(DATA / "translation/promptfooconfig.yaml", lenient=True)


@pytest.fixture(scope="module")
def cases(translation: EvalSuite) -> list[EvalCase]:
    return list(translation.cases())


def write(folder: Path, text: str, name: str = "suite.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def one(expectation: object) -> Expectation:
    assert isinstance(expectation, Expectation)
    return expectation


def test_a_suite_has_its_prompts_models_and_options(translation: EvalSuite) -> None:
    assert translation.description == "Translate short phrases"
    assert [prompt.label for prompt in translation.prompts] == [
        "prompts/variants.txt:1",
        "prompts/variants.txt:2",
        "chat",
        "Say in {{ language }}: {{ input }}",
    ]
    assert translation.prompts[2].template.options == {"temperature": 0.2, "maxOutputTokens": 40}
    assert [provider.id for provider in translation.providers] == [
        "smollm2-135m",
        "openai:gpt-5-mini",
    ]
    (foreign,) = (one for one in translation.providers if one.foreign)
    assert (foreign.label, foreign.prompts) == ("reference", ("chat",))
    assert foreign.options == {"temperature": 0}
    assert translation.repeat == 2
    assert translation.outputs == (str(DATA / "translation/results/translation.json"),)
    assert translation.needs == {"judge"}


def test_what_is_ignored_is_told_with_its_place(translation: EvalSuite) -> None:
    assert any(
        "maxConcurrency" in note and ":71 (evaluateOptions" in note for note in translation.notes
    )
    assert any("apiKey" in note for note in translation.notes)


def test_tests_rows_lists_and_scenarios_become_cases_in_order(
    translation: EvalSuite, cases: list[EvalCase]
) -> None:
    assert translation.counts.cases == len(cases) == 3 + 4 + 1 + 2
    assert [case.index for case in cases] == list(range(10))
    assert len({case.id for case in cases}) == 10
    assert [(case.vars["language"], case.vars["input"]) for case in cases[3:7]] == [
        ("Spanish", "Good morning"),
        ("Spanish", "Good night"),
        ("French", "Good morning"),
        ("French", "Good night"),
    ]
    assert [case.vars["language"] for case in cases[8:]] == ["Spanish", "Italian"]


def test_every_pass_gives_the_same_cases(translation: EvalSuite, cases: list[EvalCase]) -> None:
    assert list(translation.cases()) == cases


def test_a_row_of_a_table_has_assertions_metric_threshold_and_metadata(
    cases: list[EvalCase],
) -> None:
    spanish, french, portuguese = cases[:3]
    assert spanish.description == "Spanish hello"
    assert spanish.threshold == 0.5
    assert spanish.metadata == {
        "team": "localization",
        "source": "textbook",
        "tags": ["short", "greeting"],
    }
    hola, near = (one(e) for e in spanish.expectations[2:])
    assert (hola.type, hola.value, hola.metric) == ("icontains", "hola", "accuracy")
    assert (near.type, near.value, near.threshold) == ("levenshtein", "Hola mundo", 4)
    assert one(french.expectations[2]).value == ["bonjour", "salut, monde"]
    rubric, pattern = (one(e) for e in portuguese.expectations[2:])
    assert (rubric.type, rubric.value) == ("llm-rubric", "is a polite greeting in Portuguese")
    assert (pattern.type, pattern.value) == ("regex", "^(?<day>bom dia)")
    assert portuguese.metadata["tags"] == ["a,b", "c"]
    assert portuguese.vars["input"] == "Good morning,\neveryone"
    assert portuguese.where.endswith("phrases.csv:4")


def test_defaults_come_first_and_can_be_left_out(cases: list[EvalCase]) -> None:
    apology, length = (one(e) for e in cases[3].expectations[:2])
    assert (apology.name, apology.value) == ("not-icontains-any", ["sorry", "as an ai"])
    assert (length.weight, length.metric) == (0, "length")
    assert cases[7].expectations == ()
    assert cases[7].prefix == "Formal register. "
    assert cases[7].suffix == cases[0].suffix == "\nAnswer with the translation only."


def test_values_are_rendered_with_the_variables_of_their_case(cases: list[EvalCase]) -> None:
    assert cases[5].description == "Both greetings in French"
    assert one(cases[5].expectations[3]).value == "good morning"
    greeting = cases[5].expectations[2]
    assert isinstance(greeting, ExpectationSet)
    assert greeting.members[1].value == ["buenas", "bonne nuit"]
    assert one(cases[9].expectations[2]).value == "uno"
    assert cases[7].vars["input"] == "Dear Sir or Madam,\n\nthank you."


def test_a_loaded_case_can_be_scored(cases: list[EvalCase]) -> None:
    result = score_case(Answer("Hola mundo!"), cases[0].expectations, cases[0].threshold)
    assert (result.passed, result.score) == (True, 1)
    assert result.metrics["accuracy"].mean == 1
    assert result.metrics["length"].mean == 1


def test_a_text_prompt_is_one_user_message_even_where_a_line_looks_like_a_role(
    translation: EvalSuite,
) -> None:
    template = translation.prompts[1].template
    messages = render_case(template, {"input": "hi", "language": "Spanish"})
    assert [message.role for message in messages] == ["user"]
    assert messages[0].text.count("Assistant:") == 2


def test_a_chat_prompt_keeps_its_roles_and_its_conditions(translation: EvalSuite) -> None:
    values = {"language": "French", "input": "user:\nhi", "formal": True, "casual": False}
    system, user = render_case(translation.prompts[2].template, values)
    assert (system.role, user.role) == ("system", "user")
    assert system.text.strip() == "You translate into French. Be formal."
    assert user.text.strip() == "user:\nhi"


def test_prefix_and_suffix_go_round_the_prompts_text(translation: EvalSuite) -> None:
    template = with_affixes(translation.prompts[3].template, "Please. ", " Thanks, {{ input }}.")
    (message,) = render_case(template, {"language": "Dutch", "input": "yes"})
    assert message.text.strip() == "Please. Say in Dutch: yes Thanks, yes."


@pytest.mark.parametrize("kind", ["perplexity", "not-perplexity-score"])
def test_what_no_answer_keeps_is_refused_by_name_before_anything_runs(
    tmp_path: Path, kind: str
) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        f"prompts: ['hi']\nproviders: ['model']\ntests: [{{assert: [{{type: {kind}}}]}}]\n"
    )
    with pytest.raises(DatasetError, match=rf"{kind} needs the probability of every token"):
        load_suite(suite)


def test_all_that_cannot_be_had_is_told_at_once_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        load_suite(DATA / "triage/refused.yaml", strict=True)
    message = caught.value.message
    for words in (
        "prompts[1]): the prompt is made by this suite's Python code",
        "tests[0].assert[2]): not-webhook asks a service",
        "tests[0].assert[3]): python runs code of this suite",
        "tests[0].assert[4].type): the type 'contians' is not known; expected one of: contains",
        "tests[1].asserts): the key 'asserts' is not known; expected one of: assert",
        "the value is made by this suite's Python code",
    ):
        assert words in message
    assert "refused.yaml:20 (tests[0].assert[3])" in message
    assert caught.value.exit_code == 2


def test_python_is_taken_where_it_is_allowed(tmp_path: Path) -> None:
    write(tmp_path, "def get_assert(output, context):\n    return True\n", "check.py")
    path = write(
        tmp_path,
        "prompts: ['{{x}}']\n"
        "tests:\n"
        "  - vars: {x: y}\n"
        "    assert:\n"
        "      - {type: python, value: 'output == \"{{x}}\"'}\n"
        "      - {type: python, value: 'file://check.py'}\n",
    )
    suite = load_suite(path, allow_code=True)
    (case,) = suite.cases()
    assert suite.needs == {"code"}
    result = score_case(Answer("y"), case.expectations, allow_code=True)
    assert [score.passed for score in result.scores] == [True, True]


def test_yaml_words_are_words_as_in_yaml_1_2(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "prompts: ['{{x}}']\n"
        "tests:\n"
        "  - vars: {x: no, day: 2024-01-01, time: 12:30, old: 010}\n"
        "    assert: [{type: equals, value: Yes}]\n",
    )
    (case,) = load_suite(path).cases()
    assert case.vars == {"x": "no", "day": "2024-01-01", "time": "12:30", "old": "010"}
    assert one(case.expectations[0]).value == "Yes"


def test_variables_may_refer_to_others(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "prompts: ['{{ question }}']\n"
        "tests:\n  - vars: {city: Lima, question: 'Where is {{ city }}? {{ unknown }}'}\n",
    )
    (case,) = load_suite(path).cases()
    assert case.vars["question"] == "Where is Lima? {{ unknown }}"


def test_lists_of_other_things_than_texts_are_one_value(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "prompts: ['{{ n }}']\n"
        "tests:\n"
        "  - vars: {n: [1, 2]}\n"
        "  - vars: {n: [a, b]}\n"
        "    options: {disableVarExpansion: true}\n",
    )
    assert [case.vars["n"] for case in load_suite(path).cases()] == [[1, 2], ["a", "b"]]


def test_a_name_is_a_prompty_prompt_if_there_is_one_and_text_otherwise(tmp_path: Path) -> None:
    def load_prompt(reference: str) -> PromptTemplate:
        if reference == "summarize" or reference.endswith("own.prompty"):
            return PromptTemplate(name=Path(reference).stem, body="user:\n{{ text }}")
        raise UnknownNameError(f"no prompt {reference}")

    write(tmp_path, "", "own.prompty")
    path = write(
        tmp_path,
        "prompts: [summarize, hello, file://own.prompty]\ntests: [{vars: {text: t}}]\n",
    )
    suite = load_suite(path, load_prompt=load_prompt)
    assert [prompt.label for prompt in suite.prompts] == ["summarize", "hello", "own"]
    assert suite.prompts[1].template.body == "hello"


def test_prompts_come_from_jsonl_csv_markdown_and_patterns(tmp_path: Path) -> None:
    write(tmp_path, '[{"role": "user", "content": "{{x}}"}]\n"second {{x}}"\n', "p.jsonl")
    write(tmp_path, 'prompt,label\n"Say {{x}}",say\n', "p.csv")
    write(tmp_path, "# A\n---\nstill {{x}}\n", "a.md")
    write(tmp_path, "b {{x}}", "b.md")
    path = write(
        tmp_path,
        "prompts: [file://p.jsonl, p.csv, 'file://*.md']\ntests: [{vars: {x: 1}}]\n",
    )
    labels = [prompt.label for prompt in load_suite(path).prompts]
    assert labels == ["p.jsonl:1", "p.jsonl:2", "say", "a.md", "b.md"]


def test_a_suite_without_prompts_passes_the_variable_prompt_through(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, "tests: [{vars: {prompt: Hi}}]\n"))
    (case,) = suite.cases()
    (message,) = render_case(suite.prompts[0].template, case.vars)
    assert message.text.strip() == "Hi"


def test_tests_come_from_jsonl_json_yaml_and_patterns(tmp_path: Path) -> None:
    write(tmp_path, '{"vars": {"x": "1"}}\n\n{"vars": {"x": "2"}, "id": "two"}\n', "a.jsonl")
    write(tmp_path, '[{"vars": {"x": "3"}}]', "b.json")
    write(tmp_path, "- vars: {x: '4'}\n", "c1.yaml")
    write(tmp_path, "- vars: {x: '5'}\n", "c2.yaml")
    path = write(
        tmp_path, "prompts: ['{{x}}']\ntests: [file://a.jsonl, b.json, 'file://c*.yaml']\n"
    )
    found = list(load_suite(path).cases())
    assert [case.vars["x"] for case in found] == ["1", "2", "3", "4", "5"]
    assert found[1].id == "two"


def test_equal_variables_still_have_ids_of_their_own_that_do_not_move(tmp_path: Path) -> None:
    tests = "  - vars: {x: a}\n  - vars: {x: b}\n  - vars: {x: a}\n"
    before = [c.id for c in load_suite(write(tmp_path, f"tests:\n{tests}"), lenient=True).cases()]
    more = f"tests:\n  - vars: {{x: new}}\n{tests}"
    after = [c.id for c in load_suite(write(tmp_path, more), lenient=True).cases()]
    assert len(set(before)) == 3
    assert after[1:3] == before[:2]


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("- a\n- b\n", "suite.yaml", "not a suite"),
        ("prompts: [a\n", "suite.yaml:1", "not valid YAML"),
        ("tests: []\nprompts: [x]\ntests: []\n", "suite.yaml:3", "appears twice"),
        ("tests: no.csv\n", "suite.yaml:1 (tests)", "no such file"),
        (
            "tests:\n  - vars: {prompt: file://no.txt}\n",
            ":2 (tests[0].vars.prompt)",
            "no such file",
        ),
        ("tests:\n  - assert: {type: equals}\n", "(tests[0].assert)", "not a list"),
        ("tests:\n  - assert: [{type: latency}]\n", "assert[0]", "has no threshold"),
        ("tests:\n  - assert: [{type: regex, value: '('}]\n", "assert[0]", "not a regular"),
        ("tests:\n  - assert: [{type: contains}]\n", "assert[0]", "has no value"),
        ("tests:\n  - assert: [{type: equals, value: x, weight: a}]\n", "weight", "not a number"),
        ("tests:\n  - assert: [{$ref: '#/no/such'}]\n", "assert[0]", "leads nowhere"),
        ("a: {$ref: '#/b'}\nb: {$ref: '#/a'}\n", "", "leads back to itself"),
        ("tests: [{threshold: high}]\n", "threshold", "not a number"),
        ("tests:\n  - assert: [{type: latency, threshold: .inf}]\n", "threshold", "not a number"),
        ("evaluateOptions: {repeat: 0}\n", "repeat", "not a positive whole number"),
        ("prompts: ['{{ a ? b : c }}']\n", "prompts[0]", "not a Nunjucks template"),
        ("prompts: ['{{ text }}']\ntests: [{vars: {txt: a}}]\n", "tests[0]", "there is no 'text'"),
        ("tests: [{vars: {prompt: a}, assert: [{type: regex, value: '{{ p }}'}]}]\n", "", "value"),
        ("a: &a [*a]\n", "suite.yaml:1", "leads back to itself"),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_key(
    tmp_path: Path, text: str, where: str, words: str
) -> None:
    lenient = "there is no 'text'" not in words
    with pytest.raises(DatasetError) as caught:
        load_suite(write(tmp_path, text), lenient=lenient)
    assert words in str(caught.value)
    assert where in str(caught.value)


def test_a_reference_inside_a_json_schema_belongs_to_the_schema(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "tests:\n"
        "  - assert:\n"
        "      - type: is-json\n"
        "        value: {$ref: '#/$defs/n', $defs: {n: {type: number}}}\n",
    )
    (case,) = load_suite(path, lenient=True).cases()
    assert score_case(Answer("1"), case.expectations).passed is True
    assert score_case(Answer('"a"'), case.expectations).passed is False


def test_rows_with_their_variables_in_the_open_are_told_so_once(tmp_path: Path) -> None:
    rows = "".join(f'{{"text": "{at}"}}\n' for at in range(12))
    (tmp_path / "rows.jsonl").write_text(rows)
    (tmp_path / "suite.yaml").write_text(
        "prompts: [Hello]\nproviders: [a]\ntests: file://rows.jsonl\n"
    )
    suite = load_suite(tmp_path / "suite.yaml")
    (note,) = [note for note in suite.notes if "'text'" in note]
    assert "a variable stands under vars" in note
    assert note.endswith("(here and in 11 more places)")
    (tmp_path / "suite.yaml").write_text(
        "prompts: ['{{ text }}']\nproviders: [a]\ntests: file://rows.jsonl\n"
    )
    with pytest.raises(DatasetError) as caught:
        load_suite(tmp_path / "suite.yaml")
    assert caught.value.found == "no variables: a test has them under vars"


LOOPS = {
    "assertions": ("tests: [{assert: [file://loop.yaml]}]", "- file://loop.yaml"),
    "tests": ("tests: loop.yaml", "- file://loop.yaml"),
    "tests by path": ("tests: loop.yaml", "- path: loop.yaml"),
    "scenarios": ("scenarios: [file://loop.yaml]", "- file://loop.yaml"),
}


@pytest.mark.parametrize("kind", LOOPS)
def test_a_file_that_leads_back_to_itself_is_named(tmp_path: Path, kind: str) -> None:
    suite, loop = LOOPS[kind]
    write(tmp_path, loop, "loop.yaml")
    with pytest.raises(DatasetError, match="a file that leads back to itself") as caught:
        load_suite(write(tmp_path, f"prompts: [hello]\n{suite}\n"))
    assert "loop.yaml" in str(caught.value)


def test_tests_that_a_function_makes_do_not_make_themselves(tmp_path: Path) -> None:
    write(tmp_path, "module.exports = () => ['file://made.js'];", "made.js")
    with pytest.raises(DatasetError, match="a file that leads back to itself"):
        load_suite(write(tmp_path, "prompts: [hello]\ntests: file://made.js\n"))


def test_one_file_may_be_named_twice(tmp_path: Path) -> None:
    write(tmp_path, "- {type: contains, value: a}", "same.yaml")
    write(tmp_path, "- {vars: {x: a}, assert: [file://same.yaml, file://same.yaml]}", "t.yaml")
    suite = load_suite(write(tmp_path, "prompts: ['{{x}}']\ntests: [t.yaml, t.yaml]\n"))
    assert [len(case.expectations) for case in suite.cases()] == [2, 2]


@pytest.mark.parametrize(
    ("assertion", "message"),
    [
        ("{type: contains, value: a, metric: 5}", "metric is not text"),
        ("{type: contains, value: a, metric: [a]}", "metric is not text"),
        (
            "{type: assert-set, metric: 5, assert: [{type: contains, value: a}]}",
            "metric is not text",
        ),
        ("{type: equals, value: a, normalizeUnicode: [NFC]}", "not a form"),
    ],
)
def test_a_key_of_an_assertion_with_the_wrong_type_is_told_with_its_place(
    tmp_path: Path, assertion: str, message: str
) -> None:
    with pytest.raises(DatasetError, match=message) as caught:
        load_suite(write(tmp_path, f"prompts: [hello]\ntests: [{{assert: [{assertion}]}}]\n"))
    assert caught.value.where is not None
    assert "tests[0].assert[0]" in caught.value.where
