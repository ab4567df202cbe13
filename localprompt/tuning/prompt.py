"""The request that is tuned for: the user's prompt, with values that are typical of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from localprompt.errors import InputError, ParameterError
from localprompt.evaluate.loading import open_suite, typical_case
from localprompt.records.cell import Cell, SamplingChoices, sampling_for
from localprompt.records.evaluation import EvalRequest
from localprompt.records.model import ModelRecord
from localprompt.records.prompt import PromptTemplate
from localprompt.records.run import RequestedSettings
from localprompt.rendering.prompt import render_messages
from localprompt.running.assemble import prompt_with_params, with_threads
from localprompt.sources.prompt.search import load_named_prompt


def cell_to_tune(
    model: ModelRecord,
    prompt: str | None,
    suite: str | None,
    assignments: Sequence[str],
    *,
    max_tokens: int | None = None,
    force: bool = False,
) -> Cell:
    """The prompt with the model and the usual settings.

    Args:
        prompt: a name or a path; None: the suite's first.
        assignments: its parameters as typed; none: those of the case of median length, among the
            prompt's own cases.

    Raises:
        InputError: neither prompt nor suite, or parameters that nothing supplies.
        LocalPromptError: the prompt, the suite or the parameters are wrong.
    """
    if prompt is None and suite is None:
        raise InputError(
            "nothing to tune for",
            expected="--prompt, --suite, or both",
            next_step="localprompt tune smollm2-135m --prompt summarize --suite SUITE",
        )
    template, params = (
        _typed(prompt, assignments) if prompt and assignments else _typical(prompt, suite)
    )
    sampling = sampling_for(SamplingChoices(max_tokens=max_tokens), template.options)
    render_messages(template, params)  # tried once: what is missing is the user's mistake
    return Cell(
        kind="tune",
        model=model,
        template=template,
        params=params,
        sampling=sampling,
        settings=with_threads(RequestedSettings()),
        force=force,
    )


def _typed(prompt: str, assignments: Sequence[str]) -> tuple[PromptTemplate, dict[str, Any]]:
    return prompt_with_params(prompt, assignments, lambda: None)


def _typical(prompt: str | None, suite: str | None) -> tuple[PromptTemplate, dict[str, Any]]:
    """The case of median length."""
    if prompt is not None:
        template = load_named_prompt(prompt)
        needed = [spec.name for spec in template.inputs if spec.required]
        if not needed:
            return template, {}
        if template.cases is None:
            raise ParameterError(
                f"{template.name} has no cases to take values from",
                where=template.path,
                expected=f"-p for {', '.join(needed)}",
                next_step=f"localprompt tune … --prompt {prompt} -p {needed[0]}=@FILE",
            )
    read = open_suite(EvalRequest(suite=prompt or suite or ""))
    template = read.prompts[0].template
    return template, typical_case(read.cases()).vars
