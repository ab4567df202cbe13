"""Small changes to a wording that did well; none needs a model or asks for something else. Pure.

The race of the wordings settles where the instruction stands and what the prompt ends with. What is
left moves a small model as well, and is asked of the best wordings only: in which order the answers
are named, which words say them, how an answer begins, whether the input stands in quotes. Each is
made by itself; what did best is then put together with the next best of another kind.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import msgspec

from localprompt.improve.labels import LabelWords, with_words
from localprompt.improve.turns import body_of, simple, turns_of
from localprompt.improve.wordings import Wording, names_of_answer
from localprompt.records.prompt import PromptTemplate

_INPUT_LINE = re.compile(r"^(?P<label>[^\n{}\"]*)(?P<variable>{{[^{}]*}})[ \t]*$", re.MULTILINE)
_BETWEEN = r"(?:, or |, and |, |/| or | and )"


@dataclasses.dataclass(frozen=True)
class Change:
    """One small change.

    Attributes:
        kind: two changes of one kind exclude each other.
        made: a wording → the changed one; None where there is nothing to change.
    """

    kind: Literal["words", "order", "quotes"]
    made: Callable[[Wording], Wording | None]


def changes_of(template: PromptTemplate, sets: Sequence[LabelWords]) -> tuple[Change, ...]:
    """What can be changed of a prompt with closed answers.

    Args:
        sets: other words for the choices.
    """
    choices = template.choices
    parts = simple(template.body)
    inputs = [field.name for field in parts.fields] if parts else []
    named = names_of_answer(template, inputs)
    field = inputs[0].replace("_", " ") if len(inputs) == 1 else None

    def other_words(words: LabelWords) -> Change:
        return Change("words", lambda wording: with_words(wording, words))

    def sentence(frame: str) -> Change:
        return Change("words", lambda wording: _said(wording, choices, frame))

    def order(wording: Wording) -> Wording | None:
        body = other_way_round(wording.body, choices)
        return _changed(wording, "labels the other way round", body)

    def quotes(wording: Wording) -> Wording | None:
        return _changed(wording, "input in quotes", in_quotes(wording.body))

    return (
        *map(other_words, sets),
        *map(sentence, sentences(named, field)),
        Change("order", order),
        Change("quotes", quotes),
    )


def sentences(named: Sequence[str], field: str | None) -> Iterator[str]:
    """Sentences that say an answer. The model is offered the whole of it for each choice: what all
    have in common is an answer that has been begun, and decides nothing by itself.

    Args:
        named: what the answer may be called: ``sentiment``.
        field: the one input, as people call it: ``review``; None where there are several.
    """
    yield f"{named[0].capitalize() if named else 'Answer'}: {{}}"
    yield "The answer is {}"
    if field is not None:
        yield f"This {field} is {{}}"
    if field is not None and named:
        yield f"The {named[0]} of the {field} is {{}}"


def other_way_round(body: str, choices: Sequence[str]) -> str:
    """The template with each list of all its choices in the reverse order.

    Only where they stand one after the other, with nothing but commas, slashes, *or* and *and*
    between them: in ``positive if the customer is happy, negative if not`` the order says more.
    """
    if len(choices) < 2:
        return body
    one = "|".join(re.escape(choice) for choice in sorted(choices, key=len, reverse=True))
    more = f"(?:{_BETWEEN}(?:{one})){{{len(choices) - 1}}}"
    listed = re.compile(rf"(?<!\w)(?:{one}){more}(?!\w)", re.IGNORECASE)
    return listed.sub(lambda hit: _reversed(hit[0], one, len(choices)), body)


def _reversed(text: str, one: str, count: int) -> str:
    pieces = re.split(f"({one})", text, flags=re.IGNORECASE)
    said = pieces[1::2]
    if len({word.casefold() for word in said}) < count:
        return text
    if said[0][:1].isupper() and said[-1][:1].islower():  # it begins a sentence
        said = [said[0][:1].lower() + said[0][1:], *said[1:-1], said[-1].capitalize()]
    pieces[1::2] = said[::-1]
    return "".join(pieces)


def in_quotes(body: str) -> str:
    """The template with the inputs of its last turn in quotes, where they end a line."""
    *before, last = turns_of(body)
    text = _INPUT_LINE.sub(r'\g<label>"\g<variable>"', last.text)
    if text == last.text or "{%" in body:
        return body
    return body_of([*before, msgspec.structs.replace(last, text=text)])


def _said(wording: Wording, choices: Sequence[str], frame: str) -> Wording | None:
    if wording.words:
        return None
    words = tuple((choice, frame.format(choice)) for choice in choices)
    return Wording(f"{wording.name}, answers said '{frame.format('…')}'", wording.body, words)


def _changed(wording: Wording, name: str, body: str) -> Wording | None:
    if body.strip() == wording.body.strip():
        return None
    return Wording(f"{wording.name}, {name}", body, wording.words)
