"""A local model that grades answers.

Its answer is held to the schema of the verdict, so that even a small model replies in the right
form. Whether the verdict makes sense is for :mod:`localprompt.scoring` to find out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from localprompt.engine.base import GenerationRequest, Prefilled
from localprompt.engine.constraints.prompts import constraint_of_schema
from localprompt.errors import ContextOverflowError
from localprompt.evaluate.models import OpenModel
from localprompt.records.prompt import Message
from localprompt.records.run import Sampling

MOST_TOKENS = 200
"""Of a verdict: one sentence, yes or no, a number."""


class LocalJudge:
    """Implements :class:`localprompt.scoring.expectations.Judge`. Greedy: the same answer always
    gets the same verdict."""

    def __init__(self, opened: OpenModel) -> None:
        self._opened = opened

    def embed(self, text: str) -> tuple[tuple[float, ...], str]:
        """
        Raises:
            ContextOverflowError: the text is too long.
            EngineError: llama.cpp fails.
        """
        vector, pooled = self._opened.engine.embed(text)
        name = self._opened.model.name
        return vector, f"{name}'s pooled states" if pooled else name

    def ask(self, messages: Sequence[Message], schema: Mapping[str, Any]) -> str:
        """
        Raises:
            ContextOverflowError: the material does not fit into the judge's context.
            EngineError: llama.cpp fails.
        """
        opened = self._opened
        ids = opened.engine.encode(messages).token_ids
        room = opened.most_tokens - len(ids)
        if room < MOST_TOKENS:
            raise ContextOverflowError(
                "what is to be judged does not fit into the judge's context",
                expected=f"at most {opened.most_tokens - MOST_TOKENS} tokens",
                found=f"{len(ids)} tokens",
            )
        request = GenerationRequest(
            ids, Sampling(max_tokens=MOST_TOKENS), constraint_of_schema(dict(schema))
        )
        opened.prepare([len(ids) + MOST_TOKENS])
        events = opened.engine.generate([request])
        return "".join(event.text for event in events if not isinstance(event, Prefilled))
