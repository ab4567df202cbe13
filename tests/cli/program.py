"""The program as people run it: in this process where that is enough, as a process of its own
where exit codes, signals, pipes and terminals are what is tested."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHORT = ("--threads", "1", "--max-tokens", "8")
"""For answers whose content does not matter. One thread costs less than two that wait for each
other on a busy machine."""


@dataclass(frozen=True)
class Ran:
    """What a run of the program left."""

    code: int
    out: str
    err: str

    def fields(self) -> dict[str, str]:
        """An error's parts by name, its message as ``error``."""
        lines = self.err[self.err.index("error: ") :].splitlines()
        parts = {"error": lines[0].removeprefix("error: ")}
        for line in lines[1:]:
            if not line.startswith("  "):
                break
            name, _, text = line.strip().partition(":")
            parts[name] = text.strip()
        return parts


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "localprompt", *arguments]


@contextmanager
def started(arguments: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The program in a process group of its own, as a shell starts it; gone when the block ends."""
    with subprocess.Popen(
        arguments,
        stdin=options.pop("stdin", subprocess.DEVNULL),
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        **options,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def completed(
    *arguments: str, prefix: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Ran:
    """A run of the program as a process of its own."""
    done = subprocess.run(
        [*prefix, *command_line(*arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def write_prompt(folder: Path, name: str, text: str) -> Path:
    """A prompt file that answers to ``name``."""
    path = folder / "prompts" / f"{name}.prompty"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
