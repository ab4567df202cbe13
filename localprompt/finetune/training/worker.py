"""The process that trains: one job in, JSON lines out.

A failed assertion inside ggml ends the process, memory runs out here and nowhere else, and the peak
of memory is the training's own. The parent writes a :class:`Job` as one line of JSON and reads::

    {"is": "opened", "trained_parameters": …}      the model is there
    {"is": "held", …}                              the loss of the held-out examples, before and
    {"is": "stepped", …}  …                        after each epoch; in between one line per step
    {"is": "saved", "epoch": 1, "step": 0, …}      a checkpoint, complete and on the disk
    {"is": "ended", "reason": "epochs", …}

Any further line from the parent means: stop after this step, save, end. Where the parent is gone
the process ends at once.
What llama.cpp refuses is ``{"is": "failed", "cause": …}``, after which the process ends with exit
code 3.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

from localprompt.engine.llama.training import Trainer, TrainingBuffers
from localprompt.errors import LocalPromptError
from localprompt.files import sync
from localprompt.finetune.training import loop
from localprompt.measure import memory

_EXIT_FAILED = 3


class Job(msgspec.Struct, frozen=True):
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


class Failed(msgspec.Struct, frozen=True, tag_field="is", tag="failed"):
    cause: str


Reply = Opened | loop.Stepped | loop.Held | Saved | Ended | Failed


def main() -> int:
    """Serve the parent on stdin and stdout."""
    # Whatever a library prints belongs to stderr: the only thing on stdout is the protocol.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return serve(sys.stdin.buffer, replies)


def serve(commands: BinaryIO, replies: BinaryIO) -> int:
    """Do the one job.

    Returns:
        the exit code.
    """

    def say(reply: Reply) -> None:
        try:
            replies.write(msgspec.json.encode(reply) + b"\n")
            replies.flush()
        except BrokenPipeError:
            os._exit(_EXIT_FAILED)  # nobody keeps account any more; the last checkpoint stays

    job = msgspec.json.decode(commands.readline(), type=Job)
    stopped = threading.Event()
    threading.Thread(target=_listen, args=(commands, stopped), daemon=True).start()
    try:
        reason = _train(job, say, stopped)
    except (LocalPromptError, OSError) as error:
        say(Failed(str(error)))
        return _EXIT_FAILED
    say(Ended(reason, time.process_time(), memory.read().peak_rss_bytes))
    return 0


def _listen(commands: IO[bytes], stopped: threading.Event) -> None:
    if not commands.readline():
        os._exit(_EXIT_FAILED)  # the parent is gone; its last checkpoint stays
    stopped.set()


def _train(job: Job, say: Callable[[Reply], None], stopped: threading.Event) -> loop.Reason:
    began, before = time.perf_counter(), memory.read().rss_bytes
    with Trainer(
        Path(job.weights),
        n_ctx=job.n_ctx,
        n_threads=job.n_threads,
        weight_decay=job.weight_decay,
    ) as model:
        seconds = time.perf_counter() - began
        say(Opened(model.trained_parameters, model.buffers, before, seconds))

        def save(epoch: int, step: int) -> None:
            began = time.perf_counter()
            path = Path(job.folder) / f"epoch-{epoch}-step-{step}.gguf"
            draft = path.with_suffix(".part")
            model.save(draft, Path(job.like))
            sync(draft)
            draft.replace(path)
            say(
                Saved(
                    epoch,
                    step,
                    path.name,
                    time.perf_counter() - began,
                    time.process_time(),
                    memory.read().peak_rss_bytes,
                )
            )

        return loop.run(job.course, model, say=say, save=save, stop=stopped.is_set)


if __name__ == "__main__":
    sys.exit(main())
