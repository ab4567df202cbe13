"""What a prompt's answer is held to."""

from __future__ import annotations

from typing import Any

from localprompt.engine.base import Constraint
from localprompt.engine.constraints.grammars import of_choices
from localprompt.engine.constraints.holding import hold
from localprompt.records.prompt import PromptTemplate


def constraint_of(template: PromptTemplate) -> Constraint | None:
    """A schema, a closed set of answers, or nothing."""
    if template.output_schema:
        return constraint_of_schema(template.output_schema)
    return of_choices(template.choices) if template.choices else None


def constraint_of_schema(schema: Any) -> Constraint:
    """
    Raises:
        PromptFileError: see :func:`localprompt.engine.constraints.holding.hold`.
    """
    return hold(schema).constraint
