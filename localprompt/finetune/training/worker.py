"""The process that trains: one job in, JSON lines out.

A failed assertion inside ggml ends the process, memory runs out here and nowhere else, and the peak
of memory is the training's own. The parent writes a :class:`Job` as one line of JSON and reads::

    {"is": "opened", "trained_parameters": …}      the model is there
    {"is": "held", …}                              the loss of the held-out examples, before and
    {"is": "stepped", …}  …                        after each epoch; in between one line per step
    {"is": "saved", "epoch": 1, "step": 0, …}      a checkpoint, complete and on the disk
    {"is": "ended", "reason": "epochs", …}

``{"do": "stop"}`` means: stop after this step, save, end. Where the parent is gone the process ends
at once; the last checkpoint stays. What llama.cpp refuses is ``{"is": "failed", …}``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from localprompt.engine.llama.training import Trainer, TrainingBuffers
from localprompt.errors import MachineError
from localprompt.files import sync
from localprompt.finetune.training import loop
from localprompt.measure import memory
from localprompt.processes import Parent, serve


class Job(msgspec.Struct, frozen=True, tag_field="do", tag="train"):
    """What to train, and where checkpoints go."""

    course: loop.Course
    weights: str
    """The model as it is now, as 32-bit floats."""
    like: str
    """The model before any training, as 32-bit floats."""
    folder: str
    n_ctx: int
    n_threads: int
    weight_decay: float


class Stop(msgspec.Struct, frozen=True, tag_field="do", tag="stop"):
    """End after this step, with what was reached saved."""


class Opened(msgspec.Struct, frozen=True, tag_field="is", tag="opened"):
    """The model and its context are there."""

    trained_parameters: int
    buffers: TrainingBuffers
    process_bytes: int | None
    """Resident before the model was opened."""
    seconds: float


class Saved(msgspec.Struct, frozen=True, tag_field="is", tag="saved"):
    """A checkpoint is complete: so many epochs, and steps of the next."""

    epoch: int
    step: int
    file: str
    """In the job's folder."""
    seconds: float
    cpu_seconds: float
    """Of this process so far, user and system."""
    peak_rss_bytes: int | None


class Ended(msgspec.Struct, frozen=True, tag_field="is", tag="ended"):
    """Nothing more will come; what was reached is in the last checkpoint."""

    reason: loop.Reason
    cpu_seconds: float
    peak_rss_bytes: int | None


Command = Job | Stop
Reply = Opened | loop.Stepped | loop.Held | Saved | Ended


def main() -> int:
    """Serve the parent on stdin and stdout."""
    return serve(Command, answer)


def answer(parent: Parent[Command]) -> None:
    """Do the one job."""
    for command in parent.commands():
        if isinstance(command, Stop):
            return
        try:
            reason = _train(command, parent)
        except OSError as error:
            raise MachineError(str(error)) from error
        parent.say(Ended(reason, time.process_time(), memory.read().peak_rss_bytes))


def _train(job: Job, parent: Parent[Command]) -> loop.Reason:
    began, before = time.perf_counter(), memory.read().rss_bytes
    with Trainer(
        Path(job.weights),
        n_ctx=job.n_ctx,
        n_threads=job.n_threads,
        weight_decay=job.weight_decay,
    ) as model:
        seconds = time.perf_counter() - began
        parent.say(Opened(model.trained_parameters, model.buffers, before, seconds))

        def save(epoch: int, step: int) -> None:
            began = time.perf_counter()
            path = Path(job.folder) / f"epoch-{epoch}-step-{step}.gguf"
            draft = path.with_suffix(".part")
            model.save(draft, Path(job.like))
            sync(draft)
            draft.replace(path)
            parent.say(
                Saved(
                    epoch,
                    step,
                    path.name,
                    time.perf_counter() - began,
                    time.process_time(),
                    memory.read().peak_rss_bytes,
                )
            )

        return loop.run(job.course, model, say=parent.say, save=save, stop=parent.wants_more)


if __name__ == "__main__":
    sys.exit(main())
