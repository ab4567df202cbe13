"""Text that remembers where its characters came from.

A rendered prompt is one string to the model and three things to us: the chat template's words,
the prompt file's words, and the user's values. Which is which decides what may become a role line
or a control token, so it has to survive everything that a template does on the way: concatenation,
``trim``, slicing, macros. :class:`TracedText` is a ``str`` that carries its spans through those.

The rule that makes it safe: text is somebody's own words only where the compiler of the template
said so. An operation that this class does not know returns an ordinary ``str``, and ordinary text
counts as a variable's. Attribution may become vaguer on the way, never more trusting.

Invariant: ``"".join(span.text for span in spans_of(text)) == text``.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any, SupportsIndex

from localprompt.records.json import well_formed
from localprompt.records.prompt import UNNAMED, Origin, Segment, Span


class TracedText(str):
    """A string made of spans; equal to, and usable as, the plain string."""

    __slots__ = ("_spans",)
    _spans: tuple[Span, ...]

    def __new__(cls, spans: Iterable[Span]) -> TracedText:
        merged = tuple(_merge(spans))
        self = super().__new__(cls, "".join(span.text for span in merged))
        self._spans = merged
        return self

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> str:
        if not isinstance(other, str):
            return NotImplemented
        return TracedText((*self._spans, *spans_of(other)))

    def __radd__(self, other: str) -> str:
        if not isinstance(other, str):
            return NotImplemented
        return TracedText((*spans_of(other), *self._spans))

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                return super().__getitem__(key)
        else:
            start = operator.index(key)
            start += len(self) if start < 0 else 0
            if not 0 <= start < len(self):
                raise IndexError("string index out of range")
            stop = start + 1
        return next(self._cut([(start, stop)]))

    def strip(self, chars: str | None = None, /) -> str:
        start = len(self) - len(super().lstrip(chars))
        return self[start : start + len(super().strip(chars))]

    def lstrip(self, chars: str | None = None, /) -> str:
        return self[len(self) - len(super().lstrip(chars)) :]

    def rstrip(self, chars: str | None = None, /) -> str:
        return self[: len(super().rstrip(chars))]

    def removeprefix(self, prefix: str, /) -> str:
        return self[len(prefix) :] if prefix and self.startswith(prefix) else self

    def removesuffix(self, suffix: str, /) -> str:
        return self[: -len(suffix)] if suffix and self.endswith(suffix) else self

    def upper(self) -> str:
        return self._spanwise(super().upper(), [span.text.upper() for span in self._spans])

    def lower(self) -> str:
        return self._spanwise(super().lower(), [span.text.lower() for span in self._spans])

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._locate(super().split(sep, maxsplit), sep)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._locate(super().rsplit(sep, maxsplit), sep)

    def splitlines(self, keepends: bool = False) -> list[str]:
        ranges = []
        start = 0
        for line, kept in zip(
            super().splitlines(keepends), super().splitlines(keepends=True), strict=True
        ):
            ranges.append((start, start + len(line)))
            start += len(kept)
        return list(self._cut(ranges))

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        before, found, _ = super().partition(sep)
        edge = len(before) + len(found)
        return self[: len(before)], self[len(before) : edge], self[edge:]

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        before, found, _ = super().rpartition(sep)
        edge = len(before) + len(found)
        return self[: len(before)], self[len(before) : edge], self[edge:]

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        if not old:
            return super().replace(old, new, count)
        kept = self.split(old, count)
        return TracedText(_interleave(kept, spans_of(new)))

    def join(self, iterable: Iterable[str], /) -> str:
        return TracedText(_interleave(iterable, self._spans))

    def _spanwise(self, whole: str, parts: list[str]) -> str:
        """``whole``, traced where it is the same as its parts (casing may depend on neighbours)."""
        if "".join(parts) != whole:
            return whole
        return TracedText(
            Span(part, span.origin, span.source)
            for part, span in zip(parts, self._spans, strict=True)
        )

    def _locate(self, parts: list[str], sep: str | None) -> list[str]:
        """Find the parts of a split again, from left to right."""
        ranges = []
        cursor = 0
        for part in parts:
            start = cursor if sep is not None else self.find(part, cursor)
            ranges.append((start, start + len(part)))
            cursor = start + len(part) + len(sep or "")
        return list(self._cut(ranges))

    def _cut(self, ranges: Iterable[tuple[int, int]]) -> Iterator[TracedText]:
        """The texts of ranges that follow each other; one pass over spans and ranges together."""
        index, offset = 0, 0
        for start, stop in ranges:
            while index < len(self._spans) and offset + len(self._spans[index].text) <= start:
                offset += len(self._spans[index].text)
                index += 1
            pieces = []
            at, position = index, offset
            while at < len(self._spans) and position < stop:
                span = self._spans[at]
                text = span.text[max(start - position, 0) : stop - position]
                pieces.append(Span(text, span.origin, span.source))
                position += len(span.text)
                at += 1
            yield TracedText(pieces)


def traced(text: str, origin: Origin, source: str | None = None) -> TracedText:
    """Text of one origin."""
    return TracedText((Span(text, origin, source),))


def spans_of(text: str) -> tuple[Span, ...]:
    """The spans of any string; ordinary text is a variable's, of unknown name."""
    if isinstance(text, TracedText):
        return text._spans
    return (Span(str.__str__(text), "variable"),) if text else ()


def trace_values(value: Any, origin: Origin, source: str | None = None) -> Any:
    """A copy of plain data in which every string knows its origin; other objects stay."""
    if isinstance(value, TracedText):
        return value
    if type(value) is str:
        return traced(value, origin, source)
    if type(value) is list:
        return [trace_values(item, origin, source) for item in value]
    if type(value) is tuple:
        return tuple(trace_values(item, origin, source) for item in value)
    if type(value) is dict:
        return {
            trace_values(key, origin, source): trace_values(item, origin, source)
            for key, item in value.items()
        }
    return value


def from_segments(segments: Iterable[Segment]) -> TracedText:
    return TracedText(
        Span(segment.text, "template" if segment.source is None else "variable", segment.source)
        for segment in segments
    )


def to_segments(text: str) -> tuple[Segment, ...]:
    """The text as messages have it: what UTF-8 cannot hold, no model can read, is U+FFFD."""
    return tuple(
        Segment(
            well_formed(span.text), None if span.origin == "template" else span.source or UNNAMED
        )
        for span in spans_of(text)
    )


def _merge(spans: Iterable[Span]) -> Iterator[Span]:
    """Leave out empty spans and join neighbours of the same origin."""
    run: list[Span] = []
    for span in spans:
        if not span.text:
            continue
        if run and (span.origin, span.source) != (run[0].origin, run[0].source):
            yield _joined(run)
            run = []
        run.append(span)
    if run:
        yield _joined(run)


def _joined(run: list[Span]) -> Span:
    if len(run) == 1:
        return run[0]
    return Span("".join(span.text for span in run), run[0].origin, run[0].source)


def _interleave(parts: Iterable[str], between: tuple[Span, ...]) -> Iterator[Span]:
    for index, part in enumerate(parts):
        if index:
            yield from between
        yield from spans_of(part)
