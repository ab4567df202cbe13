"""Closed answers of a prompt file that says how its choices are weighed.

A prompt with ``metadata.localprompt.bias`` (or ``scoring: normalized``, or ``label_words``) was
found to be better with it, by log-probabilities of whole choices. Generating under a grammar goes
token by token and knows no bias, so such a prompt is answered as ``eval`` answers it: each choice
is scored after the prompt, in one pass, and the choice of the largest weight is the answer. Nothing
is generated, and a kept beginning is not used: choices of several tokens take sequences of their
own.
"""

from __future__ import annotations

import msgspec

from localprompt.engine.base import ChoiceRequest, EncodedPrompt, Engine
from localprompt.errors import EngineError
from localprompt.records.prompt import PromptTemplate
from localprompt.scoring.closed import heaviest, weigh

MOST_BRANCHES = 8
"""Sequences for choices that branch; more of them take another pass."""


class Weighed(msgspec.Struct, frozen=True):
    """The choice that was taken."""

    text: str
    seconds: float
    """The moment at which it was known, on the clock of ``time.perf_counter``."""


def is_weighed(template: PromptTemplate) -> bool:
    """Whether the prompt file says how its choices are weighed."""
    closed = template.choices and not template.output_schema
    return bool(closed and (template.bias or template.per_byte or template.label_words))


def choice_request(
    engine: Engine, prompt: EncodedPrompt, template: PromptTemplate
) -> ChoiceRequest:
    """The choices after the prompt: what is scored is what the model says, and what comes back is
    called by the choice's own name.

    Raises:
        InputError: a choice is empty or there twice.
    """
    request = engine.with_choices(prompt, template.said)
    if not template.label_words:
        return request
    named = tuple(
        msgspec.structs.replace(one, text=choice)
        for one, choice in zip(request.choices, template.choices, strict=True)
    )
    return msgspec.structs.replace(request, choices=named)


def cells_of(request: ChoiceRequest) -> int:
    """KV cache cells that scoring the choices takes beyond the prompt's."""
    return sum(len(choice.token_ids) for choice in request.choices)


def weigh_choices(engine: Engine, request: ChoiceRequest, template: PromptTemplate) -> Weighed:
    """Score the choices and take the heaviest.

    Raises:
        EngineError: llama.cpp fails.
    """
    for scored in engine.score_choices([request]):
        logs = {score.text: score.log_probability for score in scored.scores}
        weights = weigh(logs, per_byte=template.per_byte, bias=template.bias)
        return Weighed(heaviest(weights), scored.seconds)
    raise EngineError("the engine left a request without an answer")
