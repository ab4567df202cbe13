"""What a prompt's answer is held to, and what its author should know of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from localprompt.engine.base import Constraint
from localprompt.engine.constraints.answers import check_schema
from localprompt.engine.constraints.grammars import of_choices, of_grammar, of_lines
from localprompt.engine.constraints.holding import hold
from localprompt.engine.constraints.schema import Unheld
from localprompt.errors import PromptFileError
from localprompt.records.prompt import PromptTemplate


def constraint_of(template: PromptTemplate) -> Constraint | None:
    """A schema, a grammar, a closed set of answers, or nothing.

    Raises:
        PromptFileError: the schema or grammar cannot be followed.
    """
    if template.output_schema is not None:
        document = hold(template.output_schema, _where(template)).constraint
        return of_lines(document) if template.output_lines else document
    if template.grammar is not None:
        return of_grammar(template.grammar, template.grammar_path or _where(template, "grammar"))
    return of_choices(template.choices) if template.choices else None


def unheld_of(template: PromptTemplate) -> tuple[Unheld, ...]:
    """What of the schema is checked only when the answer is complete.

    Raises:
        PromptFileError: the schema or grammar cannot be followed.
    """
    constraint_of(template)
    if template.output_schema is None:
        return ()
    return hold(template.output_schema, _where(template)).unheld


def form_remarks(template: PromptTemplate) -> Iterator[tuple[str, str]]:
    """For :data:`localprompt.sources.prompt.lint.Form`."""
    for one in unheld_of(template):
        why = f" ({one.why})" if one.why else ""
        yield one.place, f"{one}{why}"
    if template.output_schema is not None:
        check_schema(template.output_schema, _where(template))


def check_strictly(template: PromptTemplate) -> None:
    """
    Raises:
        PromptFileError: not all of the schema holds while an answer is written.
    """
    unheld = unheld_of(template)
    if unheld:
        first, more = unheld[0], len(unheld) - 1
        place = f".{first.place}" if first.place else ""
        raise PromptFileError(
            f"{first.keyword} cannot be enforced while the answer is written",
            where=f"{_where(template)}{place}",
            expected="a schema that can be enforced from the first token on",
            found=first.why or (f"{more} more" if more else None),
            next_step="without --strict-schema it is checked when the answer is complete",
        )


def constraint_of_schema(schema: Mapping[str, Any]) -> Constraint:
    """
    Raises:
        PromptFileError: see :func:`localprompt.engine.constraints.holding.hold`.
    """
    return hold(schema).constraint


def _where(template: PromptTemplate, key: str = "outputs") -> str:
    return f"{template.path} ({key})" if template.path else key
