"""What cases that are asked one after the other know of each other.

``_conversation`` holds the turns of the prompt's earlier cases, ``storeOutputAs`` leaves an answer
as a variable. Both are put among a case's variables before it is rendered, so the history has
everything that its prompt was made of.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from localprompt.errors import LocalPromptError
from localprompt.evaluate.requests import Prepared
from localprompt.records.evaluation import EvalTarget
from localprompt.records.score import Answer, AnyExpectation, Expectation
from localprompt.scoring.expectations import CannotScoreError
from localprompt.scoring.script_checks import transformed
from localprompt.sources.suite.assertions import render_expectation
from localprompt.sources.suite.messages import render_case
from localprompt.sources.suite.prompts import with_affixes
from localprompt.sources.suite.records import EvalCase

CONVERSATION = "_conversation"


class Turns:
    """The turns of one target so far, by conversation, and the answers that were kept."""

    def __init__(self, target: EvalTarget, *, lenient: bool) -> None:
        self._target = target
        self._lenient = lenient
        self._talks = CONVERSATION in target.template.body
        self._turns: dict[str, list[dict[str, Any]]] = {}
        self._kept: dict[str, str] = {}

    def given(self, case: EvalCase, repetition: int) -> EvalCase:
        """The case with what came before it among its variables."""
        known: dict[str, Any] = dict(self._kept)
        if self._talks and case.talks:
            known[CONVERSATION] = list(self._turns.get(_key(case, repetition), ()))
        values = {**case.vars, **known}
        own = tuple(_rendered(expected, values) for expected in case.late)
        expectations = (*case.expectations, *own)
        return msgspec.structs.replace(case, vars=values, expectations=expectations, late=())

    def keep(self, case: EvalCase, repetition: int, prepared: Prepared | None, text: str) -> None:
        """Remember an answer; ``prepared`` says what becomes of it first."""
        answer = Answer(text=text, vars=case.vars)
        try:
            for script in prepared.transforms if prepared else case.transforms:
                answer = transformed(answer, script)
        except CannotScoreError:
            pass  # its own score says so; the next turn goes on from what was said
        if case.store_as is not None:
            self._kept[case.store_as] = answer.text
        if self._talks:
            asked, last = self._asked(case)
            turn = {"prompt": asked, "input": last, "output": text}
            self._turns.setdefault(_key(case, repetition), []).append(turn)

    def _asked(self, case: EvalCase) -> tuple[Any, str]:
        """What was asked: the messages of a chat or the text, and what the user said last."""
        template = with_affixes(self._target.template, case.prefix, case.suffix)
        try:
            messages = render_case(template, case.vars, lenient=self._lenient)
        except LocalPromptError:
            return "", ""
        if len(messages) == 1 and messages[0].role == "user":
            return messages[0].text, messages[0].text
        chat = [{"role": message.role, "content": message.text} for message in messages]
        return chat, messages[-1].text if messages else ""


def _rendered(expected: AnyExpectation, values: dict[str, Any]) -> AnyExpectation:
    """The assertion with what earlier cases left; an empty one, which cannot be scored, where
    that is no value for it."""
    try:
        return render_expectation(expected, values)
    except LocalPromptError:
        if isinstance(expected, Expectation):
            return msgspec.structs.replace(expected, value="")
        return expected


def _key(case: EvalCase, repetition: int) -> str:
    return json.dumps([case.metadata.get("conversationId"), repetition], default=str)
