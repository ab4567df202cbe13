"""Checks that promptfoo leaves to a large hosted model, made by the local judge.

Each has a task of its own and a small schema under which the judge replies; what makes no sense
leaves the answer unscored. A local judge is weaker than what these checks were written for: their
scores order answers, they do not vouch for one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from localprompt.errors import LocalPromptError
from localprompt.records.prompt import Segment
from localprompt.records.score import Answer, Expectation
from localprompt.scoring.expectations import CannotScoreError, Judge, Verdict, quoted
from localprompt.scoring.judging import ask_judge, reply_object

_REPLY = "\nReply with one JSON object and nothing else: "
_SHARE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "score": {"type": "integer", "minimum": 0, "maximum": 10},
    },
    "required": ["reason", "score"],
    "additionalProperties": False,
}
_SHARE_REPLY = _REPLY + '{"reason": "<one sentence>", "score": <whole number from 0 to 10>}'
_CATEGORY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "category": {"enum": ["A", "B", "C", "D", "E"]}},
    "required": ["reason", "category"],
    "additionalProperties": False,
}
_YES_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "pass": {"type": "boolean"}},
    "required": ["reason", "pass"],
    "additionalProperties": False,
}


class _Share(msgspec.Struct, frozen=True):
    """A check whose judge gives 0 to 10."""

    task: str
    parts: tuple[str, ...]
    """What the judge sees, of question, answer, criterion, expected and context."""
    threshold: float
    """What promptfoo takes where the suite says none."""


_SHARES = {
    "g-eval": _Share(
        "You rate how well an answer to a question meets a criterion: 10 fully, 0 not at all.",
        ("criterion", "question", "answer"),
        0.7,
    ),
    "answer-relevance": _Share(
        "You rate how much of an answer is about its question: 10 all of it, 0 nothing.",
        ("question", "answer"),
        0.0,
    ),
    "context-faithfulness": _Share(
        "You rate how much of what an answer says the context supports: 10 all of it, 0 nothing.",
        ("question", "context", "answer"),
        0.0,
    ),
    "context-recall": _Share(
        "You rate how much of the expected answer can be found in the context: 10 all of it, 0"
        " nothing.",
        ("expected", "context"),
        0.0,
    ),
    "context-relevance": _Share(
        "You rate how much of the context is needed to answer the question: 10 all of it, 0"
        " nothing.",
        ("question", "context"),
        0.0,
    ),
}
_FACTS_TASK = (
    "You compare the facts of an answer with those of an expert's answer to the same question. "
    "Style, grammar and punctuation do not matter. Categories: A: the answer's facts are a part of "
    "the expert's. B: the expert's are a part of the answer's. C: they are the same. D: they "
    "disagree. E: they differ in what does not matter."
    + _REPLY
    + '{"reason": "<one sentence>", "category": "<A, B, C, D or E>"}'
)
_CLOSED_TASK = (
    "You say whether an answer to a question meets a criterion."
    + _REPLY
    + '{"reason": "<one sentence>", "pass": <true or false>}'
)


def graded(answer: Answer, expected: Expectation, judge: Judge) -> Verdict:
    """The judge's verdict in the manner of the expectation's type.

    Raises:
        CannotScoreError: the judge failed, its reply is no verdict, or the case has no context.
    """
    if expected.type in _SHARES:
        return _share(_SHARES[expected.type], answer, expected, judge)
    if expected.type == "model-graded-closedqa":
        reply = _asked(
            judge, _CLOSED_TASK, ("criterion", "question", "answer"), answer, expected, _YES_SCHEMA
        )
        return Verdict(_field(reply, "pass", bool), _reason(reply))
    reply = _asked(
        judge, _FACTS_TASK, ("question", "expert", "answer"), answer, expected, _CATEGORY_SCHEMA
    )
    category = _field(reply, "category", str).strip().upper()[:1]
    if category not in set("ABCDE") or not category:
        raise CannotScoreError(f"the judge names no category: {quoted(reply)}")
    return Verdict(category != "D", f"category {category}: {_reason(reply)}")


SIMILAR_ENOUGH = 0.75
"""promptfoo's threshold where the suite says none."""


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    if len(one) != len(other):
        raise CannotScoreError(f"vectors of {len(one)} and {len(other)} numbers")
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def similar(answer: Answer, expected: Expectation, judge: Judge) -> Verdict:
    """The cosine between the answer and the closest of the expected texts.

    Raises:
        CannotScoreError: a text has no vector, or is too long for one.
    """
    value = expected.value
    texts = [str(text) for text in (value if isinstance(value, (list, tuple)) else [value])]
    try:
        given, maker = judge.embed(answer.text)
        cosine = max(_dot(given, judge.embed(text)[0]) for text in texts)
    except LocalPromptError as error:
        raise CannotScoreError(f"no embedding: {error.message}") from error
    score = min(1.0, max(0.0, cosine))
    threshold = SIMILAR_ENOUGH if expected.threshold is None else expected.threshold
    return Verdict(
        score >= threshold, f"cosine {cosine:.3f} by {maker}, threshold {threshold:g}", score
    )


def _share(kind: _Share, answer: Answer, expected: Expectation, judge: Judge) -> Verdict:
    reply = _asked(judge, kind.task + _SHARE_REPLY, kind.parts, answer, expected, _SHARE_SCHEMA)
    points = _field(reply, "score", (int, float))
    if isinstance(points, bool) or not 0 <= points <= 10:
        raise CannotScoreError(f"the judge's score is not from 0 to 10: {quoted(reply)}")
    score = points / 10
    threshold = kind.threshold if expected.threshold is None else expected.threshold
    return Verdict(
        score >= threshold, f"score {score:g}, threshold {threshold:g}: {_reason(reply)}", score
    )


def _asked(
    judge: Judge,
    task: str,
    parts: tuple[str, ...],
    answer: Answer,
    expected: Expectation,
    schema: dict[str, Any],
) -> dict[str, Any]:
    material: list[Segment] = []
    for part in parts:
        material.append(
            Segment(f"{part.capitalize()}:\n" if not material else f"\n\n{part.capitalize()}:\n")
        )
        material.append(Segment(_PARTS[part](answer, expected), source=part))
    return reply_object(ask_judge(judge, task, tuple(material), schema))


def _question(answer: Answer, expected: Expectation) -> str:
    return str(answer.vars.get("query") or answer.prompt or "")


def _value(answer: Answer, expected: Expectation) -> str:
    return str(expected.value or "")


def _context(answer: Answer, expected: Expectation) -> str:
    context = answer.vars.get("context")
    if isinstance(context, list):
        context = "\n".join(map(str, context))
    if not isinstance(context, str) or not context:
        raise CannotScoreError("the case has no variable 'context'")
    return context


_PARTS: dict[str, Callable[[Answer, Expectation], str]] = {
    "question": _question,
    "answer": lambda answer, _: answer.text,
    "criterion": _value,
    "expected": _value,
    "expert": _value,
    "context": _context,
}


def _field(reply: dict[str, Any], name: str, kind: Any) -> Any:
    value = reply.get(name)
    if not isinstance(value, kind):
        raise CannotScoreError(f"the judge's reply has no {name}: {quoted(reply)}")
    return value


def _reason(reply: dict[str, Any]) -> str:
    return str(reply.get("reason") or "the judge gave no reason")
