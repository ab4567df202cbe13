"""``localprompt prompts``: prompt files, and what a model receives of them."""

from __future__ import annotations

from typing import Annotated

import typer

from localprompt.cli.help import Commands
from localprompt.cli.options import ChatTemplateOption, LenientOption, ModelOption, ParamOption
from localprompt.cli.output import console
from localprompt.errors import EXIT_INPUT
from localprompt.views.stream import data_out

app = Commands()
EXAMPLES = (
    "localprompt prompts list",
    "localprompt prompts show summarize -p text=@notes.txt",
    "localprompt prompts lint",
)


@app.command(
    "list",
    examples=(
        "localprompt prompts list",
        "localprompt prompts list | head",
        "localprompt prompts list && localprompt prompts show summarize",
    ),
)
def list_all() -> None:
    """List the prompts found by name: here, in the home folder, and those that ship."""
    from localprompt.sources.prompt.search import read_prompts
    from localprompt.views.messages import print_error, print_note
    from localprompt.views.prompts import print_prompt_list

    entries, problems = read_prompts()
    if not print_prompt_list(entries, console()):
        print_note("no prompts; make one with:  localprompt prompts new my-prompt")
    for problem in problems:
        print_error(problem)


@app.command(
    "show",
    examples=(
        "localprompt prompts show summarize",
        "localprompt prompts show summarize -p text=@notes.txt --tokens",
        "localprompt prompts show ./mine.prompty -m qwen2.5-coder-0.5b --json",
    ),
)
def show(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="A prompt's name or file.")],
    param: ParamOption = None,
    model: ModelOption = None,
    chat_template: ChatTemplateOption = None,
    lenient: LenientOption = False,
    tokens: Annotated[bool, typer.Option("--tokens", help="Every token on its own line.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Everything as one JSON object.")] = False,
) -> None:
    """Show exactly what the model receives; without parameters, what the file declares.

    With -p: messages, text and tokens, and which of them came from which variable. Only the
    model's vocabulary is opened.
    """
    from localprompt.records import json as record_json
    from localprompt.running.assemble import RunChoices, run_cell
    from localprompt.running.preview import receive
    from localprompt.sources.prompt.params import parse_params, required_inputs
    from localprompt.sources.prompt.search import load_named_prompt
    from localprompt.views.prompts import print_received, print_template

    template = load_named_prompt(prompt)
    params = parse_params(param or [], template)
    if not (params or lenient) and (template.unsupported or required_inputs(template)):
        if json:
            data_out().write(record_json.encode(template).decode() + "\n")
        else:
            print_template(template, console())
        return
    choices = RunChoices(model=model, chat_template=chat_template, lenient=lenient)
    received = receive(run_cell(template, params, choices))
    if json:
        data_out().write(record_json.encode(received).decode() + "\n")
    else:
        print_received(received, console(), every_token=tokens)


@app.command(
    "new",
    examples=(
        "localprompt prompts new tickets",
        "localprompt prompts new tickets --from classify-sentiment",
        "localprompt prompts new tickets --from ./mine.prompty",
    ),
)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the new prompt.")],
    origin: Annotated[
        str | None, typer.Option("--from", metavar="PROMPT", help="Copy this prompt and its cases.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write a prompt file into ./prompts that runs as it is."""
    from localprompt.sources.prompt.file import load_prompt
    from localprompt.sources.prompt.new import new_prompt
    from localprompt.sources.prompt.params import required_inputs
    from localprompt.views.messages import print_note

    made = new_prompt(name, origin=origin, force=force)
    template = load_prompt(made.path)
    given = "".join(f" -p {spec.name}=…" for spec in required_inputs(template))
    cases = f" and {made.cases}" if made.cases else ""
    print_note(f"wrote {made.path}{cases}; try:  localprompt run {template.name}{given}")


@app.command(
    "lint",
    examples=(
        "localprompt prompts lint",
        "localprompt prompts lint summarize ./mine.prompty",
        "localprompt prompts lint prompts --fix",
    ),
)
def lint(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROMPT|PATH", help="Names, files or folders; else ./prompts."),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Rewrite old and short forms; nothing else is touched.")
    ] = False,
) -> None:
    """Look for mistakes in prompt files. Exits with 2 if one of them cannot be loaded."""
    from localprompt.engine.constraints.prompts import form_remarks
    from localprompt.sources.prompt.check import check_prompts
    from localprompt.views.prompts import print_findings

    checked = check_prompts(prompts or [], fix=fix, form=form_remarks)
    print_findings(checked, console(), console(stderr=True))
    if any(file.has_errors for file in checked):
        raise typer.Exit(EXIT_INPUT)
