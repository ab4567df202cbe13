"""A row of a task → the text before its answer, its choices, and which one is right.

By the rules of lm-evaluation-harness: a template may be the name of a column; a text of digits is
an index where there are choices; a text in brackets is a list. The description, the solved examples
and the question stand one after the other, as plain text.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from localprompt.errors import DatasetError, LocalPromptError
from localprompt.rendering.failures import Place
from localprompt.rendering.plain import render_plain
from localprompt.scoring.bounded import PATTERN_SECONDS, run_bounded
from localprompt.scoring.expectations import CannotScoreError
from localprompt.sources.task.records import Task, Writing
from localprompt.sources.yaml import word

SEED = 1234
"""With which lm-evaluation-harness draws examples unless it is told otherwise."""

Row = dict[str, Any]


def question(task: Task, row: Row, shots: Sequence[str]) -> str:
    """All that stands before the answer."""
    writing = task.writing
    text = _text(writing, row, task.path)
    prefix = _field(writing.gen_prefix, row, task.path) or ""
    between = writing.target_delimiter if prefix and _needs_space(text, prefix) else ""
    description = _field(task.description, row, task.path) or ""
    return f"{description}{''.join(shots)}{text}{between}{prefix}"


def solved(task: Task, row: Row) -> str:
    """A row with its answer, as an example."""
    writing = task.examples
    text, answer = _text(writing, row, task.path), target(writing, row, task.path)
    choices = choices_of(writing, row, task.path) if writing.choice is not None else ()
    if isinstance(answer, list):
        answer = answer[0] if answer else ""
    if isinstance(answer, int) and choices:  # a truth value is 0 or 1, too
        answer = choices[_index(answer, choices)]
    prefix = _field(writing.gen_prefix, row, task.path) or ""
    answer = str(word(answer))
    joined = f"{prefix}{' ' if prefix and _needs_space(prefix, answer) else ''}{answer}"
    plain = not prefix or _needs_space(text, prefix)
    between = writing.target_delimiter if plain else ""
    return f"{text}{between}{joined}{writing.fewshot_delimiter}"


def choices_of(writing: Writing, row: Row, where: str) -> tuple[str, ...]:
    """The closed set of a row's answers.

    Raises:
        DatasetError: the template fails, or makes no list.
    """
    value = writing.choice
    if isinstance(value, dict):
        value = list(value.values())
    elif isinstance(value, str):
        value = row[value] if value in row else _literal(_rendered(value, row, where))
    if not isinstance(value, (list, tuple)) or not value:
        raise DatasetError(
            "doc_to_choice made no list of choices", expected="a list of texts", found=repr(value)
        )
    return tuple(str(word(item)) for item in value)


def target(writing: Writing, row: Row, where: str) -> Any:
    """The right answer: an index, a text, or a list of such.

    Raises:
        DatasetError: the template fails.
    """
    value = writing.target
    if not isinstance(value, str):
        return value
    if value in row:
        return row[value]
    text = _rendered(value, row, where)
    if text.isdecimal() and writing.choice is not None:
        return int(text)
    if len(text) > 1 and text[0] == "[" and text[-1] == "]":
        found = _literal(text)
        return text if found is None else found
    return text


def right_indices(answer: Any, choices: Sequence[str]) -> list[int]:
    """Which of the choices a target means.

    Raises:
        DatasetError: none.
    """
    wanted = answer if isinstance(answer, list) else [answer]
    return [_index(one, choices) for one in wanted]


class Examples:
    """Draws the solved examples of one row after the other, as lm-evaluation-harness does.

    Args:
        pool: the rows that they are taken from.
    """

    def __init__(self, task: Task, pool: Sequence[Row]) -> None:
        self._task = task
        self._pool = pool
        self._chance = random.Random(SEED)  # noqa: S311 — the same examples as lm-eval
        self._written: dict[int, str] = {}

    def next(self, row: Row) -> list[str]:
        """The examples before the next row; to be called for each row in order.

        Raises:
            DatasetError: there are too few, or one cannot be written.
        """
        task, n = self._task, self._task.num_fewshot
        if n == 0:
            return []
        drawn = self._drawn(row, n)
        if len(drawn) < n:
            raise DatasetError(
                "there are too few rows to take examples from",
                where=task.path,
                expected=f"num_fewshot: {n}",
                found=f"{len(self._pool)} rows",
            )
        return list(self._texts(drawn))

    def _drawn(self, row: Row, n: int) -> Sequence[int]:
        """Places in the pool; fewer than n where there are not as many."""
        task, places = self._task, range(len(self._pool))
        if not task.shared:
            if task.first:
                return places[:n]
            return self._chance.sample(places, n) if n <= len(places) else places
        others = (at for at in places if self._pool[at] != row)  # looked at as far as needed
        if task.first:
            return list(islice(others, n))
        if n + 1 > len(places):
            return ()
        drawn = [at for at in self._chance.sample(places, n + 1) if self._pool[at] != row][:n]
        if len(drawn) < n:  # the row stands in the pool more than once
            left = list(others)
            return self._chance.sample(left, n) if n <= len(left) else drawn
        return drawn

    def _texts(self, drawn: Sequence[int]) -> Iterator[str]:
        for at in drawn:
            if at not in self._written:
                self._written[at] = solved(self._task, self._pool[at])
            yield self._written[at]


def _text(writing: Writing, row: Row, where: str) -> str:
    text = _field(writing.text, row, where)
    if not isinstance(text, str):
        text = str(word(text))
    if text.isdecimal() and writing.choice is not None and writing.text not in row:
        raise DatasetError(
            "doc_to_text gives a number, which stands for several texts before one answer",
            expected="a text; such tasks are not supported",
            found=text,
        )
    return text


def _field(template: str | None, row: Row, where: str) -> Any:
    """A column by its name, otherwise a template."""
    if template is None:
        return None
    return row[template] if template in row else _rendered(template, row, where)


def _rendered(template: str, row: Mapping[str, Any], where: str) -> str:
    if "{" not in template:
        return template
    try:
        return render_plain(template, row, Place(where), FILTERS)
    except LocalPromptError as error:
        raise DatasetError(error.message, expected=error.expected, found=error.found) from error


def _replaced(text: Any, pattern: str, repl: str, count: int = 0) -> str:
    """``regex_replace``, the one filter that lm-evaluation-harness adds; bounded in time."""
    try:
        found = run_bounded(
            "replace", PATTERN_SECONDS, pattern=pattern, by=repl, text=str(text), count=count
        )
    except CannotScoreError as error:
        raise ValueError(f"regex_replace: {error}") from error
    return str(found)


FILTERS = (("regex_replace", _replaced),)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None


def _index(answer: Any, choices: Sequence[str]) -> int:
    if isinstance(answer, int) or (isinstance(answer, float) and answer.is_integer()):
        if 0 <= answer < len(choices):
            return int(answer)
    elif str(word(answer)) in choices:
        return list(choices).index(str(word(answer)))
    raise DatasetError(
        "the right answer is not one of the choices",
        expected=f"0 to {len(choices) - 1}, or one of: {', '.join(choices)}"[:200],
        found=repr(answer),
    )


def _needs_space(before: str, after: str) -> bool:
    return bool(before) and not (before[-1].isspace() or after[:1].isspace())
