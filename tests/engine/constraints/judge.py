"""Does a constraint let a text through? Asked a byte at a time, without any model."""

from __future__ import annotations

import json
from typing import Any

from llguidance import LLMatcher, LLTokenizer

from localprompt.engine.base import Constraint
from localprompt.engine.constraints.grammars import limits
from localprompt.engine.constraints.holding import hold


def admits(constraint: Constraint, text: str) -> bool:
    """Whether the text is a complete answer."""
    matcher = LLMatcher(
        LLTokenizer("byte", slices=[]), constraint.grammar, log_level=0, limits=limits()
    )
    assert not matcher.is_error(), matcher.get_error()
    data = list(text.encode())
    return bool(matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting())


def schema_admits(schema: Any, document: Any) -> bool:
    return admits(hold(schema).constraint, json.dumps(document, ensure_ascii=False))
