"""Checks that a local model makes: ``llm-rubric`` and ``select-best``.

The judge gets a system message with its task and a user message with the material; rubric and
answers are segments of their own, so that nothing in them can become a control token. It is asked
for a small JSON object. A reply that is not one, or that contradicts itself, leaves the answer
unscored: a small model's nonsense says nothing about what it was asked to judge.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, get_args

from localprompt.errors import LocalPromptError, ScriptError
from localprompt.javascript.engine import Template, render_prompts
from localprompt.records.prompt import Message, Role, Segment
from localprompt.records.score import Answer, Expectation
from localprompt.scoring.expectations import CannotScoreError, Judge, Verdict, quoted
from localprompt.scoring.json_checks import embedded

RUBRIC_TASK = """\
You grade an answer against a criterion. Judge only what the criterion asks for.
Reply with one JSON object and nothing else:
{"reason": "<one sentence>", "pass": <true or false>, "score": <0.0 to 1.0>}
"pass" is true if the answer meets the criterion. "score" says how well it does."""

RUBRIC_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "pass": {"type": "boolean"},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["reason", "pass", "score"],
    "additionalProperties": False,
}

BEST_TASK = """\
You compare numbered answers and choose the one that meets the criterion best.
Reply with one JSON object and nothing else: {"best": <number of the answer>}"""

_YES = frozenset({"true", "yes", "pass", "y"})
_NO = frozenset({"false", "no", "fail", "n"})


def llm_rubric(answer: Answer, expected: Expectation, judge: Judge) -> Verdict:
    """The judge's ``pass`` and ``score``; with a threshold, the score has to reach it as well.

    Raises:
        CannotScoreError: the judge failed, or its reply is no verdict.
    """
    if expected.rubric_prompt is None and expected.value in (None, ""):
        raise CannotScoreError("llm-rubric has neither a value nor a rubricPrompt")
    if expected.rubric_prompt is not None:
        reply = _reply(judge, _own_messages(answer, expected), RUBRIC_SCHEMA)
    else:
        material = (
            Segment("Criterion:\n"),
            Segment(_criterion(expected), source="rubric"),
            Segment("\n\nAnswer:\n"),
            Segment(answer.text, source="output"),
        )
        reply = ask_judge(judge, RUBRIC_TASK, material, RUBRIC_SCHEMA)
    grade = reply_object(reply)
    passed = _boolean(grade.get("pass"), reply)
    score = _number(grade.get("score", passed), reply)
    reason = str(grade.get("reason") or f"the judge gave {score:g}")
    if expected.threshold is not None and score < expected.threshold:
        return Verdict(False, f"score {score:g}, threshold {expected.threshold:g}: {reason}", score)
    return Verdict(passed, reason, score)


def select_best(
    answers: Sequence[Answer], expected: Expectation, judge: Judge
) -> tuple[Verdict, ...]:
    """One verdict per answer: met for the one that the judge chose.

    Raises:
        CannotScoreError: there are fewer than two answers, the judge failed, or its reply names
            none of them.
    """
    if len(answers) < 2:
        raise CannotScoreError("select-best compares answers of at least two prompts or models")
    criterion = _criterion(expected)
    segments = [Segment("Criterion:\n"), Segment(criterion, source="rubric")]
    for number, answer in enumerate(answers, start=1):
        segments += [Segment(f"\n\nAnswer {number}:\n"), Segment(answer.text, source="output")]
    best = {"type": "integer", "minimum": 1, "maximum": len(answers)}
    schema = {"type": "object", "properties": {"best": best}, "required": ["best"]}
    chosen = _chosen(ask_judge(judge, BEST_TASK, tuple(segments), schema), len(answers))
    return tuple(
        Verdict(
            number == chosen,
            f"answer {chosen} of {len(answers)} was chosen as best: {quoted(criterion)}",
        )
        for number in range(1, len(answers) + 1)
    )


def reply_object(reply: str) -> dict[str, Any]:
    """The JSON object in a judge's reply.

    Raises:
        CannotScoreError: there is none.
    """
    found = next((value for value in embedded(reply) if isinstance(value, dict)), None)
    if found is None:
        raise CannotScoreError(f"the judge's reply is not a JSON object: {quoted(reply)}")
    return found


def ask_judge(
    judge: Judge, task: str, material: tuple[Segment, ...], schema: dict[str, Any]
) -> str:
    """The reply to a task and its material.

    Raises:
        CannotScoreError: the judge failed.
    """
    return _reply(judge, (Message("system", (Segment(task),)), Message("user", material)), schema)


def _own_messages(answer: Answer, expected: Expectation) -> tuple[Message, ...]:
    """The suite's ``rubricPrompt`` for one answer. All of it counts as the suite's: plain text.

    Raises:
        CannotScoreError: it is no template.
    """
    values = {**answer.vars, "output": answer.text, "rubric": _criterion(expected)}
    (text,) = render_prompts(Template(expected.rubric_prompt or ""), [values])
    if isinstance(text, ScriptError):
        raise CannotScoreError(f"rubricPrompt cannot be rendered: {text.message}")
    try:
        chat = json.loads(text)
    except (ValueError, RecursionError):
        chat = None
    turns = chat if isinstance(chat, list) and all(map(_is_turn, chat)) else None
    turns = turns or [{"role": "user", "content": text}]
    return tuple(Message(t["role"], (Segment(t["content"], source="rubric"),)) for t in turns)


def _is_turn(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and item.get("role") in get_args(Role)
        and isinstance(item.get("content"), str)
    )


def _reply(judge: Judge, messages: Sequence[Message], schema: dict[str, Any]) -> str:
    """
    Raises:
        CannotScoreError: the judge failed.
    """
    try:
        return judge.ask(messages, schema)
    except LocalPromptError as error:  # as where the material does not fit into n_ctx
        raise CannotScoreError(f"the judge failed: {error}") from error


def _criterion(expected: Expectation) -> str:
    if expected.value is None or isinstance(expected.value, str):
        return expected.value or ""
    return json.dumps(expected.value, ensure_ascii=False)


def _chosen(reply: str, count: int) -> int:
    grade = next((value for value in embedded(reply) if isinstance(value, dict)), None)
    number = grade.get("best") if grade is not None else None
    if number is None and (digits := re.search(r"\d{1,9}", reply)):
        number = int(digits.group())
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= count:
        raise CannotScoreError(f"the judge's reply names no answer: {quoted(reply)}")
    return number


def _boolean(value: Any, reply: str) -> bool:
    word = str(value).strip().lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise CannotScoreError(f"the judge's reply does not say whether it passes: {quoted(reply)}")


def _number(value: Any, reply: str) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not 0 <= score <= 1:  # also refuses NaN
        raise CannotScoreError(f"the judge's score is not from 0 to 1: {quoted(reply)}")
    return score
