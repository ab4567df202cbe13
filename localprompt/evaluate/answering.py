"""Cases → requests → answers: many at once, through one context.

A case becomes a request before anything is generated: its prompt is rendered and tokenized, what
its answer is held to becomes a grammar, and everything that decides the answer goes into its key.
Requests with equal keys have equal answers (as far as floating point allows: what else is in a
batch can move the last bits of a logit), so that is what answers are cached by.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache

import msgspec

from localprompt.engine.base import Finished, GenerationRequest, Prefilled
from localprompt.engine.grammar import grammar_from_choices, grammar_from_schema
from localprompt.errors import ContextOverflowError, LocalPromptError
from localprompt.evaluate.models import OpenModel
from localprompt.evaluations import BatchedTiming, EvalRequest, EvalTarget
from localprompt.records import FinishReason, PromptTemplate, Sampling
from localprompt.rendering.prompt import render_messages
from localprompt.sources.suite_prompts import with_affixes
from localprompt.sources.suite_records import EvalCase

_ROOM_TO_END = 2
"""Tokens beside those of a choice: one may stand before it, one ends it."""


class Prepared(msgspec.Struct, frozen=True):
    """One case, ready to be answered; or the reason why it cannot be."""

    case: EvalCase
    repetition: int
    text: str = ""
    """What the model receives, before tokenization."""
    request: GenerationRequest | None = None
    token_ids_sha256: str | None = None
    key: str | None = None
    error: LocalPromptError | None = None


class Answered(msgspec.Struct, frozen=True):
    """What the model said."""

    text: str
    finish_reason: FinishReason
    completion_tokens: int
    timing: BatchedTiming | None
    probabilities: dict[str, float] | None = None


def prepare(
    case: EvalCase, repetition: int, target: EvalTarget, request: EvalRequest, opened: OpenModel
) -> Prepared:
    """Render and tokenize one case; what is wrong with it is its own error, not that of all."""
    try:
        template = with_affixes(target.template, case.prefix, case.suffix)
        messages = render_messages(template, case.vars, lenient=request.lenient)
        prompt = opened.engine.encode(messages)
        ids = prompt.token_ids
        if len(ids) >= opened.most_tokens:
            raise _too_long(case, len(ids), opened, request)
        grammar = grammar_of(target.template)
        sampling = _sampling(target, repetition, opened.most_tokens - len(ids))
    except LocalPromptError as error:
        return Prepared(case, repetition, error=error)
    digest = hashlib.sha256(struct.pack(f"<{len(ids)}i", *ids)).hexdigest()
    return Prepared(
        case,
        repetition,
        text=prompt.text,
        request=GenerationRequest(ids, sampling, grammar),
        token_ids_sha256=digest,
        key=_answer_key(target, request, digest, sampling, grammar),
    )


def answers(prepared: Sequence[Prepared], opened: OpenModel) -> Iterator[tuple[Prepared, Answered]]:
    """Answer requests, several at once; each is handed on as soon as it is complete.

    Raises:
        EngineError, NotEnoughMemoryError: llama.cpp fails.
    """
    requests = [one.request for one in prepared if one.request is not None]
    if not requests:
        return
    opened.prepare([len(r.token_ids) + r.sampling.max_tokens for r in requests])
    # Requests take their turns in order: one begins where one has ended.
    turns = [time.perf_counter()] * opened.parallel
    collected = [_Collected() for _ in requests]
    for event in opened.engine.generate(requests):
        one = collected[event.request]
        if isinstance(event, Prefilled):
            continue
        one.text.append(event.text)
        if event.text and one.first_text is None:
            one.first_text = event.seconds
        if isinstance(event, Finished):
            turns.append(event.seconds)
            timing = one.timing(turns[event.request], event.seconds, opened.parallel)
            answered = Answered("".join(one.text), event.reason, len(one.tokens), timing)
            yield prepared[event.request], answered
        else:
            one.tokens.append(event.seconds)


@lru_cache(maxsize=64)
def _schema_grammar(schema: bytes) -> str:
    return grammar_from_schema(msgspec.json.decode(schema))


def grammar_of(template: PromptTemplate) -> str | None:
    """What answers are held to: a schema, a closed set of answers, or nothing."""
    if template.output_schema:
        return _schema_grammar(msgspec.json.encode(template.output_schema))
    return grammar_from_choices(template.choices) if template.choices else None


class _Collected:
    """What has come of one request."""

    __slots__ = ("first_text", "text", "tokens")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.tokens: list[float] = []
        self.first_text: float | None = None

    def timing(self, turn: float, ended: float, parallel: int) -> BatchedTiming:
        several = len(self.tokens) > 1
        return BatchedTiming(
            ttft_seconds=None if self.first_text is None else self.first_text - turn,
            decode_seconds=self.tokens[-1] - self.tokens[0] if several else None,
            total_seconds=ended - turn,
            parallel=parallel,
        )


def _sampling(target: EvalTarget, repetition: int, room: int) -> Sampling:
    """The target's sampling for one repetition, cut to the room that its prompt leaves."""
    sampling, choices = target.sampling, target.template.choices
    most = min(sampling.max_tokens, room)
    if choices and not target.template.output_schema:
        # No token is shorter than a byte, so that is enough for the longest choice.
        longest = max(len(choice.encode()) for choice in choices)
        most = min(max(most, 1), longest + _ROOM_TO_END)
    seed = sampling.seed + repetition if sampling.temperature > 0 else sampling.seed
    return msgspec.structs.replace(sampling, max_tokens=most, seed=seed)


def _answer_key(
    target: EvalTarget, request: EvalRequest, tokens: str, sampling: Sampling, grammar: str | None
) -> str:
    """A digest of everything that decides the answer."""
    if sampling.temperature == 0:  # then these have no say
        sampling = msgspec.structs.replace(sampling, top_k=0, top_p=1.0, min_p=0.0, seed=0)
    settings = request.settings
    decides = (
        target.model.sha256,
        tokens,
        sampling,
        None if grammar is None else hashlib.sha256(grammar.encode()).hexdigest(),
        request.scoring if target.template.choices else None,
        settings.type_k,
        settings.type_v,
    )
    return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()


def _too_long(
    case: EvalCase, tokens: int, opened: OpenModel, request: EvalRequest
) -> ContextOverflowError:
    most, trained = opened.most_tokens, opened.engine.facts.n_ctx_train
    raised = request.settings.n_ctx is not None and tokens < trained
    return ContextOverflowError(
        "the prompt does not fit into the context",
        where=case.where or case.id,
        expected=f"fewer than {most} tokens (n_ctx)",
        found=f"{tokens} tokens",
        next_step="a larger --n-ctx" if raised else "shorten the case",
    )
