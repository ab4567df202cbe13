"""What counts as withstanding: an exit code that means something, words, in time, in memory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What a terminal would obey, or show in another order."""
GOOD_CODES = frozenset({0, 1, 2, 3, 130, 141})
MOST_SECONDS = 20.0
MOST_BYTES = 2 << 30


class Ran(msgspec.Struct, frozen=True):
    """How one run of the program ended."""

    code: int
    """Negative for a signal."""
    interrupted: bool
    """It did not end in time and got a Ctrl-C."""
    seconds: float
    peak_rss_bytes: int
    out: str
    err: str

    def fault(self, *, long: bool = False, exported: bool = False) -> str | None:
        """What is wrong with it; None where it withstood.

        Args:
            long: the command may work as long as it likes, as long as Ctrl-C ends it.
            exported: what it wrote is for a program, in a format of its own.
        """
        if "Traceback (most recent call last)" in self.err + self.out:
            return "traceback"
        if self.interrupted and not long:
            return "hang"
        if self.code < 0:
            return f"signal {-self.code}"
        if self.code not in GOOD_CODES:
            return f"exit code {self.code}"
        if self.code in {2, 3} and not self.err.strip():
            return "no words"
        if self.peak_rss_bytes > MOST_BYTES:
            return "memory"
        if not exported and _CONTROL.search(self.out + self.err):
            return "control characters"
        return None


class Fault(msgspec.Struct, frozen=True):
    """An input that was not withstood."""

    kind: str
    arguments: list[str]
    err: str
    kept: str | None
    """Where its file is."""


class Zygote:
    """The process that runs inputs; see :mod:`tests.adversarial.zygote`.

    Args:
        folder: of the campaign: the home, the working folder and what is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.work = folder / "work"
        self.scratch = folder / "scratch"
        for path in (self.home / "models", self.work, self.scratch):
            path.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()

    def run(
        self,
        *arguments: str,
        stdin: str = "",
        seconds: float = MOST_SECONDS,
        kill_after: float | None = None,
        environment: dict[str, str] | None = None,
        page: bool = False,
    ) -> Ran:
        """Run the program once; or answer one request to its local page."""
        request: dict[str, Any] = {
            "arguments": arguments,
            "stdin": stdin,
            "folder": str(self.work),
            "scratch": str(self.scratch),
            "environment": {
                "LOCALPROMPT_HOME": str(self.home),
                "LOCALPROMPT_SHARED": str(self.home / "for-all"),
                **(environment or {}),
            },
            "seconds": seconds,
            "kill_after": kill_after,
            "page": page,
        }
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return msgspec.json.decode(process.stdout.readline(), type=Ran)

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.adversarial.zygote"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=Path(__file__).resolve().parents[2],
                env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"},
            )
        return self._process


class Tally:
    """How many inputs were tried, and what became of them."""

    def __init__(self) -> None:
        self.tried = 0
        self.ends: Counter[str] = Counter()
        self.faults: list[Fault] = []

    def add(self, ran: Ran, arguments: list[str], fault: str | None, *, kept: str | None) -> None:
        """Count one run, and what is wrong with it."""
        self.tried += 1
        names = {0: "done", 1: "failed its thresholds", 2: "refused", 3: "refused", 130: "ended"}
        self.ends[fault or names.get(ran.code, "other")] += 1
        if fault is not None:
            self.faults.append(Fault(fault, arguments, ran.err[-3000:], kept))

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {name}" for name, count in self.ends.most_common())
        return f"{self.tried} tried: {ends or 'nothing'}"
