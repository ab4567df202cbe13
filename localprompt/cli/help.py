"""What all commands have in common: help in panels with examples, names by their parts, completion.

An option's name says which panel it stands in, so that ``--n-ctx`` is under Engine in every
command, and nobody who adds a command has to think of it. What no panel claims is Common, which
comes first, and in it what has a short name: that is what people type most.

What is typed for a ``MODEL`` or a ``PROMPT`` may be a part of its name; see
:mod:`localprompt.cli.names`, which also knows what shells can offer.

Examples stand beside their command: ``EXAMPLES`` in the module of a command or a group, and
``examples=`` where a group's command is declared with :class:`Commands`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from localprompt.cli import names

COMMON = "Common"
PANELS: dict[str, tuple[str, ...]] = {
    "Sampling": (
        "--max-tokens", "--temperature", "--top-k", "--top-p", "--min-p", "--seed", "--stop",
    ),
    "Engine": (
        "--n-ctx", "--threads", "--threads-batch", "--n-batch", "--n-ubatch", "--type-k",
        "--type-v", "--flash-attn", "--mmap", "--repack", "--profile", "--max-memory", "--force",
        "--prefix-store", "--parallel", "--workers", "--lora",
    ),
    "Output": (
        "--format", "--output", "--json", "--quiet", "--title", "--results", "--lang", "--to",
        "--complete-json", "--json-lines",
    ),
    "Cluster": (
        "--cluster", "--tls", "--insecure-network", "--same-cpu-only", "--interface",
    ),
    "History": (
        "--no-log", "--no-cache", "--resume", "--again", "--continue", "--fresh", "--watch",
    ),
}  # fmt: skip
"""By panel, in the order in which they are shown, behind Common."""
DESTRUCTIVE_COMMANDS = frozenset({"remove", "prune", "purge"})
DESTRUCTIVE_OPTIONS = frozenset({"--force", "--replace", "--remove", "--again", "--yes"})
"""Nothing of these is ever offered for a typing mistake."""

_WORDS = {
    "--format": "FORMAT", "--kind": "KIND", "--name": "NAME", "--tag": "TAG",
    "--max-tokens": "TOKENS", "--max-prompt-tokens": "TOKENS", "--n-ctx": "TOKENS",
    "--n-batch": "TOKENS", "--n-ubatch": "TOKENS", "--type-k": "TYPE", "--type-v": "TYPE",
    "--minutes": "MINUTES", "--max-minutes": "MINUTES", "--max-ttft": "SECONDS",
}  # fmt: skip
"""What is typed behind an option that does not say it itself."""
_KINDS = {"int": "N", "float": "NUMBER", "str": "TEXT"}
_RANGE = re.compile(r"(?:; )?(?:[\d.]{1,30}<=?)?x(?:[<>]=?[\d.]{1,30}){1,2}")
_LARGE = 10**6

F = TypeVar("F", bound=Callable[..., Any])


class HelpCommand(TyperCommand):
    """A command whose help has panels and examples."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for param in self.params:
            if param.metavar is None:
                word = next((_WORDS[name] for name in param.opts if name in _WORDS), None)
                param.metavar = word or _KINDS.get(param.type.name.removesuffix(" range"))
            _complete_by_name(param)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            left = super().parse_args(ctx, args)
            if not ctx.resilient_parsing and self.name not in DESTRUCTIVE_COMMANDS:
                names.expand(self.params, ctx.params)
            return left
        except typer.TyperException as error:
            offered = getattr(error, "possibilities", None) or ()
            if offered:
                safe = [name for name in offered if name not in DESTRUCTIVE_OPTIONS]
                error.possibilities = safe  # type: ignore[attr-defined]
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_examples(self.epilog, formatter)


class HelpGroup(TyperGroup):
    """A group of commands with examples, which offers nothing destructive for a typing mistake."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**{**attrs, "suggest_commands": False})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except typer.TyperException as error:
            safe = sorted(self.commands.keys() - DESTRUCTIVE_COMMANDS)
            if near := difflib.get_close_matches(args[0], safe):
                offered = ", ".join(map(repr, near))
                error.message = f"{error.message.rstrip('.')}. Did you mean {offered}?"
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_examples(self.epilog, formatter)


class Commands(typer.Typer):
    """The app of a group, whose commands are declared with their examples."""

    def __init__(self) -> None:
        super().__init__(rich_markup_mode=None, cls=HelpGroup)

    def command(  # type: ignore[override]
        self, name: str, *, examples: Sequence[str]
    ) -> Callable[[F], F]:
        return super().command(name, cls=HelpCommand, epilog="\n".join(examples))


def _complete_by_name(param: Any) -> None:
    """Have shells offer what the option's name and metavar ask for.

    The library takes such a function where a parameter is declared; here it is put in afterwards,
    in the same place, so that it need not be repeated for each.
    """

    def offered(_context: Any, _param: Any, incomplete: str) -> list[str]:
        known = names.complete(param.opts[0], param.metavar)
        return [name for name in known if name.startswith(incomplete)]

    if names.can_complete(param.opts[0], param.metavar):
        param._custom_shell_complete = offered


def panel_of(option: Any) -> str:
    """Where an option stands in the help."""
    said = {*option.opts, *option.secondary_opts}
    return next((panel for panel, known in PANELS.items() if said & set(known)), COMMON)


def _write_options(command: Any, ctx: Any, formatter: Any) -> None:
    params = command.get_params(ctx)
    arguments = [p.get_help_record(ctx) for p in params if p.param_type_name == "argument"]
    if shown := [record for record in arguments if record is not None]:
        with formatter.section("Arguments"):
            formatter.write_dl(shown)
    options = [p for p in params if p.param_type_name == "option" and not p.hidden]
    panels = {
        panel: [option for option in options if panel_of(option) == panel]
        for panel in (COMMON, *PANELS)
    }
    panels[COMMON].sort(key=lambda option: min(map(len, option.opts)) > 2 or _asks_for_help(option))
    alone = sum(map(bool, panels.values())) == 1
    for panel, members in panels.items():
        if members:
            with formatter.section("Options" if alone else panel):
                formatter.write_dl(list(_records(members, ctx)))


def _asks_for_help(option: Any) -> bool:
    return "--help" in option.opts


def _records(options: Sequence[Any], ctx: Any) -> Iterator[tuple[str, str]]:
    """Names and what they are for; a range in words, and only where it says something."""
    for option in options:
        typed, text = option.get_help_record(ctx)
        low, high = getattr(option.type, "min", None), getattr(option.type, "max", None)
        text = _RANGE.sub("", text).replace("  []", "").replace("[]", "")
        if low is not None and high is not None and high < _LARGE:
            text = f"{text}  [{low:g} to {high:g}]"
        yield typed, text


def _write_examples(examples: str | None, formatter: Any) -> None:
    if examples:
        with formatter.section("Examples"):
            for line in examples.splitlines():
                formatter.write(f"  {line}\n")
