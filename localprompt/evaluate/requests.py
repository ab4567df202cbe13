"""Cases → requests: everything that decides an answer, before anything is generated.

The prompt of a case is rendered and tokenized, what its answer is held to becomes a constraint or
a set of choices, and all that decides the answer goes into the request's key. Requests with equal
keys have equal answers (as far as floating point allows: what else is in a batch can move the
last bits of a logit), so that is what answers are cached by.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import groupby, islice
from typing import Any

import msgspec

from localprompt.engine.base import (
    Choice,
    ChoiceRequest,
    EncodedPrompt,
    Engine,
    GenerationRequest,
)
from localprompt.engine.constraints.prompts import constraint_of
from localprompt.errors import ContextOverflowError, LocalPromptError
from localprompt.evaluate.models import Encoder
from localprompt.evaluate.ways import LOOKED_AT, Shape
from localprompt.records.cell import with_options
from localprompt.records.evaluation import EvalRequest, EvalTarget, Scoring
from localprompt.records.prompt import Message, PromptTemplate, Segment
from localprompt.records.run import Sampling
from localprompt.records.score import Script
from localprompt.running.attention import expected_answer
from localprompt.running.closed import choice_request
from localprompt.running.nearness import Embed, chosen_by, embedder, with_near
from localprompt.sources.suite.messages import Rendered, render_case, render_cases
from localprompt.sources.suite.prompts import with_affixes
from localprompt.sources.suite.records import EvalCase

CONTENT_FREE = "N/A"
"""What stands in for every value of a case where choices are calibrated: it says nothing, so
whatever the model prefers then is its habit (Zhao et al. 2021, arXiv 2102.09690)."""
_BYTES_PER_TOKEN = 4
"""Of English, about."""
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
    transforms: tuple[Script, ...] = ()
    """What becomes of the answer before it is scored."""
    tools: tuple[dict[str, Any], ...] = ()
    """The functions that the model may call."""
    as_json: bool = False
    """What scores the answer sees a value, where it is JSON."""
    cells: int = 0
    """KV cache cells that it can come to hold."""
    error: LocalPromptError | None = None


RENDERED_AT_ONCE = 64
"""Cases whose prompts are handed to the template engine together."""


def prepare_all(
    items: Iterable[tuple[EvalCase, int]],
    target: EvalTarget,
    request: EvalRequest,
    opened: Encoder,
) -> Iterator[Prepared]:
    """Render and tokenize cases; what is wrong with one is its own error, not that of all."""
    stream = iter(items)
    by = chosen_by(target.template)
    near = embedder(by, opened.embedders) if by else nullcontext()
    with near as embed:
        while some := list(islice(stream, RENDERED_AT_ONCE)):
            cases = [case for case, _ in some]
            messages = _rendered(cases, target, request, embed)
            for (case, repetition), rendered in zip(some, messages, strict=True):
                yield _prepare(case, repetition, rendered, target, request, opened)


def _rendered(
    cases: list[EvalCase], target: EvalTarget, request: EvalRequest, embed: Embed | None
) -> Iterator[Rendered]:
    """The messages of cases, those with the same text around the prompt rendered together."""
    for (prefix, suffix), some in groupby(cases, key=lambda case: (case.prefix, case.suffix)):
        template = with_affixes(target.template, prefix, suffix)
        many = [case.vars for case in some]
        if embed is not None:
            template = with_near(template, many, embed)
        yield from render_cases(template, many, lenient=request.lenient)


def _prepare(
    case: EvalCase,
    repetition: int,
    messages: Rendered,
    target: EvalTarget,
    request: EvalRequest,
    opened: Encoder,
) -> Prepared:
    template = target.template
    if isinstance(messages, LocalPromptError):
        return Prepared(case, repetition, error=messages)
    try:
        prompt = encoded(opened.engine, template, messages)
        if len(prompt.token_ids) >= opened.most_tokens:
            raise _too_long(case, len(prompt.token_ids), opened, request)
        scoring = scoring_of(template, request)
        if template.closed:
            ready = _own_choices(case, repetition, prompt, target, request, opened)
        elif scoring == "generate":
            ready = _generation(case, repetition, prompt, target, request, opened)
        else:
            ready = _choices(case, repetition, prompt, messages, scoring, target, request, opened)
        own = () if target.transform is None else (target.transform,)
        scripts = (*own, *case.transforms)
        as_json = target.as_json or case.as_json
        return msgspec.structs.replace(
            ready, transforms=scripts, tools=template.tools, as_json=as_json
        )
    except LocalPromptError as error:
        return Prepared(case, repetition, error=error)


def encoded(engine: Engine, template: PromptTemplate, messages: Sequence[Message]) -> EncodedPrompt:
    """The prompt as the model receives it.

    Raises:
        LocalPromptError: the chat template refuses it, or it is empty.
    """
    if template.language == "text":
        return engine.complete("".join(message.text for message in messages))
    return engine.encode(messages, tools=template.tools)


def shape_of(
    cases: Iterable[EvalCase],
    target: EvalTarget,
    request: EvalRequest,
    opened: Encoder,
    *,
    in_turn: bool = False,
) -> Shape | None:
    """What a target's requests look like, by the first of the plan's cases, whatever of them is
    done already; None where none of those can be asked."""
    first = [(case, 0) for case in islice(cases, LOOKED_AT)]
    ready = [one for one in prepare_all(first, target, request, opened) if one.error is None]
    if not ready:
        return None
    longest = max(one.generation.sampling.max_tokens if one.generation else 0 for one in ready)
    answer = expected_answer(longest)
    if longest and target.template.choices and target.template.output_schema is None:
        # Of a choice all bytes were allowed for, see :func:`_sampling`.
        answer = max(1, longest - _ROOM_TO_END) // _BYTES_PER_TOKEN + 1
    prompts = [one.token_ids for one in ready]
    return Shape.of(prompts, answer, target.results, in_turn=in_turn)


def scoring_of(template: PromptTemplate, request: EvalRequest) -> Scoring:
    """How the answers of a prompt come about: only a closed set can be scored."""
    closed = template.closed or (template.choices and template.output_schema is None)
    if closed and template.label_words and request.scoring == "generate":
        return "raw"  # the words are compared, or the answer would not be one of the choices
    return request.scoring if closed else "generate"


def _generation(
    case: EvalCase,
    repetition: int,
    prompt: EncodedPrompt,
    target: EvalTarget,
    request: EvalRequest,
    opened: Encoder,
) -> Prepared:
    ids, digest = prompt.token_ids, digest_of(prompt.token_ids)
    template = target.template
    if case.output_schema is not None:
        template = msgspec.structs.replace(template, output_schema=case.output_schema)
    constraint = constraint_of(template)
    if case.options:
        own = with_options(target.sampling, request.sampling, case.options)
        target = msgspec.structs.replace(target, sampling=own)
    sampling = _sampling(target, repetition, opened.most_tokens - len(ids))
    return Prepared(
        case,
        repetition,
        text=prompt.text,
        token_ids=ids,
        token_ids_sha256=digest,
        key=_answer_key(
            target, request, digest, sampling, constraint.grammar if constraint else None
        ),
        generation=GenerationRequest(ids, sampling, constraint),
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
    opened: Encoder,
) -> Prepared:
    ids, digest = prompt.token_ids, digest_of(prompt.token_ids)
    wanted = choice_request(opened.engine, prompt, target.template)
    free = None
    if scoring == "calibrated":
        without = opened.engine.encode(_without_content(case, messages, target.template))
        free = choice_request(opened.engine, without, target.template)
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


def _own_choices(
    case: EvalCase,
    repetition: int,
    prompt: EncodedPrompt,
    target: EvalTarget,
    request: EvalRequest,
    opened: Encoder,
) -> Prepared:
    """The closed set that the case brings, as texts that go on from the prompt's."""
    digest = digest_of(prompt.token_ids)
    texts = [case.lead + choice for choice in case.choices]
    wanted = opened.engine.with_continuations(prompt.text, texts)
    named = tuple(map(Choice, case.choices, (choice.token_ids for choice in wanted.choices)))
    key = _answer_key(
        target, request, digest, Sampling(max_tokens=0), msgspec.json.encode(texts).decode()
    )
    return Prepared(
        case,
        repetition,
        text=prompt.text,
        token_ids=prompt.token_ids,
        token_ids_sha256=digest,
        key=key,
        choices=ChoiceRequest(wanted.token_ids, named),
        cells=len(wanted.token_ids) + sum(len(choice.token_ids) for choice in named),
    )


def _without_content(
    case: EvalCase, messages: tuple[Message, ...], template: PromptTemplate
) -> Sequence[Message]:
    """The prompt with every value replaced by one that says nothing."""
    if template.language == "jinja2":
        return [_content_free(message) for message in messages]
    around = with_affixes(template, case.prefix, case.suffix)
    return render_case(around, dict.fromkeys(case.vars, CONTENT_FREE))


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
    if choices and target.template.output_schema is None:
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
        *((use.sha256, use.scale) for use in settings.adapters),
    )
    return hashlib.sha256(msgspec.json.encode(decides)).hexdigest()


def _own_weighing(template: PromptTemplate) -> tuple[object, ...]:
    """How the prompt file has its choices said and weighed; nothing for one that says nothing."""
    weighed = (template.per_byte, template.bias) if template.per_byte or template.bias else ()
    return (*weighed, template.label_words) if template.label_words else weighed


def digest_of(token_ids: tuple[int, ...]) -> str:
    return hashlib.sha256(struct.pack(f"<{len(token_ids)}i", *token_ids)).hexdigest()


def _too_long(
    case: EvalCase, tokens: int, opened: Encoder, request: EvalRequest
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
