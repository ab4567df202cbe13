"""``localprompt run``: a prompt file with its parameters."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from localprompt.cli.options import LenientOption, ParamOption, RunFlags, takes

DETAILS = (
    "A required text that is not given with -p is read from stdin. The answer goes to stdout, "
    "its measurement to stderr."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptFlags(RunFlags):
    """As for ``ask``, and what only prompt files need."""

    param: ParamOption = None
    lenient: LenientOption = False


@takes(PromptFlags)
def command(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="A prompt's name or file.")],
    *,
    flags: PromptFlags,
) -> None:
    """Run a prompt file with its parameters."""
    from localprompt.cli.answer import answer, choices
    from localprompt.cli.output import stdin_text
    from localprompt.running.assemble import prompt_with_params, run_cell

    template, params = prompt_with_params(prompt, flags.param or [], stdin_text)
    answer(run_cell(template, params, choices(flags, lenient=flags.lenient)), flags)
