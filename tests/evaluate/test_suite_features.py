"""What suites from elsewhere ask of a run: tools, prompts for judges, Python, a test's options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from localprompt.errors import DatasetError
from localprompt.evaluate.received import Received
from localprompt.records.evaluation import EvalTarget
from localprompt.views.eval_plan import plan_lines
from tests.evaluate.harness import Lab

TOOLS = """
prompts: ["{{ q }}"]
providers:
  - id: small
    config:
      tools:
        - type: function
          function:
            name: get_weather
            parameters: {type: object, properties: {city: {type: string}}, required: [city]}
tests:
  - vars: {q: porto}
    assert:
      - type: is-valid-openai-tools-call
      - {type: javascript, value: "output[0].function.name === 'get_weather'"}
      - {type: javascript, value: "JSON.parse(output[0].function.arguments).city === 'Porto'"}
      - {type: contains, value: '"arguments":"{\\"city\\":\\"Porto\\"}"'}
      - {type: equals, value: get_weather, transform: "output[0].function.name"}
  - vars: {q: broken}
    assert: [{type: is-valid-openai-tools-call}]
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path, lambda prompt: f"answer to {prompt.strip()}") as made:
        yield made


def test_the_model_is_given_tools_and_its_call_is_checked(lab: Lab) -> None:
    call = '<tool_call>{"name": "get_weather", "arguments": {"city": "Porto"}}</tool_call>'
    lab.say = lambda prompt: call if "porto" in prompt else "<tool_call>{oops}</tool_call>"
    lab.write("tools.yaml", TOOLS)
    first, second = lab.results(lab.evaluate("tools.yaml"))
    assert '"name": "get_weather"' in lab.asked[0]
    assert [score.reason for score in first.score.scores if not score.passed] == []
    assert first.answer == call, "what the model wrote is kept as it stands"
    assert "the tool call is not JSON" in second.score.reason


def test_tools_may_stand_in_a_file_and_in_other_services_forms(lab: Lab) -> None:
    lab.write("tools.json", '[{"name": "now", "input_schema": {"type": "object"}}]')
    lab.write(
        "suite.yaml",
        "prompts: ['{{ q }}']\nproviders: [{id: small, config: {tools: 'file://tools.json'}}]\n"
        "tests: [{vars: {q: a}}]\n",
    )
    lab.evaluate("suite.yaml")
    assert '"function": {"name": "now", "description": "", "parameters"' in lab.asked[0]


@pytest.mark.parametrize(
    "tools",
    [
        "[{functionDeclarations: [{name: now, parameters: {type: OBJECT}}]}, {googleSearch: {}}]",
        "{function_declarations: [{name: now, parameters: {type: object}}]}",
        "[{toolSpec: {name: now, inputSchema: {json: {type: object}}}}, {type: web_search}]",
        "[{type: function, definition: {schema: {name: now, parameters: {type: object}}}}]",
    ],
)
def test_every_services_definitions_become_one_form(lab: Lab, tools: str) -> None:
    lab.write(
        "suite.yaml",
        f"prompts: ['{{{{ q }}}}']\nproviders: [{{id: small, config: {{tools: {tools}}}}}]\n"
        "tests: [{vars: {q: a}}]\n",
    )
    planned = lab.plan("suite.yaml")
    (tool,) = planned.evaluation.targets[0].template.tools
    assert tool["function"] == {
        "name": "now", "description": "", "parameters": {"type": "object"},
    }  # fmt: skip
    left_out = [note for note in planned.evaluation.notes if "belongs to a service" in note]
    assert len(left_out) == ("Search" in tools or "search" in tools)


def test_what_is_no_list_of_tools_is_refused(lab: Lab) -> None:
    lab.write(
        "suite.yaml",
        "prompts: ['{{ q }}']\nproviders: [{id: small, config: {tools: 7}}]\n"
        "tests: [{vars: {q: a}}]\n",
    )
    with pytest.raises(DatasetError, match="not a list of tools"):
        lab.plan("suite.yaml")


PAIR = """
  - {name: get_weather, input_schema: {type: object, properties: {city: {$ref: '#/$defs/city'}},
     $defs: {city: {type: string}}}}
  - {name: now}
"""


def held(lab: Lab, choice: str) -> EvalTarget:
    """The target of a suite whose provider chooses among two tools."""
    tools = "".join(f"    {line}\n" for line in PAIR.strip("\n").split("\n"))
    lab.write(
        "suite.yaml",
        "prompts: ['{{ q }}']\nproviders:\n- id: small\n  config:\n"
        f"    {choice}\n    tools:\n{tools}tests: [{{vars: {{q: a}}}}]\n",
    )
    return lab.plan("suite.yaml").evaluation.targets[0]


