"""What an answer is worth: is it what the prompt asked for, and what should its reader know?

A prompt with ``outputs`` or ``choices`` asks for an answer of a certain form. The grammar sees to
that while the answer is generated; here it is checked once more, and an answer that is cut short
or does not hold is reported as such. Pure functions over what the engine said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from localprompt.engine.base import EncodedPrompt
from localprompt.engine.constraints.answers import parse_lines, parse_output
from localprompt.engine.constraints.prompts import constraint_of, unheld_of
from localprompt.records.cell import Cell
from localprompt.records.run import FinishReason, Output, RunWarning, TokenCounts

NOT_PARSED = "output_not_parsed"
"""Code of the warning that the answer is not of the form that the prompt asks for."""
NOT_HELD = "schema_not_held"
"""Code of the warning that a part of the schema is only checked when the answer is complete."""
COMPLETED = "output_completed"
"""Code of the warning that the end of the answer is not the model's."""
MOST_NAMED = 3
"""Parts of a schema that a run names one by one."""


def judge(
    cell: Cell,
    prompt: EncodedPrompt,
    counts: TokenCounts,
    text: str,
    reason: FinishReason,
    n_ctx_train: int,
) -> tuple[Output, tuple[RunWarning, ...]]:
    """The answer as it is recorded, and the warnings that go with it."""
    warnings = [
        *_of_schema(cell),
        *_of_context(cell, counts, n_ctx_train),
        *_of_template(cell, prompt),
    ]
    ending = _ending(cell, text) if reason == "length" else None
    if ending is not None and cell.complete_json:
        parsed, problem = _parse(cell, text + ending, "stop")
        output = Output(text + ending, parsed, reason, completed=ending)
        message = f"the answer was cut; {ending!r} was added to close it"
        warnings.insert(0, RunWarning(COMPLETED, message, "raise --max-tokens"))
    else:
        parsed, problem = _parse(cell, text, reason)
        output = Output(text, parsed, reason)
    if problem is not None:
        advice = _more_room(cell, counts, ending) if reason == "length" else ""
        warnings.insert(0, RunWarning(NOT_PARSED, problem, advice))
    return output, tuple(warnings)


def _ending(cell: Cell, text: str) -> str | None:
    """What the answer lacks; None where it is held to nothing, or its end is not known."""
    constraint = constraint_of(cell.template)
    if constraint is None:
        return None
    from localprompt.engine.constraints.completion import shortest_ending

    return shortest_ending(constraint, text)


def _more_room(cell: Cell, counts: TokenCounts, ending: str | None) -> str:
    if counts.completion < cell.sampling.max_tokens:
        return "raise --n-ctx"
    if not ending:
        return "raise --max-tokens"
    # A token has a byte at least.
    enough = counts.completion + len(ending.encode())
    return f"raise --max-tokens: {enough} is enough for the shortest answer that begins like this"


def _of_schema(cell: Cell) -> Iterator[RunWarning]:
    unheld = unheld_of(cell.template)
    for one in unheld[:MOST_NAMED]:
        yield RunWarning(NOT_HELD, str(one), "--strict-schema refuses such a schema")
    if len(unheld) > MOST_NAMED:
        more = f"{len(unheld) - MOST_NAMED} more parts of the schema are checked afterwards"
        yield RunWarning(NOT_HELD, more, "localprompt prompts lint names them all")


def _parse(cell: Cell, text: str, reason: FinishReason) -> tuple[Any, str | None]:
    template = cell.template
    if template.output_schema is not None:
        parse = parse_lines if template.output_lines else parse_output
        return parse(text, template.output_schema, reason)
    if template.choices and text not in template.choices:
        return None, f"the answer is not one of the choices ({reason})"
    return None, None


def _of_context(cell: Cell, counts: TokenCounts, n_ctx_train: int) -> Iterator[RunWarning]:
    used = counts.prompt + counts.completion
    if used > n_ctx_train:
        yield RunWarning(
            "beyond_n_ctx_train",
            f"{used} tokens are more than the {n_ctx_train} that {cell.model.name} was trained on",
            "do not trust the answer; shorten the prompt",
        )


def _of_template(cell: Cell, prompt: EncodedPrompt) -> Iterator[RunWarning]:
    name = cell.model.name
    if prompt.chat_template_sha256 is None:
        yield RunWarning(
            "no_chat_template",
            f"{name} has no chat template: the prompt is a plain completion",
            "write the prompt so that its continuation is the answer, "
            "or use a model tuned for chat",
        )
    if prompt.system_folded:
        yield RunWarning(
            "system_folded",
            f"{name} knows no system role: its text was put before the user's",
            "",
        )
    if prompt.rewritten:
        yield RunWarning(
            "chat_template_rewrites",
            "the chat template changes the text of messages: token origins are approximate",
            "",
        )
