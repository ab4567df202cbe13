"""Checks written in Python by the suite's author.

The value is an expression (``len(output) < 80``), a function body of several lines that returns,
or ``file://check.py`` (its function ``get_assert``) or ``file://check.py:name``. The code sees
``output`` and ``context`` with ``prompt``, ``vars``, ``config`` and ``logProbs``, and returns a
boolean, a number from 0 to 1, or a mapping (or dataclass) with ``pass``, ``score`` and ``reason``.

It runs only where the user allowed it, in a child process, for at most 30 seconds.
"""

from __future__ import annotations

from typing import Any

from localprompt.records.score import Answer, Expectation
from localprompt.scoring.bounded import CODE_SECONDS, run_bounded
from localprompt.scoring.expectations import CannotScoreError, Verdict, quoted


def python(answer: Answer, expected: Expectation) -> Verdict:
    """What the code made of the answer.

    Raises:
        CannotScoreError: it raised, took too long, or returned something else.
    """
    code = str(expected.value)
    request: dict[str, Any] = {"code": code}
    if code.startswith("file://"):
        path, function = split_code_file(code)
        request = {"path": path, "function": function}
    context = {
        "prompt": answer.prompt,
        "vars": answer.vars,
        "config": expected.config,
        "logProbs": None,  # promptfoo has the key; answers are kept without probabilities
    }
    seen = answer.text if answer.output is None else answer.output
    value = run_bounded("call", CODE_SECONDS, output=seen, context=context, **request)
    return _verdict(value, expected.threshold)


def split_code_file(reference: str) -> tuple[str, str]:
    """``file://check.py:f`` → (``check.py``, ``f``)."""
    path, colon, function = reference.removeprefix("file://").rpartition(".py:")
    if colon:
        return f"{path}.py", function
    return reference.removeprefix("file://"), "get_assert"


def _verdict(value: Any, threshold: float | None) -> Verdict:
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        value = value.lower() == "true"
    if isinstance(value, bool):
        return Verdict(value, f"the code returned {value}")
    if isinstance(value, (int, float)):
        score = _score(value)
        met = score > 0 if threshold is None else score >= threshold
        return Verdict(met, f"the code returned {score:g}", score)
    if isinstance(value, dict):
        return _from_mapping(value, threshold)
    raise CannotScoreError(
        f"the code returned {quoted(value)} instead of a boolean, a number or a mapping"
        " with pass, score and reason"
    )


def _from_mapping(value: dict[str, Any], threshold: float | None) -> Verdict:
    passed = value.get("pass", value.get("pass_"))
    if not isinstance(passed, bool) or not isinstance(value.get("score"), (int, float)):
        raise CannotScoreError(f"the code returned {quoted(value)} without pass and score")
    score = _score(value["score"])
    reason = str(value.get("reason") or f"the code returned pass={passed}, score={score:g}")
    if threshold is not None and score < threshold:
        return Verdict(False, f"score {score:g}, threshold {threshold:g}: {reason}", score)
    return Verdict(passed, reason, score)


def _score(value: float) -> float:
    if not 0 <= value <= 1:
        raise CannotScoreError(f"the code returned a score of {value:g}, expected 0 to 1")
    return float(value)
