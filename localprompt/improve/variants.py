"""A wording with examples: what it is called, and the template that it makes; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from localprompt.improve.examples import NONE, ExampleSet, with_block, with_turns
from localprompt.improve.wordings import Wording
from localprompt.records.prompt import Example, NearestExamples, PromptTemplate


class Answering(msgspec.Struct, frozen=True):
    """How a free answer is made."""

    name: str = ""
    """In words: ``up to 48 tokens``; empty for the prompt's own way."""
    options: Mapping[str, Any] = {}
    """What changes of ``model.options``."""


class Variant(msgspec.Struct, frozen=True):
    """What is asked; how closed answers are weighed is decided afterwards."""

    wording: Wording
    examples: ExampleSet = NONE
    answering: Answering = Answering()

    @property
    def key(self) -> str:
        nearest = self.examples.nearest
        shown: Any = self.examples.given
        if nearest is not None:
            shown = (nearest.count, nearest.order, *([nearest.by] if nearest.by else []))
        facts: list[Any] = [self.wording.body, self.examples.name, shown]
        facts += [self.wording.words] if self.wording.words else []
        facts += [self.answering.options] if self.answering.options else []
        return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:16]

    @property
    def body(self) -> str:
        """The template's text, with examples that are the same for every case."""
        return body_with(self.wording, self.examples.given, block=self.examples.block)

    def template(self, original: PromptTemplate) -> PromptTemplate:
        """The prompt that it is; choices are left to be weighed by whoever asked."""
        body = self.body
        examples = self.examples.nearest or original.examples
        return msgspec.structs.replace(
            original,
            body=body,
            sha256=hashlib.sha256(body.encode()).hexdigest(),
            per_byte=False,
            bias={},
            label_words=dict(self.wording.words),
            options={**original.options, **self.answering.options},
            examples=None if self.examples.given else _said(examples, self.wording),
        )


def body_with(wording: Wording, examples: Sequence[Example], *, block: bool = False) -> str:
    """The wording with solved examples, which answer in its label words."""
    if not examples:
        return wording.body
    said = [_answered(one, dict(wording.words)) for one in examples]
    return with_block(wording.body, said) if block else with_turns(wording.body, said)


def _said(examples: NearestExamples | None, wording: Wording) -> NearestExamples | None:
    if examples is None or not wording.words:
        return examples
    words = dict(wording.words)
    return msgspec.structs.replace(
        examples, pool=tuple(_answered(one, words) for one in examples.pool)
    )


def _answered(example: Example, words: Mapping[str, str]) -> Example:
    """The example, answered with the word for its choice."""
    return msgspec.structs.replace(example, answer=words.get(example.answer, example.answer))
