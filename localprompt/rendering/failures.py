"""What a template did wrong, told with the file and the line in it.

A template may raise nearly anything, since its expressions run as Python. All of that is the
author's mistake and becomes a PromptFileError; what is not in the list below is ours, and passes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import jinja2
import msgspec

from localprompt.errors import PromptFileError, TemplateLimitError
from localprompt.rendering.budget import BudgetExceededError

_TEMPLATE_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
_UNDEFINED_NAME = re.compile(r"'(.+)' is undefined")
_OUR_STRING = re.compile(r"(?:localprompt\.rendering\.traced\.)?TracedText")


LONG_TEXT = 500_000
"""Characters of values. From here on it is not the template's fault if rendering takes more than it
may: a chat template handles each character many times."""


class TemplateRefusalError(Exception):
    """A chat template called ``raise_exception``."""


class Place(msgspec.Struct, frozen=True):
    """Where a template stands, for messages."""

    file: str
    first_line: int = 1
    """The line of the file on which the template begins."""

    def line(self, number: int | None) -> str:
        """``notes.prompty:12`` for a line of the template."""
        return self.file if number is None else f"{self.file}:{number + self.first_line - 1}"


@contextmanager
def mapped_errors(
    place: Place, known: tuple[str, ...], given: Callable[[], int] = lambda: 0
) -> Iterator[None]:
    """Turn what a template raises into errors that name the file and the line.

    Args:
        place: where the template stands.
        known: the names that it could have used.
        given: how many characters its values have.
    """
    try:
        yield
    except BudgetExceededError as error:
        if (characters := given()) >= LONG_TEXT:
            raise TemplateLimitError(
                "the text is too long for a prompt",
                where=place.line(_line(error)),
                expected=f"less than {LONG_TEXT:,} characters",
                found=f"about {round(characters, -3):,} characters",
                next_step="give a part of it, as head -c 100000 does: models read far less",
            ) from error
        raise TemplateLimitError(
            "the template runs or grows without end",
            where=place.line(_line(error)),
            found=str(error),
            next_step="look at its loops and at the size of its values",
        ) from error
    except RecursionError as error:
        raise TemplateLimitError(
            "the template calls itself, or is nested, too deeply", where=place.line(_line(error))
        ) from None
    except jinja2.UndefinedError as error:
        _raise_undefined(error, place, known)
    except _TEMPLATE_ERRORS as error:
        verb = "cannot be read" if isinstance(error, jinja2.TemplateSyntaxError) else "fails"
        raise PromptFileError(
            f"the template {verb}: {_first_line(error)}", where=place.line(_line(error))
        ) from error


def _raise_undefined(
    error: jinja2.UndefinedError, place: Place, known: tuple[str, ...]
) -> NoReturn:
    where = place.line(_line(error))
    match = _UNDEFINED_NAME.fullmatch(error.message or "")
    if match is None:
        lenient = "--lenient leaves it empty, as Prompty's own runtimes do" if known else None
        raise PromptFileError(_first_line(error), where=where, next_step=lenient) from error
    name = match.group(1)
    raise PromptFileError(
        f"the variable {name!r} is not defined",
        where=where,
        expected=f"one of: {', '.join(known)}" if known else None,
        next_step=f"-p {name}=… (where the file declares inputs, add it there), or --lenient",
    ) from error


def _first_line(error: BaseException) -> str:
    """The message, with our string type under the name that people know it by."""
    line = (str(error) or type(error).__name__).splitlines()[0]
    return _OUR_STRING.sub("str", line)


def _line(error: BaseException) -> int | None:
    """The line of the template that was running, from the innermost frame of its code."""
    line = error.lineno if isinstance(error, jinja2.TemplateSyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            line = template.get_corresponding_lineno(trace.tb_lineno)
        trace = trace.tb_next
    return line
