"""How free answers are made: their longest length, where they stop, how they are drawn; pure.

A small model rambles: it answers, and then goes on with a question of its own. Where an answer may
end, and how long it may be, is as much a part of a prompt as its words are. Closed answers have
none of this: they are compared, not written.
"""

from __future__ import annotations

from collections.abc import Iterator

from localprompt.improve.variants import Answering
from localprompt.records.prompt import PromptTemplate

_USUAL_TOKENS = 128
"""Where a prompt does not say how long an answer may be."""
_LEAST_TOKENS = 8
_MOST_TOKENS = 512
_WARM = 0.3
LINE = "\n"


def answerings(template: PromptTemplate) -> Iterator[Answering]:
    """Other ways to make the prompt's answers; none for closed ones.

    An answer with a form (a schema, a grammar) ends by itself, so it is not stopped at a line and
    not made shorter: it would only be cut off.
    """
    if template.choices:
        return
    options = template.options
    held = template.output_schema is not None or template.grammar is not None
    longest = int(options.get("maxOutputTokens") or _USUAL_TOKENS)
    stops = list(options.get("stopSequences") or ())
    if not held and LINE not in stops:
        yield Answering("stops at the end of the line", {"stopSequences": [*stops, LINE]})
    if not held and longest // 2 >= _LEAST_TOKENS:
        yield _up_to(longest // 2)
    if longest * 2 <= _MOST_TOKENS:
        yield _up_to(longest * 2)
    if options.get("temperature", 0):
        yield Answering("the likeliest token each time", {"temperature": 0})
    else:
        yield Answering(f"temperature {_WARM:g}", {"temperature": _WARM})


def _up_to(tokens: int) -> Answering:
    return Answering(f"up to {tokens} tokens", {"maxOutputTokens": tokens})