def names_of(target: EvalTarget) -> tuple[list[str], list[str]]:
    """The tools that the model is told of, and those that it is held to call."""
    schema = target.template.output_schema or {}
    calls = schema.get("anyOf", [schema] if schema else [])
    told = [tool["function"]["name"] for tool in target.template.tools]
    return told, [call["properties"]["name"]["const"] for call in calls]


BOTH = ["get_weather", "now"]


@pytest.mark.parametrize(
    ("choice", "told", "to_call"),
    [
        ("tool_choice: auto", BOTH, []),
        ("tool_choice: {type: auto, disable_parallel_tool_use: true}", BOTH, []),
        ("tool_choice: none", [], []),
        ("tool_choice: required", BOTH, BOTH),
        ("tool_choice: any", BOTH, BOTH),
        ("tool_choice: {type: any}", BOTH, BOTH),
        ("tool_choice: {type: function, function: {name: now}}", BOTH, ["now"]),
        ("tool_choice: {type: function, name: now}", BOTH, ["now"]),
        ("tool_choice: {type: tool, name: get_weather}", BOTH, ["get_weather"]),
        ("toolChoice: {tool: {name: now}}", BOTH, ["now"]),
        ("toolChoice: {any: {}}", BOTH, BOTH),
        ("function_call: {name: now}", BOTH, ["now"]),
        ("toolConfig: {functionCallingConfig: {mode: ANY}}", BOTH, BOTH),
        ("toolConfig: {functionCallingConfig: {mode: any, allowedFunctionNames: [now]}}",
         BOTH, ["now"]),
        ("tool_config: {function_calling_config: {mode: NONE}}", [], []),
        ("toolConfig: {toolChoice: {tool: {name: now}}}", BOTH, ["now"]),
        ("toolConfig: {tools: []}", BOTH, []),
        ("tool_choice: {type: allowed_tools, mode: auto, tools: [{type: function, name: now}]}",
         ["now"], []),
    ],
)  # fmt: skip
def test_a_choice_of_tools_is_honoured_in_every_services_form(
    lab: Lab, choice: str, told: list[str], to_call: list[str]
) -> None:
    assert names_of(held(lab, choice)) == (told, to_call)


