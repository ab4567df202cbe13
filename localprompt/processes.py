"""Why a child process is dead, in words: its exit status and the last lines that it wrote.

A worker that cannot say what went wrong (llama.cpp ends the process where an assertion fails, the
system where memory runs out) leaves only these two.
"""

from __future__ import annotations

import os
import signal
from typing import IO

_LAST_WORDS_BYTES = 4096
_LAST_WORDS_LINES = 3


def cause_of_death(code: int, stderr: IO[bytes], who: str = "its process", remark: str = "") -> str:
    """``its process was killed by signal 11 (SIGSEGV): …``.

    Args:
        code: the exit status as :mod:`subprocess` has it, negative for a signal.
        stderr: the file that its stderr went to.
        remark: what else is known, put behind the status.
    """
    if code < 0:
        number = -code
        name = signal.Signals(number).name if number in set(signal.Signals) else "unknown"
        cause = f"{who} was killed by signal {number} ({name})"
    else:
        cause = f"{who} ended with exit code {code}"
    words = _last_words(stderr)
    return f"{cause}{remark}: {words}" if words else f"{cause}{remark}"


def _last_words(stderr: IO[bytes]) -> str:
    """The end of its stderr: what llama.cpp or Python said before the end."""
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - _LAST_WORDS_BYTES))
    lines = stderr.read().decode(errors="replace").splitlines()
    return " | ".join([line.strip() for line in lines if line.strip()][-_LAST_WORDS_LINES:])
