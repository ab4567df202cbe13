"""A wording with examples: what it is called, and the template that it makes; pure."""

from __future__ import annotations

import hashlib

import msgspec

from localprompt.improve.examples import NONE, ExampleSet, with_turns
from localprompt.improve.wordings import Wording
from localprompt.records.prompt import PromptTemplate


class Variant(msgspec.Struct, frozen=True):
    """What is asked; how closed answers are weighed is decided afterwards."""

    wording: Wording
    examples: ExampleSet = NONE

    @property
    def key(self) -> str:
        nearest = self.examples.nearest
        shown = (nearest.count, nearest.order) if nearest else self.examples.given
        facts = msgspec.json.encode((self.wording.body, self.examples.name, shown))
        return hashlib.sha256(facts).hexdigest()[:16]

    def template(self, original: PromptTemplate) -> PromptTemplate:
        """The prompt that it is; choices are left to be weighed by whoever asked."""
        body = self.wording.body
        if self.examples.given:
            body = with_turns(body, self.examples.given)
        return msgspec.structs.replace(
            original,
            body=body,
            sha256=hashlib.sha256(body.encode()).hexdigest(),
            per_byte=False,
            bias={},
            examples=self.examples.nearest or original.examples
            if not self.examples.given
            else None,
        )
