from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from localprompt.errors import InputError
from localprompt.evaluate.opening import begin
from localprompt.evaluate.runner import EvalProgress
from localprompt.records.evaluation import CaseResult, EvalRequest, EvalResult
from tests.evaluate.harness import Lab, find_model


def verdicts(lab: Lab, result: EvalResult) -> list[bool | None]:
    return [case.score.passed for case in lab.results(result)]


def comparable(case: CaseResult) -> tuple[object, ...]:
    """A result without its times."""
    return case.target, case.case_id, case.repetition, case.answer, case.score, case.error


def test_a_suite_becomes_answers_scores_and_a_pass_rate(lab: Lab) -> None:
    result = lab.evaluate("tones.yaml")
    (summary,) = result.targets
    assert verdicts(lab, result) == [True, True, True, False]
    assert (summary.passes.passed, summary.passes.failed, summary.passes.rate) == (3, 1, 0.75)
    assert summary.passes.interval is not None
    assert summary.passes.interval.low < 0.75 < summary.passes.interval.high
    assert (summary.score.n, summary.score.mean) == (4, 0.75)
    assert result.complete


def test_times_of_a_case_are_marked_as_batched(lab: Lab) -> None:
    result = lab.evaluate("tones.yaml")
    case = lab.results(result)[0]
    assert case.timing is not None
    assert case.timing.batched is True
    assert case.timing.parallel == 4
    assert case.timing.ttft_seconds is not None
    assert 0 <= case.timing.ttft_seconds <= (case.timing.total_seconds or 0)


def test_what_a_model_took_is_told_once_per_model(lab: Lab) -> None:
    result = lab.evaluate("tones.yaml", models=("small", "large"))
    assert [(use.model, use.answered) for use in result.uses] == [("small", 4), ("large", 4)]
    assert all(use.memory.peak_rss_bytes for use in result.uses)


def test_unchanged_cases_are_not_answered_again(lab: Lab) -> None:
    first = lab.evaluate("tones.yaml")
    lab.asked.clear()
    lab.write("cases.csv", "text,__expected\na fine day,bad\nsomething else,bad\n")
    second = lab.evaluate("tones.yaml")
    assert lab.asked == ["Is this good or bad? something else"]
    taken, made = lab.results(second)
    assert (taken.cached, taken.timing, taken.answer) == (True, None, "good")
    assert taken.score.passed is False, "an old answer is scored by the new expectation"
    assert made.cached is False
    assert second.targets[0].cached == 1
    assert first.targets[0].cached == 0


def test_answers_held_to_choices_and_no_cache_ask_again(lab: Lab) -> None:
    lab.evaluate("tones.yaml")
    for request in ({"cached": False}, {"choices": ("good", "bad"), "scoring": "generate"}):
        lab.asked.clear()
        lab.evaluate("tones.yaml", **request)
        assert len(lab.asked) == 4


def test_equal_requests_of_one_evaluation_are_answered_once(lab: Lab) -> None:
    result = lab.evaluate("tones.yaml", repeat=3)
    assert len(lab.asked) == 4
    assert result.targets[0].done == 12
    assert result.targets[0].cached == 8


def test_repetitions_with_a_temperature_are_drawn_anew(lab: Lab) -> None:
    from localprompt.records.cell import SamplingChoices

    lab.evaluate("tones.yaml", repeat=3, sampling=SamplingChoices(temperature=0.8))
    assert len(lab.asked) == 12


def test_an_answer_that_is_taken_over_has_no_latency_to_assert(lab: Lab) -> None:
    lab.write(
        "quick.yaml",
        "prompts: ['{{ text }}']\nproviders: [small]\n"
        "tests: [{vars: {text: hello}, assert: [{type: latency, threshold: 60000}]}]\n",
    )
    for _ in range(2):
        result = lab.evaluate("quick.yaml")
        assert verdicts(lab, result) == [True]
        assert result.targets[0].cached == 0, "a case that asserts a latency is always run"


def test_repetitions_that_assert_a_latency_are_each_timed(lab: Lab) -> None:
    lab.write(
        "quick.yaml",
        "prompts: ['{{ text }}']\nproviders: [small]\ntests:\n"
        "- {vars: {text: hello}, assert: [{type: contains, value: o}]}\n"
        "- {vars: {text: hello}, assert: [{type: latency, threshold: 60000}]}\n",
    )
    lab.say = lambda _: "good"
    result = lab.evaluate("quick.yaml", repeat=3)
    assert verdicts(lab, result) == [True] * 6
    timed = [case for case in lab.results(result) if case.timing is not None]
    assert sum(case.case_index == 1 for case in timed) == 3
    assert len(lab.asked) == 4, "what asserts none is answered once"


