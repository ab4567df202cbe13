"""Solved cases that are chosen for the case at hand, as turns before its own.

A prompt file that names a pool of examples (``metadata.localprompt.examples``) shows, for each
case, those that are most like it by BM25 over the texts of its inputs, or by a model's embeddings
of them (:mod:`localprompt.running.nearness`). They are rendered by the prompt's own last turn, so
that they look as the case does, and each of their characters names the example it came from.
Examples that the file holds for other runtimes give way to them.

A row of the pool that equals the case at hand is never shown: it would tell the answer where a
prompt is evaluated on the rows that it learns from.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from localprompt.errors import PromptFileError
from localprompt.records.prompt import Example, Message, NearestExamples, Segment
from localprompt.rendering.retrieval import Index

_MOST_INDEXES = 8

Render = Callable[[Mapping[str, Any]], tuple[Message, ...]]
"""Values of the inputs → the prompt's messages without chosen examples."""


def with_nearest(
    messages: Sequence[Message],
    examples: NearestExamples,
    values: Mapping[str, Any],
    render: Render,
) -> tuple[Message, ...]:
    """The messages with the examples that are nearest to the values.

    Args:
        messages: of the case at hand; the turn of the case is the last one of the user.
    """
    at = last_user_turn(messages)
    if at is None:
        return tuple(messages)
    start = at - 2 * _standing(messages[:at], examples.fallback)
    shown = [
        turn
        for number in nearest(examples, values)
        for turn in _solved(examples.pool[number], number, render)
    ]
    return (*messages[:start], *shown, *messages[at:])


def nearest(examples: NearestExamples, values: Mapping[str, Any]) -> list[int]:
    """Positions in the pool, in the order in which they are shown."""
    if not examples.pool:
        return []
    ranked = _ranked(examples, text_of(values))
    others = (at for at in ranked if not _same(examples.pool[at].vars, values))
    found = [at for at, _ in zip(others, range(examples.count), strict=False)]
    return found[::-1] if examples.order == "nearest-last" else found


def _ranked(examples: NearestExamples, text: str) -> Sequence[int]:
    """
    Raises:
        PromptFileError: a model says what is near, and nobody has asked it.
    """
    if examples.by is None:
        return _index(examples.pool).ranked(text)
    if text not in examples.near:
        raise PromptFileError(
            "this prompt's examples are chosen by a model, which is not open here",
            where=examples.by.model,
            next_step="use run, eval or prompts show, or take examples.by out of the prompt file",
        )
    return examples.near[text]


def text_of(values: Mapping[str, Any]) -> str:
    """What a case is compared by: all texts among its values."""
    return "\n".join(_strings(values))


def last_user_turn(messages: Sequence[Message]) -> int | None:
    """Where the case at hand stands; None: nobody asks anything."""
    users = [at for at, message in enumerate(messages) if message.role == "user"]
    return users[-1] if users else None


def _standing(before: Sequence[Message], most: int) -> int:
    """How many pairs of a user's and an assistant's turn stand at the end, ``most`` at most."""
    pairs = 0
    while pairs < most:
        pair = before[len(before) - 2 * pairs - 2 : len(before) - 2 * pairs]
        if [message.role for message in pair] != ["user", "assistant"]:
            break
        pairs += 1
    return pairs


def _solved(example: Example, number: int, render: Render) -> Iterator[Message]:
    messages = render(example.vars)
    at = last_user_turn(messages)
    if at is None:
        return
    source = f"examples[{number}]"
    yield msgspec.structs.replace(
        messages[at],
        segments=tuple(
            segment
            if segment.source is None
            else Segment(segment.text, f"{source}.{segment.source}")
            for segment in messages[at].segments
        ),
    )
    yield Message("assistant", (Segment(example.answer, source),))


_indexes: OrderedDict[int, tuple[tuple[Example, ...], Index]] = OrderedDict()
"""By the pool's identity: hashing or comparing a pool would take longer than searching it."""


def _index(pool: tuple[Example, ...]) -> Index:
    found = _indexes.get(id(pool))
    if found is None or found[0] is not pool:
        found = _indexes[id(pool)] = (pool, Index([text_of(example.vars) for example in pool]))
        while len(_indexes) > _MOST_INDEXES:
            _indexes.popitem(last=False)
    return found[1]


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(other.get(name) == value for name, value in one.items())


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
