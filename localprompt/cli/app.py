"""The table of commands, and an app that imports only the one that was asked for.

Start-up time is part of what this program measures, so ``localprompt --help`` must not import
what only ``localprompt bench`` needs. The app is therefore built from :data:`COMMANDS`: the
command that the arguments name is imported, all others are stand-ins with a name and a line of
help.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, NamedTuple

import typer

import localprompt
from localprompt.cli.help import HelpCommand, HelpGroup


class Entry(NamedTuple):
    """A command or a group of commands."""

    module: str
    help: str
    group: bool = False
    """A group's module has an ``app``; a command's module has a ``command``."""


COMMANDS: dict[str, Entry] = {
    "ask": Entry("ask", "Ask a prompt typed in place, or given on stdin."),
    "chat": Entry("chat", "Hold a conversation; each turn evaluates only what is new."),
    "run": Entry("run", "Run a prompt file with its parameters, or a stored run again."),
    "prompts": Entry("prompts", "List, show, make and check prompt files.", group=True),
    "models": Entry("models", "List, show, fetch, add and check models.", group=True),
    "bundle": Entry(
        "bundle", "Check and install bundles for machines without a network.", group=True
    ),
    "bench": Entry("bench", "Measure latency and memory of prompts, models and settings."),
    "eval": Entry("eval", "Evaluate prompts and models over a dataset."),
    "improve": Entry("improve", "Find a better prompt and prove it on held-out cases."),
    "choose": Entry("choose", "Choose among models: quality, speed, memory, cost."),
    "tune": Entry("tune", "Find the fastest weights and settings for a prompt on this CPU."),
    "compare": Entry("compare", "Compare two stored benches, evaluations or runs."),
    "finetune": Entry(
        "finetune", "Estimate or measure what fine-tuning a model takes.", group=True
    ),
    "contrast": Entry("contrast", "Compare prompting with fine-tuning, measured and estimated."),
    "evidence": Entry("evidence", "Test the ten reasons for prompting on this machine."),
    "runs": Entry("runs", "Show what was run and measured.", group=True),
    "report": Entry("report", "Write stored results as one HTML page, or Markdown."),
    "serve": Entry("serve", "Serve a page here: try prompts, chat, look at runs."),
    "cluster": Entry("cluster", "Share evaluations and benches with other machines.", group=True),
    "config": Entry("config", "Show and set defaults.", group=True),
    "doctor": Entry("doctor", "Check what this machine and this build can do."),
}

EXAMPLES = (
    "localprompt models pull smollm2-135m",
    "localprompt ask 'Name a colour.'",
    "localprompt eval benchmarks/sentiment.yaml -m smollm2-135m",
)


def build_app(argv: Sequence[str] | None = None) -> typer.Typer:
    """The app for these arguments; with None, every command is imported (for the reference)."""
    app = typer.Typer(
        name="localprompt",
        help="The prompt laboratory for machines without a GPU: run, measure and compare "
        "prompts on quantized models, offline.",
        epilog="\n".join(EXAMPLES),
        cls=HelpGroup,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    wanted = None if argv is None else next((a for a in argv if not a.startswith("-")), "")
    for name, entry in COMMANDS.items():
        if wanted is None or name == wanted:
            _register(app, name, entry)
        else:
            app.command(name, help=entry.help)(_stand_in)
    return app


def with_optional_values(argv: Sequence[str]) -> list[str]:
    """The arguments as the parser takes them, which knows no option whose value may be left out."""
    if "--continue" not in argv:
        return list(argv)
    from localprompt.cli.ask import with_last

    return with_last(list(argv))


def _register(app: typer.Typer, name: str, entry: Entry) -> None:
    module = import_module(f"localprompt.cli.{entry.module}")
    examples = "\n".join(getattr(module, "EXAMPLES", ()))
    if entry.group:
        app.add_typer(
            module.app,
            name=name,
            help=entry.help,
            epilog=examples,
            cls=HelpGroup,
            no_args_is_help=True,
        )
    else:
        details = f"{entry.help}\n\n{module.DETAILS}"
        app.command(name, help=details, epilog=examples, cls=HelpCommand)(module.command)


def _stand_in() -> None:
    """Never runs: a command that was not named on the command line."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"localprompt {localprompt.__version__}")
        raise typer.Exit


def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass
