"""What batches of a model take where attention is next to nothing: at the beginning of a context.

How many sequences an evaluation should answer at once depends on how much cheaper a batch of many
tokens is than as many batches of one. That is a matter of weights, their types and their place in
memory, which no model but the real one has. It is measured in the process that has it open, in a
small context, before the evaluation's own is opened; some batches of each size, no longer than some
seconds, once for each model, build and CPU. As attention is (see
:mod:`localprompt.engine.llama.proof.attention_child`): with one thread, on the clock of CPU time,
so that the two can be added up, and so that what else the machine does hardly shows.
"""

from __future__ import annotations

import time
from itertools import accumulate

from localprompt.engine.device import Slot
from localprompt.engine.llama.context import Context
from localprompt.engine.llama.library import library
from localprompt.records.attention import StepCost

STEP_CONTEXT = 256
"""Cells of the context in which it is measured."""
_SIZES = (1, 2, 4, 8, 16, 32, 64)
_SECONDS = 3.0
"""After which no larger batch is begun; there are always two."""
_REPETITIONS = 3
_TOKEN = 1


def measured_steps(context: Context) -> tuple[StepCost, ...]:
    """The fastest of some batches of each size. Other programs only ever add to what is measured,
    so a batch never takes longer than a larger one."""
    ended = time.process_time() + _SECONDS
    _timed(context, _SIZES[2])  # pages are mapped and threads started by the first one
    found: list[StepCost] = []
    for size in _SIZES:
        if len(found) >= 2 and time.process_time() > ended:
            break
        found.append(StepCost(size, min(_timed(context, size) for _ in range(_REPETITIONS))))
    least = accumulate((one.seconds for one in reversed(found)), min)
    return tuple(
        StepCost(one.tokens, seconds)
        for one, seconds in zip(found, reversed(list(least)), strict=True)
    )


def _timed(context: Context, size: int) -> float:
    slots = [Slot(_TOKEN, at, (0,), at == size - 1) for at in range(size)]
    started = time.process_time()
    context.decode(slots)
    library().llama_synchronize(context.pointer)
    taken = time.process_time() - started
    context.forget(0)
    return taken
