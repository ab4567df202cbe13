"""The program's outermost layer: arguments in, exit code out, and no traceback for a user's error.

Exit codes: 0 done; 1 the work ran and failed its thresholds; 2 wrong usage or input; 3 the
machine or a file prevents it; 130 interrupted; 141 the reader of our output went away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

EXIT_CLOSED_PIPE = 141


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    import typer

    from localprompt.cli.app import build_app
    from localprompt.errors import EXIT_INTERRUPTED, LocalPromptError

    try:
        result = build_app(argv)(list(argv), standalone_mode=False, prog_name="localprompt")
        sys.stdout.flush()
    except typer.Exit as leave:
        return leave.exit_code
    except LocalPromptError as error:
        from localprompt.views.messages import print_error

        print_error(error)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)  # noqa: T201
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it closes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_CLOSED_PIPE
    except typer.TyperException as error:
        from localprompt.views.messages import print_usage_error

        return print_usage_error(error)
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    main()
