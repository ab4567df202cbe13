"""What an answer is worth: is it what the prompt asked for, and what should its reader know?

A prompt with ``outputs`` or ``choices`` asks for an answer of a certain form. The grammar sees to
that while the answer is generated; here it is checked once more, and an answer that is cut short
or does not hold is reported as such. Pure functions over what the engine said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from localprompt.engine.base import EncodedPrompt
from localprompt.engine.constraints.answers import parse_output
from localprompt.records.cell import Cell
from localprompt.records.run import FinishReason, Output, RunWarning, TokenCounts

NOT_PARSED = "output_not_parsed"
"""Code of the warning that the answer is not of the form that the prompt asks for."""


def judge(
    cell: Cell,
    prompt: EncodedPrompt,
    counts: TokenCounts,
    text: str,
    reason: FinishReason,
    n_ctx_train: int,
) -> tuple[Output, tuple[RunWarning, ...]]:
    """The answer as it is recorded, and the warnings that go with it."""
    parsed, problem = _parse(cell, text, reason)
    output = Output(text=text, parsed=parsed, finish_reason=reason)
    warnings = [*_of_context(cell, counts, n_ctx_train), *_of_template(cell, prompt)]
    if problem is not None:
        advice = ""
        if reason == "length":
            full = counts.completion < cell.sampling.max_tokens
            advice = "raise --n-ctx" if full else "raise --max-tokens"
        warnings.insert(0, RunWarning(NOT_PARSED, problem, advice))
    return output, tuple(warnings)


def _parse(cell: Cell, text: str, reason: FinishReason) -> tuple[Any, str | None]:
    template = cell.template
    if template.output_schema:
        return parse_output(text, template.output_schema, reason)
    if template.choices and text not in template.choices:
        return None, f"the answer is none of the choices ({reason})"
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
