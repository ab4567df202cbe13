"""The exceptions that a user sees, as a tree.

::

    LocalPromptError                 everything below; has an exit code and never shows a traceback
    ├── InputError              (2)  the user's words or files are wrong
    │   ├── UnknownNameError         a model, prompt, run or setting of that name is not known
    │   ├── ParameterError           a prompt's parameter is missing, unknown or of the wrong type
    │   ├── PromptFileError          a prompt file cannot be read as one (YAML, Jinja, front matter)
    │   │   └── TemplateLimitError   a template runs or grows without end
    │   ├── DatasetError             a row or a suite does not follow its format
    │   ├── ScriptError              a suite's template or JavaScript throws
    │   │   └── ScriptLimitError     it was stopped, or asked for what is not there
    │   └── ContextOverflowError     the prompt does not fit into n_ctx
    ├── MachineError            (3)  the machine or a file prevents it
    │   ├── ModelMissingError        known by name, but its weights are not on this machine
    │   ├── ModelFileError           no GGUF, truncated, damaged, or unknown to this build
    │   ├── ChecksumError            a file is not the one that its card describes
    │   ├── FetchError               a download did not succeed
    │   ├── NotEnoughMemoryError     it would not fit into the memory that is free
    │   ├── NotEnoughDiskError       the disk is full, or would be
    │   ├── HistoryError             the run store cannot be read or written
    │   ├── EngineError              llama.cpp refused or failed, with the lines of its log
    │   └── WorkerError              a worker process died or answered nonsense
    └── ThresholdError          (1)  the work ran and did not meet its thresholds

Each error carries what a person needs to go on: what was wrong (the message),
``where`` (file, line, key), what was ``expected``, what was ``found``, and the ``next_step``,
a command to type. Views print those fields; nothing else formats an error.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_THRESHOLD = 1
EXIT_INPUT = 2
EXIT_MACHINE = 3
EXIT_INTERRUPTED = 130


class LocalPromptError(Exception):
    """A failure that is explained to the user, not a bug.

    Args:
        message: what was wrong, one sentence without a full stop.
        where: file, line or key, as ``notes.prompty:12``.
        expected: what would have been right.
        found: what was there instead.
        next_step: the command, or the change, that helps.
    """

    exit_code = EXIT_INPUT

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        next_step: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = _bounded(message)
        self.where = where and _bounded(where)
        self.expected = expected and _bounded(expected)
        self.found = found and _bounded(found)
        self.next_step = next_step

    def __str__(self) -> str:
        parts = [self.message if self.where is None else f"{self.where}: {self.message}"]
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        if self.found is not None:
            parts.append(f"found {self.found}")
        return "; ".join(parts)


_LONGEST_PART = 4000


def _bounded(text: str) -> str:
    """What is quoted from a file may be of any length; nobody reads on after a screen of it."""
    return (
        text
        if len(text) <= _LONGEST_PART
        else f"{text[:_LONGEST_PART]}… ({len(text):,} characters)"
    )


class InputError(LocalPromptError):
    exit_code = EXIT_INPUT


class UnknownNameError(InputError):
    """No such name; ``nearest`` holds what the user may have meant, best first."""

    def __init__(
        self,
        message: str,
        *,
        nearest: tuple[str, ...] = (),
        where: str | None = None,
        next_step: str | None = None,
    ) -> None:
        expected = f"one of: {', '.join(nearest)}" if nearest else None
        super().__init__(message, where=where, expected=expected, next_step=next_step)
        self.nearest = nearest


class ParameterError(InputError):
    pass


class PromptFileError(InputError):
    pass


class TemplateLimitError(PromptFileError):
    pass


class DatasetError(InputError):
    pass


class ScriptError(InputError):
    pass


class ScriptLimitError(ScriptError):
    pass


class ContextOverflowError(InputError):
    pass


class MachineError(LocalPromptError):
    exit_code = EXIT_MACHINE


class ModelMissingError(MachineError):
    pass


class ModelFileError(MachineError):
    pass


class ChecksumError(MachineError):
    pass


class FetchError(MachineError):
    pass


class NotEnoughMemoryError(MachineError):
    pass


class NotEnoughDiskError(MachineError):
    pass


class HistoryError(MachineError):
    disk_is_full = False
    """It failed for want of room, and might not where less has to be written."""


class EngineError(MachineError):
    pass


class WorkerError(MachineError):
    pass


class ThresholdError(LocalPromptError):
    exit_code = EXIT_THRESHOLD
