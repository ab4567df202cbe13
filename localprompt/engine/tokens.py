"""Which parts of a rendered prompt may become control tokens, and where each token came from.

llama.cpp tokenizes with or without ``parse_special``: either every stretch that spells a control
token becomes one, or none does. Neither is right for a prompt: the chat template's
``<|im_end|>`` has to be a control token, and the same characters in a user's text must not be.
So the text is cut here, at the control tokens that the *chat template* wrote, and only there.
What lies between is tokenized as plain text in one piece, across the borders of template and
values, because that is how the model saw such text in training.

Pure functions over text and bytes; the vocabulary is asked elsewhere.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from localprompt.rendering.chat import Span


class ControlPiece(msgspec.Struct, frozen=True):
    """A control token that the chat template wrote."""

    token_id: int
    span: Span


class PlainPiece(msgspec.Struct, frozen=True):
    """Text between control tokens, with the spans it is made of."""

    spans: tuple[Span, ...]

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)


def split_at_controls(
    spans: Iterable[Span], controls: dict[str, int]
) -> Iterator[ControlPiece | PlainPiece]:
    """Cut spans at the control tokens written by the chat template.

    Args:
        spans: the rendered prompt, in order.
        controls: text of each control token → its id; longer texts win over shorter.
    """
    pattern = re.compile(
        "|".join(re.escape(text) for text in sorted(controls, key=len, reverse=True)) or r"(?!)"
    )
    plain: list[Span] = []
    for span in spans:
        if span.origin != "chat_template":
            plain.append(span)
            continue
        end = 0
        for match in pattern.finditer(span.text):
            if match.start() > end:
                plain.append(Span(span.text[end : match.start()], span.origin, span.source))
            if plain:
                yield PlainPiece(tuple(plain))
                plain = []
            yield ControlPiece(
                controls[match.group()], Span(match.group(), span.origin, span.source)
            )
            end = match.end()
        if end < len(span.text):
            plain.append(Span(span.text[end:], span.origin, span.source))
    if plain:
        yield PlainPiece(tuple(plain))


def without_start(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans without their leading white space."""
    rest = list(spans)
    while rest:
        first = rest.pop(0)
        text = first.text.lstrip()
        if text:
            return (Span(text, first.origin, first.source), *rest)
    return ()


def without_end(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The spans without their trailing white space."""
    rest = list(spans)
    while rest:
        last = rest.pop()
        text = last.text.rstrip()
        if text:
            return (*rest, Span(text, last.origin, last.source))
    return ()


def defuse(text: str, controls: Iterable[str]) -> list[str]:
    """Cut text inside everything that spells a control token, so that no part does.

    Needed for vocabularies that mark a control token as "user defined": llama.cpp recognizes
    those in plain text too. The parts, joined, are the text.
    """
    markers = [re.escape(control) for control in controls if len(control) > 1]
    if not markers:
        return [text]
    cuts = [match.start() + 1 for match in re.finditer(f"(?=({'|'.join(markers)}))", text)]
    edges = [0, *cuts, len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges) if b > a]


def attribute(pieces: Sequence[bytes], spans: Sequence[Span]) -> list[Span]:
    """The span that each token belongs to: the one that covers most of its bytes.

    A tie goes to the variable, so that no part of a value is ever called the template's.
    A tokenizer may add a space before the first token; such a byte belongs to no span.

    Args:
        pieces: the bytes of each token; joined they are the spans' text as UTF-8, except for
            what the tokenizer added or normalized.
        spans: non-empty.
    """
    owners: list[int] = []
    for index, span in enumerate(spans):
        owners.extend([index] * len(span.text.encode()))
    added = max(0, sum(map(len, pieces)) - len(owners))
    result = []
    position = -added
    for piece in pieces:
        inside = owners[max(position, 0) : max(position + len(piece), 0)]
        position += len(piece)
        if not inside:
            result.append(spans[owners[-1] if owners and position > 0 else 0])
            continue
        result.append(
            spans[
                max(
                    dict.fromkeys(inside),
                    key=lambda i: (inside.count(i), spans[i].origin == "variable"),
                )
            ]
        )
    return result