def test_a_call_that_has_to_be_made_follows_the_functions_own_schema(lab: Lab) -> None:
    schema = held(lab, "tool_choice: required").template.output_schema
    assert schema is not None
    checker = Draft202012Validator(schema)
    assert checker.is_valid({"name": "get_weather", "arguments": {"city": "Porto"}})
    assert checker.is_valid({"name": "now", "arguments": {}})
    assert not checker.is_valid({"name": "get_weather", "arguments": {"city": 7}})
    assert not checker.is_valid({"name": "now", "arguments": {"city": "Porto"}})
    assert not checker.is_valid({"name": "fly", "arguments": {}})


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("tool_choice: maybe", "not a choice of tools"),
        ("tool_choice: 7", "not a choice of tools"),
        ("tool_choice: [auto]", "not a choice of tools"),
        ("tool_choice: {type: function}", "not a choice of tools"),
        ("tool_choice: {type: allowed_tools, tools: now}", "not a choice of tools"),
        ("toolConfig: {functionCallingConfig: {mode: 3}}", "not a choice of tools"),
        ("tool_choice: {type: tool, name: fly}", "names a function that is not one of the tools"),
    ],
)
def test_a_choice_that_cannot_be_honoured_is_refused(lab: Lab, choice: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        held(lab, choice)
    assert "config" in str(caught.value.where)


def test_bedrocks_tools_stand_in_its_tool_config(lab: Lab) -> None:
    lab.write(
        "suite.yaml",
        "prompts: [hi]\nproviders: [{id: small, config: {toolConfig: {toolChoice: {any: {}},"
        " tools: [{toolSpec: {name: now, inputSchema: {json: {type: object}}}}]}}}]\n"
        "tests: [{vars: {q: a}}]\n",
    )
    assert names_of(lab.plan("suite.yaml").evaluation.targets[0]) == (["now"], ["now"])


def test_a_choice_without_tools_is_noted(lab: Lab) -> None:
    lab.write(
        "suite.yaml",
        "prompts: [hi]\nproviders: [{id: small, config: {tool_choice: required}}]\n"
        "tests: [{vars: {q: a}}]\n",
    )
    evaluation = lab.plan("suite.yaml").evaluation
    assert evaluation.targets[0].template.output_schema is None
    assert any("no functions to call" in note for note in evaluation.notes)


def test_a_prompts_own_config_goes_before_the_providers(lab: Lab) -> None:
    lab.write(
        "suite.yaml",
        """
prompts:
  - raw: "{{ q }}"
    label: calls
    config: {tools: [{name: now}], tool_choice: required}
  - raw: "{{ q }}!"
    label: answers
    config: {response_format: {type: json_schema, json_schema: {schema: {type: object}}}}
providers: [{id: small, config: {tools: [{name: other}]}}]
tests: [{vars: {q: a}}]
""",
    )
    calls, answers = lab.plan("suite.yaml").evaluation.targets
    assert names_of(calls) == (["now"], ["now"])
    assert [tool["function"]["name"] for tool in answers.template.tools] == ["other"]
    assert (answers.template.output_schema, answers.as_json) == ({"type": "object"}, True)


def test_a_model_in_the_place_of_providers_that_differ_answers_for_each_kind(lab: Lab) -> None:
    lab.write(
        "suite.yaml",
        """
prompts: [{raw: "one {{ q }}", label: one}, {raw: "two {{ q }}", label: two}]
providers:
  - {id: "a:plain"}
  - {id: "b:calls", config: {tools: [{name: now}]}, prompts: [two]}
  - {id: "c:plain", config: {temperature: 1}}
tests: [{vars: {q: a}}]
""",
    )
    targets = lab.plan("suite.yaml", models=("large",)).evaluation.targets
    assert [(t.provider, t.prompt, len(t.template.tools)) for t in targets] == [
        ("a:plain", "one", 0), ("a:plain", "two", 0), ("b:calls", "two", 1),
    ]  # fmt: skip
    assert {target.model.name for target in targets} == {"large"}


def test_an_answer_under_a_json_schema_is_a_value_to_code(lab: Lab) -> None:
    lab.say = lambda prompt: '{"city": "Porto",  "days": 3}'
    schema = "{type: object, properties: {city: {type: string}, days: {type: integer}}}"
    lab.write(
        "suite.yaml",
        f"""
prompts: ["{{{{ q }}}}"]
providers:
  - id: small
    config: {{response_format: {{type: json_schema, json_schema: {{name: n, schema: {schema}}}}}}}
tests:
  - vars: {{q: a}}
    assert:
      - {{type: javascript, value: "output.city === 'Porto' && output.days === 3"}}
      - {{type: equals, value: Porto, transform: output.city}}
      - {{type: contains, value: '"city":"Porto","days":3'}}
""",
    )
    (case,) = lab.results(lab.evaluate("suite.yaml"))
    assert [score.reason for score in case.score.scores if not score.passed] == []


def test_the_judge_gets_the_suites_own_rubric_prompt(lab: Lab) -> None:
    lab.say = lambda prompt: (
        '{"reason": "r", "pass": true, "score": 1}' if "GRADE" in prompt else "some answer"
    )
    lab.write(
        "suite.yaml",
        """
prompts: ["{{ q }}"]
providers: [small]
defaultTest:
  options: {rubricPrompt: "GRADE {{ output }} BY {{ rubric }} FOR {{ q }}"}
tests:
  - vars: {q: tea}
    assert: [{type: llm-rubric, value: warmth}]
  - vars: {q: "a \\"quoted\\" word"}
    assert:
      - type: llm-rubric
        value: warmth
        rubricPrompt:
          - {role: system, content: GRADE}
          - {role: user, content: "{{ q }}"}
""",
    )
    results = lab.results(lab.evaluate("suite.yaml"))
    assert [case.score.passed for case in results] == [True, True]
    judged = [prompt for prompt in lab.asked if "GRADE" in prompt]
    assert judged[0] == "GRADE some answer BY warmth FOR tea"
    assert judged[1] == 'GRADE\n\na "quoted" word'


def test_assertions_see_what_earlier_cases_left(lab: Lab) -> None:
    lab.write(
        "suite.yaml",
        """
prompts: ["{{ q }}"]
providers: [small]
tests:
  - {vars: {q: one}, options: {storeOutputAs: first}}
  - vars: {q: two}
    assert:
      - {type: contains, value: two}
      - {type: equals, value: "{{ first }}"}
      - {type: not-equals, value: "{{ first }}"}
""",
    )
    _, second = lab.results(lab.evaluate("suite.yaml"))
    kinds = {score.type: score for score in second.score.scores}
    assert 'expected "answer to one"' in kinds["equals"].reason
    assert [kinds[name].passed for name in ("contains", "equals", "not-equals")] == [
        True, False, True,
    ]  # fmt: skip


def test_a_test_may_have_options_of_its_own(lab: Lab) -> None:
    lab.write(
        "suite.yaml",
        """
prompts: ["{{ q }}"]
providers: [small]
tests:
  - {vars: {q: "a b c d"}}
  - {vars: {q: "a b c d e"}, options: {max_tokens: 1}}
""",
    )
    free, short = lab.results(lab.evaluate("suite.yaml"))
    assert (free.finish_reason, short.finish_reason) == ("stop", "length")
    assert short.answer == "answer"


def test_a_test_that_names_its_provider_runs_there_alone(lab: Lab) -> None:
    lab.write(
        "suite.yaml",
        "prompts: ['{{ q }}']\nproviders: [small, large]\n"
        "tests: [{vars: {q: a}}, {vars: {q: b}, provider: large}]\n",
    )
    result = lab.evaluate("suite.yaml")
    assert [target.done for target in result.targets] == [1, 2]


PYTHON = """
def ask(context):
    return [{"role": "user", "content": "python asks " + context["vars"]["q"]}]
"""


def python_suite(lab: Lab, reference: str) -> None:
    lab.write("ask.py", PYTHON)
    lab.write(
        "suite.yaml", f"prompts: ['{reference}']\nproviders: [small]\ntests: [{{vars: {{q: a}}}}]\n"
    )


def test_python_makes_prompts_where_that_is_allowed(lab: Lab) -> None:
    python_suite(lab, "file://ask.py:ask")
    result = lab.evaluate("suite.yaml", allow_code=True)
    assert lab.asked == ["python asks a"]
    with Received(result.evaluation, lab.open_engine) as received:
        assert received.text(lab.results(result)[0]) is None, "looking at it runs no code"


def test_python_may_make_prompts_by_a_method_or_an_async_function(lab: Lab) -> None:
    lab.write(
        "more.py",
        "class Prompts:\n    def short(context):\n        return 'short ' + context['vars']['q']\n"
        "async def late(context):\n    return 'late ' + context['vars']['q']\n",
    )
    for reference, asked in (("more.py:Prompts.short", "short a"), ("more.py:late", "late a")):
        lab.asked.clear()
        python_suite(lab, f"file://{reference}")
        lab.evaluate("suite.yaml", allow_code=True, cached=False)
        assert lab.asked == [asked]


def test_python_without_a_function_is_run_and_prints_the_prompt(lab: Lab) -> None:
    python_suite(lab, "file://ask.py")
    lab.write("ask.py", "import json, sys\nprint('asks', json.loads(sys.argv[1])['vars']['q'])\n")
    lab.evaluate("suite.yaml", allow_code=True)
    assert lab.asked == ["asks a"]


@pytest.mark.parametrize(
    ("reference", "allowed", "message"),
    [
        ("file://ask.py:ask", False, "has to be allowed"),
        ("file://ask.py:other", True, "no function 'other'"),
        ("file://missing.py:ask", True, "no such prompt"),
    ],
)
def test_python_prompts_are_refused_with_what_is_missing(
    lab: Lab, reference: str, allowed: bool, message: str
) -> None:
    python_suite(lab, reference)
    with pytest.raises(DatasetError, match=message):
        lab.plan("suite.yaml", allow_code=allowed)


def test_python_that_fails_is_the_error_of_its_case(lab: Lab) -> None:
    python_suite(lab, "file://ask.py:ask")
    lab.write("ask.py", "def ask(context):\n    raise ValueError('no luck')\n")
    (case,) = lab.results(lab.evaluate("suite.yaml", allow_code=True))
    assert "ValueError: no luck" in (case.error or "")


def test_a_plan_lists_files_that_are_read_and_no_prompts_that_stand_in_the_suite(lab: Lab) -> None:
    lab.write("ask.txt", "what of {{ q }}?")
    lab.write("note.txt", "noted")
    suite = lab.write(
        "suite.yaml",
        "prompts: ['{{ q }}', file://ask.txt]\nproviders: [small]\n"
        "tests: [{vars: {q: file://note.txt}}]\n",
    )
    lines = list(plan_lines(lab.plan("suite.yaml")))
    at = lines.index("reads: 3 files")
    assert [Path(line.strip()).name for line in lines[at + 1 : at + 4]] == [
        suite.name, "ask.txt", "note.txt",
    ]  # fmt: skip
