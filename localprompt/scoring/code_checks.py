"""Checks written in Python by the suite's author.

The value is an expression (``len(output) < 80``), a function body of several lines that returns,
or ``file://check.py`` (its function ``get_assert``) or ``file://check.py:name``. The code sees
``output`` and ``context`` with ``prompt``, ``vars``, ``config`` and ``logProbs``, and returns a
boolean, a number, or a mapping (or dataclass) with ``pass``, ``score`` and ``reason``; the same as
text, as a script prints it, is taken, too. Anything else fails, as in promptfoo, and so does what
raises: most of it is ``json.loads`` of what is not JSON. What was stopped, or imports what is not
installed, says nothing about the answer: it is unscored.

It runs only where the user allowed it, in a child process, for at most 30 seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from localprompt.records.score import Answer, Expectation
from localprompt.scoring.bounded import CODE_SECONDS, CodeRaisedError, run_bounded
from localprompt.scoring.expectations import Verdict, finite, quoted

_NUMBER = re.compile(r"\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)")
_NOT_HERE = ("ModuleNotFoundError:", "ImportError:")


def python(answer: Answer, expected: Expectation) -> Verdict:
    """What the code made of the answer; ``not-`` is already in the verdict.

    Raises:
        CannotScoreError: it took too long, or imports what is not installed.
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
    try:
        value = run_bounded("call", CODE_SECONDS, output=seen, context=context, **request)
    except CodeRaisedError as error:
        if str(error).startswith(_NOT_HERE):
            raise
        return Verdict(False, f"the code raised {error}", 0.0, as_it_is=True)
    return _verdict(value, expected)


def split_code_file(reference: str) -> tuple[str, str]:
    """``file://check.py:f`` → (``check.py``, ``f``)."""
    path, colon, function = reference.removeprefix("file://").rpartition(".py:")
    if colon:
        return f"{path}.py", function
    return reference.removeprefix("file://"), "get_assert"


def _verdict(value: Any, expected: Expectation) -> Verdict:
    given = value.lower() if isinstance(value, str) else value
    if isinstance(given, bool) or given in ("true", "false"):
        true = given in (True, "true")
        met = true != expected.negated
        return Verdict(met, f"the code returned {true}", float(met), as_it_is=True)
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return _nonsense(value)
    if isinstance(value, dict):
        return _from_mapping(value, expected)
    if isinstance(value, str) and (found := _NUMBER.match(value)):
        value = float(found[1])
    score = finite(value)
    if score is None:
        return _nonsense(value)
    reached = score > 0 if expected.threshold is None else score >= expected.threshold
    met = reached != expected.negated
    return Verdict(met, f"the code returned {score:g}", score, as_it_is=True)


def _from_mapping(value: Mapping[str, Any], expected: Expectation) -> Verdict:
    passed = value.get("pass", value.get("pass_"))
    score, reason = finite(value.get("score")), value.get("reason")
    if not isinstance(passed, bool) or score is None or not isinstance(reason, str):
        return _nonsense(value)
    if expected.threshold is not None and score < expected.threshold:
        passed = False
        reason = f"score {score:g}, threshold {expected.threshold:g}: {reason}"
    reason = reason or f"the code returned pass={passed}, score={score:g}"
    return Verdict(passed != expected.negated, reason, score, as_it_is=True)


def _nonsense(value: Any) -> Verdict:
    wanted = "a boolean, a number or pass, score and reason"
    return Verdict(
        False, f"the code returned {quoted(value)} instead of {wanted}", 0.0, as_it_is=True
    )
