"""What the child said, how it ended, and what follows: one verdict for each path.

A path is right where every row of logits lies within a hundredth of the reference's own size,
squared: quantized products differ by a thousandth (weights meet activations of 8 bits), a matrix
of which an eighth is left out by three hundredths, one with its sign turned by a third and more.

A child that dies of what a processor or llama.cpp does to a process (:data:`_CRASHES`), that
computes something else, or that hangs, has shown something. One that was killed from outside, or
could not begin, has not: then there is no verdict, nothing is kept, and the model is opened as if
nobody had asked.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from localprompt.engine.llama.proof import tiny
from localprompt.records.proof import PathVerdict, Proof

REFERENCE = Path(__file__).with_name("reference.json")
LARGEST_ERROR = 0.01
SECONDS = 10.0
"""To run both paths; they take a third of one."""
# -P: a folder called localprompt in the working directory must not take this one's place.
CHILD_COMMAND = (sys.executable, "-P", "-m", "localprompt.engine.llama.proof.child")
_THREADS = 2
_CRASHES = {
    signal.SIGILL: "an instruction that this CPU does not have, or refuses",
    signal.SIGSEGV: "an access to memory that is not its own",
    signal.SIGBUS: "an access to memory that is not there",
    signal.SIGABRT: "a check inside llama.cpp failed",
    signal.SIGFPE: "an arithmetic error",
    signal.SIGTRAP: "a check inside llama.cpp failed",
}


def prove(command: Sequence[str] = CHILD_COMMAND, *, seconds: float = SECONDS) -> Proof | None:
    """Run the child and judge it; None where that showed nothing.

    Args:
        command: what to start; the model's path and the number of threads are put behind it.
        seconds: after which it counts as hanging.
    """
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="localprompt-proof-") as folder:
            model = Path(folder) / "tiny.gguf"
            model.write_bytes(tiny.gguf())
            lines, end = _run([*command, str(model), str(_THREADS)], Path(folder), seconds)
    except OSError:  # no room for the model, no process to be had
        return None
    judged = _judged(lines, end)
    if judged is None:
        return None
    plain, extra, buffers = judged
    return Proof(plain, extra, buffers, time.monotonic() - started)


def _run(command: Sequence[str], folder: Path, seconds: float) -> tuple[list[str], int | None]:
    """The child's lines and its exit status; None: it was still at it."""
    said = folder / "said"
    with said.open("wb") as stdout, (folder / "complaints").open("wb") as stderr:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        try:
            end: int | None = child.wait(seconds)
        except subprocess.TimeoutExpired:
            end = None
        finally:
            child.kill()
            child.wait()
    return said.read_text(encoding="utf-8", errors="replace").splitlines(), end


def _judged(
    lines: Sequence[str], end: int | None
) -> tuple[PathVerdict, PathVerdict, tuple[str, ...]] | None:
    """(plain, extra, buffers of the extra path); None: nothing was shown."""
    found: dict[str, PathVerdict] = {}
    buffers: tuple[str, ...] = ()
    for line in lines:
        try:
            said = json.loads(line)
            if "logits" in said:
                found[said["path"]] = _compared(said["logits"])
                buffers = tuple(said["buffers"])
        except (ValueError, TypeError, KeyError):
            return None  # no child of ours says that
    cause = _cause(end)
    if len(found) < 2 and cause is None:
        return None
    unfinished = PathVerdict(cause)
    if "plain" not in found:
        return unfinished, unfinished, ()
    return found["plain"], found.get("extra", unfinished), buffers if "extra" in found else ()


def _cause(end: int | None) -> str | None:
    if end is None:
        return f"it hangs: not finished after {SECONDS:g} s"
    if -end in _CRASHES:
        crash = signal.Signals(-end)
        return f"it dies of {crash.name} ({_CRASHES[crash]})"
    return None


def _compared(logits: Sequence[Sequence[float]]) -> PathVerdict:
    errors = [
        sum((a - b) ** 2 for a, b in zip(row, right, strict=True)) / sum(b * b for b in right)
        for row, right in zip(logits, _reference(), strict=True)
    ]
    # NaN is no larger than anything, so that it has to be looked for.
    largest = math.inf if any(map(math.isnan, errors)) else max(errors)
    if largest <= LARGEST_ERROR:
        return PathVerdict(None, largest)
    return PathVerdict(
        f"it computes wrong numbers: off by {largest:.3g} where {LARGEST_ERROR:g} is the most "
        "that rounding makes",
        None if math.isinf(largest) else largest,
    )


def _reference() -> list[list[float]]:
    rows: list[list[float]] = json.loads(REFERENCE.read_bytes())
    return rows
