"""The form of an answer as it is asked for on the command line: over what the prompt asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from localprompt.engine.constraints.prompts import check_strictly, constraint_of
from localprompt.errors import InputError
from localprompt.records.prompt import PromptTemplate
from localprompt.sources.prompt.file import read_grammar
from localprompt.sources.prompt.schemas import schema_from


class AnswerForm(msgspec.Struct, frozen=True):
    """What the user wants the answer to look like; nothing of it leaves it to the prompt."""

    schema: dict[str, Any] | None = None
    grammar: str | None = None
    grammar_path: str | None = None
    strict: bool = False
    """Refuse a schema of which a part could only be checked when the answer is complete."""
    complete_json: bool = False
    lines: bool = False
    """One or more documents of the schema, each on a line."""

    def given_to(self, template: PromptTemplate) -> PromptTemplate:
        """The prompt with this form instead of its own.

        Raises:
            PromptFileError: what the answer is to be held to cannot be followed.
            InputError: ``lines`` without a schema, ``complete_json`` without anything to complete
                the answer by.
        """
        if self.schema is not None or self.grammar is not None:
            template = msgspec.structs.replace(
                template,
                output_schema=self.schema,
                grammar=self.grammar,
                grammar_path=self.grammar_path,
                choices=(),
            )
        if self.lines:
            if template.output_schema is None:
                raise InputError(
                    "nothing says what a line holds",
                    where="--json-lines",
                    expected="a prompt with outputs, or --schema",
                )
            template = msgspec.structs.replace(template, output_lines=True)
        if self.strict:
            check_strictly(template)
        if self.complete_json and constraint_of(template) is None:
            raise InputError(
                "nothing says what a complete answer is",
                where="--complete-json",
                expected="a prompt with outputs, or --schema",
            )
        return template


def answer_form(
    schema: str | None, grammar: Path | None, *, strict: bool, complete_json: bool, lines: bool
) -> AnswerForm:
    """
    Raises:
        InputError: both a schema and a grammar, or the schema is neither a file nor fields.
        PromptFileError: the grammar cannot be read.
    """
    if schema is not None and grammar is not None:
        raise InputError(
            "an answer can follow a schema or a grammar, not both", where="--schema, --grammar"
        )
    return AnswerForm(
        schema=None if schema is None else schema_from(schema),
        grammar=None if grammar is None else read_grammar(grammar, "--grammar"),
        grammar_path=None if grammar is None else str(grammar),
        strict=strict,
        complete_json=complete_json,
        lines=lines,
    )