def test_a_case_longer_than_the_context_fails_alone(lab: Lab) -> None:
    lab.n_ctx_train = 64
    lab.write("cases.csv", f"text,__expected\na fine day,good\n{'far ' * 80},bad\nfine,good\n")
    result = lab.evaluate("tones.yaml")
    assert verdicts(lab, result) == [True, False, True]
    failed = lab.results(result)[1]
    assert failed.error is not None
    assert "does not fit into the context" in failed.error
    assert failed.score.score is None
    assert result.targets[0].passes.errors == 1


def test_a_case_that_cannot_be_rendered_fails_alone(lab: Lab) -> None:
    lab.write(
        "shares.yaml",
        "prompts: ['{% if parts == 0 %}{{ parts() }}{% endif %}{{ parts }}']\n"
        "providers: [small]\n"
        "tests:\n- {vars: {parts: 0}, assert: [{type: equals, value: bad}]}\n"
        "- {vars: {parts: 4}, assert: [{type: equals, value: bad}]}\n",
    )
    result = lab.evaluate("shares.yaml")
    assert verdicts(lab, result) == [False, True]
    assert result.targets[0].passes.errors == 1


def test_an_answer_of_a_hundred_thousand_characters_is_kept_whole(lab: Lab) -> None:
    lab.say = lambda _: "x" * 100_000
    result = lab.evaluate("tones.yaml")
    assert [len(case.answer) for case in lab.results(result)] == [100_000] * 4
    assert all(len(case.score.reason) < 500 for case in lab.results(result))


def test_an_interrupted_evaluation_goes_on_and_ends_as_an_unbroken_one(
    lab: Lab,
) -> None:
    lab.write(
        "cases.csv", "text,__expected\n" + "".join(f"a fine day {n},good\n" for n in range(9))
    )
    unbroken = lab.evaluate("tones.yaml", cached=False, parallel=1)
    say, left = lab.say, iter(range(5))

    def interrupted(prompt: str) -> str:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return say(prompt)

    lab.say = interrupted
    planned = lab.plan("tones.yaml", cached=False, parallel=1)
    with pytest.raises(KeyboardInterrupt):
        lab.carry_out(planned)
    assert len(lab.store.done(planned.evaluation.id, 0)) == 5
    lab.say = say
    lab.asked.clear()
    resumed = lab.resume("last")
    assert len(lab.asked) == 4
    assert [comparable(case) for case in lab.results(resumed)] == [
        comparable(case) for case in lab.results(unbroken)
    ]
    assert resumed.complete
    assert resumed.targets[0].passes == unbroken.targets[0].passes


KILLED = """
import os, signal, sys
from pathlib import Path
from localprompt.evaluate import runner
from tests.evaluate.harness import Lab, find_model

runner._SECONDS_BETWEEN_SAVES = 0
left = iter(range(5))

def say(prompt):
    if next(left, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return "good" if "fine" in prompt else "bad"

lab = Lab(Path(sys.argv[1]), say)
lab.evaluate("tones.yaml", cached=False, parallel=1)
"""


def test_what_a_killed_process_had_done_is_there_and_the_rest_is_made(lab: Lab) -> None:
    rows = "".join(f"{'a fine' if n % 3 else 'a grey'} day {n},good\n" for n in range(9))
    lab.write("cases.csv", f"text,__expected\n{rows}")
    command = [sys.executable, "-c", KILLED, str(lab.folder)]
    at_home = {**os.environ, "LOCALPROMPT_HOME": str(lab.folder / "home")}
    killed = subprocess.run(command, cwd=Path(__file__).parents[2], env=at_home, check=False)
    assert killed.returncode == -signal.SIGKILL
    begun = lab.store.evaluation("last")
    assert len(lab.store.done(begun.id, 0)) == 5
    resumed = lab.resume(begun.id)
    assert len(lab.asked) == 4
    unbroken = lab.evaluate("tones.yaml", cached=False)
    assert [comparable(case) for case in lab.results(resumed)] == [
        comparable(case) for case in lab.results(unbroken)
    ]
    assert resumed.targets[0].passes == unbroken.targets[0].passes
    assert resumed.complete


