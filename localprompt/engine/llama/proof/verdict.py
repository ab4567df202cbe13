"""What the child said, how it ended, and what follows: one verdict for each path.

A path is right where every row of logits lies within a hundredth of the reference's own size,
squared: quantized products differ by a thousandth (weights meet activations of 8 bits), a matrix
of which an eighth is left out by three hundredths, one with its sign turned by a third and more.

A child that dies of a crash (:mod:`localprompt.engine.crashes`), that computes something
else, or that hangs, has shown something. One that was killed from outside, or
could not begin, has not: then there is no verdict, nothing is kept, and the model is opened as if
nobody had asked.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from localprompt.engine.crashes import signal_of
from localprompt.engine.llama.proof import tiny
from localprompt.engine.llama.proof.child import Computed, Prove
from localprompt.errors import LocalPromptError, WorkerError
from localprompt.processes import Child, worker_command
from localprompt.records.proof import PathVerdict, Proof

REFERENCE = Path(__file__).with_name("reference.json")
LARGEST_ERROR = 0.01
SECONDS = 10.0
"""To run both paths; they take a third of one."""
_CHILD = "localprompt.engine.llama.proof.child"
_PATHS = ("plain", "extra")
_THREADS = 2


def prove(
    command: Sequence[str] = worker_command(_CHILD), *, seconds: float = SECONDS
) -> Proof | None:
    """Run the child and judge it; None where that showed nothing.

    Args:
        command: what to start.
        seconds: after which it counts as hanging.
    """
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="localprompt-proof-") as folder:
            model = Path(folder) / "tiny.gguf"
            model.write_bytes(tiny.gguf())
            try:
                child: Child[Computed] = Child(command, Computed, who="the proof")
            except WorkerError:  # no process to be had
                return None
            with child:
                child.send(Prove(str(model), _THREADS))
                judged = _judged(child, started + seconds)
    except OSError:  # no room for the model
        return None
    if judged is None:
        return None
    plain, extra, buffers = judged
    return Proof(plain, extra, buffers, time.monotonic() - started)


_Judged = tuple[PathVerdict, PathVerdict, tuple[str, ...]]


def _judged(child: Child[Computed], deadline: float) -> _Judged | None:
    """(plain, extra, buffers of the extra path); None: nothing was shown."""
    found: list[PathVerdict] = []
    buffers: tuple[str, ...] = ()
    while len(found) < len(_PATHS):
        try:
            said = child.receive(max(0.0, deadline - time.monotonic()))
            if said.path != _PATHS[len(found)]:
                return None
            found.append(_compared(said.logits))
            buffers = said.buffers
        except TimeoutError:
            child.kill()
            return _unfinished(found, f"it hangs: not finished after {SECONDS:g} s")
        except LocalPromptError:
            crash = signal_of(child.exit_code)
            return None if crash is None else _unfinished(found, f"it dies of {crash}")
        except ValueError:  # not as many numbers as there should be
            return None
    return found[0], found[1], buffers


def _unfinished(found: list[PathVerdict], cause: str) -> _Judged:
    plain, extra = (*found, PathVerdict(cause), PathVerdict(cause))[:2]
    return plain, extra, ()


def _compared(logits: Sequence[Sequence[float | None]]) -> PathVerdict:
    """
    Raises:
        ValueError: these are not as many numbers as there should be.
    """
    errors = [
        sum(math.inf if a is None else (a - b) ** 2 for a, b in zip(row, right, strict=True))
        / sum(b * b for b in right)
        for row, right in zip(logits, _reference(), strict=True)
    ]
    largest = max(errors)
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
