"""Errors and warnings on stderr, as a person reads them.

Plain text and no imports to speak of: an error must be printable when everything else is broken.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from localprompt.errors import LocalPromptError
from localprompt.views.harmless import harmless
from localprompt.views.translation import translated

if TYPE_CHECKING:
    from localprompt.records.run import ProfileUse, RunWarning


def format_error(error: LocalPromptError) -> str:
    """What was wrong, where, what was expected and found, and what to do next."""
    lines = [f"{translated('error')}: {translated(error.message)}"]
    where, *names = _labels()
    details = (error.expected, error.found, error.next_step)
    if error.where:
        lines.append(f"  {where}{error.where}")
    lines.extend(
        f"  {name}{translated(value)}" for name, value in zip(names, details, strict=True) if value
    )
    return "\n".join(lines)


def print_error(error: LocalPromptError) -> None:
    _to_stderr(format_error(error))


def print_usage_error(error: Any) -> int:
    """A mistake in the arguments, as the command-line library found it; returns the exit code."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "localprompt"
    message = error.format_message()
    if message.lstrip().startswith("Usage:"):  # no arguments at all: the message is the help
        _to_stderr(message)
    else:
        said = translated(message.rstrip("."))
        _to_stderr(f"{translated('error')}: {said}\n  {_labels()[-1]}{path} --help")
    return 2


def print_warnings(warnings: Iterable[RunWarning]) -> None:
    for warning in warnings:
        _to_stderr(f"{translated('warning')}: {translated(warning.message)}")
        if warning.advice:
            _to_stderr(f"  {_labels()[-1]}{translated(warning.advice)}")


def print_note(text: str) -> None:
    _to_stderr(translated(text))


def _labels() -> list[str]:
    """What stands before the parts of an error, all of one width."""
    names = [translated("where"), translated("expected"), translated("found"), translated("try")]
    width = max(map(len, names)) + len(": ")
    return [f"{name + ':':<{width}}" for name in names]


def stand_in_note(asked: str, model: str) -> str:
    """The prompt names a model that is not one of ours."""
    return f"no model here is called {asked!r}, which the prompt names: {model} answers"


def profile_note(use: ProfileUse, model: str) -> str:
    """``profile fast: runs smollm2-135m-q8_0 in place of smollm2-135m; sets n_ubatch; …``.

    Args:
        model: the one that runs.
    """
    parts = [f"runs {model} in place of {use.model}"] if model != use.model else []
    if use.settings:
        parts.append(f"sets {', '.join(use.settings)}")
    says = "; ".join(parts) or "changes nothing"
    return f"profile {use.name}: {says} (--profile none switches it off)"


def _to_stderr(text: str) -> None:
    print(harmless(text), file=sys.stderr, flush=True)  # noqa: T201
