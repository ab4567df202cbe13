"""Cases → requests: everything that decides an answer, before anything is generated.

The prompt of a case is rendered and tokenized, what its answer is held to becomes a grammar or a
set of choices, and all that decides the answer goes into the request's key. Requests with equal
keys have equal answers (as far as floating point allows: what else is in a batch can move the
last bits of a logit), so that is what answers are cached by.
"""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache

import msgspec

from localprompt.engine.base import ChoiceRequest, EncodedPrompt, GenerationRequest
from localprompt.engine.grammar import grammar_from_choices, grammar_from_schema
from localprompt.errors import ContextOverflowError, LocalPromptError
from localprompt.evaluate.models import OpenModel
from localprompt.records.evaluation import EvalRequest, EvalTarget, Scoring
from localprompt.records.prompt import Message, PromptTemplate, Segment
from localprompt.records.run import Sampling
from localprompt.rendering.prompt import render_messages
from localprompt.sources.suite.prompts import with_affixes
from localprompt.sources.suite.records import EvalCase

CONTENT_FREE = "N/A"
"""What stands in for every value of a case where choices are calibrated: it says nothing, so
whatever the model prefers then is its habit (Zhao et al. 2021, arXiv 2102.09690)."""
_ROOM_TO_END = 2
"""Tokens beside those of a choice: one may stand before it, one ends it."""


class Prepared(msgspec.Struct, frozen=True):
    """One case, ready to be answered; or the reason why it cannot be."""

    case: EvalCase
    repetition: int
    text: str = ""
    """What the model receives, before tokenization."""
    token_ids: tuple[int, ...] = ()
    token_ids_sha256: str | None = None
    key: str | None = None
    generation: GenerationRequest | None = None
    choices: ChoiceRequest | None = None
    """Set instead of ``generation`` where choices are scored by log-probability."""
    free: ChoiceRequest | None = None
    """The same choices after the prompt without content, where they are calibrated."""
    cells: int = 0
    """KV cache cells that it can come to hold."""
    error: LocalPromptError | None = None


def prepare(
    case: EvalCase, repetition: int, target: EvalTarget, request: EvalRequest, opened: OpenModel
) -> Prepared:
    """Render and tokenize one case; what is wrong with it is its own error, not that of all."""
    template = target.template
    try:
        messages = render_messages(
            with_affixes(template, case.prefix, case.suffix), case.vars, lenient=request.lenient
        )
        prompt = opened.engine.encode(messages)
        if len(prompt.token_ids) >= opened.most_tokens:
            raise _too_long(case, len(prompt.token_ids), opened, request)
        scoring = scoring_of(template, request)
        if scoring == "generate":
            return _generation(case, repetition, prompt, target, request, opened)
        return _choices(case, repetition, prompt, messages, scoring, target, request, opened)
    except LocalPromptError as error:
        return Prepared(case, repetition, error=error)


def scoring_of(template: PromptTemplate, request: EvalRequest) -> Scoring:
    """How the answers of a prompt come about: only a closed set can be scored."""
    closed = template.choices and not template.output_schema
    return request.scoring if closed else "generate"


def grammar_of(template: PromptTemplate) -> str | None:
    """What generated answers are held to: a schema, a closed set of answers, or nothing."""
    if template.output_schema:
        return _schema_grammar(msgspec.json.encode(template.output_schema))
    return grammar_from_choices(template.choices) if template.choices else None


@lru_cache(maxsize=64)
def _schema_grammar(schema: bytes) -> str:
    return grammar_from_schema(msgspec.json.decode(schema))


def _generation(
    case: EvalCase,
    repetition: int,
    prompt: EncodedPrompt,
    target: EvalTarget,
    request: EvalRequest,
    opened: OpenModel,
) -> Prepared:
    ids, digest = prompt.token_ids, digest_of(prompt.token_ids)
    grammar = grammar_of(target.template)
    sampling = _sampling(target, repetition, opened.most_tokens - len(ids))
    return Prepared(
        case,
        repetition,
        text=prompt.text,
        token_ids=ids,
        token_ids_sha256=digest,
        key=_answer_key(target, request, digest, sampling, grammar),
        generation=GenerationRequest(ids, sampling, grammar),
        cells=len(ids) + sampling.max_tokens,
    )


def _choices(
    case: EvalCase,
    repetition: int,
    prompt: EncodedPrompt,
    messages: tuple[Message, ...],
    scoring: Scoring,
    target: EvalTarget,
    request: EvalRequest,
    opened: OpenModel,
) -> Prepared:
    ids, digest = prompt.token_ids, digest_of(prompt.token_ids)
    wanted = opened.engine.with_choices(prompt, target.template.choices)
    free = None
    if scoring == "calibrated":
        without = opened.engine.encode([_content_free(message) for message in messages])
        free = opened.engine.with_choices(without, target.template.choices)
    kept = Sampling(max_tokens=0)  # nothing is sampled
    return Prepared(
        case,
        repetition,
        text=prompt.text,
        token_ids=ids,
        token_ids_sha256=digest,
        key=_answer_key(target, request, digest, kept, "\n".join(target.template.choices)),
        choices=wanted,
        free=free,
        cells=len(ids) + sum(len(choice.token_ids) for choice in wanted.choices),
    )


def _content_free(message: Message) -> Message:
    """The message with every stretch that came from a variable replaced."""
    segments = tuple(
        segment if segment.source is None else Segment(CONTENT_FREE, segment.source)
        for segment in message.segments
    )
    return msgspec.structs.replace(message, segments=segments)


def _sampling(target: EvalTarget, repetition: int, room: int) -> Sampling:
    """The target's sampling for one repetition, cut to the room that its prompt leaves."""
    sampling, choices = target.sampling, target.template.choices
    most = min(sampling.max_tokens, room)
    if choices and not target.template.output_schema:
        # No token is shorter than a byte, so that is enough for the longest choice.
        longest = max(len(choice.encode()) for choice in choices)
        most = min(room, longest + _ROOM_TO_END)
    seed = sampling.seed + repetition if sampling.temperature > 0 else sampling.seed
    return msgspec.structs.replace(sampling, max_tokens=most, seed=seed)


def _answer_key(
    target: EvalTarget, request: EvalRequest, tokens: str, sampling: Sampling, held_to: str | None
) -> str:
    """A digest of everything that decides the answer."""
    if sampling.temperature == 0:  # then these have no say
        sampling = msgspec.structs.replace(sampling, top_k=0, top_p=1.0, min_p=0.0, seed=0)
    settings = request.settings
    decides = (
        target.model.sha256,
        tokens,
        sampling,
        None if held_to is None else hashlib.sha256(held_to.encode()).hexdigest(),
        scoring_of(target.template, request),
        settings.type_k,
        settings.type_v,
        *_own_weighing(target.template),
    )
    return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()


def _own_weighing(template: PromptTemplate) -> tuple[object, ...]:
    """How the prompt file has its choices weighed; nothing for one that says nothing."""
    return (template.per_byte, template.bias) if template.per_byte or template.bias else ()


def digest_of(token_ids: tuple[int, ...]) -> str:
    return hashlib.sha256(struct.pack(f"<{len(token_ids)}i", *token_ids)).hexdigest()


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
