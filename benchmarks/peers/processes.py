"""Programs, run to their end: what they said, how long they took and what they took.

Peak memory is the kernel's figure for the finished process (wait4). It survives exec, so a
program smaller than this one would report this one's peak; every program here is larger.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from localprompt import paths
from localprompt.errors import WorkerError

_LAST_LINES = 5


class Finished(msgspec.Struct, frozen=True):
    stdout: str
    stderr: str
    wall_seconds: float
    peak_rss_bytes: int


def run(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Finished:
    """Run a program with ``env`` beside this process's environment.

    Raises:
        WorkerError: it cannot be started or fails; with the last lines it said.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )
        except OSError as error:
            raise WorkerError(
                "a program cannot be started", where=command[0], found=str(error)
            ) from error
        _, status, usage = os.wait4(child.pid, 0)
        wall_seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    stdout, stderr = texts
    if child.returncode != 0:
        said = [line for line in (stderr or stdout).splitlines() if line.strip()]
        raise WorkerError(
            f"{Path(command[0]).name} ended with {child.returncode}",
            where=" ".join(Path(word).name for word in command[1:5]),
            found=" | ".join(said[-_LAST_LINES:]),
        )
    unit = 1 if sys.platform == "darwin" else 1024
    return Finished(stdout, stderr, wall_seconds, usage.ru_maxrss * unit)


def localprompt_command(*arguments: str) -> list[str]:
    """The command line of this environment's localprompt."""
    return [sys.executable, "-m", "localprompt", *arguments]


@contextmanager
def scratch_home() -> Iterator[dict[str, str]]:
    """An environment with a history of its own and the user's weights and caches.

    Benchmarks of the harness are no part of the user's history.
    """
    with tempfile.TemporaryDirectory(prefix="localprompt-peers-") as folder:
        for shared in (paths.weights_folder(), paths.cache_folder()):
            shared.mkdir(parents=True, exist_ok=True)
            (Path(folder) / shared.name).symlink_to(shared)
        yield {"LOCALPROMPT_HOME": folder}


def say(text: str) -> None:
    """Progress, to stderr."""
    print(text, file=sys.stderr, flush=True)