def test_an_evaluation_can_be_resumed_from_another_folder(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(lab.folder)
    planned = begin(EvalRequest(suite="tones.yaml"), lab.store, find_model=find_model)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert lab.resume(planned.evaluation.id).complete


def test_an_evaluation_is_not_resumed_with_other_cases_or_prompts(lab: Lab) -> None:
    planned = lab.plan("tones.yaml")
    lab.write("cases.csv", "text,__expected\nanother,good\n")
    with pytest.raises(InputError, match="the cases have changed") as caught:
        lab.resume(planned.evaluation.id)
    assert "localprompt eval" in str(caught.value.next_step)


def test_only_what_failed_is_run_again_where_that_is_wanted(lab: Lab) -> None:
    lab.evaluate("tones.yaml")
    lab.asked.clear()
    result = lab.carry_out(lab.plan("tones.yaml", only_failing=True, cached=False))
    assert lab.asked == ["Is this good or bad? a grey soup"]
    assert result.evaluation.cases == 1
    assert lab.resume(result.evaluation.id).complete


def test_a_suite_that_was_never_evaluated_has_no_failing_cases(lab: Lab) -> None:
    with pytest.raises(InputError, match="not been evaluated yet"):
        lab.plan("tones.yaml", only_failing=True)


RUBRIC = """
prompts: ["{{ text }}"]
providers: [small]
tests:
- {vars: {text: hello}, assert: [{type: llm-rubric, value: is friendly}]}
"""


@pytest.mark.parametrize(
    ("reply", "passed"),
    [
        ('{"reason": "warm", "pass": true, "score": 0.9}', True),
        ('{"reason": "cold", "pass": false, "score": 0.1}', False),
        ("I am a judge.", None),
        ('{"pass": "perhaps", "score": 3}', None),
    ],
)
def test_rubrics_are_judged_and_nonsense_is_unscored(
    lab: Lab, reply: str, passed: bool | None
) -> None:
    lab.write("rubric.yaml", RUBRIC)
    lab.say = lambda prompt: reply if "You grade an answer" in prompt else "good morning"
    result = lab.evaluate("rubric.yaml")
    assert verdicts(lab, result) == [passed]
    assert result.targets[0].passes.unscored == (passed is None)


def test_another_model_can_be_the_judge(lab: Lab) -> None:
    lab.write("rubric.yaml", RUBRIC)
    lab.say = lambda p: '{"reason": "", "pass": true, "score": 1}' if "You grade" in p else "hi"
    result = lab.evaluate("rubric.yaml", judge="large")
    assert verdicts(lab, result) == [True]
    assert result.evaluation.request.judge == "large"


def test_the_best_of_several_prompts_is_chosen_when_all_answers_are_there(lab: Lab) -> None:
    lab.write(
        "best.yaml",
        "prompts: ['Short: {{ text }}', 'Long: {{ text }}']\nproviders: [small]\n"
        "tests: [{vars: {text: hello}, assert: [{type: select-best, value: shortest}]}]\n",
    )
    lab.say = lambda p: '{"best": 1}' if "You compare" in p else p.partition(":")[0]
    result = lab.evaluate("best.yaml")
    assert verdicts(lab, result) == [True, False]
    again = lab.resume(result.evaluation.id)
    assert len(lab.results(again)[0].score.scores) == 1, "it is compared once"


def test_answers_are_held_to_a_schema_or_to_choices_or_to_nothing(lab: Lab) -> None:
    from localprompt.engine.constraints.grammars import of_choices
    from localprompt.engine.constraints.prompts import constraint_of
    from localprompt.records.prompt import PromptTemplate

    choices = constraint_of(PromptTemplate(name="p", body="", choices=("good", "bad")))
    assert choices == of_choices(("good", "bad"))
    assert constraint_of(PromptTemplate(name="p", body="")) is None


def test_progress_ends_with_everything_done(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localprompt.evaluate.runner._SECONDS_BETWEEN_SAVES", 0)
    seen: list[EvalProgress] = []
    lab.carry_out(lab.plan("tones.yaml"), seen.append)
    assert [now.done for now in seen] == [1, 2, 3, 4]
    assert (seen[-1].total, seen[-1].passed, seen[-1].scored) == (4, 3, 4)


@pytest.mark.slow
def test_rows_are_planned_without_being_held(lab: Lab, tmp_path: Path) -> None:
    import tracemalloc

    with (tmp_path / "cases.csv").open("w", encoding="utf-8") as file:
        file.write("text,__expected\n")
        file.writelines(f"row {number} {'words ' * 200},good\n" for number in range(5_000))
    tracemalloc.start()
    planned = lab.plan("tones.yaml", limit=3, shuffle=True, seed=7)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6_000_000, "the rows alone would take more"
    result = lab.carry_out(planned)
    chosen = [case.case_index for case in lab.results(result)]
    assert len(chosen) == 3
    assert chosen == sorted(chosen)
    assert chosen != [0, 1, 2]


def test_records_survive_json(lab: Lab) -> None:
    result = lab.evaluate("tones.yaml")
    from localprompt.records import json as record_json

    assert json.loads(record_json.encode(result))["evaluation"]["cases"] == 4
