"""Lint, and on request mend, many prompt files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from localprompt import doors
from localprompt.errors import InputError, PromptFileError
from localprompt.sources.prompt.fix import fix as fix_file
from localprompt.sources.prompt.lint import Finding, Form, lint, no_form
from localprompt.sources.prompt.search import FOLDER, SUFFIX, find_prompt


class CheckedFile(msgspec.Struct, frozen=True):
    """A prompt file and what was found in it."""

    path: Path
    findings: tuple[Finding, ...]
    """After it was mended, if it was."""
    fixed: bool = False

    @property
    def has_errors(self) -> bool:
        """Whether the file cannot be used."""
        return any(finding.code == "error" for finding in self.findings)


def check_prompts(
    names: Sequence[str] = (), *, fix: bool = False, form: Form = no_form
) -> tuple[CheckedFile, ...]:
    """Lint prompts.

    Args:
        names: names, files, or folders of prompt files; ``./prompts`` if there are none.
        fix: rewrite old and short forms first. A file with errors stays as it is.
        form: says what answers are not held to; see :data:`localprompt.sources.prompt.lint.Form`.

    Raises:
        UnknownNameError: no prompt has such a name.
        PromptFileError: there is no such file, or it cannot be opened or written.
        InputError: a folder has no prompt files.
    """
    return tuple(_check(path, fix, form) for path in _paths(names or [str(FOLDER)]))


def _paths(names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        if not doors.is_folder(name):
            yield find_prompt(name)
            continue
        files = sorted(Path(name).glob(f"*{SUFFIX}"))
        if not files:
            raise _nothing_in(name)
        yield from files


def _nothing_in(folder: str) -> InputError:
    return InputError(
        "no prompt files",
        where=folder,
        expected=f"files *{SUFFIX}",
        next_step="localprompt prompts new my-prompt",
    )


def _check(path: Path, fix: bool, form: Form) -> CheckedFile:
    findings = lint(path, form)
    fixed = False
    if fix and any(finding.fixable for finding in findings):
        try:
            fixed = fix_file(path)
        except PromptFileError as error:
            findings = (*findings, Finding(1, "not-fixed", error.message))
        else:
            findings = lint(path, form)
    return CheckedFile(path, findings, fixed)
