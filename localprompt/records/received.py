"""What the model receives for one prompt: messages, text, tokens, and who wrote which of them.

The records here pass from the engine, which knows the vocabulary, to the views, which must not
know the engine. ``prompts show`` is made of them.

Where a token came from is decided character by character while templates render
(:mod:`localprompt.rendering.traced`); a token that stretches over a border belongs to whoever
wrote most of it, and to the variable in a tie.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from localprompt.records.prompt import UNNAMED, Message, Origin, Segment, Span
from localprompt.records.run import Sampling

LEAST_KEPT_TOKENS = 64
"""A constant beginning that is shorter is neither evaluated apart nor kept. Evaluating one apart
costs the first run 3 to 8 % of its prefill, and a later run saves from 60 % (64 tokens before 30
others) to nearly all of it; below, there are mostly the chat template's own words."""

_OTHER = "7"
"""Stands for another value; tokenizers seldom join a digit with what comes before it."""


class PromptToken(msgspec.Struct, frozen=True):
    """One token of a rendered prompt, with where its text came from."""

    id: int
    text: str
    """The token's own text; ``\\ufffd`` where it is a part of a character."""
    origin: Origin
    source: str | None = None
    """The variable's name where ``origin`` is ``variable``."""
    control: bool = False
    """True for the model's control tokens, as ``<|im_start|>``."""


class ReceivedPrompt(msgspec.Struct, frozen=True):
    """A prompt with its parameters, as one model receives it."""

    name: str
    path: str | None
    model: str
    chat_template_sha256: str | None
    """None for a base model: plain completion."""
    params: dict[str, Any]
    """As they were given; defaults are not among them."""
    messages: tuple[Message, ...]
    text: str
    """The chat template applied, before tokenization."""
    spans: tuple[Span, ...]
    """The same text in stretches of one origin."""
    tokens: tuple[PromptToken, ...]
    constant_tokens: int
    """Tokens at the beginning that a run with other values has in common with this one, as long
    as it takes the same branches of the template; what a kept prefix can save."""
    attributed_tokens: int
    """Tokens whose writer is known: the chat template, the prompt file, or a variable by name."""
    sampling: Sampling
    choices: tuple[str, ...] = ()
    """The answer is held to one of these."""
    output_schema: dict[str, Any] | None = None
    """The answer is held to this JSON Schema."""
    grammar: str | None = None
    """The answer is held to this grammar."""
    checked_late: tuple[str, ...] = ()
    """Parts of the schema that only the complete answer is checked for."""
    rewritten: bool = False
    """The chat template changed the text of a message; origins are then approximate."""
    system_folded: bool = False
    """The chat template knows no system role; that text was put before the first user's."""


class Stretch(msgspec.Struct, frozen=True):
    """Neighbouring tokens of one origin."""

    start: int
    """Index of the first."""
    tokens: tuple[PromptToken, ...]

    @property
    def origin(self) -> Origin:
        return self.tokens[0].origin

    @property
    def source(self) -> str | None:
        return self.tokens[0].source


def stretches(tokens: Sequence[PromptToken]) -> Iterator[Stretch]:
    """The tokens in stretches of one origin, in order."""
    start = 0
    for _, group in itertools.groupby(tokens, key=lambda token: (token.origin, token.source)):
        members = tuple(group)
        yield Stretch(start, members)
        start += len(members)


def attributed(tokens: Iterable[PromptToken]) -> int:
    """How many tokens have a known writer."""
    unknown = (None, UNNAMED)
    return sum(token.origin != "variable" or token.source not in unknown for token in tokens)


def constant_prefix(tokens: Sequence[PromptToken], other_ids: Sequence[int]) -> int:
    """How many tokens at the beginning do not depend on any value.

    Args:
        tokens: the prompt.
        other_ids: the prompt with every value replaced, see :func:`with_other_values`. A token
            at the border may hold characters of both sides, so it counts only if it comes out
            the same for other values.
    """
    count = 0
    for token, other in zip(tokens, other_ids, strict=False):
        if token.origin == "variable" or token.id != other:
            break
        count += 1
    return count


def with_other_values(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The same messages, with something else wherever a value stands."""
    return tuple(
        msgspec.structs.replace(
            message,
            segments=tuple(
                segment if segment.source is None else Segment(_OTHER, segment.source)
                for segment in message.segments
            ),
        )
        for message in messages
    )
