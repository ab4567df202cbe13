"""A collection of schemas with valid and invalid documents: what is held, and how long it takes.

For each schema: the time from its text to a constraint, whether it is refused, and what is left
to the check of the finished answer. For each document: may it be written, in some order of its
properties? An invalid one that may be written has to fail that check.

    python -m benchmarks.schemas FILE

FILE is JSON: a list of pairs of a name and a mapping with ``schema``, and ``tests`` of ``data`` and
``valid``. Public collections can be brought into that form; none is part of this project.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llguidance import LLMatcher, LLTokenizer

from localprompt.engine.base import Constraint
from localprompt.engine.constraints import schema as reading
from localprompt.engine.constraints.answers import parse_output
from localprompt.engine.constraints.grammars import limits
from localprompt.engine.constraints.holding import _hold, hold
from localprompt.errors import LocalPromptError

MOST_STEPS = 50_000
"""Of trying the orders of a document's properties."""


class Writer:
    """Tries to write documents under a constraint."""

    def __init__(self, constraint: Constraint) -> None:
        self._start = LLMatcher(
            LLTokenizer("byte", slices=[]), constraint.grammar, log_level=0, limits=limits()
        )
        self._left = 0

    def writes(self, document: Any) -> bool | None:
        """None: there are too many orders of its properties to try."""
        self._left = MOST_STEPS
        ways = self._value(self._start.deep_copy(), document)
        found = any(matcher.is_accepting() for matcher in ways)
        return found or (False if self._left >= 0 else None)

    def _value(self, matcher: LLMatcher, value: Any) -> Iterator[LLMatcher]:
        if isinstance(value, dict) and value:
            yield from self._members(matcher, dict(value), "{")
        elif isinstance(value, list) and value:
            yield from self._items(matcher, value, 0)
        else:
            yield from self._text(matcher, json.dumps(value, ensure_ascii=False))

    def _members(self, matcher: LLMatcher, left: dict[str, Any], lead: str) -> Iterator[LLMatcher]:
        """Those orders first that leave the most of the other properties possible."""
        if not left:
            yield from self._text(matcher, "}")
            return
        ways = []
        for name, value in left.items():
            rest = {other: one for other, one in left.items() if other != name}
            for after_key in self._text(matcher, f"{lead}{_quoted(name)}: "):
                for after in self._value(after_key, value):
                    keys = (f", {_quoted(other)}: " for other in rest)
                    possible = sum(any(True for _ in self._text(after, key)) for key in keys)
                    ways.append((possible, after, rest))
        for _, after, rest in sorted(ways, key=lambda way: -way[0]):
            yield from self._members(after, rest, ", ")

    def _items(self, matcher: LLMatcher, items: list[Any], at: int) -> Iterator[LLMatcher]:
        if at == len(items):
            yield from self._text(matcher, "]")
            return
        for before in self._text(matcher, ", " if at else "["):
            for after in self._value(before, items[at]):
                yield from self._items(after, items, at + 1)

    def _text(self, matcher: LLMatcher, text: str) -> Iterator[LLMatcher]:
        self._left -= 1
        if self._left < 0:
            return
        data = list(text.encode())
        copy = matcher.deep_copy()
        if copy.try_consume_tokens(data) == len(data):
            yield copy


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    named = json.loads(options.file.read_text(encoding="utf-8"))
    seconds: list[float] = []
    counts: Counter[str] = Counter()
    unheld: Counter[str] = Counter()
    for name, content in named:
        started = time.perf_counter()
        try:
            holding = hold(content["schema"])
        except LocalPromptError as error:
            counts["schemas refused"] += 1
            print(f"{name}: refused: {error}")
            continue
        finally:
            seconds.append(time.perf_counter() - started)
        counts["schemas of which a part is left to the check"] += bool(holding.unheld)
        unheld.update({one.keyword for one in holding.unheld})
        for said in _judge(content, holding.constraint):
            counts[said] += 1
            if "REFUSED" in said or "THROUGH" in said:
                print(f"{name}: {said}")
    seconds.sort()
    print(
        f"{len(named)} schemas; compiled in {1000 * statistics.median(seconds):.1f} ms at the "
        f"median, {1000 * seconds[int(0.99 * len(seconds))]:.0f} ms at 99 per cent, "
        f"{seconds[-1]:.2f} s at the most"
    )
    for what, count in sorted(counts.items()):
        print(f"{count:6} {what}")
    print("left to the check, schemas by keyword:", dict(unheld.most_common()))
    return 0


def _judge(content: dict[str, Any], constraint: Constraint) -> Iterator[str]:
    writer, wide = Writer(constraint), None
    for test in content.get("tests", ()):
        written = writer.writes(test["data"])
        if test["valid"]:
            if written:
                yield "valid documents that may be written"
                continue
            wide = wide or Writer(_with_open_objects(content["schema"]))
            wider = wide.writes(test["data"])
            if wider:
                yield "valid documents with properties that an object does not mention"
            elif wider is None or written is None:
                yield "valid documents with too many orders of properties to try"
            else:
                yield "valid documents REFUSED"
        elif not written:
            yield "invalid documents that cannot be written"
        else:
            text = json.dumps(test["data"], ensure_ascii=False)
            passed = parse_output(text, content["schema"], "stop")[1] is None
            yield (
                "invalid documents let THROUGH"
                if passed
                else ("invalid documents that only the check finds")
            )


def _with_open_objects(schema: Any) -> Constraint:
    closing = reading._can_close
    try:
        vars(reading)["_can_close"] = lambda _: False
        _hold.cache_clear()
        return hold(schema).constraint
    finally:
        vars(reading)["_can_close"] = closing
        _hold.cache_clear()


if __name__ == "__main__":
    sys.exit(main())
