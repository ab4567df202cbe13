from __future__ import annotations

import pytest

from localprompt.errors import DatasetError, InputError, UnknownNameError
from localprompt.evaluate.planning import Planned
from localprompt.evaluate.selection import select
from localprompt.sources.suite.records import EvalCase
from tests.evaluate.harness import Lab

FOREIGN = """
prompts:
- {id: "Say: {{ text }}", label: one}
- {id: "Write: {{ text }}", label: two}
providers:
- {id: "openai:gpt-5", label: reference, prompts: [one], config: {temperature: 0.5}}
- small
tests:
- {vars: {text: hello}}
- {vars: {text: bye}, providers: [small]}
"""


def targets(planned: Planned) -> list[tuple[str, str, int]]:
    return [(t.model.name, t.prompt, t.results) for t in planned.evaluation.targets]


def test_a_suite_is_answered_by_its_own_models(lab: Lab) -> None:
    planned = lab.plan("tones.yaml")
    assert targets(planned) == [("small", "Is this good or bad? {{ text }}", 4)]


def test_services_are_refused_with_the_list_unless_something_stands_in(lab: Lab) -> None:
    lab.write("foreign.yaml", FOREIGN)
    with pytest.raises(InputError, match="services that are not on this machine") as caught:
        lab.plan("foreign.yaml")
    assert caught.value.found == "openai:gpt-5"
    assert "-m openai:gpt-5=MODEL" in str(caught.value.next_step)


def test_a_model_can_stand_in_for_one_provider(lab: Lab) -> None:
    lab.write("foreign.yaml", FOREIGN)
    planned = lab.plan("foreign.yaml", models=("openai:gpt-5=large",))
    assert targets(planned) == [("large", "one", 1), ("small", "one", 2), ("small", "two", 2)]
    assert planned.evaluation.targets[0].sampling.temperature == 0.5


def test_a_model_without_a_provider_stands_in_for_all_of_them(lab: Lab) -> None:
    lab.write("foreign.yaml", FOREIGN)
    planned = lab.plan("foreign.yaml", models=("large",))
    assert targets(planned) == [("large", "one", 2), ("large", "two", 2)]


def test_a_provider_that_the_suite_does_not_have_is_told_with_those_it_has(lab: Lab) -> None:
    lab.write("foreign.yaml", FOREIGN)
    with pytest.raises(UnknownNameError) as caught:
        lab.plan("foreign.yaml", models=("anthropic:x=large",))
    assert caught.value.nearest == ("openai:gpt-5", "small")


def test_the_options_of_a_prompt_go_before_those_of_a_provider_and_flags_before_both(
    lab: Lab,
) -> None:
    from localprompt.records.cell import SamplingChoices

    lab.write(
        "options.yaml",
        "prompts: [{id: '{{ text }}', label: p, config: {max_tokens: 7}}]\n"
        "providers: [{id: small, config: {max_tokens: 9, temperature: 0.4}}]\n"
        "tests: [{vars: {text: hi}}]\n",
    )
    (target,) = lab.plan("options.yaml").evaluation.targets
    assert (target.sampling.max_tokens, target.sampling.temperature) == (7, 0.4)
    flags = SamplingChoices(max_tokens=3, temperature=0.0)
    (target,) = lab.plan("options.yaml", sampling=flags).evaluation.targets
    assert (target.sampling.max_tokens, target.sampling.temperature) == (3, 0.0)


def test_several_judges_are_refused_unless_one_is_chosen(lab: Lab) -> None:
    lab.write(
        "judged.yaml",
        "prompts: ['{{ text }}']\nproviders: [small]\n"
        "tests: [{vars: {text: hi}, assert: "
        "[{type: llm-rubric, value: kind, provider: openai:gpt-5}]}]\n",
    )
    with pytest.raises(InputError, match="the suite's judge is not available") as caught:
        lab.plan("judged.yaml")
    assert "openai:gpt-5" in str(caught.value.found)
    assert lab.plan("judged.yaml", judge="large").evaluation.request.judge == "large"


def test_a_prompt_with_cases_is_a_suite_of_its_own(lab: Lab) -> None:
    lab.write("more.csv", "text,expected\nfine,good\nfar,bad\n")
    path = lab.write(
        "tone.prompty",
        "---\nname: tone\ninputs:\n  - name: text\n    kind: string\n    required: true\n"
        "---\nuser:\n{{ text }}\n",
    )
    with pytest.raises(DatasetError, match="has no cases"):
        lab.plan("tone.prompty")
    cases = str(lab.folder / "more.csv")
    planned = lab.plan(path.name, cases=cases, choices=("good", "bad"), scoring="generate")
    assert targets(planned) == [("smollm2-135m", "tone", 2)]
    assert planned.evaluation.targets[0].template.choices == ("good", "bad")
    assert lab.carry_out(planned).targets[0].passes.rate == 1


def test_cases_beside_a_suite_are_refused(lab: Lab) -> None:
    with pytest.raises(InputError, match="brings its own cases"):
        lab.plan("tones.yaml", cases="cases.csv")


def test_malformed_rows_are_refused_with_their_line_or_skipped_and_counted(lab: Lab) -> None:
    lab.write("cases.csv", "text,__expected\na fine day,good\na,b,c,d\nfine,good\n")
    with pytest.raises(DatasetError, match=r"cases\.csv:3"):
        lab.plan("tones.yaml")
    planned = lab.plan("tones.yaml", skip_bad_rows=True)
    assert planned.evaluation.skipped_rows == 1
    assert planned.evaluation.cases == 2
    assert "cases.csv:3" in planned.evaluation.first_skipped[0]


def test_a_missing_column_is_told_before_anything_runs(lab: Lab) -> None:
    lab.write("cases.csv", "words,__expected\na fine day,good\n")
    with pytest.raises(DatasetError, match="there is no 'text'"):
        lab.plan("tones.yaml")
    assert lab.asked == []


def test_ids_that_stand_there_twice_are_refused(lab: Lab) -> None:
    lab.write(
        "twice.yaml",
        "prompts: ['{{ text }}']\nproviders: [small]\n"
        "tests: [{id: a, vars: {text: x}}, {id: a, vars: {text: y}}]\n",
    )
    with pytest.raises(DatasetError, match="'a' appears twice"):
        lab.plan("twice.yaml")


def test_a_file_with_a_byte_order_mark_is_read_as_one_without(lab: Lab) -> None:
    lab.write("cases.csv", "\ufefftext,__expected\na fine day,good\n")
    assert lab.evaluate("tones.yaml").targets[0].passes.rate == 1


def cases(count: int) -> list[EvalCase]:
    return [EvalCase(id=f"c{n}", index=n, vars={}) for n in range(count)]


def test_a_limit_takes_the_first_cases_and_shuffle_draws_them_by_seed() -> None:
    all_cases = cases(50)
    assert [c.index for c in select(50, limit=3).of(all_cases)] == [0, 1, 2]
    drawn = [c.index for c in select(50, limit=5, shuffle=True, seed=1).of(all_cases)]
    again = [c.index for c in select(50, limit=5, shuffle=True, seed=1).of(all_cases)]
    other = [c.index for c in select(50, limit=5, shuffle=True, seed=2).of(all_cases)]
    assert drawn == again == sorted(drawn)
    assert drawn != other
    assert len(drawn) == 5


def test_a_draw_from_failing_cases_comes_out_of_those() -> None:
    failing = frozenset({"c1", "c4", "c9", "c16"})
    chosen = select(50, limit=2, shuffle=True, ids=failing)
    found = [case.id for case in chosen.of(cases(50))]
    assert len(found) == 2
    assert set(found) < failing
