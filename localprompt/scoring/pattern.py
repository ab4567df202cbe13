"""Regular expressions as promptfoo's suites write them: JavaScript's, matched by Python's ``re``.

The two agree on nearly everything. What differs is rewritten here: named groups
(``(?<year>…)``, ``\\k<year>``), ``$`` (JavaScript: only the very end), ``[^]`` and ``[]``.
``\\d``, ``\\w`` and ``\\b`` are ASCII there, which the matcher takes care of.
"""

from __future__ import annotations

import re
from functools import lru_cache

from localprompt.scoring.bounded import PATTERN_SECONDS, run_bounded

_TOKEN = re.compile(
    r"""
    (?P<reference>\\k<(?P<referred>\w+)>)
  | (?P<escape>\\.)
  | (?P<anything>\[\^\])
  | (?P<nothing>\[\])
  | (?P<open_class>\[\^?)
  | (?P<close_class>\])
  | (?P<named>\(\?<(?P<name>\w+)>)
  | (?P<end>\$)
    """,
    re.VERBOSE | re.DOTALL,
)


@lru_cache(maxsize=1024)
def from_javascript(pattern: str) -> str:
    """``pattern`` in Python's notation; it may still be invalid, which compiling tells."""
    multiline = "(?m" in pattern
    inside_class = False
    parts: list[str] = []
    position = 0
    for match in _TOKEN.finditer(pattern):
        kind = match.lastgroup
        parts.append(pattern[position : match.start()])
        position = match.end()
        text = match.group()
        if match["reference"]:
            text = f"(?P={match['referred']})"
        elif match["named"] and not inside_class:
            text = f"(?P<{match['name']}>"
        elif match["end"] and not inside_class and not multiline:
            text = r"\Z"
        elif match["anything"] and not inside_class:
            text = r"[\s\S]"
        elif match["nothing"] and not inside_class:
            text = r"(?!)"
        elif kind == "open_class":
            # Inside a class a bracket is a character; escaped, lest Python warn of nested sets.
            text = text.replace("[", r"\[") if inside_class else text
            inside_class = True
        elif kind == "close_class":
            inside_class = False
        parts.append(text)
    parts.append(pattern[position:])
    return "".join(parts)


def check_pattern(pattern: str) -> str | None:
    """What is wrong with ``pattern``, or None."""
    try:
        re.compile(from_javascript(pattern), re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        return str(error)
    return None


def found(pattern: str, text: str) -> bool:
    """Whether ``pattern`` matches anywhere in ``text``.

    Raises:
        CannotScoreError: it is invalid, or matching took longer than ``PATTERN_SECONDS``.
    """
    return bool(run_bounded("search", PATTERN_SECONDS, pattern=from_javascript(pattern), text=text))
