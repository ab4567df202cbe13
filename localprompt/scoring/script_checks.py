"""Checks and transforms written in JavaScript by the suite's author; transforms in Python, too.

They run without Node, in a realm of their own each, so they need no permission. What the code
throws is a failure of the answer, as in promptfoo: most of it is ``JSON.parse`` of what is not
JSON. A script that was stopped, or asked for what is not there, says nothing about the answer: it
is unscored. Python runs as it does for its assertions: where the user allowed it, in a child.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from localprompt.errors import ScriptError, ScriptLimitError
from localprompt.javascript.engine import (
    ASSERTION,
    TRANSFORM,
    Result,
    call,
    function_body,
)
from localprompt.records.score import Answer, Expectation, Script
from localprompt.scoring.bounded import CODE_SECONDS, run_bounded
from localprompt.scoring.expectations import CannotScoreError, Verdict, quoted
from localprompt.scoring.json_checks import stringified


def javascript(answer: Answer, expected: Expectation) -> Verdict:
    """What the code made of the answer; ``not-`` is already in the verdict.

    Raises:
        CannotScoreError: it was stopped, or needs what is not there.
    """
    code = str(expected.value)
    script = expected.script or Script(function_body(code))
    context = _context(answer, expected.config)
    try:
        result = _run(script, ASSERTION, _seen(answer), context, otherwise=code)
    except ScriptLimitError as error:
        raise CannotScoreError(f"the script was not finished: {error.message}") from error
    except ScriptError as error:
        return Verdict(False, f"the code threw: {error.message}", 0.0, as_it_is=True)
    return _verdict(result, expected)


def transformed(answer: Answer, script: Script, config: Mapping[str, Any] | None = None) -> Answer:
    """The answer with what a transform made of its text.

    Raises:
        CannotScoreError: the transform fails, or returns nothing.
    """
    try:
        made = _made(script, TRANSFORM, _seen(answer), _context(answer, config or {}))
    except ScriptError as error:
        raise CannotScoreError(f"the transform failed: {error.message}") from error
    if made is None:
        raise CannotScoreError("the transform returned nothing")
    value = None if isinstance(made, str) else made
    return msgspec.structs.replace(answer, text=_text(made), output=value)


def transformed_variables(script: Script, variables: Mapping[str, Any]) -> dict[str, Any]:
    """A case's variables after ``transformVars``.

    Raises:
        ScriptError: it fails, or returns something else than variables.
    """
    made = _made(script, ("vars", "context"), dict(variables), {"vars": variables})
    if not isinstance(made, dict):
        raise ScriptError("transformVars returned no variables, expected an object")
    return {**variables, **made}


def _made(script: Script, names: tuple[str, ...], first: Any, context: dict[str, Any]) -> Any:
    """What a transform returns.

    Raises:
        ScriptError: it fails.
    """
    if script.python is not None:
        request = {"path": script.python, "function": script.name, "given": [first, context]}
        try:
            return run_bounded("make", CODE_SECONDS, **request)
        except CannotScoreError as error:
            raise ScriptError(str(error)) from error
    if not script.file and "\n" not in script.source:
        script = msgspec.structs.replace(script, source=f"return {script.source}")
    return _run(script, names, first, context).value


def _run(
    script: Script,
    names: tuple[str, ...],
    first: Any,
    context: dict[str, Any],
    otherwise: str | None = None,
) -> Result:
    return call(
        script.source,
        [first, context],
        names=names,
        file=script.file,
        name=script.name,
        otherwise=otherwise,
    )


def _context(answer: Answer, config: Mapping[str, Any]) -> dict[str, Any]:
    context: dict[str, Any] = {
        "prompt": answer.prompt,
        "vars": answer.vars,
        "test": {"vars": answer.vars},
        "logProbs": None,  # promptfoo has the key; answers are kept without probabilities
        "provider": {},
        "providerResponse": {"output": _seen(answer)},
    }
    return {**context, "config": config} if config else context


def _seen(answer: Answer) -> Any:
    """What code gets as ``output``."""
    return answer.text if answer.output is None else answer.output


def _text(value: Any) -> str:
    """As JavaScript prints it."""
    return value if isinstance(value, str) else stringified(value)


def _verdict(result: Result, expected: Expectation) -> Verdict:
    value, said = result.value, f"the code returned {_shown(result)}"
    if result.kind == "boolean":
        met = bool(value) != expected.negated
        return Verdict(met, said, float(met), as_it_is=True)
    if result.kind == "number" and value is not None:
        score = float(value)
        reached = score > 0 if expected.threshold is None else score >= expected.threshold
        return Verdict(reached != expected.negated, said, score, as_it_is=True)
    if isinstance(value, dict) and _is_grade(value):
        met = bool(value["pass"]) != expected.negated
        return Verdict(met, value["reason"] or said, float(value["score"]), as_it_is=True)
    return Verdict(
        False,
        f"{said} instead of a boolean, a finite number or pass, score and reason",
        0.0,
        as_it_is=True,
    )


def _is_grade(value: Mapping[str, Any]) -> bool:
    score = value.get("score")
    number = isinstance(score, (int, float)) and not isinstance(score, bool)
    return isinstance(value.get("pass"), bool) and number and isinstance(value.get("reason"), str)


def _shown(result: Result) -> str:
    if result.kind in ("boolean", "number"):
        return "NaN" if result.value is None else json.dumps(result.value)
    return result.kind if result.value is None else quoted(_text(result.value))
