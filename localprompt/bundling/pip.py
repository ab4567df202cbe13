"""The user's own pip, as a child: it knows their index, mirrors, proxies and certificates."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from localprompt.models.fetch_pypi import pip_failed


def pip(
    arguments: Sequence[str],
    *,
    purpose: str,
    where: str,
    work: Path,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run pip to its end, with its temporary files in ``work``.

    It has a process group of its own, so that Ctrl-C takes compilers with it that it has started.

    Args:
        arguments: a command of pip and what follows it.
        purpose, where: what it should do with which packages; for the error.
        environment: added to that of this process.

    Raises:
        FetchError: it failed; with its reason.
        NotEnoughDiskError: the disk filled up.
    """
    command, *others = arguments
    temporary = work / "pip-tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    line = [sys.executable, "-m", "pip", command, *quiet, *others]
    with subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
        env={**os.environ, **(environment or {}), "TMPDIR": str(temporary)},
    ) as child:
        try:
            output, _ = child.communicate()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
            raise
    if child.returncode:
        settings = [f"{name}={shlex.quote(value)}" for name, value in (environment or {}).items()]
        raise pip_failed(purpose, where, " ".join([*settings, shlex.join(line)]), output)
