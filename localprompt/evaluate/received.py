"""What the models of a stored evaluation received, made again.

The history keeps what prompts are made of (template, variables, what a suite puts around them) and
a digest of their tokens, not their text: thousands of cases share most of it. Rendering is pure,
so the text comes out again; a chat template and a vocabulary are in the model's file, of which
only those are opened. Where the tokens are not those of the digest, or the file is not there, the
messages are shown instead, and said to be that.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

from localprompt.engine.base import Engine
from localprompt.errors import LocalPromptError
from localprompt.evaluate.models import OpenEngine
from localprompt.evaluate.requests import digest_of, encoded
from localprompt.records.evaluation import CaseResult, EvalRequest, Evaluation
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import Message
from localprompt.sources.suite.messages import render_case
from localprompt.sources.suite.prompts import with_affixes


def open_vocabulary(model: ModelRecord, request: EvalRequest) -> Engine:
    """As much of a model as it takes to encode prompts.

    Raises:
        ModelFileError, EngineError: it is not there, or cannot be opened.
    """
    from localprompt.engine.llama.engine import LlamaEngine

    path = Path(model.path)
    return LlamaEngine(path, chat_template=request.chat_template, vocab_only=True)


class Received:
    """The prompts of one evaluation, one by one; close it, or use it as a context manager.

    Args:
        evaluation: as it was stored.
        open_engine: opens a model far enough to encode.
    """

    def __init__(self, evaluation: Evaluation, open_engine: OpenEngine = open_vocabulary) -> None:
        self._evaluation = evaluation
        self._open_engine = open_engine
        self._open = ExitStack()
        self._engines: dict[str, Engine | None] = {}
        """By the model's path; None: not to be had."""
        self._inexact: set[int] = set()

    def exact(self, target: int) -> bool:
        """Whether every text of this target so far is what the model received."""
        return target not in self._inexact

    def text(self, result: CaseResult) -> str | None:
        """The prompt of one result; None where it cannot be rendered."""
        target = self._evaluation.targets[result.target]
        if target.template.language == "python":
            return None  # looking at a result must not run anybody's code
        template = with_affixes(target.template, result.prefix, result.suffix)
        lenient = self._evaluation.request.lenient
        try:
            messages = render_case(template, result.vars, lenient=lenient)
        except LocalPromptError:
            return None
        if (engine := self._engine(target.model)) is not None:
            try:
                prompt = encoded(engine, template, messages)
            except LocalPromptError:
                return None  # as it was then: the result's error says why
            if result.token_ids_sha256 in (None, digest_of(prompt.token_ids)):
                return prompt.text
        self._inexact.add(result.target)
        return as_messages(messages)

    def _engine(self, model: ModelRecord) -> Engine | None:
        if model.path not in self._engines:
            try:
                opened = self._open_engine(model, self._evaluation.request)
            except LocalPromptError:  # moved, deleted, or evaluated on another machine
                self._engines[model.path] = None
            else:
                self._engines[model.path] = self._open.enter_context(opened)
        return self._engines[model.path]

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def as_messages(messages: tuple[Message, ...]) -> str:
    """Messages as a prompt file has them: each under its role."""
    return "\n\n".join(f"{message.role}:\n{message.text}" for message in messages)
