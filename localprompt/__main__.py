"""The program's outermost layer: arguments in, exit code out, and no traceback for a user's error.

Exit codes: 0 done; 1 the work ran and failed its thresholds; 2 wrong usage or input; 3 the
machine or a file prevents it; 130 interrupted; 141 the reader of our output went away.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Callable, Sequence

EXIT_CLOSED_PIPE = 141
EXIT_USAGE = 2

_UNICODE = frozenset({"utf-8", "utf8", "utf-16", "utf-32"})
_LOCALES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
_COMPLETION = "_LOCALPROMPT_COMPLETE"
"""Set by the shell when it asks what could come next on a command line."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    from localprompt.engine import crashes

    crashes.alone()
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    shown = _show_what_can_be_shown()
    _speak_as_the_user_does()
    try:
        return _run(argv)
    except KeyboardInterrupt:
        from localprompt.errors import EXIT_INTERRUPTED
        from localprompt.views.messages import print_note

        print_note("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _abandon_stdout()
        return EXIT_CLOSED_PIPE
    finally:
        shown()


def _show_what_can_be_shown() -> Callable[[], None]:
    """Let an output that is not UTF-8 show ``?`` for what it cannot; returns who says so.

    An answer that was measured must not be lost for a character that a terminal does not know.
    """
    replaced: list[str] = []

    def replace(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        replaced.append(error.encoding)
        return "?" * (error.end - error.start), error.end

    def say() -> None:
        if replaced:
            print(  # noqa: T201
                f"note: this output is {replaced[0]}, which cannot show every character: ? stands "
                "for those\n  try:      PYTHONIOENCODING=utf-8",
                file=sys.stderr,
            )

    codecs.register_error("localprompt", replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() not in _UNICODE:
            stream.reconfigure(errors="localprompt")
    return say


def _speak_as_the_user_does() -> None:
    """Load a catalogue where the environment names a language that there is one for; in English
    nothing is loaded."""
    locales = (os.environ.get(name, "") for name in _LOCALES)
    if any("pt" in locale for locale in locales):
        from localprompt.views import translation

        file = translation.language(os.environ)
        translation.speak(None if file is None else translation.read_catalogue(file))


def _run(argv: Sequence[str]) -> int:
    import typer

    from localprompt.errors import InputError, LocalPromptError

    try:
        for number, argument in enumerate(argv, start=1):
            if any("\ud800" <= character <= "\udfff" for character in argument):
                shown = os.fsencode(argument[:60]).decode("ascii", "backslashreplace")
                raise InputError(
                    "an argument is not text",
                    where=f"argument {number}",
                    expected="UTF-8",
                    found=shown,
                )
        code = _invoke(argv)
        sys.stdout.flush()
    except LocalPromptError as error:
        from localprompt.views.messages import print_error

        print_error(error)
        _flush_or_abandon_stdout()
        return error.exit_code
    except typer.Abort:  # the input ended where a question was asked
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        from localprompt.views.messages import print_usage_error

        return print_usage_error(error)
    except OSError as error:
        return _explain(error)
    except OverflowError as error:
        if "too large to convert" not in str(error):
            raise
        print(  # noqa: T201
            "error: a number is larger than this program can hold\n"
            "  expected: at most 9223372036854775807",
            file=sys.stderr,
        )
        return EXIT_USAGE
    return code


def _explain(error: OSError) -> int:
    """What the operating system refused and nobody else has put into words.

    A file that is named is the user's to mend; anything else is a bug and keeps its traceback.
    """
    from localprompt.cli.output import disk_is_full, unusable, unwritable
    from localprompt.views.messages import print_error

    if disk_is_full(error):
        _abandon_stdout()
        explained = unwritable(error, str(error.filename or "stdout"))
    elif error.filename is not None or error.errno == errno.EIO:
        explained = unusable(error)
    else:
        raise error
    print_error(explained)
    return explained.exit_code


def _flush_or_abandon_stdout() -> None:
    """What stands in the buffer, where the command ended with an error that was told."""
    try:
        sys.stdout.flush()
    except OSError:
        _abandon_stdout()


def _abandon_stdout() -> None:
    """Python would complain once more when it writes what is left in its buffer at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _invoke(argv: Sequence[str]) -> int:
    """Parse and call the command; its exit code.

    The library's own ``main`` would do so as well, but it turns Ctrl-C and a closed pipe into
    exits that look like others, and says nothing.
    """
    import typer
    from typer.main import get_command

    from localprompt.cli.app import build_app, with_optional_values

    if _COMPLETION in os.environ:
        build_app(_being_typed())(prog_name="localprompt")
    command = get_command(build_app(argv))
    if "localprompt.views.translation" in sys.modules:
        from localprompt.cli.help_texts import translate_help
        from localprompt.views.translation import speaking

        if speaking():
            translate_help(command)
    try:
        with command.make_context("localprompt", with_optional_values(argv)) as context:
            command.invoke(context)
    except typer.Exit as leave:
        return leave.exit_code
    return 0


def _being_typed() -> list[str]:
    """The words behind the program's name, as the shell says them: enough to tell the command."""
    words = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return words.split()[1:]


if __name__ == "__main__":
    main()
