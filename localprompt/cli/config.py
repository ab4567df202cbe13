"""``localprompt config``: defaults that are set once."""

from __future__ import annotations

from typing import Annotated

import typer

from localprompt.cli.help import Commands

app = Commands()
EXAMPLES = (
    "localprompt config show",
    "localprompt config set model qwen2.5-coder-0.5b",
    "localprompt config unset model",
)

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="model, threads, max_memory, shared, log or colours."),
]


@app.command(
    "show",
    examples=(
        "localprompt config show",
        "LOCALPROMPT_THREADS=2 localprompt config show",
        "localprompt config show | grep log",
    ),
)
def show() -> None:
    """Show what is set, and where: in the file or the environment."""
    from localprompt.sources.config import path, read_config, sources, variable
    from localprompt.units import UNKNOWN

    config, where = read_config(), sources()
    for name, source in where.items():
        value = getattr(config, name)
        shown = UNKNOWN if value is None else str(value)
        if isinstance(value, bool):
            shown = shown.lower()
        said = {"usual": "usual", "file": "file", "environment": variable(name)}[source]
        typer.echo(f"{name:<12}{shown:<24}{said}")
    typer.echo(f"file: {path()}")


@app.command(
    "set",
    examples=(
        "localprompt config set model qwen2.5-coder-0.5b",
        "localprompt config set threads 4",
        "localprompt config set log false",
    ),
)
def set_(
    name: Name,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Such as 4, 2GiB or false.")],
) -> None:
    """Set a default; what is typed with a command comes in its place."""
    from localprompt.sources.config import set_value

    set_value(name, value)


@app.command(
    "unset",
    examples=(
        "localprompt config unset model",
        "localprompt config unset threads",
        "localprompt config unset log",
    ),
)
def unset(name: Name) -> None:
    """Go back to the usual value."""
    from localprompt.sources.config import set_value

    set_value(name, None)
