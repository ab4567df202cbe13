"""Rows of a dataset and a prompt → examples: what the model should have read, and answered.

An example is tokenized exactly as the prompt is when it is run (chat template, control tokens,
variables that stay plain text), and its answer as answers are when they are scored. Behind the
answer comes the token that ends the turn, because a tuned model has to know when to stop.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from localprompt.engine.base import ChoiceRequest, EncodedPrompt
from localprompt.errors import DatasetError, InputError, ParameterError, PromptFileError
from localprompt.records.prompt import Message, PromptTemplate
from localprompt.rendering.prompt import render_messages
from localprompt.scoring.text_checks import as_text
from localprompt.sources.prompt.params import typed_values
from localprompt.sources.rows import Case, Cases
from localprompt.sources.yaml import word

ANSWER_COLUMNS = ("expected", "__expected")
_MOST_EXAMPLES = 1_000_000


class Example(msgspec.Struct, frozen=True):
    """One row, as tokens."""

    where: str
    """File and line."""
    answer: str
    token_ids: tuple[int, ...]
    """Prompt, answer, end of the turn."""
    prompt_tokens: int


class Tokenizer(Protocol):
    """What is needed of an engine; no weights are."""

    @property
    def end_id(self) -> int: ...

    def encode(self, messages: Sequence[Message]) -> EncodedPrompt: ...

    def with_choices(self, prompt: EncodedPrompt, choices: Sequence[str]) -> ChoiceRequest: ...


def read_examples(path: Path, template: PromptTemplate, tokenizer: Tokenizer) -> list[Example]:
    """All examples of a file.

    Raises:
        DatasetError: the file cannot be read, has no rows, or a row lacks its answer or a value.
        PromptFileError: the prompt cannot be rendered.
    """
    examples = [_example(path, case, template, tokenizer) for case in _cases(path)]
    if not examples:
        raise DatasetError(
            "nothing to train on", where=str(path), expected="a row for each example"
        )
    return examples


def check_answers(examples: Sequence[Example], path: Path) -> None:
    """There is something to tell apart.

    Raises:
        DatasetError: every example has the same answer.
    """
    answers = {example.answer for example in examples}
    if len(answers) < 2:
        raise DatasetError(
            "every example has the same answer, so there is nothing to learn",
            where=str(path),
            expected="examples of two answers at least",
            found=f"{len(examples)} × {answers.pop()!r}" if answers else "no examples",
        )


def evenly(
    examples: Sequence[Example], count: int, seed: int
) -> tuple[list[Example], list[Example]]:
    """Draw examples so that every answer keeps its share.

    Returns:
        the drawn ones and the others, each shuffled.
    """
    rng = random.Random(seed)  # noqa: S311  no secret
    pool = list(examples)
    rng.shuffle(pool)
    pool.sort(key=lambda example: example.answer)
    count = min(count, len(pool))
    at = {(2 * n + 1) * len(pool) // (2 * count) for n in range(count)} if count else set()
    drawn = [example for n, example in enumerate(pool) if n in at]
    others = [example for n, example in enumerate(pool) if n not in at]
    rng.shuffle(drawn)
    rng.shuffle(others)
    return drawn, others


def _cases(path: Path) -> Iterator[Case]:
    for number, case in enumerate(Cases(path)):
        if number >= _MOST_EXAMPLES:
            raise DatasetError(
                "there are too many examples for a CPU",
                where=f"{path}:{case.line}",
                expected=f"at most {_MOST_EXAMPLES:,}",
            )
        yield case


def _example(path: Path, case: Case, template: PromptTemplate, tokenizer: Tokenizer) -> Example:
    where = f"{path}:{case.line}"
    values = dict(case.values)
    answer = _answer(values, template, where)
    try:
        messages = render_messages(template, typed_values(values, template))
        said = template.label_words.get(answer, answer)
        request = tokenizer.with_choices(tokenizer.encode(messages), (said,))
    except PromptFileError:
        raise
    except (ParameterError, InputError) as error:
        raise DatasetError(
            error.message,
            where=where,
            expected=error.expected,
            found=error.found or f"columns {', '.join(map(str, case.values))}",
        ) from error
    tokens = request.token_ids + request.choices[0].token_ids
    return Example(where, answer, (*tokens, tokenizer.end_id), len(request.token_ids))


def _answer(values: dict[str, Any], template: PromptTemplate, where: str) -> str:
    """Take the answer out of a row's values."""
    given = [values.pop(column) for column in ANSWER_COLUMNS if column in values]
    for name in [name for name in values if name.startswith("__")]:
        del values[name]  # columns of evaluations, as __description
    answer = given[0] if given else None
    if isinstance(answer, bool | int | float):
        # Of choices as their file writes them; otherwise as equals compares it: 4.0 is 4.
        answer = word(answer) if template.choices else as_text(answer)
    if not isinstance(answer, str) or not answer.strip():
        raise DatasetError(
            "the example has no answer",
            where=where,
            expected=f"a text in the column {' or '.join(ANSWER_COLUMNS)}",
            found=repr(answer) if given else f"columns {', '.join(values) or 'none'}",
        )
    answer = answer.strip()
    if template.choices and answer not in template.choices:
        raise DatasetError(
            "the answer is not one of the prompt's choices",
            where=where,
            expected=", ".join(template.choices),
            found=repr(answer),
        )
    return answer
