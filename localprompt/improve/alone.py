"""What each of the winner's changes gives by itself, on the selection part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localprompt.improve.examples import NONE, can_take_block, can_take_examples
from localprompt.improve.field import Field
from localprompt.improve.judging import judged
from localprompt.improve.variants import Answering, Variant
from localprompt.records.improvement import Alone, Searched, Weighing
from localprompt.sources.suite.records import EvalCase
from localprompt.stats.paired import compare_scores


def alone_on(
    cases: Sequence[EvalCase], field: Field, winner: Variant, weighing: Weighing
) -> Iterator[Alone]:
    """Each change made to the original and nothing else; none where there was only one change.

    Args:
        cases: of the selection part.
    """
    original, own, metric = field.original, field.own, field.metric
    usual = judged(cases, field.results[original.key], own, metric)
    tried = list(_changes(original, own, winner, weighing))
    for change, what, variant, way in tried if len(tried) > 1 else ():
        field.add(variant)
        try:
            field.ask(variant, cases)
        except ValueError:
            continue
        ways: dict[str, Weighing] = {
            one.name: one for one in field.ways(variant, fitted=way == "fitted")
        }
        chosen = own if way == "raw" else ways.get(way, own)
        theirs = judged(cases, field.results[variant.key], chosen, metric)
        pairs = [
            (a.value, b.value)
            for a, b in zip(usual, theirs, strict=True)
            if a.value is not None and b.value is not None
        ]
        if pairs:
            compared = compare_scores([a for a, _ in pairs], [b for _, b in pairs])
            yield Alone(change, what, compared.difference, compared.interval)


def _changes(
    original: Variant, own: Weighing, winner: Variant, weighing: Weighing
) -> Iterator[tuple[Searched, str, Variant, str]]:
    """What changed, in words, the original with it, and the way of weighing that it is seen by."""
    if winner.wording != original.wording:
        yield "wordings", winner.wording.name, Variant(winner.wording), "raw"
    body = original.wording.body
    able = can_take_block if winner.examples.block else can_take_examples
    if winner.examples != NONE and able(body):
        yield (
            "examples",
            winner.examples.name,
            Variant(original.wording, winner.examples),
            "raw",
        )
    if winner.answering != Answering():
        alone = Variant(original.wording, answering=winner.answering)
        yield "answers", winner.answering.name, alone, "raw"
    if weighing != own:
        yield "scoring", weighing.name, original, weighing.name
