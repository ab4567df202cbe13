"""Prompt files that the experiments write: a template with examples, or with another instruction.

They are real files, kept beside the findings, so that anybody can run them again by their path.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from localprompt.errors import PromptFileError
from localprompt.files import replace_file

_TURN = re.compile(r"^(system|user|assistant):[ \t]*$", re.MULTILINE)


def with_examples(
    template: Path, rows: Sequence[dict[str, str]], folder: Path, *, answer: str = "__expected"
) -> Path:
    """The template with solved examples as turns before its last one.

    Args:
        rows: values of the template's variables, and the answer in the column ``answer``.

    Raises:
        PromptFileError: the template has no turn of a user.
    """
    if not rows:
        return template
    text = template.read_text(encoding="utf-8")
    start, turn = _last_user_turn(text, template)
    examples = "".join(f"{_filled(turn, row)}\n\nassistant:\n{row[answer]}\n\n" for row in rows)
    return _write(
        template, folder, f"-{len(rows)}-examples", text[:start] + examples + text[start:]
    )


def with_instruction(template: Path, instruction: str, folder: Path) -> Path:
    """The template with another system message.

    Raises:
        PromptFileError: the template has no system message.
    """
    text = template.read_text(encoding="utf-8")
    turns = list(_TURN.finditer(text))
    if not turns or turns[0][1] != "system" or len(turns) < 2:
        raise PromptFileError("the prompt has no system message", where=str(template))
    changed = text[: turns[0].end()] + f"\n{instruction}\n\n" + text[turns[1].start() :]
    return _write(template, folder, "-edit", changed)


def _last_user_turn(text: str, template: Path) -> tuple[int, str]:
    users = [match for match in _TURN.finditer(text) if match[1] == "user"]
    if not users:
        raise PromptFileError("the prompt has no user message", where=str(template))
    return users[-1].start(), text[users[-1].start() :].rstrip()


def _filled(turn: str, row: dict[str, str]) -> str:
    """The turn with values instead of variables; they stay text whatever they spell."""
    for name, value in row.items():
        literal = "{% raw %}" + value + "{% endraw %}"
        turn = re.sub(r"{{\s*" + re.escape(name) + r"\s*}}", lambda _, v=literal: v, turn)  # type: ignore[misc]
    return turn


def _write(template: Path, folder: Path, ending: str, text: str) -> Path:
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    path = folder / "prompts" / f"{template.stem}{ending}-{digest}.prompty"
    replace_file(path, text.encode())
    return path
